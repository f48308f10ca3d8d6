// SPDX-License-Identifier: MIT
// A switch over the agent's own end: what is left in verify, what the next start finds, what a person keeps out.
#include <catch2/catch.hpp>

#include "agent/build/build.h"
#include "agent/build/strategy/publisher.h"
#include "agent/build/traffic/service_state.h"
#include "common/file.h"
#include "tests/component/build/fixture.h"

using namespace baton;
using namespace baton::build;
using baton::test::AppFixture;

namespace {

CommitId version(AppFixture& app, const std::string& name) {
    app.put("version", name + "\n");
    return app.commit();
}

std::size_t restarts(const AppFixture& app) {
    const auto log = app.log();
    std::size_t count = 0;
    for (auto at = log.find("restart.sh"); at != std::string::npos; at = log.find("restart.sh", at + 1)) {
        count += log.compare(at - std::min<std::size_t>(at, 8), 8, "step sh ") == 0 &&
                 log.find(": ok", at) < log.find('\n', at);
    }
    return count;
}

SwitchResult leave_in_verify(AppFixture& app, const BuildSpec& spec, const Prepared& prepared) {
    std::stop_source ending;
    ending.request_stop();
    SwitchOptions options;
    options.leave = ending.get_token();
    return switch_over(spec, prepared.pipeline, prepared.release, options, app.listener, {});
}

}  // namespace

TEST_CASE("resume: an agent that ends leaves its switch in verify, and the next start does not restart the app again") {
    AppFixture app;
    app.put_pipeline("");
    const auto commit = version(app, "one");
    const auto spec = app.spec(commit);
    const auto prepared = prepare(spec, app.listener, {});
    const auto left = leave_in_verify(app, spec, prepared);
    INFO(app.log());
    REQUIRE(left.outcome == SwitchOutcome::left);
    REQUIRE(left.cost->kind == SwitchCost::Kind::unknown);
    REQUIRE(Publisher(app.dir / "srv", std::nullopt).switch_under_way());
    REQUIRE(app.listener.stages.back() == "verify");
    REQUIRE(restarts(app) == 1);

    SwitchOptions redo;
    redo.redo = true;
    const auto result = switch_over(spec, prepared.pipeline, prepared.release, redo, app.listener, {});
    REQUIRE(result.outcome == SwitchOutcome::in_service);
    REQUIRE(result.cost->kind == SwitchCost::Kind::unknown);
    REQUIRE(restarts(app) == 1);
    REQUIRE(app.ask("/") == commit.str() + " one");
    REQUIRE_FALSE(Publisher(app.dir / "srv", std::nullopt).switch_under_way());
}

TEST_CASE("resume: what was restarted and is gone by the next start is restarted once more") {
    AppFixture app;
    app.put_pipeline("");
    const auto spec = app.spec(version(app, "one"));
    const auto prepared = prepare(spec, app.listener, {});
    REQUIRE(leave_in_verify(app, spec, prepared).outcome == SwitchOutcome::left);
    app.shell("kill -9 $(cat ../app.pid)");  // with the agent, as in its control group
    SwitchOptions redo;
    redo.redo = true;
    REQUIRE(switch_over(spec, prepared.pipeline, prepared.release, redo, app.listener, {}).outcome ==
            SwitchOutcome::in_service);
    REQUIRE(restarts(app) == 2);
}

TEST_CASE("resume: a switch whose health check does not name the release is finished before the agent ends") {
    AppFixture app;
    app.put_pipeline("");
    app.shell("sed -i /expect_body/d baton.yaml");
    const auto spec = app.spec(version(app, "one"));
    const auto prepared = prepare(spec, app.listener, {});
    INFO(app.log());
    REQUIRE(leave_in_verify(app, spec, prepared).outcome == SwitchOutcome::in_service);
}

TEST_CASE("resume: a health command that compares the release names it") {
    AppFixture app;
    app.put_pipeline("");
    app.shell("sed -i -e '/expect_body/d' -e 's|http: .*|command: test -d \"$BATON_RELEASE_DIR\"|' baton.yaml");
    const auto spec = app.spec(version(app, "one"));
    const auto prepared = prepare(spec, app.listener, {});
    REQUIRE(leave_in_verify(app, spec, prepared).outcome == SwitchOutcome::left);
}

TEST_CASE("resume: a step knows the program of the agent that runs it") {
    AppFixture app;
    app.put_pipeline("prepare:\n  - run: test \"$BATON_AGENT_PROGRAM\" = " +
                     std::filesystem::read_symlink("/proc/self/exe").string() + "\n");
    const auto prepared = prepare(app.spec(version(app, "one")), app.listener, {});
    REQUIRE(std::filesystem::is_directory(prepared.release));
}

TEST_CASE("service: what a person drained stays out however a switch ends, until it is taken back") {
    ServiceState state;
    state.set_drained(true);
    CHECK_FALSE(state.ready());
    CHECK(state.agent_check_answer() == "drain\n");
    state.set_mode(ServiceMode::draining);
    state.set_mode(ServiceMode::rejoining);
    CHECK_FALSE(state.ready());
    state.set_mode(ServiceMode::serving);
    CHECK_FALSE(state.ready());
    CHECK(state.agent_check_answer() == "drain\n");
    state.set_drained(false);
    CHECK(state.ready());
    CHECK(state.agent_check_answer() == "up ready\n");
}
