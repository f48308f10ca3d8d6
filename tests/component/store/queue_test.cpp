// SPDX-License-Identifier: MIT
// The queue: ids, coalescing, due times, leaving.
#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "agent/store/queue_store.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/error.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::store;

namespace {

wire::Cause cause(std::string text) { return {wire::CauseKind::remote, std::move(text), "ann", "10.0.0.9"}; }

QueueItem item(std::string app, std::map<std::string, std::string> parameters = {}, std::string commit = {}) {
    QueueItem made;
    made.app = AppName(std::move(app));
    made.parameters = std::move(parameters);
    made.commit = CommitId(std::move(commit));
    made.causes = {cause("Started by remote host 10.0.0.9")};
    made.created_ms = 1000;
    made.due_ms = 1000;
    return made;
}

}  // namespace

TEST_CASE("queue: an item comes back as it was put in") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    QueueItem put = item("shop", {{"ENV", "prod"}, {"Ü", "a \"quoted\" value\nwith a line"}}, std::string(40, 'a'));
    put.by_name = true;
    put.due_ms = 6000;
    const Queued queued = store.queue.add_or_coalesce(put);
    CHECK_FALSE(queued.coalesced);
    const auto got = store.queue.get(queued.id);
    REQUIRE(got.has_value());
    CHECK(got->id == queued.id);
    CHECK(got->app == put.app);
    CHECK(got->parameters == put.parameters);
    CHECK(got->causes == put.causes);
    CHECK(got->commit == put.commit);
    CHECK(got->by_name);
    CHECK(got->created_ms == 1000);
    CHECK(got->due_ms == 6000);
    CHECK(got->state == QueueState::waiting);
    CHECK(got->left_ms == 0);
    CHECK_FALSE(store.queue.get(queued.id + 1).has_value());
}

TEST_CASE("queue: ids begin with the time, grow by one, fit 53 bits and go on after a restart") {
    const test::TempDir dir;
    const auto before = static_cast<std::uint64_t>(to_epoch_ms(SystemClock{}.wall()));
    std::uint64_t first = 0;
    {
        Store store(dir / "baton.db");
        first = store.queue.add_or_coalesce(item("a")).id;
        CHECK(store.queue.add_or_coalesce(item("b")).id == first + 1);
    }
    CHECK(first >= before);
    CHECK(first < (1ULL << 53));
    Store store(dir / "baton.db");
    CHECK(store.queue.add_or_coalesce(item("c")).id == first + 2);
}

TEST_CASE("queue: the same app, parameters and commit coalesce: old id, causes added, the earlier due time") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    QueueItem first = item("shop", {{"A", "1"}});
    first.due_ms = 5000;
    const std::uint64_t id = store.queue.add_or_coalesce(first).id;
    QueueItem second = item("shop", {{"A", "1"}});
    second.due_ms = 2000;
    second.by_name = true;
    second.causes = {cause("Started by user bob")};
    const Queued merged = store.queue.add_or_coalesce(second);
    CHECK(merged.coalesced);
    CHECK(merged.id == id);
    auto got = store.queue.get(id);
    REQUIRE(got.has_value());
    CHECK(got->due_ms == 2000);
    CHECK(got->by_name);
    REQUIRE(got->causes.size() == 2);
    CHECK(got->causes[0].text == "Started by remote host 10.0.0.9");
    CHECK(got->causes[1].text == "Started by user bob");

    second.due_ms = 9000;  // later: does not put it off; and the same cause is not told twice
    CHECK(store.queue.add_or_coalesce(second).coalesced);
    got = store.queue.get(id);
    CHECK(got->due_ms == 2000);
    CHECK(got->causes.size() == 2);
    CHECK(store.queue.list().size() == 1);
}

TEST_CASE("queue: another app, parameter, value or commit is an item of its own") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    std::set<std::uint64_t> ids;
    for (const QueueItem& one : {item("shop"), item("blog"), item("shop", {{"A", "1"}}), item("shop", {{"A", "2"}}),
                                 item("shop", {{"A", "1"}, {"B", "1"}}), item("shop", {}, std::string(40, 'a')),
                                 item("shop", {}, std::string(40, 'b'))}) {
        const Queued queued = store.queue.add_or_coalesce(one);
        CHECK_FALSE(queued.coalesced);
        ids.insert(queued.id);
    }
    CHECK(ids.size() == 7);
    CHECK(store.queue.list().size() == 7);
    CHECK(store.queue.list(AppName("shop")).size() == 6);
}

TEST_CASE("queue: an item that left is not joined by a new trigger") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const std::uint64_t first = store.queue.add_or_coalesce(item("shop")).id;
    CHECK(store.queue.finish(first, {QueueState::started, RolloutId("01R"), 7, ""}, 2000));
    const Queued second = store.queue.add_or_coalesce(item("shop"));
    CHECK_FALSE(second.coalesced);
    CHECK(second.id != first);
    const auto left = store.queue.get(first);
    REQUIRE(left.has_value());
    CHECK(left->state == QueueState::started);
    CHECK(left->rollout == RolloutId("01R"));
    CHECK(left->build == 7);
    CHECK(left->left_ms == 2000);
}

TEST_CASE("queue: causes of one item are limited") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    std::uint64_t id = 0;
    for (std::size_t n = 0; n < QueueStore::most_causes + 10; ++n) {
        QueueItem one = item("shop");
        one.causes = {cause("cause " + std::to_string(n))};
        id = store.queue.add_or_coalesce(one).id;
    }
    CHECK(store.queue.get(id)->causes.size() == QueueStore::most_causes);
}

TEST_CASE("queue: items are due in the order of their time, then of their coming") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    CHECK_FALSE(store.queue.next_due_ms().has_value());
    const auto put = [&](const char* app, std::int64_t due) {
        QueueItem one = item(app);
        one.due_ms = due;
        return store.queue.add_or_coalesce(one).id;
    };
    const auto late = put("late", 9000);
    const auto a = put("a", 3000);
    const auto b = put("b", 2000);
    const auto c = put("c", 3000);
    CHECK(store.queue.next_due_ms() == 2000);
    CHECK(store.queue.due(1999).empty());
    std::vector<std::uint64_t> order;
    for (const QueueItem& one : store.queue.due(3000)) order.push_back(one.id);
    CHECK(order == std::vector<std::uint64_t>{b, a, c});
    CHECK(store.queue.cancel(b, "by ann", 3000));
    CHECK(store.queue.next_due_ms() == 3000);
    CHECK(store.queue.get(late)->state == QueueState::waiting);
}

TEST_CASE("queue: an item leaves once: what comes second is told so") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const std::uint64_t id = store.queue.add_or_coalesce(item("shop")).id;
    CHECK(store.queue.cancel(id, "by ann", 2000));
    CHECK_FALSE(store.queue.cancel(id, "by bob", 2001));
    CHECK_FALSE(store.queue.finish(id, {QueueState::started, RolloutId("01R"), 1, ""}, 2002));
    const auto got = store.queue.get(id);
    CHECK(got->state == QueueState::cancelled);
    CHECK(got->reason == "by ann");
    CHECK(got->left_ms == 2000);
    CHECK_FALSE(store.queue.cancel(424242, "", 2000));
    CHECK_THROWS_AS((void)store.queue.finish(id, {QueueState::waiting, {}, 0, ""}, 1), Error);
}

TEST_CASE("queue: of many threads that take an item, one gets it") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const std::uint64_t id = store.queue.add_or_coalesce(item("shop")).id;
    std::atomic<int> winners = 0;
    {
        std::vector<std::jthread> threads;
        for (unsigned n = 1; n <= 8; ++n) {
            threads.emplace_back([&, n] {
                if (store.queue.finish(id, {QueueState::started, RolloutId("01R"), n, ""}, n)) ++winners;
            });
        }
    }
    CHECK(winners == 1);
    const auto got = store.queue.get(id);
    CHECK(got->build == got->left_ms);
}

TEST_CASE("queue: triggers that come at once from many threads coalesce to one") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    std::vector<Queued> answers(16);
    {
        std::vector<std::jthread> threads;
        for (Queued& answer : answers) {
            threads.emplace_back([&] { answer = store.queue.add_or_coalesce(item("shop")); });
        }
    }
    int fresh = 0;
    for (const Queued& answer : answers) {
        fresh += answer.coalesced ? 0 : 1;
        CHECK(answer.id == answers.front().id);
    }
    CHECK(fresh == 1);
    CHECK(store.queue.list().size() == 1);
}

TEST_CASE("queue: disabling an app cancels what waits for it, and nothing else") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    (void)store.queue.add_or_coalesce(item("shop"));
    (void)store.queue.add_or_coalesce(item("shop", {{"A", "1"}}));
    (void)store.queue.add_or_coalesce(item("blog"));
    CHECK(store.queue.cancel_all(AppName("shop"), "disabled", 2000) == 2);
    REQUIRE(store.queue.list().size() == 1);
    CHECK(store.queue.list().front().app == AppName("blog"));
}

TEST_CASE("queue: items that left are kept for a day, waiting ones for ever") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const std::uint64_t left = store.queue.add_or_coalesce(item("shop")).id;
    const std::uint64_t waits = store.queue.add_or_coalesce(item("blog")).id;
    CHECK(store.queue.finish(left, {QueueState::held, {}, 0, "frozen"}, 5000));
    CHECK(store.queue.prune(5000 + QueueStore::kept_ms) == 0);
    CHECK(store.queue.get(left).has_value());
    CHECK(store.queue.prune(5001 + QueueStore::kept_ms) == 1);
    CHECK_FALSE(store.queue.get(left).has_value());
    CHECK(store.queue.get(waits).has_value());
}

TEST_CASE("queue: past its limit a trigger is refused with a message that says what to do") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    {
        Transaction scope(store.database);
        store.database.run(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO queue (id, app, parameters, causes, commit_id, by_name, created_ms, due_ms, state)"
            " SELECT i, 'app' || i, '{}', '[]', '', 0, 0, 0, 'waiting' FROM n",
            {QueueStore::most_waiting});
        scope.commit();
    }
    try {
        (void)store.queue.add_or_coalesce(item("shop"));
        FAIL("the limit must hold");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::too_large);
        CHECK_THAT(error.text(), Catch::Contains("10000 triggers wait already"));
    }
    CHECK(store.queue.add_or_coalesce(item("app1")).coalesced);
}
