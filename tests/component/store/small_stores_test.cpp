// SPDX-License-Identifier: MIT
// Chain state and identity, flags, audit trail, ledger.
#include <catch2/catch.hpp>
#include <filesystem>

#include "agent/store/store.h"
#include "common/error.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::store;

TEST_CASE("chain state: the last save of each app is loaded after a restart") {
    const test::TempDir dir;
    {
        Store store(dir / "baton.db");
        CHECK_FALSE(store.chain.load(AppName("shop")).has_value());
        store.chain.save(AppName("shop"), "{\"phase\":\"asking\"}");
        store.chain.save(AppName("shop"), "{\"phase\":\"out\"}");
        store.chain.save(AppName("blog"), "{}");
        store.chain.erase(AppName("blog"));
    }
    Store store(dir / "baton.db");
    CHECK(store.chain.load(AppName("shop")) == "{\"phase\":\"out\"}");
    CHECK_FALSE(store.chain.load(AppName("blog")).has_value());
}

TEST_CASE("identity: a fresh database, a restart, a reboot and a cloned directory are told apart") {
    const test::TempDir dir;
    {
        Store store(dir / "baton.db");
        const AgentIdentity before = store.chain.claim(NodeName("web1"), "boot-1");
        CHECK(before.node.empty());
        CHECK(before.boot_id.empty());
        CHECK(before.state_id.size() == 32);
        CHECK(store.chain.claim(NodeName("web1"), "boot-1").boot_id == "boot-1");
        const AgentIdentity rebooted = store.chain.claim(NodeName("web1"), "boot-2");
        CHECK(rebooted.node == NodeName("web1"));
        CHECK(rebooted.boot_id == "boot-1");
        CHECK(store.chain.identity().boot_id == "boot-2");
        store.database.run_returning("PRAGMA wal_checkpoint(TRUNCATE)");
    }
    std::filesystem::copy_file(dir / "baton.db", dir / "clone.db");
    Store clone(dir / "clone.db");
    try {
        (void)clone.chain.claim(NodeName("web2"), "boot-9");
        FAIL("a cloned state directory must be refused");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::conflict);
        CHECK_THAT(error.text(), Catch::Contains("belongs to node 'web1'") && Catch::Contains("state_dir"));
    }
    CHECK(clone.chain.identity().node == NodeName("web1"));

    Store other(dir / "other.db");
    CHECK(other.chain.identity().state_id != clone.chain.identity().state_id);
}

TEST_CASE("identity: a copy and a backup that was put back are known, and what the chain was promised there is dropped") {
    const test::TempDir dir;
    const AppName shop("shop");
    const auto start = [&](const std::string& file) {
        Store store(dir / file);
        const auto identity = store.chain.claim(NodeName("web1"), "boot-1");
        const bool remembers = store.chain.load(shop).has_value();
        if (!remembers) store.chain.save(shop, "{}");
        return std::pair(identity.copied, remembers);
    };
    CHECK(start("baton.db") == std::pair(false, false));
    CHECK(start("baton.db") == std::pair(false, true));
    std::filesystem::copy_file(dir / "baton.db", dir / "backup.db");
    CHECK(start("baton.db") == std::pair(false, true));
    // A move is no copy.
    std::filesystem::rename(dir / "baton.db", dir / "moved.db");
    CHECK(start("moved.db") == std::pair(false, true));
    std::filesystem::remove(dir / "moved.db");
    std::filesystem::rename(dir / "backup.db", dir / "moved.db");
    CHECK(start("moved.db") == std::pair(true, false));
    // Once it has been noticed it is this node's database, however it came here.
    CHECK(start("moved.db") == std::pair(false, true));
}

TEST_CASE("flags: set, replaced, listed by prefix, erased, apart for each app") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName shop("shop");
    CHECK_FALSE(store.flags.has(shop, flag::disabled));
    store.flags.set(shop, flag::polled_tip, "a");
    store.flags.set(shop, flag::polled_tip, "b");
    CHECK(store.flags.get(shop, flag::polled_tip) == "b");
    CHECK_FALSE(store.flags.has(AppName("blog"), flag::polled_tip));
    store.flags.set(shop, "bad_commit:aaa", "web1");
    store.flags.set(shop, "bad_commit:bbb", "");
    store.flags.set(shop, "badXcommit:ccc", "no");
    CHECK(store.flags.all(shop, flag::bad_commit) ==
          std::map<std::string, std::string>{{"bad_commit:aaa", "web1"}, {"bad_commit:bbb", ""}});
    CHECK(store.flags.all(shop).size() == 4);
    store.flags.set(AppName(), flag::quieting_down, "1");
    CHECK(store.flags.has(AppName(), flag::quieting_down));
    CHECK(store.flags.erase(shop, "bad_commit:bbb"));
    CHECK_FALSE(store.flags.erase(shop, "bad_commit:bbb"));
    CHECK(store.flags.all(shop, flag::bad_commit).size() == 1);
}

TEST_CASE("audit: newest first, and only the newest ten thousand are kept") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    {
        Transaction scope(store.database);
        for (std::size_t n = 1; n <= AuditStore::most_entries + 3; ++n) {
            store.audit.append({0, static_cast<std::int64_t>(n), "ann", "10.0.0.9", "trigger", AppName("shop"), "x"});
        }
        scope.commit();
    }
    const auto newest = store.audit.list(2);
    REQUIRE(newest.size() == 2);
    CHECK(newest[0].at_ms == static_cast<std::int64_t>(AuditStore::most_entries + 3));
    CHECK(newest[0].id > newest[1].id);
    CHECK(newest[0].who == "ann");
    CHECK(newest[0].address == "10.0.0.9");
    CHECK(newest[0].action == "trigger");
    CHECK(newest[0].app == AppName("shop"));
    CHECK(newest[0].detail == "x");
    const auto all = store.audit.list(1'000'000);
    CHECK(all.size() == AuditStore::most_entries);
    CHECK(all.back().at_ms == 4);
    store.audit.append({0, 1, "bo", "10.0.0.9", "halt", AppName("blog"), ""});
    REQUIRE(store.audit.list(5, AppName("blog")).size() == 1);
    CHECK(store.audit.list(5, AppName("blog")).front().who == "bo");
    CHECK(store.audit.list(5, AppName("shop")).size() == 5);
}

TEST_CASE("ledger: outages are kept one by one, and those beyond the limit in the last") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    LedgerEntry entry;
    entry.node = NodeName("web1");
    entry.app = AppName("shop");
    entry.exposed_ms = 8'000;
    entry.outages_ms = {5'000, 3'000};
    store.ledger.put(entry);
    CHECK(store.ledger.list(AppName(), 0, 9).at(0).outages_ms == std::vector<std::int64_t>{5'000, 3'000});
    entry.exposed_ms = 0;
    entry.outages_ms.clear();
    store.ledger.put(entry);
    CHECK(store.ledger.list(AppName(), 0, 9).at(0).outages_ms.empty());
    entry.outages_ms.assign(most_outages + 5, 10);
    entry.exposed_ms = 10 * static_cast<std::int64_t>(entry.outages_ms.size());
    store.ledger.put(entry);
    const auto kept = store.ledger.list(AppName(), 0, 9).at(0);
    CHECK(kept.outages_ms.size() == most_outages);
    CHECK(kept.outages_ms.back() == 60);
    CHECK(outages_add_up(kept));
}

TEST_CASE("ledger: rows sum by node, app and day, and unknown figures count as rows only") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    constexpr std::int64_t day = 24LL * 60 * 60 * 1000;
    const auto put = [&](const char* node, const char* app, unsigned build, std::int64_t at_ms, LedgerKind kind) {
        LedgerEntry entry;
        entry.node = NodeName(node);
        entry.app = AppName(app);
        entry.rollout = RolloutId("01R");
        entry.build = build;
        entry.dark_ms = 5;
        entry.exposed_ms = 7;
        entry.out_ms = 1000;
        entry.drain_ms = 100;
        entry.restart_ms = 200;
        entry.rejoin_ms = 300;
        entry.cut = 1;
        entry.kind = kind;
        entry.at_ms = at_ms;
        store.ledger.put(entry);
    };
    put("web1", "shop", 1, 10, LedgerKind::measured);
    put("web1", "shop", 2, day + 10, LedgerKind::assumed);
    put("web2", "shop", 1, day + 20, LedgerKind::unknown);
    put("web2", "blog", 1, day + 30, LedgerKind::measured);
    put("web2", "blog", 1, day + 31, LedgerKind::measured);  // the same build again: replaced, not added

    const auto by_node = store.ledger.sums(LedgerGroup::node, AppName(), 0);
    REQUIRE(by_node.size() == 2);
    CHECK(by_node[0].key == "web1");
    CHECK(by_node[0].deploys == 2);
    CHECK(by_node[0].assumed == 1);
    CHECK(by_node[0].out_ms == 2000);
    CHECK(by_node[0].dark_ms == 10);
    CHECK(by_node[0].exposed_ms == 14);
    CHECK(by_node[0].drain_ms == 200);
    CHECK(by_node[0].restart_ms == 400);
    CHECK(by_node[0].rejoin_ms == 600);
    CHECK(by_node[0].cut == 2);
    CHECK(by_node[1].deploys == 2);
    CHECK(by_node[1].unknown == 1);
    CHECK(by_node[1].out_ms == 1000);

    const auto by_app = store.ledger.sums(LedgerGroup::app, AppName("shop"), day);
    REQUIRE(by_app.size() == 1);
    CHECK(by_app[0].key == "shop");
    CHECK(by_app[0].deploys == 2);

    const auto by_day = store.ledger.sums(LedgerGroup::day, AppName(), 0);
    REQUIRE(by_day.size() == 2);
    CHECK(by_day[0].key == "1970-01-01");
    CHECK(by_day[0].deploys == 1);
    CHECK(by_day[1].key == "1970-01-02");

    const auto rows = store.ledger.list(AppName("shop"), 0, 2);
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].node == NodeName("web2"));
    CHECK(rows[0].kind == LedgerKind::unknown);
    CHECK(rows[1].build == 2);
    CHECK(store.ledger.list(AppName(), 0, 100).size() == 4);
}
