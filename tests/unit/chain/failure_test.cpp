// SPDX-License-Identifier: MIT
// Failures, and how far they reach: a node's own trouble, a migration, echoes of a push, what was superseded.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/unit/chain/bus.h"

using namespace baton;
using namespace baton::chain;
using namespace baton::chain::test;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Strings = std::vector<std::string>;

namespace {

CommitId commit(char c) { return CommitId(std::string(40, c)); }

/// Everybody on `a` but web3, which was away meanwhile and cannot build it now.
void let_web3_fail_alone(Bus& bus) {
    bus.settings.policy.handoff_timeout = seconds(3);
    bus.start_all();
    bus.kill(web3);
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    REQUIRE(bus.running() == Strings{"a", "a", "-"});
    bus.failing_builds.insert("web3:a");
    bus.builds.clear();
    bus.start(web3);
    bus.run(seconds(6));
    REQUIRE(bus.builds == Strings{"web3:a"});
}

}  // namespace

TEST_CASE("chain: a failure is on every node at once, not with the next message only") {
    Bus bus(4, 1, 1);
    const auto what = GENERATE(std::string("build"), std::string("stuck"));
    if (what == "build") bus.failing_builds.insert("web2:a");
    if (what == "stuck") {
        bus.failing_switches.insert("web2:a");
        bus.stuck.insert("web2");
    }
    bus.start_all();
    bus.run(seconds(10));
    bus.offer(web2, 'a');
    // Until it fails, in steps too short for anybody to ask how the others stand.
    for (int i = 0; i < 400 && !bus.view(web2).newest_halted; ++i) bus.run(milliseconds(20));
    REQUIRE(bus.view(web2).newest_halted);
    bus.run(milliseconds(20));
    for (const auto& node : bus.settings.voters) {
        INFO(node.str());
        CHECK(bus.view(node).newest_halted);
        CHECK_THAT(bus.view(node).halted_because, Catch::Contains("failed on web2"));
    }
}

TEST_CASE("chain: a node that alone cannot build what the others run halts nothing, and tries again") {
    Bus bus(3);
    let_web3_fail_alone(bus);
    for (const auto& node : bus.settings.order) {
        CHECK_FALSE(bus.view(node).newest_halted);
        CHECK(bus.disk(node).failed.empty());
        CHECK(bus.disk(node).bad.empty());
    }
    CHECK_THAT(bus.view(web3).waits_for, Catch::Contains("its own build") && Catch::Contains("2 tests failed") &&
                                             Catch::Contains("failed here once") && Catch::Contains("tried again in"));
    CHECK(bus.view(web3).waiting > Milliseconds(0));

    SECTION("less and less often, but for ever") {
        bus.run(seconds(3'600));
        const auto tries = bus.builds.size();
        // 10, 20, 40, 80, 160 s, then every 300 s.
        CHECK(tries > 12);
        CHECK(tries < 20);
        CHECK(bus.builds.back() == "web3:a again");
        CHECK(bus.disk(web1).failed.empty());
        bus.failing_builds.clear();
        bus.run(seconds(310));
        CHECK(bus.running() == Strings{"a", "a", "a"});
        CHECK(bus.view(web3).waits_for.empty());
    }
    SECTION("and the next commit is built at once") {
        bus.builds.clear();
        bus.offer(web1, 'b');
        bus.run(seconds(40));
        CHECK(bus.running() == Strings{"b", "b", "b"});
        CHECK(bus.builds == Strings{"web1:b", "web2:b", "web3:b"});
    }
    SECTION("a restart begins to count anew") {
        bus.kill(web3);
        bus.failing_builds.clear();
        bus.start(web3);
        bus.run(seconds(10));
        CHECK(bus.running() == Strings{"a", "a", "a"});
    }
}

TEST_CASE("chain: a build that fails while the rollout walks stops it, though earlier nodes run it") {
    Bus bus(3);
    bus.failing_builds.insert("web2:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    CHECK(bus.running() == Strings{"a", "-", "-"});
    CHECK_THAT(bus.view(web3).halted_because, Catch::Contains("failed on web2"));
}

TEST_CASE("chain: with on_failure rollback a node that came late does not take the fleet back") {
    Bus bus(3);
    bus.settings.policy.on_failure = config::OnFailure::rollback;
    bus.settings.policy.handoff_timeout = seconds(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    bus.kill(web3);
    bus.offer(web1, 'b');
    bus.run(seconds(60));
    REQUIRE(bus.disk(web1).known.rbegin()->second.ended);
    bus.failing_switches.insert("web3:b");
    bus.start(web3);
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"b", "b", "a"});
    CHECK_THAT(bus.view(web1).halted_because, Catch::Contains("failed on web3"));
}

TEST_CASE("chain: a migration that fails is not tried again, and its reason is told") {
    Bus bus(3);
    bus.failing_migrations.insert("a");
    const bool once = GENERATE(false, true);
    if (once) bus.once.insert('a');
    bus.start_all();
    const auto target = bus.offer(web1, 'a');
    bus.run(seconds(60));
    CHECK(bus.switches == Strings{"web1:a"});
    CHECK_THAT(bus.view(web3).halted_because, Catch::Contains("failed on web1: migrate: exit status 3"));
    CHECK((bus.view(web3).halted_because.find("marked `once`") != std::string::npos) == once);
    CHECK(bus.disk(web2).grants.empty());
    CHECK(bus.out.empty());
    bus.failing_migrations.clear();
    bus.order(web2, Retry{target});
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "a", "a"});
}

TEST_CASE("chain: a failure of one rollout is the failure of its echo, the same push noticed elsewhere") {
    Bus bus(3);
    bus.failing_switches.insert("web1:a");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(Milliseconds(1'500));  // web1 is out
    const auto echo = bus.offer(web2, 'a');
    bus.run(seconds(90));
    CHECK(bus.switches == Strings{"web1:a"});
    for (const auto& node : bus.settings.order) CHECK(bus.disk(node).failed.contains(echo.key));
    CHECK_THAT(bus.view(web3).halted_because, Catch::Contains("failed on web1") &&
                                                  Catch::Contains("of the same commit") &&
                                                  Catch::Contains("health answered 500"));

    SECTION("a person who names the commit has it deployed") {
        bus.failing_switches.clear();
        bus.offer(web2, 'a', true);
        bus.run(seconds(60));
        CHECK(bus.running() == Strings{"a", "a", "a"});
        for (const auto& node : bus.settings.order) CHECK(bus.disk(node).bad.at(commit('a')).forgiven);
        // From now on it is a commit like any other.
        bus.offer(web1, 'b');
        bus.run(seconds(60));
        bus.offer(web1, 'a');
        bus.run(seconds(60));
        CHECK(bus.running() == Strings{"a", "a", "a"});
    }
    SECTION("and one who resumes it, too") {
        bus.failing_switches.clear();
        bus.order(web3, Retry{echo});
        bus.run(seconds(60));
        CHECK(bus.running() == Strings{"a", "a", "a"});
    }
}

TEST_CASE("chain: a commit that was rolled back does not come back with a poll that had not heard of it") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    bus.offer(web1, 'b');
    bus.run(seconds(30));
    bus.cut = {web3};
    wire::Rollout back;
    back.app = AppName("shop");
    back.key = bus.machine(web1).next_key(make_rollout_id(WallTime(Milliseconds(bus.settings.wall_ms())), 1, 1'000));
    back.commit = commit('a');
    back.undoes = commit('b');
    back.kind = wire::RolloutKind::rollback;
    back.started_on = web1;
    bus.feed(web1, [&](Machine& m) { return m.offer(bus.now, back); });
    const auto echo = bus.offer(web3, 'b');
    bus.run(Milliseconds(100));
    bus.cut.clear();
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"a", "a", "a"});
    CHECK(bus.disk(web2).failed.contains(echo.key));
}

TEST_CASE("chain: a roll-back that fails says nothing against the commit that ran before") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    wire::Rollout back;
    back.app = AppName("shop");
    back.key = bus.machine(web1).next_key(make_rollout_id(WallTime(Milliseconds(bus.settings.wall_ms())), 1, 1'000));
    back.commit = commit('9');
    back.undoes = commit('a');
    back.kind = wire::RolloutKind::rollback;
    back.started_on = web1;
    bus.failing_switches.insert("9");
    bus.feed(web1, [&](Machine& m) { return m.offer(bus.now, back); });
    bus.run(seconds(30));
    for (const auto& node : bus.settings.order) {
        CHECK(bus.disk(node).failed.contains(back.key));
        CHECK_FALSE(bus.disk(node).bad.contains(commit('9')));
        CHECK(bus.disk(node).bad.contains(commit('a')));
    }
}

TEST_CASE("chain: what was superseded before it had succeeded anywhere is not taken up when the newer one fails") {
    Bus bus(3);
    bus.failing_builds.insert("b");
    bus.start_all();
    bus.offer(web2, '0');
    bus.run(seconds(30));
    bus.switches.clear();
    bus.offer(web1, 'a');
    bus.run(Milliseconds(300));  // it is still being built
    const auto newer = bus.offer(web1, 'b');
    bus.run(seconds(120));
    CHECK(bus.switches.empty());
    CHECK(bus.running() == Strings{"0", "0", "0"});
    CHECK(bus.view(web3).newest->target() == newer);
    CHECK(bus.view(web3).newest_halted);
    for (const auto& node : bus.settings.order) CHECK(bus.view(node).waits_for.empty());
}

TEST_CASE("chain: what had succeeded somewhere before it was superseded is finished when the newer one fails") {
    Bus bus(3);
    bus.failing_builds.insert("b");
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(Milliseconds(3'100));
    REQUIRE(bus.running() == Strings{"a", "-", "-"});
    bus.offer(web1, 'b');
    bus.run(seconds(120));
    CHECK(bus.running() == Strings{"a", "a", "a"});
}

TEST_CASE("chain: a database that was forgotten is refused with what to do about it") {
    Bus bus(3);
    bus.start_all();
    bus.kill(web3);
    bus.order(web1, Forget{web3});
    bus.run(seconds(2));
    bus.start(web3);
    bus.run(seconds(10));
    CHECK_THAT(bus.view(web3).waits_for, Catch::Contains("empty its state_dir"));
    CHECK_THROWS_WITH(bus.order(web1, Accept{web3}), Catch::Contains("empty its state_dir"));
    bus.kill(web3);
    bus.wipe(web3);
    bus.start(web3);
    bus.run(seconds(5));
    CHECK_NOTHROW(bus.order(web1, Accept{web3}));
    bus.run(seconds(10));
    CHECK(bus.view(web3).may_grant);
}

TEST_CASE("chain: a canary that is put back while it bakes does not say that it runs what failed") {
    Bus bus(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    bus.settings.policy.bake_time = seconds(60);
    for (const auto& node : bus.settings.order) {
        bus.kill(node);
        bus.start(node);
    }
    bus.run(seconds(1));
    bus.offer(web1, 'b');
    bus.run(seconds(10));
    REQUIRE(bus.view(web1).baking);
    CHECK_THAT(bus.view(web1).waits_for, Catch::Contains("watched for"));
    const bool restarted = GENERATE(false, true);
    if (restarted) {
        bus.kill(web1);
        bus.nodes[web1].up = false;
        bus.start(web1);
    } else {
        bus.feed(web1, [&](Machine& m) { return m.health(bus.now, false); });
    }
    CHECK(bus.view(web1).current->commit == commit('a'));
    bus.run(seconds(30));
    CHECK(bus.restores.size() == 1);
    CHECK(bus.view(web1).phase == Phase::idle);
    CHECK(bus.view(web1).current->commit == commit('a'));
    CHECK(bus.view(web2).newest_halted);
}

TEST_CASE("chain: a re-installed node that nobody has accepted builds nothing ahead, and so halts nothing") {
    Bus bus(3);
    bus.settings.policy.prepare_ahead = std::nullopt;
    bus.settings.policy.handoff_timeout = seconds(3);
    bus.start_all();
    bus.offer(web1, 'a');
    bus.run(seconds(30));
    bus.kill(web3);
    bus.wipe(web3);
    bus.start(web3);
    bus.run(seconds(5));
    bus.failing_builds.insert("web3:b");
    bus.builds.clear();
    bus.offer(web1, 'b');
    bus.run(seconds(60));
    CHECK(bus.running() == Strings{"b", "b", "a"});
    CHECK_FALSE(bus.view(web1).newest_halted);
    CHECK(std::count(bus.builds.begin(), bus.builds.end(), "web3:b ahead") == 0);
}
