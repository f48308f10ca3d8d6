// SPDX-License-Identifier: MIT
// Orders mean what the node shows: what its protocol has not heard yet is waited for, and not denied.
#include <catch2/catch.hpp>
#include <future>

#include "agent/operations/operations.h"
#include "common/text.h"
#include "tests/support/engine_node.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace std::chrono_literals;

namespace {

const AppName shop{"shop"};
const NodeName web2{"web2"};

/// A real agent's engine with one app and a peer that is not there; what that says is given to it by hand.
class Node : public test::EngineNode {
  public:
    explicit Node(const std::vector<std::string>& further_apps = {}) {
        config::Node other;
        other.name = web2;
        other.address = {"127.0.0.1", 1};  // nobody listens there
        config.nodes.push_back(other);
        config::App app;
        app.name = shop;
        app.repository = (dir / "nowhere").string();
        config.apps[shop] = app;
        for (const auto& name : further_apps) {
            app.name = AppName(name);
            config.apps[app.name] = app;
        }
        rollout.app = shop;
        rollout.key = {0, RolloutId("01HZZZZZZZZZZZZZZZZZZZZZZZ")};
        rollout.commit = CommitId(std::string(40, 'a'));
        rollout.started_on = web2;
        store.emplace(dir / "baton.db");
        outbox.emplace(config, signer);
        run();
    }
    void run() {
        services.emplace(config);
        engine.emplace(config, *store, clock, *outbox, *services, seal, false);
        operations.emplace(
            config, *store, *engine, seal, [] {}, clock);
        engine->start();
    }
    /// Another agent on the same state.
    void restart() {
        engine->stop(0ms);
        operations.reset();
        engine.reset();
        run();
    }
    /// How the build of a node stands: for people, in a letter of its own.
    void hear_progress() {
        engine::PeerExchange said;
        wire::NodeProgress row;
        row.node = web2;
        row.rollout = rollout.key;
        row.version = row.started_ms = row.finished_ms = 1;
        row.stage = wire::Stage::test;
        row.state = wire::BuildState::failed;
        row.message = "2 tests failed";
        said.progress = {row};
        said.rollouts = {rollout};
        (void)engine->exchange(shop, web2, "127.0.0.1", said);
    }
    /// What the protocol says.
    void hear(const std::vector<chain::Known>& rollouts, const std::map<wire::RolloutKey, chain::Failure>& failed) {
        engine::PeerExchange said;
        chain::Message message;
        message.header.incarnation = 5;
        message.header.rollouts = rollouts;
        message.header.failed = failed;
        message.body = chain::Told{};
        said.messages = {message};
        (void)engine->exchange(shop, web2, "127.0.0.1", said);
    }
    void hear_failure() {
        hear({known()}, {{rollout.key, chain::Failure{1, chain::FailureKind::failed, web2, "", "2 tests failed", 1,
                                                      rollout.commit}}});
    }
    [[nodiscard]] chain::Known known() const {
        chain::Known known;
        known.rollout = rollout;
        return known;
    }
    [[nodiscard]] bool begun() {
        try {
            hear({}, {});
            return true;
        } catch (const Error&) {
            return false;  // the agent is starting
        }
    }

    wire::Rollout rollout;
    std::optional<operations::Operations> operations;
};

}  // namespace

TEST_CASE("orders: a halt that a node shows can be resumed there, though its protocol hears of it a moment later") {
    Node node;
    REQUIRE(test::eventually([&] { return node.begun(); }));
    node.hear_progress();
    const auto shown = node.operations->rollouts(shop, 10);
    REQUIRE(shown.size() == 1);
    REQUIRE(shown[0].state == operations::RolloutState::halted);
    REQUIRE_FALSE(node.engine->snapshot(shop).view.newest);
    auto answer = std::async(std::launch::async, [&] { return node.operations->resume(shop, {}, {"ann", "::1"}); });
    REQUIRE(answer.wait_for(200ms) == std::future_status::timeout);
    node.hear_failure();
    // It also looks for a majority that knows of the order, for a while.
    REQUIRE(answer.wait_for(60s) == std::future_status::ready);
    CHECK_THAT(answer.get(), Catch::Contains("01HZZZZZZZZZZZZZZZZZZZZZZZ is tried again"));
    node.engine->stop(0ms);
}

TEST_CASE("orders: what is not halted cannot be resumed, and that is said at once") {
    Node node;
    REQUIRE(test::eventually([&] { return node.begun(); }));
    node.hear({node.known()}, {});
    auto answer = std::async(std::launch::async, [&] { return node.operations->resume(shop, {}, {"ann", "::1"}); });
    REQUIRE(answer.wait_for(4500ms) == std::future_status::ready);  // news would be waited for for five seconds
    CHECK_THROWS_WITH(answer.get(), Catch::Contains("is not halted"));
    node.engine->stop(0ms);
}

TEST_CASE("orders: a rollout can be named, and one that is not known here is refused") {
    Node node;
    REQUIRE(test::eventually([&] { return node.begun(); }));
    node.hear_progress();
    node.hear({node.known()}, {});
    const operations::Caller ann{"ann", "::1", "too early"};
    const RolloutId other("01HYYYYYYYYYYYYYYYYYYYYYYY");
    CHECK_THROWS_WITH(node.operations->halt(shop, other, ann),
                      Catch::Contains("no rollout 01HYYYYYYYYYYYYYYYYYYYYYYY"));
    CHECK_THROWS_WITH(node.operations->promote(shop, other, ann), Catch::Contains("baton history shop"));
    CHECK_THROWS_WITH(node.operations->resume(shop, other, ann), Catch::Contains("no rollout"));
    const auto& id = node.rollout.key.id;
    CHECK_THAT(node.operations->halt(shop, id, ann), Catch::Contains(id.str() + " is halted"));
    const auto shown = node.operations->rollouts(shop, 10);
    REQUIRE(shown.size() == 1);
    CHECK(shown[0].reason == "halted by ann: too early");
    CHECK(shown[0].halted_ms > 1'700'000'000'000);
    CHECK_THAT(node.operations->resume(shop, id, ann), Catch::Contains(id.str() + " is tried again"));
    std::vector<std::string> told;
    for (const auto& entry : node.operations->audit(10, shop)) told.push_back(entry.action + " " + entry.detail);
    const auto what = fmt::format("{} {}: too early", id, node.rollout.commit);
    CHECK(told == std::vector<std::string>{"resume " + what, "halt " + what});
    node.engine->stop(0ms);
}

TEST_CASE("orders: an app that refuses to forget a node keeps no other app from it, and that is in the audit") {
    Node node{{"blog"}};
    REQUIRE(test::eventually([&] { return node.begun(); }));
    const operations::Caller ann{"ann", "::1", ""};
    (void)node.engine->order(AppName("blog"), chain::Forget{web2, ""}, "ann", 0ms);
    const auto answer = node.operations->forget(web2, ann);
    CHECK_THAT(answer, Catch::Contains("not so for blog: "));
    CHECK_THAT(answer, Catch::Contains("forgotten already"));
    CHECK_THROWS_WITH(node.operations->forget(web2, ann), Catch::Contains("blog: ") && Catch::Contains("shop: "));
    const auto refused = node.operations->audit(1, AppName("blog"));
    REQUIRE(refused.size() == 1);
    CHECK_THAT(refused[0].detail, Catch::Contains("refused: "));
    node.engine->stop(0ms);
}

TEST_CASE("orders: who has drained a node, why and since when is kept over a restart") {
    Node node;
    REQUIRE(test::eventually([&] { return node.begun(); }));
    node.hear_progress();
    node.hear({node.known()}, {});
    (void)node.operations->set_drained(shop, true, {"ann", "::1", "a new disk"});
    const auto drained = [&] {
        const auto status = node.operations->status(shop);
        for (const auto& one : status.apps.at(0).rollout.value().nodes) {
            if (one.self) return one.drained;
        }
        return std::optional<operations::OrderView>();
    };
    node.restart();
    REQUIRE(test::eventually([&] { return node.begun(); }));
    REQUIRE(drained());
    CHECK(drained()->by == "ann");
    CHECK(drained()->reason == "a new disk");
    CHECK(drained()->since_ms > 1'700'000'000'000);
    // As agents before this one stored it.
    node.store->flags.set(shop, store::flag::drained, "yes");
    node.restart();
    REQUIRE(test::eventually([&] { return node.begun(); }));
    REQUIRE(drained());
    CHECK(drained()->by.empty());
    (void)node.operations->set_drained(shop, false, {"ann", "::1"});
    CHECK_FALSE(drained());
    node.engine->stop(0ms);
}
