// SPDX-License-Identifier: MIT
// The walk: order, canaries, lanes, nodes out of reach, catching up, preparing ahead.
#include <catch2/catch.hpp>

#include "tests/unit/chain/bus.h"

using namespace baton;
using namespace baton::chain;
using namespace baton::chain::test;
using std::chrono::seconds;
using Strings = std::vector<std::string>;

TEST_CASE("chain: a rollout walks from where it starts, wraps round, and visits each node once") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web2, 'a');
    bus.run(seconds(60));
    CHECK(bus.switches == Strings{"web2:a", "web3:a", "web1:a"});
    CHECK(bus.builds == Strings{"web2:a", "web3:a", "web1:a"});
    CHECK(bus.most_out == 1);
    CHECK(bus.view(web1).waits_for.empty());
    CHECK(bus.disk(web1).grants.empty());
    CHECK(bus.disk(web3).known.begin()->second.ended);
}

TEST_CASE("chain: with prepare_ahead the chain waits for switches only") {
    Bus bus(4);
    bus.settings.policy.prepare_ahead = std::nullopt;
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(Milliseconds(900));
    CHECK(bus.builds == Strings{"web1:a", "web2:a ahead", "web3:a ahead", "web4:a ahead"});
    CHECK(bus.switches.empty());
    bus.run(seconds(4 * 2 + 1));
    CHECK(bus.running() == Strings{"a", "a", "a", "a"});
    CHECK(bus.most_out == 1);
}

TEST_CASE("chain: prepare_ahead 1 keeps one node ahead of the walk") {
    Bus bus(4);
    bus.settings.policy.prepare_ahead = 1;
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(Milliseconds(500));
    CHECK(bus.builds == Strings{"web1:a", "web2:a ahead"});
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "a", "a", "a"});
}

TEST_CASE("chain: a node that is down is passed over, and catches up when it is back") {
    Bus bus(3);
    bus.settings.policy.handoff_timeout = seconds(5);
    bus.start_all();
    bus.kill(web2);
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "-", "a"});
    bus.start(web2);
    bus.run(seconds(20));
    CHECK(bus.running() == Strings{"a", "a", "a"});
    CHECK(bus.switches == Strings{"web1:a", "web3:a", "web2:a"});
}

TEST_CASE("chain: more nodes out of reach than max_unreachable make the rollout wait, and it says for whom") {
    Bus bus(5);
    bus.settings.policy.handoff_timeout = seconds(5);
    bus.settings.policy.max_unreachable = 1;
    bus.start_all();
    bus.kill(web2);
    bus.kill(web3);
    bus.offer(web1, 'a');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "-", "-", "-", "-"});
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("web3 to take the rollout"));
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("out of reach"));
    CHECK(bus.view(web1).waiting >= seconds(20));
    CHECK_THAT(bus.view(web4).waits_for, Catch::Contains("web1 has rollout"));
    bus.start(web3);
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "-", "a", "a", "a"});
}

TEST_CASE("chain: a node that was late and has the rollout after all counts no longer as passed over") {
    Bus bus(5);
    bus.settings.policy.handoff_timeout = seconds(5);
    bus.settings.policy.max_unreachable = 1;
    bus.start_all();
    bus.cut = {web2};
    bus.kill(web3);
    bus.offer(web1, 'a');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "-", "-", "-", "-"});
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("web3 to take the rollout"));
    bus.cut.clear();
    bus.run(seconds(90));
    CHECK(bus.running() == Strings{"a", "a", "-", "a", "a"});
    CHECK(bus.view(web1).waits_for.empty());
    CHECK(bus.most_out == 1);
}

TEST_CASE("chain: canaries go one at a time, bake, and only then the lanes open") {
    Bus bus(5, 2);
    bus.settings.policy.canary = 2;
    bus.settings.policy.bake_time = seconds(10);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(8));
    CHECK(bus.switches == Strings{"web1:a", "web2:a"});
    CHECK_THAT(bus.view(web2).waits_for, Catch::Contains("the bake time"));
    CHECK(bus.most_out == 1);
    bus.run(seconds(7));
    CHECK(bus.switches.size() == 2);
    bus.run(seconds(20));
    CHECK(bus.running() == Strings{"a", "a", "a", "a", "a"});
    CHECK(bus.most_out == 2);
}

TEST_CASE("chain: promote ends the bake time") {
    Bus bus(3);
    bus.settings.policy.bake_time = seconds(3'600);
    bus.start_all();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(10));
    CHECK(bus.running() == Strings{"a", "-", "-"});
    const auto id = bus.order(web3, Promote{target, "seen enough"});  // from any node
    bus.run(seconds(20));
    CHECK(bus.machine(web3).order_known(id));
    CHECK(bus.running() == Strings{"a", "a", "a"});
    for (const auto& node : {web1, web2, web3}) {
        const auto promoted = bus.view(node).promoted;
        REQUIRE(promoted.contains(target.key));
        CHECK(promoted.at(target.key).who == "ann");
        CHECK(promoted.at(target.key).reason == "seen enough");
    }
}

TEST_CASE("chain: an app that falls ill while it bakes is put back, and nobody follows") {
    Bus bus(3);
    bus.settings.policy.bake_time = seconds(30);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(6));
    CHECK(bus.running() == Strings{"a", "-", "-"});
    bus.feed(web1, [&](Machine& m) { return m.health(bus.now, false); });
    bus.run(seconds(60));
    CHECK(bus.restores.size() == 1);
    CHECK(bus.switches == Strings{"web1:a"});
    CHECK(bus.view(web3).newest_halted);
    CHECK_THAT(bus.view(web3).halted_because, Catch::Contains("failed on web1") && Catch::Contains("bake"));
    CHECK(bus.disk(web2).grants.empty());
}

TEST_CASE("chain: a rollout whose carrier died while it was out, and was forgotten, gives way to the next commit") {
    Bus bus(3);
    bus.hanging.insert("web1:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(Milliseconds(3'500));
    REQUIRE(bus.switches == Strings{"web1:a"});
    bus.kill(web1);
    bus.order(web2, Forget{web1});
    bus.run(seconds(2));
    // It may be what killed web1: it counts as failed, and nobody else takes it.
    CHECK(bus.view(web3).newest_halted);
    const auto next = bus.offer(web2, 'b');
    bus.run(seconds(90));
    CHECK(bus.running() == Strings{"-", "b", "b"});
    CHECK(bus.machine(web3).durable().current->target() == next);
}

TEST_CASE("chain: a rollout that was only being built when its node died is adopted by the first that lives") {
    Bus bus(4);
    bus.build_takes = seconds(20);
    bus.start_all();
    bus.offer(web2, 'a');
    bus.run(seconds(5));
    bus.kill(web2);
    bus.run(seconds(240));
    CHECK(bus.running() == Strings{"a", "-", "a", "a"});
    REQUIRE_FALSE(bus.switches.empty());
    CHECK(bus.switches.front() == "web3:a");
}
