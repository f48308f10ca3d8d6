// SPDX-License-Identifier: MIT
// Two agents that say that they are one node: neither deploys while both are heard, and nobody else waits for them.
#include <catch2/catch.hpp>

#include "tests/unit/chain/bus.h"

using namespace baton;
using namespace baton::chain;
using namespace baton::chain::test;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Strings = std::vector<std::string>;

namespace {

const NodeName impostor{"impostor"};

bool noted(const Bus& bus, const std::string& what) {
    return std::any_of(bus.notes.begin(), bus.notes.end(),
                       [&](const std::string& note) { return note.find(what) != std::string::npos; });
}

/// Three nodes that run `a`, and one that has just begun to say that it is web2.
void start_fleet(Bus& bus) {
    bus.start_all();
    bus.run(seconds(20));
    bus.offer(web1, 'a');
    bus.run(seconds(40));
    REQUIRE(bus.running() == Strings{"a", "a", "a"});
}

}  // namespace

TEST_CASE("chain: two live databases of one name both refuse, the others go on, and it heals when one is silent") {
    const bool copy = GENERATE(false, true);
    Bus bus(3);
    start_fleet(bus);
    bus.start_impostor(impostor, web2, copy ? bus.disk(web2) : Durable{});
    bus.run(seconds(12));
    CHECK(bus.view(web2).doubled);
    CHECK(bus.view(impostor).doubled);
    for (const auto& node : {web2, impostor}) {
        const auto text = bus.view(node).waits_for;
        CHECK_THAT(text, Catch::Contains("two agents say that they are web2"));
        CHECK_THAT(text, Catch::Contains("impostor's address"));
        CHECK_THAT(text, Catch::Contains("web2's address"));
        CHECK_THAT(text, Catch::Contains(copy ? "empty its state_dir" : "`baton accept web2`"));
    }
    CHECK(noted(bus, "web1: 2 agents say that they are web2"));

    SECTION("a rollout passes both over") {
        bus.offer(web1, 'b');
        bus.run(seconds(60));
        CHECK(bus.running() == Strings{"b", "a", "b"});
        CHECK(bus.switches.size() == 5);
        bus.kill(impostor);
        bus.run(seconds(40));
        CHECK(bus.running() == Strings{"b", "b", "b"});
        CHECK_FALSE(bus.view(web2).doubled);
        CHECK(bus.view(web2).waits_for.empty());
        CHECK(noted(bus, "web1: only one agent says any more that it is web2"));
    }
    SECTION("what is offered at the known one is brought on by the others") {
        bus.offer(web2, 'b');
        bus.run(seconds(60));
        CHECK(bus.running() == Strings{"b", "a", "b"});
        bus.kill(impostor);
        bus.run(seconds(40));
        CHECK(bus.running() == Strings{"b", "b", "b"});
    }
    CHECK(bus.most_out == 1);
}

TEST_CASE("chain: a node that is out when another begins to speak in its name comes back first") {
    Bus bus(3);
    start_fleet(bus);
    bus.switch_takes = seconds(20);
    const bool fails = GENERATE(false, true);
    if (fails) bus.failing_switches.insert("b");
    bus.offer(web2, 'b');
    bus.run(seconds(3));
    REQUIRE(bus.out.contains("web2"));
    bus.start_impostor(impostor, web2);
    bus.run(seconds(14));
    CHECK(bus.view(web2).doubled);
    CHECK(bus.out.contains("web2"));
    // Killed meanwhile, it still has its permit from those who gave it.
    SECTION("undisturbed") {}
    SECTION("its agent is killed") {
        bus.kill(web2);
        bus.start(web2);
    }
    bus.run(seconds(60));
    CHECK(bus.running() == (fails ? Strings{"a", "a", "a"} : Strings{"b", "b", "b"}));
    CHECK(bus.out.empty());
    CHECK(bus.most_out == 1);
}

TEST_CASE("chain: of two that say that they are one node a person accepts one, and the other is barred") {
    Bus bus(3);
    start_fleet(bus);
    bus.start_impostor(impostor, web2);
    bus.run(seconds(12));
    REQUIRE(bus.view(web2).doubled);

    SECTION("anywhere: the one that answers at the node's address") { bus.order(web3, Accept{web2}); }
    SECTION("at the agent itself") { bus.order(web2, Accept{web2}); }
    bus.run(seconds(6));
    CHECK_FALSE(bus.view(web2).doubled);
    CHECK_FALSE(bus.view(web2).disowned);
    CHECK(bus.view(impostor).disowned);
    bus.offer(web1, 'b');
    bus.run(seconds(40));
    CHECK(bus.running() == Strings{"b", "b", "b"});
    CHECK_THAT(bus.view(impostor).waits_for, Catch::Contains("another database was accepted"));
}

TEST_CASE("chain: of two agents with one database a person can accept neither") {
    Bus bus(3);
    start_fleet(bus);
    bus.start_impostor(impostor, web2, bus.disk(web2));
    bus.run(seconds(12));
    REQUIRE(bus.view(web2).doubled);
    CHECK_THROWS_WITH(bus.order(web1, Accept{web2}), Catch::Contains("the same database"));
    CHECK_THROWS_WITH(bus.order(web2, Accept{web2}), Catch::Contains("the same database"));
    // What the copy would grant the original does not remember: it grants nothing new either.
    bus.kill(web3);
    bus.offer(web1, 'b');
    bus.run(seconds(20));
    CHECK(bus.running()[0] == "a");
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("copy of its database"));
}

TEST_CASE("chain: an agent that was restarted, or re-installed, is no second one") {
    Bus bus(3);
    start_fleet(bus);
    for (int i = 0; i < 3; ++i) {
        bus.kill(web2);
        if (i == 2) bus.wipe(web2);
        bus.start(web2);
        bus.run(milliseconds(2'500));
        CHECK_FALSE(bus.view(web2).doubled);
    }
    bus.run(seconds(20));
    CHECK_FALSE(bus.view(web2).doubled);
    CHECK_FALSE(noted(bus, "agents say that they are"));
}
