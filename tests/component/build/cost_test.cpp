// SPDX-License-Identifier: MIT
// What a switch costs users: the arithmetic of looks and marks, and the probe on a real app that restarts.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "agent/build/build.h"
#include "agent/build/cost/downtime_probe.h"
#include "agent/build/cost/switch_meter.h"
#include "agent/build/strategy/publisher.h"
#include "common/clock.h"
#include "common/error.h"
#include "tests/component/build/fixture.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace baton::build;
using baton::test::AppFixture;
using baton::test::eventually;

namespace {

Instant at(int ms) { return Instant(Milliseconds(ms)); }

DarkTime seen(const std::vector<std::pair<int, bool>>& looks) {
    DarkTime dark;
    for (const auto& [ms, good] : looks) dark.add({at(ms), at(good ? ms + 3 : ms), good});
    return dark;
}

SwitchResult deploy(AppFixture& app, const SwitchOptions& options = {}) {
    const auto spec = app.spec(app.commit());
    const auto prepared = prepare(spec, app.listener, {});
    return switch_over(spec, prepared.pipeline, prepared.release, options, app.listener, {});
}

class HandClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override { return wall_; }
    [[nodiscard]] Instant now() const override { return now_; }
    void pass(Milliseconds time) {
        wall_ += time;
        now_ += time;
    }
    /// Somebody sets the time, or the machine slept, which the monotonic clock does not count.
    void jump(Milliseconds by) { wall_ += by; }

  private:
    WallTime wall_ = from_epoch_ms(1'763'942'400'000);
    Instant now_{Milliseconds(5'000'000)};
};

/// The app's restart, with a pause between the end of the old process and the start of the new one.
void put_slow_restart(AppFixture& app, const std::string& seconds) {
    app.put("restart.sh",
            "if [ -f \"$1\" ]; then kill -9 $(cat \"$1\"); fi\nsleep " + seconds +
                "\nsetsid /usr/bin/python3 server.py \"$2\" </dev/null >/dev/null 2>&1 &\necho $! > \"$1\"\n");
}

/// A load balancer that is told through a file: it lets go at once.
void use_file_traffic(AppFixture& app) {
    app.agent.traffic.method = config::TrafficMethod::file;
    app.agent.traffic.file = app.dir / "out";
    app.agent.traffic.settle = Milliseconds(100);
}

}  // namespace

TEST_CASE("cost: a border between good and bad lies halfway between the two looks") {
    const auto dark = seen({{0, true}, {40, true}, {80, false}, {120, false}, {160, true}, {200, true}});
    REQUIRE(dark.spells().size() == 1);
    CHECK(dark.spells()[0].from == at(60));
    CHECK(dark.spells()[0].to == at(140));
    CHECK(dark_in_all(dark.spells()) == Milliseconds(80));
    CHECK(dark_within(dark.spells(), at(100), at(1000)) == Milliseconds(40));
    CHECK(dark_within(dark.spells(), at(140), at(1000)) == Milliseconds(0));
    CHECK(dark_within(dark.spells(), at(0), at(70)) == Milliseconds(10));
}

TEST_CASE("cost: a look that hangs until the app is gone is dark to its end") {
    DarkTime dark;
    dark.add({at(0), at(3), true});
    dark.add({at(40), at(1'000), false});
    dark.add({at(1'040), at(1'043), true});
    REQUIRE(dark.spells().size() == 1);
    CHECK(dark.spells()[0].from == at(20));
    CHECK(dark.spells()[0].to == at(1'020));
}

TEST_CASE("cost: an app that never answered cannot go dark; one that is dark at the end is so until the end") {
    auto never = seen({{0, false}, {40, false}});
    never.finish(at(100));
    CHECK(never.spells().empty());
    CHECK_FALSE(never.ever_good());
    CHECK(never.dark());
    auto later = seen({{0, false}, {40, true}, {80, false}});
    later.finish(at(1000));
    REQUIRE(later.spells().size() == 1);
    CHECK(dark_in_all(later.spells()) == Milliseconds(940));
    CHECK(later.dark());
}

TEST_CASE("cost: spells beyond the limit are added to the last one, never lost") {
    DarkTime dark;
    const int flaps = static_cast<int>(DarkTime::most_spells) + 10;
    for (int i = 0; i < flaps; ++i) {
        dark.add({at(i * 100), at(i * 100 + 1), true});
        dark.add({at(i * 100 + 50), at(i * 100 + 51), false});
    }
    dark.add({at(flaps * 100), at(flaps * 100), true});
    CHECK(dark.spells().size() == DarkTime::most_spells);
    CHECK(dark_in_all(dark.spells()) >= Milliseconds(flaps * 50));
}

TEST_CASE("cost: dark counts as exposed unless the load balancer has let go and was not asked back") {
    SwitchTimes times;
    times.drain = at(0);
    times.stop = at(1'100);
    times.healthy = at(2'000);
    times.rejoin = at(3'000);
    times.back = at(3'500);
    times.end = at(3'600);
    // Dark before it let go, while it had, and after it was asked back.
    const std::vector<Spell> dark{{at(500), at(1'100)}, {at(1'200), at(2'000)}, {at(2'900), at(3'100)}};
    const auto undrained = cost_of(times, &dark);
    CHECK(undrained.kind == SwitchCost::Kind::measured);
    CHECK(undrained.dark_ms == 1'600);
    CHECK(undrained.exposed_ms == 1'600);
    CHECK(undrained.outages_ms == std::vector<std::int64_t>{600, 800, 200});
    CHECK(undrained.out_ms == 0);
    times.acknowledged = at(1'000);
    times.drained = at(1'050);
    const auto drained = cost_of(times, &dark);
    CHECK(drained.dark_ms == 1'600);
    CHECK(drained.exposed_ms == 500 + 100);
    CHECK(drained.outages_ms == std::vector<std::int64_t>{500, 100});
    CHECK(drained.out_ms == 2'500);
    CHECK(drained.drain_ms == 1'050);
    CHECK(drained.restart_ms == 900);
    CHECK(drained.rejoin_ms == 500);
}

TEST_CASE(
    "cost: dark that began between two looks around the stop began with the stop, any other where it was guessed") {
    SwitchTimes times;
    times.drain = at(0);
    times.acknowledged = at(115);
    times.stop = at(120);
    times.rejoin = at(900);
    times.end = at(1'000);
    auto around = seen({{100, true}, {130, false}, {300, true}});
    CHECK(cost_of(times, &around.spells()).dark_ms == 215 - 120);
    CHECK(cost_of(times, &around.spells()).exposed_ms == 0);
    // Down before the stop, and by itself: the guess of the middle stands.
    auto before = seen({{60, true}, {110, false}, {300, true}});
    CHECK(cost_of(times, &before.spells()).dark_ms == 205 - 85);
    CHECK(cost_of(times, &before.spells()).exposed_ms == 115 - 85);
}

TEST_CASE("cost: without a health check the app is taken to be dark while its steps ran, and it says assumed") {
    SwitchTimes times;
    times.drain = at(0);
    times.stop = at(100);
    times.started = at(1'400);
    times.rejoin = times.back = at(1'500);
    times.end = at(1'500);
    const auto cost = cost_of(times, nullptr);
    CHECK(cost.kind == SwitchCost::Kind::assumed);
    CHECK(cost.dark_ms == 1'300);
    CHECK(cost.exposed_ms == 1'300);
    CHECK(cost.outages_ms == std::vector<std::int64_t>{1'300});
    times.acknowledged = at(50);
    CHECK(cost_of(times, nullptr).exposed_ms == 0);
}

TEST_CASE("cost: a clock that jumps during a switch leaves what it cost unknown, not small") {
    AppFixture app;
    const auto spec = app.spec(CommitId(std::string(40, 'a')));
    const auto kind_after = [&](std::chrono::milliseconds jump) {
        HandClock clock;
        SwitchMeter meter(spec, clock);
        clock.pass(Milliseconds(100));
        meter.stop();
        clock.pass(Milliseconds(400));
        clock.jump(jump);
        clock.pass(Milliseconds(900));
        meter.started();
        const auto cost = meter.finish(true, true);
        // Told as a lower bound, by the clock that nobody sets.
        CHECK(cost.dark_ms == 1'300);
        return cost.kind;
    };
    CHECK(kind_after(Milliseconds(0)) == SwitchCost::Kind::assumed);
    // What NTP slews, and a scheduler that stands still between two readings.
    CHECK(kind_after(Milliseconds(1'000)) == SwitchCost::Kind::assumed);
    CHECK(kind_after(Milliseconds(-1'000)) == SwitchCost::Kind::assumed);
    CHECK(kind_after(Milliseconds(1'001)) == SwitchCost::Kind::unknown);
    CHECK(kind_after(Milliseconds(-1'001)) == SwitchCost::Kind::unknown);
    CHECK(kind_after(std::chrono::hours(1)) == SwitchCost::Kind::unknown);
}

TEST_CASE("cost: a probe sees how long an app does not answer") {
    std::atomic<bool> good{true};
    std::atomic<int> asked{0};
    const SystemClock clock;
    // On a machine that is busy looks come late, and this test's own changes too: so much is not known.
    Instant looked = clock.now();
    Milliseconds longest_gap{0};
    DowntimeProbe probe({[&](const std::stop_token&) {
                             const auto now = clock.now();
                             longest_gap = std::max(longest_gap, now - looked);
                             looked = now;
                             ++asked;
                             return good.load();
                         },
                         Milliseconds(10)});
    REQUIRE(asked.load() >= 1);
    REQUIRE(eventually([&] { return asked.load() > 5; }));
    const auto began = clock.now();
    good = false;
    auto unsure = clock.now() - began;
    REQUIRE(eventually([&] { return clock.now() - began > Milliseconds(300); }));
    const auto still_bad = clock.now();
    good = true;
    const auto ended = clock.now();
    unsure += ended - still_bad;
    const int before = asked.load();
    REQUIRE(eventually([&] { return asked.load() > before + 3; }));
    const auto found = probe.finish();
    CHECK(found.ever_good);
    CHECK_FALSE(found.dark_at_end);
    REQUIRE(found.dark.size() == 1);
    const auto margin = Milliseconds(60) + unsure + longest_gap;
    CHECK(dark_in_all(found.dark).count() == Approx((ended - began).count()).margin(margin.count()));
}

TEST_CASE("cost: while a probe is held it asks nothing, and what cannot be asked is not watched") {
    std::atomic<int> asked{0};
    DowntimeProbe probe({[&](const std::stop_token&) {
                             ++asked;
                             return true;
                         },
                         Milliseconds(1)});
    {
        const DowntimeProbe::Hold hold(probe);
        const int before = asked.load();
        CHECK_FALSE(eventually([&] { return asked.load() != before; }, Milliseconds(100)));
    }
    probe.ask(
        {[](const std::stop_token&) -> bool { throw Error(ErrorKind::invalid, "no such URL"); }, Milliseconds(1)});
    const auto found = probe.finish();
    CHECK(found.unwatched);
}

TEST_CASE("cost: an app that is restarted without a drain is dark as long as it is down, all of it exposed") {
    AppFixture app;
    app.put_pipeline("");
    app.put("version", "one\n");
    put_slow_restart(app, "2");
    const auto first = deploy(app);
    INFO(app.log());
    REQUIRE(first.outcome == SwitchOutcome::in_service);
    REQUIRE(first.cost);
    CHECK(first.cost->kind == SwitchCost::Kind::measured);
    CHECK(first.cost->dark_ms == 0);  // nobody was served before
    app.put("version", "two\n");
    const auto second = deploy(app);
    REQUIRE(second.outcome == SwitchOutcome::in_service);
    REQUIRE(second.cost);
    CHECK(second.cost->kind == SwitchCost::Kind::measured);
    // From the end of the old process: 2 s and the start of an interpreter; looks of a busy machine come late.
    CHECK(second.cost->dark_ms >= 1'500);
    CHECK(second.cost->dark_ms <= second.cost->restart_ms + 500);
    CHECK(second.cost->restart_ms >= 2'000);
    CHECK(second.cost->exposed_ms == second.cost->dark_ms);
    CHECK(second.cost->out_ms == 0);
}

TEST_CASE("cost: an app that is restarted under a drain is dark, and nobody is exposed to it") {
    AppFixture app;
    use_file_traffic(app);
    app.put_pipeline("");
    app.put("version", "one\n");
    put_slow_restart(app, "1");
    REQUIRE(deploy(app).outcome == SwitchOutcome::in_service);
    app.put("version", "two\n");
    const auto result = deploy(app);
    INFO(app.log());
    REQUIRE(result.outcome == SwitchOutcome::in_service);
    CHECK(result.cost->kind == SwitchCost::Kind::measured);
    CHECK(result.cost->dark_ms >= 500);
    CHECK(result.cost->exposed_ms == 0);
    CHECK(result.cost->drain_ms >= 100);
    CHECK(result.cost->out_ms >= result.cost->restart_ms);
    CHECK(result.cost->rejoin_ms >= 100);
}

TEST_CASE("cost: a sick release costs until the one before it is back, and one that stays down is unknown") {
    AppFixture app;
    app.put_pipeline("");
    app.put("version", "one\n");
    REQUIRE(deploy(app).outcome == SwitchOutcome::in_service);
    app.put("sick", "yes");
    const auto undone = deploy(app);
    REQUIRE(undone.outcome == SwitchOutcome::restored);
    CHECK(undone.cost->kind == SwitchCost::Kind::measured);
    CHECK(undone.cost->dark_ms >= 8'000);  // its healthy_deadline
    CHECK(undone.cost->exposed_ms == undone.cost->dark_ms);
    app.put("sick", "");
    app.put("restart.sh", "exit 3\n");
    const auto spec = app.spec(app.commit());
    const auto prepared = prepare(spec, app.listener, {});
    const auto old = std::filesystem::canonical(app.dir / "srv/current");
    app.dir.write("srv/releases/" + old.filename().string() + "/restart.sh", "kill -9 $(cat $1); exit 3\n");
    const auto stuck = switch_over(spec, prepared.pipeline, prepared.release, {}, app.listener, {});
    REQUIRE(stuck.outcome == SwitchOutcome::stuck);
    CHECK(stuck.cost->kind == SwitchCost::Kind::unknown);
}

TEST_CASE("cost: a switch that was cut off and is done again is unknown, never nothing") {
    AppFixture app;
    app.put_pipeline("");
    app.put("version", "one\n");
    REQUIRE(deploy(app).outcome == SwitchOutcome::in_service);
    app.put("version", "two\n");
    SwitchOptions again;
    again.redo = true;
    const auto result = deploy(app, again);
    REQUIRE(result.outcome == SwitchOutcome::in_service);
    CHECK(result.cost->kind == SwitchCost::Kind::unknown);
}

TEST_CASE("cost: an app that is dark when the switch is over costs nobody knows how much") {
    AppFixture app;
    app.put_pipeline("");
    app.put("version", "one\n");
    REQUIRE(deploy(app).outcome == SwitchOutcome::in_service);
    app.agent.traffic.method = config::TrafficMethod::command;
    app.agent.traffic.leave_command = "true";
    app.agent.traffic.rejoin_command = "kill -9 $(cat " + (app.dir / "app.pid").string() + ")";
    app.put("version", "two\n");
    const auto result = deploy(app);
    INFO(app.log());
    REQUIRE(result.outcome == SwitchOutcome::in_service);
    CHECK(result.cost->kind == SwitchCost::Kind::unknown);
}

TEST_CASE("cost: a health command is asked as well, only less often") {
    AppFixture app;
    app.put("baton.yaml", "switch:\n  restart:\n    - run: rm -f " + (app.dir / "up").string() + "; sleep 4; touch " +
                              (app.dir / "up").string() + "\nhealth:\n  command: test -e " + (app.dir / "up").string() +
                              "\n  interval: 50ms\n  timeout: 1s\n  min_healthy_time: 200ms\n  healthy_deadline: 20s\n");
    app.put("version", "one\n");
    REQUIRE(deploy(app).outcome == SwitchOutcome::in_service);
    app.put("version", "two\n");
    const auto result = deploy(app);
    INFO(app.log());
    REQUIRE(result.outcome == SwitchOutcome::in_service);
    CHECK(result.cost->kind == SwitchCost::Kind::measured);
    // Half the time between two looks at either end.
    CHECK(result.cost->dark_ms >= 2'000);
    CHECK(result.cost->dark_ms <= 7'000);
    CHECK(result.cost->exposed_ms == result.cost->dark_ms);
}

TEST_CASE("cost: an app without a health check is assumed to be down while it restarts") {
    AppFixture app;
    app.put("baton.yaml", "switch:\n  restart:\n    - run: sleep 0.5\n");
    app.put("version", "one\n");
    const auto result = deploy(app);
    REQUIRE(result.outcome == SwitchOutcome::in_service);
    CHECK(result.cost->kind == SwitchCost::Kind::assumed);
    CHECK(result.cost->dark_ms >= 500);
    CHECK(result.cost->exposed_ms == result.cost->dark_ms);
}

TEST_CASE("cost: a pipeline that deploys nothing costs nothing, and says nothing") {
    AppFixture app;
    app.put("baton.yaml", "test:\n  - run: \"true\"\n");
    CHECK_FALSE(deploy(app).cost);
}
