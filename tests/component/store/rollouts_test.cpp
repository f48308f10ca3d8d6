// SPDX-License-Identifier: MIT
// Rollouts and the nodes' reports.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "agent/store/store.h"
#include "common/error.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::store;

namespace {

RolloutId id(int n) { return RolloutId(fmt::format("01ARZ3NDEKTSV4RRFFQ6{:06}", n)); }

RolloutRecord record(int n, std::uint64_t epoch = 1, std::string app = "shop") {
    RolloutRecord made;
    made.rollout.app = AppName(std::move(app));
    made.rollout.key = {epoch, id(n)};
    made.rollout.commit = CommitId(std::string(40, 'a'));
    made.rollout.started_on = NodeName("web1");
    made.rollout.started_ms = 1000 + n;
    made.rollout.cause = {wire::CauseKind::webhook, "Started by GitHub push by ann", "ann", "192.0.2.1"};
    made.rollout.author = "Ann";
    made.rollout.subject = "Change ü";
    made.rollout.parameters = {{"A", "1"}};
    made.updated_ms = 1000 + n;
    return made;
}

wire::NodeProgress report(int n, std::string node, std::uint64_t version) {
    wire::NodeProgress made;
    made.node = NodeName(std::move(node));
    made.rollout = {1, id(n)};
    made.version = version;
    made.stage = wire::Stage::verify;
    made.state = wire::BuildState::running;
    return made;
}

}  // namespace

TEST_CASE("rollouts: a record comes back as it was, by app and id, and by id alone") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    RolloutRecord put = record(1);
    put.state = RolloutState::halted;
    put.reason = "tests failed on web1";
    CHECK(store.rollouts.upsert(put));
    const auto got = store.rollouts.get(AppName("shop"), id(1));
    REQUIRE(got.has_value());
    CHECK(got->rollout == put.rollout);
    CHECK(got->state == RolloutState::halted);
    CHECK(got->reason == put.reason);
    CHECK(got->updated_ms == put.updated_ms);
    CHECK(store.rollouts.find(id(1))->rollout == put.rollout);
    CHECK_FALSE(store.rollouts.get(AppName("blog"), id(1)).has_value());
    CHECK_FALSE(store.rollouts.find(id(2)).has_value());
}

TEST_CASE("rollouts: a retry replaces its earlier attempt, and an earlier attempt never a later one") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    RolloutRecord first = record(1);
    CHECK(store.rollouts.upsert(first));
    RolloutRecord retry = record(1);
    retry.rollout.attempt = 2;
    CHECK(store.rollouts.upsert(retry));
    first.state = RolloutState::halted;
    CHECK_FALSE(store.rollouts.upsert(first));
    const auto got = store.rollouts.get(AppName("shop"), id(1));
    CHECK(got->rollout.attempt == 2);
    CHECK(got->state == RolloutState::running);
}

TEST_CASE("rollouts: newest is by epoch, then id") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName app("shop");
    CHECK_FALSE(store.rollouts.newest(app).has_value());
    (void)store.rollouts.upsert(record(9, 1));
    (void)store.rollouts.upsert(record(2, 2));
    (void)store.rollouts.upsert(record(3, 1));
    (void)store.rollouts.upsert(record(99, 5, "blog"));
    CHECK(store.rollouts.newest(app)->rollout.key.id == id(2));
    const auto list = store.rollouts.list(app, 2);
    REQUIRE(list.size() == 2);
    CHECK(list[0].rollout.key.id == id(2));
    CHECK(list[1].rollout.key.id == id(9));
    CHECK_FALSE(store.rollouts.newest(app, RolloutState::succeeded).has_value());
    CHECK(store.rollouts.set_state(app, {1, id(3)}, RolloutState::succeeded, "", 5));
    CHECK(store.rollouts.newest(app, RolloutState::succeeded)->rollout.key.id == id(3));
    CHECK_FALSE(store.rollouts.set_state(app, {1, id(77)}, RolloutState::succeeded, "", 5));
}

TEST_CASE("rollouts: a node's report replaces an older one only") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName app("shop");
    CHECK(store.rollouts.put_progress(app, report(1, "web2", 5)));
    CHECK(store.rollouts.put_progress(app, report(1, "web1", 1)));
    wire::NodeProgress newer = report(1, "web2", 6);
    newer.state = wire::BuildState::succeeded;
    newer.message = "ok";
    CHECK(store.rollouts.put_progress(app, newer));
    CHECK_FALSE(store.rollouts.put_progress(app, report(1, "web2", 6)));
    CHECK_FALSE(store.rollouts.put_progress(app, report(1, "web2", 4)));
    const auto nodes = store.rollouts.progress(app, id(1));
    REQUIRE(nodes.size() == 2);
    CHECK(nodes[0].node == NodeName("web1"));
    CHECK(nodes[1] == newer);
    CHECK(store.rollouts.progress(app, id(1), NodeName("web2")) == newer);
    CHECK_FALSE(store.rollouts.progress(app, id(1), NodeName("web3")).has_value());
    CHECK(store.rollouts.progress(app, id(2)).empty());
}

TEST_CASE("rollouts: the newest 500 of an app stay with their reports, and one that runs stays whatever its age") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName app("shop");
    constexpr int most = static_cast<int>(RolloutStore::most_per_app);
    {
        Transaction scope(store.database);
        for (int n = 0; n < most + 5; ++n) {
            RolloutRecord one = record(n);
            one.state = n == 1 ? RolloutState::running : RolloutState::succeeded;
            REQUIRE(store.rollouts.upsert(one));
            REQUIRE(store.rollouts.put_progress(app, report(n, "web1", 1)));
        }
        scope.commit();
    }
    CHECK(store.rollouts.list(app, 10'000).size() == RolloutStore::most_per_app + 1);
    CHECK_FALSE(store.rollouts.find(id(0)).has_value());
    CHECK(store.rollouts.find(id(1)).has_value());
    CHECK_FALSE(store.rollouts.find(id(4)).has_value());
    CHECK(store.rollouts.find(id(5)).has_value());
    CHECK(store.rollouts.progress(app, id(0)).empty());
    CHECK(store.rollouts.progress(app, id(1)).size() == 1);
    CHECK(store.rollouts.progress(app, id(5)).size() == 1);
}

TEST_CASE("rollouts: a stored record that cannot be read is told as corruption, not as a bad request") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    (void)store.rollouts.upsert(record(1));
    store.database.run("UPDATE rollouts SET record = '{\"half\":'");
    try {
        (void)store.rollouts.newest(AppName("shop"));
        FAIL("half a record must be an Error");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::corrupt);
    }
}
