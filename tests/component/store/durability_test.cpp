// SPDX-License-Identifier: MIT
// What was acknowledged survives SIGKILL and a full disk; what was not leaves no trace.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "agent/store/store.h"
#include "common/error.h"
#include "common/file.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::store;

namespace {

QueueItem trigger(int n) {
    QueueItem item;
    item.app = AppName("shop");
    item.parameters = {{"N", std::to_string(n)}};
    item.causes = {{wire::CauseKind::remote, "Started by remote host", "ci", "127.0.0.1"}};
    return item;
}

struct Child {
    pid_t pid = -1;
    Fd output;  ///< what the child writes
};

/// Runs `work` in a forked child with the writing end of a pipe. The test program has one thread here.
Child start_child(const std::function<int(int)>& work) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        ::close(ends[0]);
        int status = 99;
        try {
            status = work(ends[1]);
        } catch (...) {
            status = 98;
        }
        ::_exit(status);
    }
    ::close(ends[1]);
    return {pid, Fd(ends[0])};
}

/// One whole record of the pipe; none at its end.
template <class Record>
std::optional<Record> read_record(const Fd& from) {
    Record record{};
    std::size_t have = 0;
    while (have < sizeof record) {
        const ssize_t got = ::read(from.get(), reinterpret_cast<char*>(&record) + have, sizeof record - have);
        if (got <= 0) return std::nullopt;
        have += static_cast<std::size_t>(got);
    }
    return record;
}

/// Accepts triggers until it is killed, and tells of each after it was acknowledged.
int accept_for_ever(const std::filesystem::path& file, int out) {
    Store store(file);
    for (int n = 0; n < 1'000'000; ++n) {
        const std::uint64_t id = store.queue.add_or_coalesce(trigger(static_cast<int>(::getpid()) * 1000 + n)).id;
        if (::write(out, &id, sizeof id) != sizeof id) return 1;
    }
    return 0;
}

}  // namespace

TEST_CASE("durability: SIGKILL in the middle of writing loses nothing that was acknowledged") {
    const test::TempDir dir;
    const std::filesystem::path file = dir / "baton.db";
    std::set<std::uint64_t> acknowledged;
    for (std::size_t round = 0; round < 12; ++round) {
        const Child child = start_child([&](int out) { return accept_for_ever(file, out); });
        // A different number of records each round, so that the kill falls into different moments of a
        // commit.
        for (std::size_t n = 0; n < 5 + round * 3; ++n) {
            const auto id = read_record<std::uint64_t>(child.output);
            REQUIRE(id.has_value());
            acknowledged.insert(*id);
        }
        REQUIRE(::kill(child.pid, SIGKILL) == 0);
        while (const auto id = read_record<std::uint64_t>(child.output)) acknowledged.insert(*id);
        int status = 0;
        REQUIRE(::waitpid(child.pid, &status, 0) == child.pid);
        CHECK(WIFSIGNALED(status));

        Store store(file);  // quick_check runs here
        std::set<std::uint64_t> kept;
        for (const QueueItem& item : store.queue.list()) kept.insert(item.id);
        for (const std::uint64_t id : acknowledged) CHECK(kept.contains(id));
        // At most the one that was committed but not yet told of.
        CHECK(kept.size() <= acknowledged.size() + round + 1);
    }
    CHECK(acknowledged.size() >= 12 * 5);
}

TEST_CASE("durability: SIGKILL inside a transaction leaves no part of it") {
    const test::TempDir dir;
    const std::filesystem::path file = dir / "baton.db";
    { Store store(file); }
    const Child child = start_child([&](int out) {
        Store store(file);
        Transaction scope(store.database);
        store.chain.save(AppName("shop"), "{\"phase\":\"out\"}");
        (void)store.queue.add_or_coalesce(trigger(1));
        const char ready = 'r';
        if (::write(out, &ready, 1) != 1) return 1;
        ::pause();
        return 0;
    });
    REQUIRE(read_record<char>(child.output).has_value());
    REQUIRE(::kill(child.pid, SIGKILL) == 0);
    REQUIRE(::waitpid(child.pid, nullptr, 0) == child.pid);
    Store store(file);
    CHECK_FALSE(store.chain.load(AppName("shop")).has_value());
    CHECK(store.queue.list().empty());
}

TEST_CASE("durability: a full database is an Error that says so, nothing is lost, and it works again with space") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName app("shop");
    store.flags.set(app, "kept", "1");
    const std::string pages = store.database.run_returning("PRAGMA page_count").at(0).text(0);
    store.database.run_returning("PRAGMA max_page_count = " + pages);
    try {
        Transaction scope(store.database);
        store.flags.set(app, "small", "1");
        store.flags.set(app, "large", std::string(100'000, 'x'));
        scope.commit();
        FAIL("a full database must be an Error");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::io);
        CHECK_THAT(error.text(), Catch::Contains("full") && Catch::Contains("free some space"));
    }
    CHECK(store.flags.has(app, "kept"));
    CHECK_FALSE(store.flags.has(app, "small"));
    store.database.run_returning("PRAGMA max_page_count = 1000000");
    CHECK_NOTHROW(store.flags.set(app, "large", std::string(100'000, 'x')));
    CHECK(store.flags.get(app, "large")->size() == 100'000);
}

TEST_CASE("durability: when the disk refuses to grow, triggers are refused, and accepted again when it gives in") {
    // In a child, because the limit is the process' own. It tells how far it got: accepted, kind of the
    // failure, items after the failure, items after the limit is gone.
    struct Report {
        std::uint64_t accepted, kind, readable, after;
    };
    const test::TempDir dir;
    const std::filesystem::path file = dir / "baton.db";
    const Child child = start_child([&](int out) {
        ::signal(SIGXFSZ, SIG_IGN);
        Report report{0, 0, 0, 0};
        Store store(file);
        rlimit limit{};
        ::getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = 400'000;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        try {
            for (int n = 0; n < 5000; ++n) {
                (void)store.queue.add_or_coalesce(trigger(n));
                ++report.accepted;
            }
        } catch (const Error& error) {
            report.kind = static_cast<std::uint64_t>(error.kind());
        }
        report.readable = store.queue.list().size();
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        (void)store.queue.add_or_coalesce(trigger(10'000));
        report.after = store.queue.list().size();
        return ::write(out, &report, sizeof report) == sizeof report ? 0 : 1;
    });
    const auto report = read_record<Report>(child.output);
    int status = -1;
    REQUIRE(::waitpid(child.pid, &status, 0) == child.pid);
    REQUIRE(report.has_value());
    CHECK(status == 0);
    CHECK(report->accepted > 10);
    CHECK(report->accepted < 5000);
    CHECK(report->kind == static_cast<std::uint64_t>(ErrorKind::io));
    CHECK(report->readable == report->accepted);
    CHECK(report->after == report->accepted + 1);
    Store store(file);
    CHECK(store.queue.list().size() == report->after);
}
