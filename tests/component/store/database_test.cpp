// SPDX-License-Identifier: MIT
// The database itself: opened strictly, migrated, transactions as scopes, errors as Error.
#include "agent/store/database.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "agent/store/schema.h"
#include "agent/store/store.h"
#include "common/error.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::store;

namespace {

template <class Work>
Error error_of(Work&& work) {
    try {
        work();
    } catch (const Error& error) {
        return error;
    }
    FAIL("no Error was thrown");
    throw std::logic_error("unreachable");
}

std::string setting(Database& database, std::string_view name) {
    return database.run_returning("PRAGMA " + std::string(name)).at(0).text(0);
}

}  // namespace

TEST_CASE("database: a new file has today's version and the settings that durability rests on") {
    const test::TempDir dir;
    Database database(dir / "baton.db");
    CHECK(setting(database, "user_version") == std::to_string(migrations().size()));
    CHECK(setting(database, "journal_mode") == "wal");
    CHECK(setting(database, "synchronous") == "2");  // FULL
    CHECK(setting(database, "foreign_keys") == "1");
    CHECK(setting(database, "trusted_schema") == "0");
    CHECK(setting(database, "busy_timeout") == "5000");
    const auto mode = std::filesystem::status(dir / "baton.db").permissions();
    CHECK((mode & (std::filesystem::perms::group_all | std::filesystem::perms::others_all)) ==
          std::filesystem::perms::none);
}

TEST_CASE("database: whole numbers of 63 bits, text in any language, and null come back as they went in") {
    const test::TempDir dir;
    Database database(dir / "baton.db");
    database.run("CREATE TABLE t (a INTEGER, b TEXT, c TEXT) STRICT");
    CHECK(database.run("INSERT INTO t VALUES (?, ?, ?)", {9223372036854775807LL, "Grüße, 世界 'x'", std::nullopt}) ==
          1);
    CHECK(database.run("INSERT INTO t VALUES (?, ?, ?)", {-1, "", "x"}) == 1);
    const Rows rows = database.query("SELECT a, b, c FROM t ORDER BY a DESC");
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].whole(0) == 9223372036854775807LL);
    CHECK(rows[0].text(1) == "Grüße, 世界 'x'");
    CHECK(rows[0].is_null(2));
    CHECK(rows[1].whole(0) == -1);
    CHECK_FALSE(rows[1].is_null(1));
    CHECK(rows[1].text(1).empty());
    CHECK(database.query("SELECT a FROM t WHERE a = 7").empty());
    CHECK(database.run("UPDATE t SET c = 'y'") == 2);
    CHECK(database.run("UPDATE t SET c = 'y' WHERE a = 7") == 0);
    CHECK(error_of([&] { (void)rows[1].count(0); }).kind() == ErrorKind::corrupt);
    CHECK(error_of([&] { (void)rows[0].text(2); }).kind() == ErrorKind::corrupt);
}

TEST_CASE("database: text that is not UTF-8 or holds a NUL is kept readable, not cut") {
    const test::TempDir dir;
    Database database(dir / "baton.db");
    database.run("CREATE TABLE t (a TEXT) STRICT");
    database.run("INSERT INTO t VALUES (?)", {std::string("before\0after \xff end", 18)});
    CHECK(database.query("SELECT a FROM t").at(0).text(0) ==
          "before\xEF\xBF\xBD"
          "after \xEF\xBF\xBD end");
}

TEST_CASE("database: a statement at fault, a broken constraint and a write on the reading side are Errors") {
    const test::TempDir dir;
    Database database(dir / "baton.db");
    const Error wrong = error_of([&] { (void)database.query("SELECT nonsense FROM nowhere"); });
    CHECK(wrong.kind() == ErrorKind::internal);
    CHECK_THAT(wrong.text(), Catch::Contains("no such table: nowhere") && Catch::Contains("SELECT nonsense"));

    database.run("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT CHECK (b <> 'bad')) STRICT");
    database.run("INSERT INTO t VALUES (1, 'good')");
    CHECK(error_of([&] { database.run("INSERT INTO t VALUES (1, 'x')"); }).kind() == ErrorKind::conflict);
    CHECK(error_of([&] { database.run("INSERT INTO t VALUES (2, 'bad')"); }).kind() == ErrorKind::conflict);
    CHECK(error_of([&] { database.run("INSERT INTO t VALUES ('text', 'x')"); }).kind() != ErrorKind::corrupt);
    CHECK_THROWS_AS((void)database.query("DELETE FROM t RETURNING a"), Error);
    CHECK(database.query("SELECT a FROM t").size() == 1);
}

TEST_CASE("database: a transaction that is not committed leaves nothing behind") {
    const test::TempDir dir;
    Database database(dir / "baton.db");
    database.run("CREATE TABLE t (a INTEGER) STRICT");
    {
        Transaction scope(database);
        database.run("INSERT INTO t VALUES (1)");
        CHECK(database.query("SELECT a FROM t").size() == 1);  // its own writes are seen inside
    }
    CHECK(database.query("SELECT a FROM t").empty());
    try {
        Transaction scope(database);
        database.run("INSERT INTO t VALUES (1)");
        database.run("INSERT INTO nowhere VALUES (1)");
        scope.commit();
        FAIL("the statement at fault must throw");
    } catch (const Error&) {
    }
    CHECK(database.query("SELECT a FROM t").empty());
    {
        Transaction scope(database);
        database.run("INSERT INTO t VALUES (1)");
        scope.commit();
        CHECK(error_of([&] { scope.commit(); }).kind() == ErrorKind::internal);
    }
    CHECK(database.query("SELECT a FROM t").size() == 1);
}

TEST_CASE("database: a transaction within another joins it, and an inner one that failed dooms the outer") {
    const test::TempDir dir;
    Database database(dir / "baton.db");
    database.run("CREATE TABLE t (a INTEGER) STRICT");
    {
        Transaction outer(database);
        {
            Transaction inner(database);
            database.run("INSERT INTO t VALUES (1)");
            inner.commit();
        }
    }
    CHECK(database.query("SELECT a FROM t").empty());
    {
        Transaction outer(database);
        {
            Transaction inner(database);
            database.run("INSERT INTO t VALUES (2)");
        }
        CHECK(error_of([&] { outer.commit(); }).kind() == ErrorKind::internal);
    }
    CHECK(database.query("SELECT a FROM t").empty());
    {
        Transaction outer(database);
        {
            Transaction inner(database);
            database.run("INSERT INTO t VALUES (3)");
            inner.commit();
        }
        outer.commit();
    }
    CHECK(database.query("SELECT a FROM t").at(0).whole(0) == 3);
}

TEST_CASE("database: readers see only what is committed, and do not wait for a transaction") {
    const test::TempDir dir;
    Database database(dir / "baton.db");
    database.run("CREATE TABLE t (a INTEGER) STRICT");
    Transaction scope(database);
    database.run("INSERT INTO t VALUES (1)");
    std::size_t seen = 99;
    std::jthread([&] { seen = database.query("SELECT a FROM t").size(); }).join();
    CHECK(seen == 0);
    scope.commit();
    std::jthread([&] { seen = database.query("SELECT a FROM t").size(); }).join();
    CHECK(seen == 1);
}

TEST_CASE("database: many threads and a second process' worth of connections write side by side, none is lost") {
    const test::TempDir dir;
    Database one(dir / "baton.db");
    Database two(dir / "baton.db");
    one.run("CREATE TABLE t (writer INTEGER, n INTEGER, before INTEGER) STRICT");
    constexpr int writers = 6;
    constexpr int each = 40;
    std::vector<std::string> faults(writers);
    {
        std::vector<std::jthread> threads;
        for (int writer = 0; writer < writers; ++writer) {
            threads.emplace_back([&, writer] {
                Database& database = writer % 2 == 0 ? one : two;
                try {
                    for (int n = 0; n < each; ++n) {
                        Transaction scope(database);
                        // Read, then write: what a deferred BEGIN answers with SQLITE_BUSY.
                        const std::int64_t before = database.query("SELECT count(*) FROM t").at(0).whole(0);
                        database.run("INSERT INTO t VALUES (?, ?, ?)", {writer, n, before});
                        scope.commit();
                    }
                } catch (const Error& error) {
                    faults[static_cast<std::size_t>(writer)] = error.text();
                }
            });
        }
    }
    for (const std::string& fault : faults) CHECK(fault.empty());
    CHECK(one.query("SELECT count(*) FROM t").at(0).whole(0) == writers * each);
    CHECK(one.query("SELECT count(DISTINCT before) FROM t").at(0).whole(0) == writers * each);
}

TEST_CASE("database: an empty file and an interrupted first start are brought to today's version") {
    const test::TempDir dir;
    std::ofstream(dir / "empty.db").close();
    CHECK_NOTHROW(Store(dir / "empty.db"));
    Store again(dir / "empty.db");
    CHECK(setting(again.database, "user_version") == std::to_string(migrations().size()));
}

TEST_CASE("database: opening again keeps identity and rows") {
    const test::TempDir dir;
    std::string state_id;
    {
        Store store(dir / "baton.db");
        state_id = store.chain.identity().state_id;
        store.flags.set(AppName("shop"), flag::disabled, "1");
    }
    Store store(dir / "baton.db");
    CHECK(state_id.size() == 32);
    CHECK(store.chain.identity().state_id == state_id);
    CHECK(store.flags.has(AppName("shop"), flag::disabled));
}

TEST_CASE("database: one of version 1 keeps its rows, whose outages were not told apart") {
    const test::TempDir dir;
    {
        Store store(dir / "baton.db");
        LedgerEntry entry;
        entry.node = NodeName("web1");
        entry.app = AppName("shop");
        entry.exposed_ms = 1'040;
        store.ledger.put(entry);
        // As that version left it.
        store.database.run("ALTER TABLE ledger DROP COLUMN outages");
        store.database.run("PRAGMA user_version = 1");
    }
    Store store(dir / "baton.db");
    CHECK(setting(store.database, "user_version") == std::to_string(migrations().size()));
    const auto rows = store.ledger.list(AppName(), 0, 9);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].exposed_ms == 1'040);
    CHECK(rows[0].outages_ms.empty());
}

TEST_CASE("database: a file that a newer program made is refused, untouched") {
    const test::TempDir dir;
    {
        Store store(dir / "baton.db");
        store.database.run("PRAGMA user_version = 999");
    }
    const Error error = error_of([&] { Store store(dir / "baton.db"); });
    CHECK(error.kind() == ErrorKind::conflict);
    CHECK_THAT(error.text(), Catch::Contains("version 999") && Catch::Contains("newer baton"));
    CHECK_THROWS_AS(Store(dir / "baton.db"), Error);
}

TEST_CASE("database: another program's database is refused") {
    const test::TempDir dir;
    {
        Database database(dir / "other.db");
        for (const Row& row : database.query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE "
                                             "'sqlite%'")) {
            database.run("DROP TABLE " + row.text(0));
        }
        database.run("CREATE TABLE theirs (a INTEGER)");
        database.run("PRAGMA user_version = 0");
    }
    const Error error = error_of([&] { Database database(dir / "other.db"); });
    CHECK(error.kind() == ErrorKind::conflict);
    CHECK_THAT(error.text(), Catch::Contains("another program"));
}

TEST_CASE("database: a file that is no database is refused as corrupt, and kept") {
    const test::TempDir dir;
    const std::string text(8192, 'x');
    dir.write("baton.db", text);
    const Error error = error_of([&] { Database database(dir / "baton.db"); });
    CHECK(error.kind() == ErrorKind::corrupt);
    CHECK_THAT(error.text(), Catch::Contains("baton.db") && Catch::Contains("backup"));
    CHECK(std::filesystem::file_size(dir / "baton.db") == text.size());
}

TEST_CASE("database: a damaged page is found when the file is opened") {
    const test::TempDir dir;
    {
        Store store(dir / "baton.db");
        Transaction scope(store.database);
        for (int n = 0; n < 2000; ++n)
            store.flags.set(AppName("shop"), "key" + std::to_string(n), std::string(50, 'v'));
        scope.commit();
        store.database.run_returning("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    {
        std::fstream file(dir / "baton.db", std::ios::in | std::ios::out | std::ios::binary);
        const auto size = static_cast<std::streamoff>(std::filesystem::file_size(dir / "baton.db"));
        const std::string garbage(4096, '\xA5');
        for (std::streamoff at = size / 2 / 4096 * 4096; at < size; at += 4096) {
            file.seekp(at);
            file.write(garbage.data(), static_cast<std::streamsize>(garbage.size()));
        }
    }
    const Error error = error_of([&] { Store store(dir / "baton.db"); });
    CHECK(error.kind() == ErrorKind::corrupt);
    CHECK_THAT(error.text(), Catch::Contains("backup"));
}

TEST_CASE("database: a directory that is not there is an Error that names the file") {
    const test::TempDir dir;
    const Error error = error_of([&] { Database database(dir / "missing/baton.db"); });
    CHECK(error.kind() == ErrorKind::not_found);
    CHECK_THAT(error.text(), Catch::Contains("missing/baton.db"));
}
