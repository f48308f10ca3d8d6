// SPDX-License-Identifier: MIT
// The course: superseding, queueing, rolling back, and what the view says meanwhile.
#include <catch2/catch.hpp>

#include "tests/unit/chain/bus.h"

using namespace baton;
using namespace baton::chain;
using namespace baton::chain::test;
using std::chrono::seconds;
using Strings = std::vector<std::string>;

TEST_CASE("chain: a newer commit cancels builds, never a switch, and everybody ends on it") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(Milliseconds(1'500));  // web1 is switching
    REQUIRE(bus.switches == Strings{"web1:a"});
    bus.offer(web1, 'b');
    bus.run(seconds(60));
    CHECK(bus.switches == Strings{"web1:a", "web1:b", "web2:b", "web3:b"});
}

TEST_CASE("chain: three pushes in a row leave one rollout to walk") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(Milliseconds(200));
    bus.offer(web2, 'b');
    bus.run(Milliseconds(200));
    bus.offer(web3, 'c');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"c", "c", "c"});
    CHECK(bus.switches.size() == 3);
}

TEST_CASE("chain: one push noticed by two nodes is walked once") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.offer(web2, 'a');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "a", "a"});
    CHECK(bus.switches.size() <= 4);
}

TEST_CASE("chain: with on_new_commit queue the older rollout ends everywhere first") {
    Bus bus(3);
    bus.settings.policy.on_new_commit = config::OnNewCommit::queue;
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(2));
    bus.offer(web2, 'b');
    bus.run(seconds(90));
    CHECK(bus.switches == Strings{"web1:a", "web2:a", "web3:a", "web2:b", "web3:b", "web1:b"});
}

TEST_CASE("chain: what is queued is shown behind what runs, on every node that knows it") {
    Bus bus(3);
    bus.settings.policy.on_new_commit = config::OnNewCommit::queue;
    bus.start_all();
    bus.run(seconds(20));
    const auto a = bus.offer(web1, 'a');
    const auto b = bus.offer(web2, 'b');
    const auto c = bus.offer(web3, 'c');
    bus.run(seconds(4));
    for (const auto& node : {web1, web2, web3}) {
        const auto view = bus.view(node);
        REQUIRE(view.leading);
        CHECK(view.leading->target() == a);
        CHECK(view.shown()->target() == a);
        REQUIRE(view.queued.size() == 2);
        CHECK(view.queued[0].target() == b);
        CHECK(view.queued[1].target() == c);
    }
    bus.run(seconds(90));
    CHECK(bus.running() == Strings{"c", "c", "c"});
    for (const auto& node : {web1, web2, web3}) {
        CHECK(bus.view(node).queued.empty());
        CHECK_FALSE(bus.view(node).leading);
        CHECK(bus.view(node).shown()->target() == c);
    }
}

TEST_CASE("chain: what waits in a queue can be halted by name, and retried before its turn or after") {
    Bus bus(3);
    bus.settings.policy.on_new_commit = config::OnNewCommit::queue;
    bus.start_all();
    bus.run(seconds(20));
    bus.offer(web1, 'a');
    const auto b = bus.offer(web2, 'b');
    const auto c = bus.offer(web3, 'c');
    bus.run(seconds(2));
    REQUIRE(bus.view(web3).queued.size() == 2);
    bus.order(web3, Halt{b, "not yet"});
    bus.run(seconds(1));
    for (const auto& node : {web1, web2, web3}) {
        const auto view = bus.view(node);
        REQUIRE(view.queued.size() == 1);
        CHECK(view.queued[0].target() == c);
        CHECK_FALSE(view.newest_halted);
        REQUIRE(view.halted.size() == 1);
        CHECK(view.halted[0].rollout.key == b.key);
        CHECK_THAT(view.halted[0].because, Catch::Contains("halted by ann: not yet"));
    }
    SECTION("retried while it waits, it keeps its place, and its turn comes without anybody's silence") {
        bus.order(web3, Retry{b});
        const auto limit = bus.now + seconds(50);
        bus.run(seconds(50));
        CHECK(bus.now <= limit + seconds(1));
        CHECK(bus.switches ==
              Strings{"web1:a", "web2:a", "web3:a", "web3:b", "web1:b", "web2:b", "web3:c", "web1:c", "web2:c"});
    }
    SECTION("not retried, it is left out") {
        bus.run(seconds(50));
        CHECK(bus.switches == Strings{"web1:a", "web2:a", "web3:a", "web3:c", "web1:c", "web2:c"});
        CHECK_THROWS_WITH(bus.order(web1, Retry{b}), Catch::Contains("trigger its commit anew"));
    }
}

TEST_CASE("chain: only what may still bake can be promoted") {
    Bus bus(3);
    bus.failing_builds.insert("a");
    bus.start_all();
    const auto a = bus.offer(web1, 'a');
    bus.run(seconds(20));
    CHECK_THROWS_WITH(bus.order(web2, Promote{a}), Catch::Contains("baton resume"));
    const auto b = bus.offer(web1, 'b');
    bus.run(seconds(60));
    REQUIRE(bus.running() == Strings{"b", "b", "b"});
    CHECK_THROWS_WITH(bus.order(web2, Promote{b}), Catch::Contains("every node runs it"));
}

TEST_CASE("chain: in a queue a halted rollout gives way") {
    Bus bus(3);
    bus.settings.policy.on_new_commit = config::OnNewCommit::queue;
    bus.failing_builds.insert("web2:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(2));
    bus.offer(web1, 'b');
    bus.run(seconds(90));
    CHECK(bus.running() == Strings{"b", "b", "b"});
}

TEST_CASE("chain: a failing test stops the rollout at the first node, and a newer commit goes on") {
    Bus bus(3);
    bus.failing_builds.insert("a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(20));
    CHECK(bus.switches.empty());
    CHECK(bus.builds == Strings{"web1:a"});
    CHECK_THAT(bus.view(web3).halted_because, Catch::Contains("failed on web1: 2 tests failed"));
    bus.offer(web1, 'b');
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"b", "b", "b"});
}

TEST_CASE("chain: on_failure rollback puts back what was switched last first, and remembers the commit") {
    Bus bus(4);
    bus.settings.policy.on_failure = config::OnFailure::rollback;
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    REQUIRE(bus.running() == Strings{"a", "a", "a", "a"});
    bus.failing_switches.insert("web3:b");
    bus.switches.clear();
    bus.offer(web1, 'b');
    bus.run(seconds(60));
    CHECK(bus.switches == Strings{"web1:b", "web2:b", "web3:b", "web2:a", "web1:a"});
    CHECK(bus.running() == Strings{"a", "a", "a", "a"});
    CHECK(bus.most_out == 1);
    for (const auto& node : bus.settings.order) {
        CHECK(bus.disk(node).bad.contains(CommitId(std::string(40, 'b'))));
        CHECK_FALSE(bus.disk(node).bad.contains(CommitId(std::string(40, 'a'))));
    }
}

TEST_CASE("chain: a node that returns after missing three rollouts goes straight to the last") {
    Bus bus(3);
    bus.settings.policy.handoff_timeout = seconds(3);
    bus.start_all();
    bus.kill(web3);
    for (const char c : {'a', 'b', 'c'}) {
        bus.offer(web1, c);
        bus.run(seconds(30));
    }
    bus.switches.clear();
    bus.start(web3);
    bus.run(seconds(15));
    CHECK(bus.switches == Strings{"web3:c"});
}

TEST_CASE("chain: a clock that is behind does not make a new rollout an old one") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    bus.settings.wall_ms = [] { return std::int64_t{1'000}; };
    const auto target = bus.offer(web2, 'b');
    CHECK(target.key.epoch == 1);
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"b", "b", "b"});
}

TEST_CASE("chain: a pipeline without a switch ends where it ran") {
    Bus bus(3);
    bus.start_all();
    wire::Rollout rollout;
    rollout.app = AppName("shop");
    rollout.key = bus.machine(web1).next_key(make_rollout_id(WallTime(Milliseconds(5)), 1, 1));
    rollout.commit = CommitId(std::string(40, 'a'));
    rollout.started_on = web1;
    bus.build_takes = seconds(1'000);  // the bus would answer that it deploys
    bus.feed(web1, [&](Machine& m) { return m.offer(bus.now, rollout); });
    bus.feed(web1, [&](Machine& m) { return m.build_ready(bus.now, rollout.target(), false, false); });
    bus.run(seconds(90));
    CHECK(bus.builds == Strings{"web1:a"});
    CHECK(bus.switches.empty());
    CHECK(bus.view(web1).current->target() == rollout.target());
    CHECK(bus.view(web2).waits_for.empty());
}

TEST_CASE("chain: the durable state stays bounded over hundreds of rollouts") {
    Bus bus(2);
    bus.build_takes = Milliseconds(1);
    bus.switch_takes = Milliseconds(1);
    bus.start_all();
    for (int i = 0; i < 400; ++i) {
        const char c = "0123456789"[i % 10];
        if (i % 3 == 0) {
            bus.failing_builds.insert(std::string(1, c));
        } else {
            bus.failing_builds.erase(std::string(1, c));
        }
        bus.offer(web1, c);
        bus.run(Milliseconds(400));
    }
    bus.run(seconds(10));
    const auto& disk = bus.disk(web1);
    CHECK(disk.known.size() <= 64);
    CHECK(disk.failed.size() <= 256);
    CHECK(disk.once.size() <= 64);
    CHECK(disk.bad.size() <= 256);
}
