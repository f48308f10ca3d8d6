// SPDX-License-Identifier: MIT
// Nodes that bring a rollout on to neighbours without an agent, in their own lane.
#include <catch2/catch.hpp>

#include "tests/unit/chain/bus.h"

using namespace baton;
using namespace baton::chain;
using namespace baton::chain::test;
using std::chrono::seconds;
using Strings = std::vector<std::string>;
using Outcome = NeighboursEnd::Outcome;

namespace {

Bus with_steward() {
    Bus bus(3);
    bus.stewards = {web1};
    return bus;
}

/// web1 runs `a`, and its neighbours do not come to an end with it.
wire::Target begin_to_bring_on(Bus& bus) {
    bus.neighbours_hang = true;
    bus.start_all();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(20));
    return target;
}

}  // namespace

TEST_CASE("chain: a node keeps its lane until its neighbours have the rollout") {
    auto bus = with_steward();
    bus.neighbours_hang = true;
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "-", "-"});
    CHECK(bus.brought_on == Strings{"web1:a"});
    CHECK(bus.view(web1).waits_for.find("its neighbours to have") != std::string::npos);
    CHECK(bus.disk(web2).grants.size() == 1);
    const auto ticket = bus.disk(web1).claim->ticket;
    bus.feed(web1, [&](Machine& m) { return m.neighbours_done(bus.now, ticket, {}); });
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "a", "a"});
    CHECK(bus.disk(web1).owed.empty());
    CHECK(bus.disk(web2).grants.empty());
}

TEST_CASE("chain: an agent that was killed takes its neighbours up again, without a switch of its own") {
    auto bus = with_steward();
    (void)begin_to_bring_on(bus);
    for (int time = 0; time < 3; ++time) {
        bus.kill(web1);
        bus.run(seconds(20));
        bus.start(web1);
        bus.run(seconds(20));
    }
    CHECK(bus.brought_on == Strings{"web1:a", "web1:a", "web1:a", "web1:a"});
    CHECK(bus.switches == Strings{"web1:a"});
    CHECK(bus.restores.empty());
    CHECK(bus.running() == Strings{"a", "-", "-"});
    // The machine was booted: its app is brought up, and nobody else goes out meanwhile.
    bus.kill(web1);
    bus.nodes[web1].up = false;
    bus.start(web1);
    bus.run(seconds(5));
    CHECK(bus.nodes[web1].up);
    CHECK(bus.switches == Strings{"web1:a"});
}

TEST_CASE("chain: a neighbour that says no fails the rollout; a retry brings on what is owed, and nothing twice") {
    auto bus = with_steward();
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(60));
    bus.neighbours = {Outcome::failed, "old1: build #7 ended with FAILURE", {}};
    const auto target = bus.offer(web1, 'b');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"b", "a", "a"});
    CHECK(bus.view(web3).halted_because == "failed on web1: old1: build #7 ended with FAILURE");
    CHECK(bus.disk(web1).owed == target.key);
    bus.neighbours = {};
    bus.order(web3, Retry{target});
    bus.run(seconds(90));
    CHECK(bus.running() == Strings{"b", "b", "b"});
    CHECK(bus.brought_on == Strings{"web1:a", "web1:b", "web1:b"});
    CHECK(std::ranges::count(bus.switches, std::string("web1:b")) == 1);
    CHECK(bus.disk(web1).previous->commit.str().front() == 'a');
}

TEST_CASE("chain: with on_failure: rollback a neighbour that says no puts everybody back, itself too") {
    auto bus = with_steward();
    bus.settings.policy.on_failure = config::OnFailure::rollback;
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(60));
    bus.neighbours = {Outcome::failed, "no", {}};
    bus.offer(web1, 'b');
    bus.run(Milliseconds(6'000));
    bus.neighbours = {};
    bus.run(seconds(90));
    CHECK(bus.running() == Strings{"a", "a", "a"});
    CHECK(bus.brought_on == Strings{"web1:a", "web1:b", "web1:a"});
}

TEST_CASE("chain: a canary is watched before its neighbours follow, and they do not when it is superseded") {
    auto bus = with_steward();
    bus.settings.policy.bake_time = seconds(30);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(20));
    CHECK(bus.running() == Strings{"a", "-", "-"});
    CHECK(bus.brought_on.empty());
    bus.offer(web1, 'b');
    bus.run(seconds(120));
    CHECK(bus.running() == Strings{"b", "b", "b"});
    CHECK(bus.brought_on == Strings{"web1:b"});
}

TEST_CASE("chain: neighbours that were not gone through with leave the lane free for what is newer") {
    auto bus = with_steward();
    bus.neighbours = {Outcome::given_up, "", {}};
    bus.neighbours_hang = true;
    bus.start_all();
    const auto first = bus.offer(web1, 'a');
    bus.run(seconds(20));
    CHECK(bus.machine(web1).goes_on(first) == GoesOn::yes);
    bus.offer(web2, 'b');
    bus.run(seconds(5));
    CHECK(bus.machine(web1).goes_on(first) == GoesOn::no);
    bus.neighbours_hang = false;
    const auto ticket = bus.disk(web1).claim->ticket;
    bus.feed(web1, [&](Machine& m) { return m.neighbours_done(bus.now, ticket, {Outcome::given_up, "", {}}); });
    bus.neighbours = {};
    bus.run(seconds(120));
    CHECK(bus.running() == Strings{"b", "b", "b"});
    CHECK(bus.brought_on == Strings{"web1:a", "web1:b"});
    CHECK(bus.most_out == 1);
}

TEST_CASE("chain: a steward that was restarted brings on nobody else before a majority says that the rollout stands") {
    auto bus = with_steward();
    const auto target = begin_to_bring_on(bus);
    CHECK(bus.machine(web1).goes_on(target) == GoesOn::yes);
    bus.kill(web1);
    bus.run(seconds(20));
    bus.cut = {web2, web3};
    bus.start(web1);
    // What was begun is followed, however long nobody is heard.
    CHECK(bus.brought_on.size() == 2);
    bus.run(bus.settings.timing.revalidate_for * 3);
    CHECK(bus.machine(web1).goes_on(target) == GoesOn::unclear);
    CHECK(bus.view(web1).waits_for.find("restarted before its neighbours were through") != std::string::npos);
    CHECK(bus.restores.empty());
    CHECK(bus.disk(web2).grants.size() == 1);
    bus.cut.clear();
    bus.run(seconds(20));
    CHECK(bus.machine(web1).goes_on(target) == GoesOn::yes);
    CHECK(bus.brought_on.size() == 2);
    bus.feed(web1, [&](Machine& m) { return m.neighbours_done(bus.now, bus.disk(web1).claim->ticket, {}); });
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "a", "a"});
}

TEST_CASE("chain: a steward that was restarted learns that the rollout was halted meanwhile, and keeps what it has") {
    auto bus = with_steward();
    const auto target = begin_to_bring_on(bus);
    bus.kill(web1);
    bus.order(web2, Halt{target, "looks wrong"});
    bus.run(seconds(20));
    bus.start(web1);
    CHECK(bus.machine(web1).goes_on(target) == GoesOn::unclear);
    bus.run(seconds(2));
    CHECK(bus.machine(web1).goes_on(target) == GoesOn::no);
    CHECK(bus.restores.empty());
    CHECK(bus.disk(web1).claim->stage == OutStage::neighbours);  // one may be out: the lane is kept
    bus.feed(web1, [&](Machine& m) {
        return m.neighbours_done(bus.now, bus.disk(web1).claim->ticket, {Outcome::given_up, "", {}});
    });
    bus.run(seconds(30));
    CHECK(bus.disk(web2).grants.empty());
    CHECK(bus.running() == Strings{"a", "-", "-"});
}
