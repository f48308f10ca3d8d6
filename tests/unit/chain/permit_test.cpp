// SPDX-License-Identifier: MIT
// Permits: majorities, restarts in the middle, forgetting and accepting, freezing, forcing, `once` steps.
#include <catch2/catch.hpp>

#include "tests/unit/chain/bus.h"

using namespace baton;
using namespace baton::chain;
using namespace baton::chain::test;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Strings = std::vector<std::string>;

TEST_CASE("chain: without a majority nothing goes out of service, and the node says who is missing") {
    Bus bus(3);
    bus.start_all();
    bus.kill(web2);
    bus.kill(web3);
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(60));
    CHECK(bus.switches.empty());
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("permit: 1 of 2 granted"));
    CHECK(bus.view(web1).waiting >= seconds(50));

    SECTION("a person takes it on himself") {
        const auto id = bus.order(web1, Force{target});
        CHECK(bus.machine(web1).order_known(id));
        bus.run(seconds(10));
        CHECK(bus.running() == Strings{"a", "-", "-"});
        const bool named = std::any_of(bus.notes.begin(), bus.notes.end(), [](const std::string& note) {
            return note.find("forced by ann") != std::string::npos;
        });
        CHECK(named);
    }
    SECTION("a peer comes back") {
        bus.start(web3);
        bus.run(seconds(30));
        CHECK(bus.running()[0] == "a");
    }
}

TEST_CASE("chain: of two nodes one alone cannot go, with a witness it can") {
    const auto witnesses = GENERATE(std::size_t{0}, std::size_t{1});
    Bus bus(2, 1, witnesses);
    bus.start_all();
    bus.kill(web2);
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    CHECK(bus.running()[0] == (witnesses == 1 ? "a" : "-"));
}

TEST_CASE("chain: a permit counts only from the agent that is known to be the voter") {
    Bus bus(3);
    bus.start_all();
    bus.run(seconds(20));
    bus.cut = {web2, web3};
    bus.offer(web1, 'a');
    for (int look = 0; look < 200 && bus.disk(web1).phase != Phase::asking; ++look) bus.run(Milliseconds(50));
    REQUIRE(bus.disk(web1).phase == Phase::asking);
    // As a machine does that was forgotten and is back, or another one that says that it is web2.
    const auto claim = bus.disk(web1).claim.value();
    Message message;
    message.header.incarnation = bus.disk(web2).incarnation + 1;
    message.body = Granted{claim.ticket, claim.round, claim.rollout.target()};
    bus.feed(web1, [&](Machine& m) { return m.receive(bus.now, web2, message); });
    CHECK(bus.disk(web1).phase == Phase::asking);
    message.header.incarnation = bus.disk(web2).incarnation;
    bus.feed(web1, [&](Machine& m) { return m.receive(bus.now, web2, message); });
    CHECK(bus.disk(web1).phase == Phase::out);
}

TEST_CASE("chain: a peer with another configuration denies, and says so") {
    Bus bus(3);
    bus.config_hashes[web1] = "other";
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(20));
    CHECK(bus.switches.empty());
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("configuration"));
}

TEST_CASE("chain: a holder that was killed keeps its lane, asks again, and does it over") {
    Bus bus(3);
    bus.hanging.insert("web1:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(5));
    bus.kill(web1);
    bus.run(seconds(60));
    CHECK(bus.switches == Strings{"web1:a"});
    CHECK(bus.view(web2).holders.size() == 1);
    CHECK(bus.view(web2).holders.front().node == web1);
    bus.hanging.clear();
    bus.start(web1);
    bus.run(seconds(60));
    CHECK(bus.switches == Strings{"web1:a", "web1:a again", "web2:a", "web3:a"});
    CHECK(bus.most_out == 1);
}

TEST_CASE("chain: a release that a silent peer did not hear is asked for as soon as it is back") {
    Bus bus(3);
    bus.start_all();
    bus.run(seconds(10));
    bus.offer(web1, 'a');
    for (int i = 0; i < 400 && !bus.out.contains("web1"); ++i) bus.run(milliseconds(20));
    bus.run(milliseconds(100));
    REQUIRE(bus.view(web3).holders.size() == 1);
    // What is said to a peer that does not answer is dropped; its last word only may reach it later.
    bus.cut.insert(web3);
    bus.run(seconds(3));
    REQUIRE_FALSE(bus.out.contains("web1"));
    REQUIRE(bus.view(web3).holders.front().node == web1);
    bus.cut.clear();
    bus.run(bus.settings.timing.inquire_every + milliseconds(100));
    const auto holders = bus.view(web3).holders;
    CHECK(std::none_of(holders.begin(), holders.end(), [](const Holder& holder) { return holder.node == web1; }));
}

TEST_CASE("chain: a switch that kills the agent twice is taken for the cause") {
    Bus bus(3);
    bus.hanging.insert("web1:a");
    bus.start_all();
    bus.offer(web1, 'a');
    for (int i = 0; i < 2; ++i) {
        bus.run(seconds(5));
        bus.kill(web1);
        bus.start(web1);
    }
    bus.run(seconds(60));
    CHECK(bus.switches == Strings{"web1:a", "web1:a again"});
    CHECK(bus.restores.size() == 1);
    CHECK_THAT(bus.view(web3).halted_because, Catch::Contains("died 2 times"));
    CHECK(bus.disk(web2).grants.empty());
}

TEST_CASE("chain: a restarted holder without a majority puts the previous release back") {
    Bus bus(3);
    bus.hanging.insert("web1:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(5));
    bus.kill(web1);
    bus.cut = {web2, web3};
    bus.hanging.clear();
    bus.start(web1);
    bus.run(seconds(25));
    CHECK(bus.switches == Strings{"web1:a"});
    REQUIRE(bus.restores.size() == 1);
    CHECK_THAT(bus.restores.front(), Catch::Contains("no majority"));
    CHECK(bus.view(web1).phase != Phase::out);
    bus.cut.clear();
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "a", "a"});
}

TEST_CASE("chain: a failed switch halts the rollout, and no lane takes it up") {
    Bus bus(4, 2);
    bus.failing_switches.insert("web2:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(60));
    CHECK(bus.running()[0] == "a");
    CHECK(bus.running()[1] == "-");
    CHECK(bus.running()[3] == "-");
    CHECK(bus.view(web4).newest_halted);
    CHECK_THAT(bus.view(web4).halted_because, Catch::Contains("failed on web2: health answered 500"));
    CHECK(bus.disk(web4).bad.size() == 1);
}

TEST_CASE("chain: a node that cannot be put back stays out and keeps the lane, until something newer cures it") {
    Bus bus(3);
    bus.failing_switches.insert("web1:a");
    bus.stuck.insert("web1");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(20));
    CHECK(bus.view(web1).phase == Phase::out);
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("a person"));
    bus.offer(web2, 'b');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"b", "b", "b"});
    CHECK(bus.switches.at(1) == "web1:b again");
    CHECK(bus.most_out == 1);
}

TEST_CASE("chain: a node that could not be put back tries it again by itself, more and more seldom, and says when") {
    Bus bus(3);
    bus.failing_switches.insert("web1:a");
    bus.stuck.insert("web1");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(8));
    REQUIRE(bus.view(web1).phase == Phase::out);
    REQUIRE_FALSE(bus.nodes.at(web1).up);
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("health answered 500"));
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("once more in"));
    bus.run(seconds(100));
    // 10, 20, 40 s apart, and what each takes.
    CHECK(bus.restores.size() == 3);
    CHECK(bus.view(web2).holders.size() == 1);
    bus.stuck.clear();
    bus.run(seconds(90));
    CHECK(bus.view(web1).phase == Phase::idle);
    CHECK(bus.nodes.at(web1).up);
    CHECK(bus.view(web2).holders.empty());
    CHECK(bus.view(web2).newest_halted);
    CHECK(bus.switches == Strings{"web1:a"});
}

TEST_CASE("chain: a frozen app asks for nothing until it is unfrozen, on every node") {
    Bus bus(3);
    bus.start_all();
    const auto id = bus.order(web3, Freeze{"black friday", 0});
    bus.run(seconds(1));
    CHECK(bus.machine(web3).order_known(id));
    bus.offer(web1, 'a');
    bus.run(seconds(20));
    CHECK(bus.switches.empty());
    CHECK(bus.view(web1).waits_for == "the end of the freeze by ann: black friday");
    CHECK_THROWS_AS(bus.order(web1, Retry{bus.view(web1).newest->target()}), Error);
    bus.order(web2, Unfreeze{});
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "a", "a"});
}

TEST_CASE("chain: a freeze ends by itself at its time") {
    Bus bus(3);
    bus.start_all();
    bus.order(web1, Freeze{"lunch", bus.settings.wall_ms() + 20'000});
    bus.offer(web1, 'a');
    bus.run(seconds(15));
    CHECK(bus.switches.empty());
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "a", "a"});
}

TEST_CASE("chain: an order is not known before a majority has stored it") {
    Bus bus(3);
    bus.start_all();
    bus.cut = {web2, web3};
    const auto id = bus.order(web1, Freeze{"alone", 0});
    bus.run(seconds(10));
    CHECK_FALSE(bus.machine(web1).order_known(id));
    bus.kill(web1);
    bus.start(web1);
    bus.cut.clear();
    bus.run(seconds(2));
    CHECK(bus.machine(web1).order_known(id));
    CHECK(bus.view(web2).frozen->reason == "alone");
}

TEST_CASE("chain: halt stops the walk between nodes, and retry goes on where it stopped") {
    Bus bus(4);
    bus.start_all();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(8));
    REQUIRE(bus.running() == Strings{"a", "a", "-", "-"});
    bus.order(web4, Halt{target, "complaints"});
    bus.run(seconds(60));
    const auto stopped = bus.running();
    CHECK(stopped[3] == "-");
    CHECK_THAT(bus.view(web1).halted_because, Catch::Contains("halted by ann: complaints"));
    CHECK_THROWS_AS(bus.order(web1, Halt{target, "again"}), Error);
    bus.order(web4, Retry{target});
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "a", "a", "a"});
    CHECK(std::count(bus.switches.begin(), bus.switches.end(), "web1:a") == 1);
}

TEST_CASE("chain: forgetting a machine that died out of service frees its lane and condemns what it was installing") {
    Bus bus(3);
    bus.hanging.insert("web1:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(5));
    bus.kill(web1);
    bus.offer(web2, 'b');
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"-", "-", "-"});
    CHECK_THAT(bus.view(web2).waits_for, Catch::Contains("web1 is out of service"));
    const auto id = bus.order(web3, Forget{web1});
    bus.run(seconds(60));
    CHECK(bus.machine(web3).order_known(id));
    CHECK(bus.running() == Strings{"-", "b", "b"});
    // Should it come back all the same, it gets nothing, and says what to do.
    bus.hanging.clear();
    bus.start(web1);
    bus.run(seconds(60));
    CHECK(bus.running()[0] == "-");
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("forgotten") && Catch::Contains("baton accept web1"));
}

TEST_CASE("chain: a re-installed agent neither grants nor deploys before a person accepts it") {
    Bus bus(3);
    bus.hanging.insert("web1:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(5));  // web1 is out, by the leave of web2 or web3
    bus.kill(web2);
    bus.wipe(web2);
    bus.start(web2);
    bus.run(seconds(30));
    CHECK_FALSE(bus.view(web2).may_grant);
    CHECK_THAT(bus.view(web2).waits_for, Catch::Contains("baton accept web2"));
    bus.order(web3, Accept{web2});
    bus.run(seconds(10));
    CHECK(bus.view(web2).may_grant);
    REQUIRE(bus.view(web2).holders.size() == 1);  // learned from its peers
    CHECK(bus.view(web2).holders.front().node == web1);
}

TEST_CASE("chain: a re-installed agent that nobody has accepted is not in the way of the others' rollouts") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    bus.kill(web2);
    bus.wipe(web2);
    bus.start(web2);
    bus.run(seconds(10));
    bus.offer(web1, 'b');
    bus.run(seconds(20));
    CHECK(bus.running() == std::vector<std::string>{"b", "a", "b"});
    CHECK_THAT(bus.view(web2).waits_for, Catch::Contains("baton accept web2"));
    bus.order(web3, Accept{web2});
    bus.run(seconds(60));
    CHECK(bus.running() == std::vector<std::string>{"b", "b", "b"});
}

TEST_CASE("chain: a node whose app does not answer cannot be accepted") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    bus.kill(web2);
    bus.wipe(web2);
    bus.nodes[web2].up = false;
    bus.start(web2);
    bus.feed(web2, [&](Machine& m) { return m.health(bus.now, false); });
    bus.run(Milliseconds(300));
    CHECK_THROWS_WITH(bus.order(web1, Accept{web2}), Catch::Contains("does not answer"));
    bus.run(seconds(5));
    CHECK_NOTHROW(bus.order(web1, Accept{web2}));
    bus.run(seconds(30));
    CHECK(bus.view(web2).may_grant);
    CHECK(bus.view(web2).current.has_value());
}

TEST_CASE("chain: on a new installation nobody grants before everybody was heard") {
    Bus bus(3);
    bus.start(web1);
    bus.start(web2);
    bus.offer(web1, 'a');
    bus.run(seconds(20));
    CHECK(bus.switches.empty());
    bus.start(web3);
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "a", "a"});
}

TEST_CASE("chain: min_healthy is looked at before a node goes out") {
    Bus bus(3);
    bus.settings.policy.min_healthy = {2, false};
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    REQUIRE(bus.running() == Strings{"a", "a", "a"});  // at first there is nothing that could be healthy
    bus.feed(web2, [&](Machine& m) { return m.health(bus.now, false); });
    bus.run(seconds(5));
    bus.offer(web1, 'b');
    bus.run(seconds(20));
    CHECK(bus.running() == Strings{"a", "a", "a"});
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("1 are, 2 must be"));
    bus.feed(web2, [&](Machine& m) { return m.health(bus.now, true); });
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"b", "b", "b"});
}

TEST_CASE("chain: a node that a person has drained, or that catches up first, is none of min_healthy") {
    Bus bus(3);
    bus.settings.policy.min_healthy = {2, false};
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(40));
    REQUIRE(bus.running() == Strings{"a", "a", "a"});
    // Its app answers all the same.
    bus.feed(web3, [&](Machine& m) { return m.held_out(bus.now, true); });
    bus.offer(web1, 'b');
    bus.run(seconds(40));
    CHECK(bus.running()[0] == "a");
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("1 are, 2 must be"));
    bus.feed(web3, [&](Machine& m) { return m.held_out(bus.now, false); });
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"b", "b", "b"});
}

TEST_CASE("chain: every node knows who has drained a node, why and since when") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(40));
    const auto seen = [&](const NodeName& by, const NodeName& node) {
        for (const auto& peer : bus.view(by).peers) {
            if (peer.node == node) return peer;
        }
        FAIL("no such peer");
        return PeerView{};
    };
    CHECK(seen(web1, web3).serving);
    const OrderNote note{"ann", "a new disk", 77};
    bus.feed(web3, [&](Machine& m) { return m.held_out(bus.now, true, note); });
    bus.run(Milliseconds(100));  // told at once
    for (const auto& node : {web1, web2}) {
        CHECK_FALSE(seen(node, web3).serving);
        CHECK(seen(node, web3).drained == note);
        CHECK_FALSE(seen(node, node == web1 ? web2 : web1).drained);
    }
    CHECK(bus.view(web3).drained == note);
    // Another person takes it over: nothing else has changed.
    const OrderNote other{"bo", "still the disk", 78};
    bus.feed(web3, [&](Machine& m) { return m.held_out(bus.now, true, other); });
    bus.run(Milliseconds(100));
    CHECK(seen(web1, web3).drained == other);
    bus.feed(web3, [&](Machine& m) { return m.held_out(bus.now, false); });
    bus.run(Milliseconds(100));
    CHECK(seen(web1, web3).serving);
    CHECK_FALSE(seen(web1, web3).drained);
}

TEST_CASE("chain: every node knows who has forgotten a machine and why, though two have at once") {
    Bus bus(4);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(60));
    bus.kill(web3);
    bus.run(seconds(20));
    bus.order(web1, Forget{web3, "burnt"});
    bus.order(web2, Forget{web3, "drowned"});
    bus.run(seconds(30));
    std::set<std::string> reasons;
    for (const auto& node : {web1, web2, web4}) {
        for (const auto& peer : bus.view(node).peers) {
            CHECK(peer.forgotten.has_value() == (peer.node == web3));
            if (!peer.forgotten) continue;
            CHECK(peer.forgotten->who == "ann");
            CHECK(peer.forgotten->since_ms > 0);
            reasons.insert(peer.forgotten->reason);
        }
        CHECK(bus.disk(node).identities.at(web3).incarnation == 0);
    }
    CHECK(reasons.size() == 1);
}

TEST_CASE("chain: once steps run on the first node only, and nobody switches before it has succeeded") {
    Bus bus(4, 3);
    bus.settings.policy.canary = 0;
    bus.once.insert('a');
    bus.start_all();
    bus.offer(web2, 'a');
    bus.run(seconds(60));
    CHECK(bus.once_runs == Strings{"web2:a"});
    CHECK(bus.switches.front() == "web2:a");
    CHECK(bus.running() == Strings{"a", "a", "a", "a"});
}

TEST_CASE("chain: once steps that were cut off are not tried again before a person says so") {
    Bus bus(3);
    bus.once.insert('a');
    bus.hanging.insert("web1:a");
    bus.start_all();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(5));
    bus.kill(web1);
    bus.hanging.clear();
    bus.start(web1);
    bus.run(seconds(60));
    CHECK(bus.once_runs == Strings{"web1:a"});
    CHECK(bus.restores.size() == 1);
    CHECK_THAT(bus.view(web2).halted_because, Catch::Contains("once") && Catch::Contains("person"));
    bus.order(web2, Retry{target});
    bus.run(seconds(60));
    CHECK(bus.once_runs == Strings{"web1:a", "web1:a"});
    CHECK(bus.running() == Strings{"a", "a", "a"});
}
