// SPDX-License-Identifier: MIT
// Neighbours without an agent that were out of reach when it was their turn: they are owed the rollout.
#include <catch2/catch.hpp>

#include "tests/unit/chain/bus.h"

using namespace baton;
using namespace baton::chain;
using namespace baton::chain::test;
using std::chrono::seconds;
using Strings = std::vector<std::string>;
using Outcome = NeighboursEnd::Outcome;

namespace {

const NodeName old1{"old1"};

/// web1 is the steward of old1, which is away.
Bus without_old1() {
    Bus bus(3);
    bus.stewards = {web1};
    bus.neighbours = {Outcome::done, "", {old1}};
    bus.start_all();
    return bus;
}

void answer(Bus& bus, const wire::Target& target) {
    bus.feed(web1, [&](Machine& m) { return m.neighbours_answer(bus.now, target); });
}

std::optional<wire::Target> debt(Bus& bus) {
    const auto owed = bus.machine(web1).debt();
    return owed ? std::optional(owed->target()) : std::nullopt;
}

bool says(Bus& bus, const std::string& text) { return bus.view(web1).waits_for.find(text) != std::string::npos; }

std::size_t builds_of(const Bus& bus, const std::string& what) {
    return static_cast<std::size_t>(std::ranges::count(bus.builds, what));
}

}  // namespace

TEST_CASE("chain: a neighbour that was passed over gets the rollout when it answers, under a permit of its own") {
    auto bus = without_old1();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(60));
    // The rollout goes on without it and ends, and nothing is asked for in vain.
    CHECK(bus.running() == Strings{"a", "a", "a"});
    CHECK(bus.disk(web2).known.at(target.key).ended);
    CHECK(debt(bus) == target);
    CHECK(says(bus, "owed rollout " + target.key.id.str()));
    const auto asked = bus.disk(web1).seq;
    bus.run(seconds(300));
    CHECK(bus.disk(web1).seq == asked);
    CHECK(bus.brought_on == Strings{"web1:a"});

    bus.neighbours = {};
    bus.neighbours_hang = true;
    bus.cut = {web2, web3};
    answer(bus, target);
    bus.run(seconds(30));
    CHECK(bus.brought_on == Strings{"web1:a"});  // no majority
    bus.cut.clear();
    bus.run(seconds(30));
    CHECK(bus.brought_on == Strings{"web1:a", "web1:a"});
    CHECK(bus.disk(web1).claim->stage == OutStage::neighbours);
    CHECK(bus.disk(web2).grants.size() == 1);
    CHECK_FALSE(debt(bus));
    bus.feed(web1, [&](Machine& m) { return m.neighbours_done(bus.now, bus.disk(web1).claim->ticket, {}); });
    bus.run(seconds(60));
    CHECK(bus.disk(web1).owed.empty());
    CHECK_FALSE(debt(bus));
    CHECK(bus.view(web1).waits_for.empty());
    CHECK(bus.disk(web2).grants.empty());
    // Itself it ran the release all the time.
    CHECK(bus.switches == Strings{"web1:a", "web2:a", "web3:a"});
    CHECK(builds_of(bus, "web1:a") == 1);
    answer(bus, target);
    bus.run(seconds(60));
    CHECK(bus.brought_on.size() == 2);
}

TEST_CASE("chain: what a neighbour is owed survives the agent, and paying it does, too") {
    auto bus = without_old1();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(60));
    bus.kill(web1);
    bus.run(seconds(60));
    bus.start(web1);
    bus.run(seconds(60));
    CHECK(debt(bus) == target);
    CHECK(bus.brought_on == Strings{"web1:a"});
    bus.neighbours = {};
    bus.neighbours_hang = true;
    answer(bus, target);
    bus.run(seconds(20));
    bus.kill(web1);
    bus.run(seconds(20));
    CHECK(bus.disk(web2).grants.size() == 1);  // the neighbour may be out
    bus.neighbours_hang = false;
    bus.start(web1);
    bus.run(seconds(60));
    CHECK(bus.brought_on == Strings{"web1:a", "web1:a", "web1:a"});
    CHECK(bus.disk(web1).owed.empty());
    CHECK(std::ranges::count(bus.switches, std::string("web1:a")) == 1);
}

TEST_CASE("chain: a neighbour that is gone again when it is its turn is owed the rollout as before") {
    auto bus = without_old1();
    bus.settings.policy.max_unreachable = 1;
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(60));
    answer(bus, target);
    bus.run(seconds(60));
    CHECK(bus.brought_on == Strings{"web1:a", "web1:a"});
    CHECK(debt(bus) == target);
    CHECK(bus.disk(web2).grants.empty());
    CHECK_FALSE(bus.disk(web1).failed.contains(target.key));
    // Passed over already, it may be so again; a second one may not.
    CHECK(bus.machine(web1).may_pass_over(target, old1, {}));
    CHECK(bus.machine(web1).may_pass_over(target, old1, {old1}));
    CHECK_FALSE(bus.machine(web1).may_pass_over(target, NodeName("old2"), {}));
}

TEST_CASE("chain: a newer rollout serves the neighbour that was owed the one before") {
    auto bus = without_old1();
    const auto first = bus.offer(web1, 'a');
    bus.run(seconds(60));
    bus.neighbours = {};
    bus.cut = {web1};
    bus.offer(web2, 'b');
    bus.run(seconds(10));
    answer(bus, first);  // it asks for a permit, and learns instead of what is newer
    bus.cut.clear();
    bus.run(seconds(120));
    CHECK(bus.running() == Strings{"b", "b", "b"});
    CHECK(bus.brought_on == Strings{"web1:a", "web1:b"});
    CHECK_FALSE(debt(bus));
    CHECK(bus.most_out == 1);
}

TEST_CASE("chain: a failed rollout is owed to nobody; its retry is, and where the newer failed the one before again") {
    auto bus = without_old1();
    const auto first = bus.offer(web1, 'a');
    bus.run(seconds(60));
    bus.failing_switches = {"web3:b"};
    const auto second = bus.offer(web1, 'b');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"b", "b", "a"});
    CHECK_FALSE(debt(bus));
    answer(bus, second);
    bus.run(seconds(60));
    CHECK(bus.brought_on == Strings{"web1:a", "web1:b"});
    bus.failing_switches.clear();
    bus.order(web2, Retry{second});
    bus.run(seconds(90));
    CHECK(bus.running() == Strings{"b", "b", "b"});
    CHECK(bus.brought_on == Strings{"web1:a", "web1:b", "web1:b"});
    REQUIRE(debt(bus));
    CHECK(debt(bus)->attempt == 2);
    // One that fails before it comes to web1 changes nothing there.
    bus.failing_switches = {"web2:c"};
    bus.offer(web2, 'c');
    bus.run(seconds(60));
    CHECK(debt(bus)->key == second.key);
    bus.neighbours = {};
    answer(bus, *debt(bus));
    bus.run(seconds(60));
    CHECK(bus.brought_on.back() == "web1:b");
    CHECK(bus.brought_on.size() == 4);
    CHECK_FALSE(debt(bus));
    CHECK_FALSE(first == second);
}

TEST_CASE("chain: nobody is brought on while the app is frozen, or its own does not answer") {
    auto bus = without_old1();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(60));
    bus.neighbours = {};
    bus.order(web2, Freeze{"sale", 0});
    bus.run(seconds(10));
    CHECK_FALSE(debt(bus));
    CHECK(says(bus, "the end of the freeze by ann: sale"));
    answer(bus, target);
    bus.run(seconds(10));
    bus.order(web2, Unfreeze{});
    bus.run(seconds(10));
    CHECK(debt(bus) == target);  // what was said meanwhile does not count: it may be away again
    bus.feed(web1, [&](Machine& m) { return m.health(bus.now, false); });
    CHECK_FALSE(debt(bus));
    CHECK(says(bus, "its app to answer"));
    bus.feed(web1, [&](Machine& m) { return m.health(bus.now, true); });
    answer(bus, target);
    bus.order(web2, Freeze{"sale", 0});
    bus.run(seconds(10));
    CHECK(bus.brought_on.size() == 1);
    bus.order(web2, Unfreeze{});
    bus.run(seconds(30));
    CHECK(bus.brought_on.size() == 2);
    CHECK(bus.disk(web1).owed.empty());
}

TEST_CASE("chain: a neighbour is owed what has succeeded, not a canary that is still watched") {
    auto bus = without_old1();
    bus.settings.policy.canary = 2;
    bus.settings.policy.bake_time = seconds(40);
    bus.kill(web1);
    bus.kill(web2);
    bus.kill(web3);
    bus.start_all();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "a", "-"});
    CHECK(bus.disk(web1).owed == target.key);
    CHECK_FALSE(debt(bus));
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "a", "a"});
    CHECK(debt(bus) == target);
}

TEST_CASE("chain: what was owed to neighbours that have become agents is owed no more") {
    auto bus = without_old1();
    bus.offer(web1, 'a');
    bus.run(seconds(60));
    bus.kill(web1);
    bus.stewards.clear();
    bus.start(web1);
    CHECK(bus.disk(web1).owed.empty());
    CHECK_FALSE(debt(bus));
    CHECK(bus.view(web1).waits_for.empty());
}
