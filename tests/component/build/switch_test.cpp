// SPDX-License-Identifier: MIT
// From commit to service and back, with a real repository and a real app.
#include <catch2/catch.hpp>

#include "agent/build/build.h"
#include "agent/build/steps/step_environment.h"
#include "agent/build/strategy/publisher.h"
#include "common/error.h"
#include "common/file.h"
#include "tests/component/build/fixture.h"

using namespace baton;
using namespace baton::build;
using baton::test::AppFixture;

namespace {

SwitchResult deploy(AppFixture& app, const CommitId& commit, const SwitchOptions& options = {}) {
    const auto spec = app.spec(commit);
    const auto prepared = prepare(spec, app.listener, {});
    return switch_over(spec, prepared.pipeline, prepared.release, options, app.listener, {});
}

CommitId version(AppFixture& app, const std::string& name) {
    app.put("version", name + "\n");
    return app.commit();
}

}  // namespace

TEST_CASE("switch: a good release goes into service, and the next one after it") {
    AppFixture app;
    app.put_pipeline("");
    const auto first = version(app, "one");
    const auto result = deploy(app, first);
    INFO(app.log() << result.reason);
    REQUIRE(result.outcome == SwitchOutcome::in_service);
    REQUIRE(app.ask("/") == first.str() + " one");
    const auto second = version(app, "two");
    REQUIRE(deploy(app, second).outcome == SwitchOutcome::in_service);
    REQUIRE(app.ask("/") == second.str() + " two");
    REQUIRE(app.listener.stages == std::vector<std::string>{"fetch", "prepare", "test", "drain", "switch", "verify",
                                                            "rejoin", "fetch", "prepare", "test", "drain", "switch",
                                                            "verify", "rejoin"});
    REQUIRE_FALSE(std::filesystem::exists(app.dir / "srv/current/.git"));
    REQUIRE_FALSE(std::filesystem::exists(app.agent.state_dir / "workspace/1"));
}

TEST_CASE("switch: a sick release is undone, and the one before it is healthy again") {
    AppFixture app;
    app.put_pipeline("");
    const auto good = version(app, "one");
    REQUIRE(deploy(app, good).outcome == SwitchOutcome::in_service);
    app.put("sick", "yes");
    const auto result = deploy(app, version(app, "two"));
    INFO(app.log());
    REQUIRE(result.outcome == SwitchOutcome::restored);
    REQUIRE(result.reason.find("status 500") != std::string::npos);
    REQUIRE(app.ask("/") == good.str() + " one");
    REQUIRE(app.service.ready());
    app.put("sick", "");
    REQUIRE(deploy(app, version(app, "three")).outcome == SwitchOutcome::in_service);
}

TEST_CASE("switch: an app that answers with the wrong version is not healthy") {
    AppFixture app;
    app.put_pipeline("");
    const auto good = version(app, "one");
    REQUIRE(deploy(app, good).outcome == SwitchOutcome::in_service);
    // A restart that restarts nothing: the old process goes on answering 200.
    app.put("restart.sh", "true\n");
    const auto result = deploy(app, version(app, "two"));
    REQUIRE(result.outcome == SwitchOutcome::restored);
    REQUIRE(result.reason.find("does not hold") != std::string::npos);
    REQUIRE(app.ask("/") == good.str() + " one");
}

TEST_CASE("switch: when the release before cannot be put back the node is stuck and says both reasons") {
    AppFixture app;
    app.put_pipeline("");
    REQUIRE(deploy(app, version(app, "one")).outcome == SwitchOutcome::in_service);
    const auto old = std::filesystem::canonical(app.dir / "srv/current");
    app.put("sick", "yes");
    const auto spec = app.spec(version(app, "two"));
    const auto prepared = prepare(spec, app.listener, {});
    app.dir.write("srv/releases/" + old.filename().string() + "/restart.sh", "echo no; exit 3\n");
    const auto result = switch_over(spec, prepared.pipeline, prepared.release, {}, app.listener, {});
    REQUIRE(result.outcome == SwitchOutcome::stuck);
    REQUIRE(result.reason.find("status 500") != std::string::npos);
    REQUIRE(result.reason.find("exit status 3") != std::string::npos);
    REQUIRE_FALSE(app.service.ready());
}

TEST_CASE("switch: a first release that is sick leaves nothing current") {
    AppFixture app;
    app.put_pipeline("");
    app.put("sick", "yes");
    REQUIRE(deploy(app, version(app, "one")).outcome == SwitchOutcome::restored);
    REQUIRE_FALSE(std::filesystem::exists(std::filesystem::symlink_status(app.dir / "srv/current")));
    REQUIRE_FALSE(app.service.ready());
}

TEST_CASE("switch: one that was cut off is put back to the release that was last proved") {
    AppFixture app;
    app.put_pipeline("");
    const auto good = version(app, "one");
    REQUIRE(deploy(app, good).outcome == SwitchOutcome::in_service);
    const auto spec = app.spec(version(app, "two"));
    const auto prepared = prepare(spec, app.listener, {});
    {
        // What a killed agent leaves behind: current has moved, nothing was restarted.
        Publisher publisher(app.dir / "srv", std::nullopt);
        publisher.begin_switch(prepared.release);
        publisher.publish(prepared.release, *prepared.pipeline.switch_over, {});
    }
    SwitchOptions back;
    back.redo = true;
    back.restore_only = true;
    const auto result = switch_over(spec, prepared.pipeline, prepared.release, back, app.listener, {});
    INFO(app.log());
    REQUIRE(result.outcome == SwitchOutcome::restored);
    REQUIRE(app.ask("/") == good.str() + " one");
    SwitchOptions redo;
    redo.redo = true;
    REQUIRE(switch_over(spec, prepared.pipeline, prepared.release, redo, app.listener, {}).outcome ==
            SwitchOutcome::in_service);
}

TEST_CASE("switch: a stop before it began leaves the old release alone") {
    AppFixture app;
    app.put_pipeline("");
    const auto good = version(app, "one");
    REQUIRE(deploy(app, good).outcome == SwitchOutcome::in_service);
    const auto spec = app.spec(version(app, "two"));
    const auto prepared = prepare(spec, app.listener, {});
    std::stop_source stop;
    stop.request_stop();
    REQUIRE(switch_over(spec, prepared.pipeline, prepared.release, {}, app.listener, stop.get_token()).outcome ==
            SwitchOutcome::untouched);
    REQUIRE(app.ask("/") == good.str() + " one");
}

TEST_CASE("switch: migrations marked once run only where they are told to, and a failing one touches nothing") {
    AppFixture app;
    const auto marks = (app.dir / "marks").string();
    app.put_pipeline("migrate:\n  - run: echo each >> " + marks + "\n  - run: echo once >> " + marks +
                     "\n    once: true\n");
    SwitchOptions first;
    first.run_once = true;
    REQUIRE(deploy(app, version(app, "one"), first).outcome == SwitchOutcome::in_service);
    REQUIRE(app.listener.once_finished == 1);
    const auto good = version(app, "two");
    REQUIRE(deploy(app, good).outcome == SwitchOutcome::in_service);
    REQUIRE(read_file(marks, 1'000) == "each\nonce\neach\n");
    app.put_pipeline("migrate:\n  - run: exit 4\n    once: true\n");
    const auto result = deploy(app, version(app, "three"), first);
    REQUIRE(result.outcome == SwitchOutcome::failed);
    REQUIRE(app.listener.once_begun == 2);
    REQUIRE(app.listener.once_finished == 1);
    REQUIRE(app.ask("/") == good.str() + " two");
}

TEST_CASE("prepare: a failing test, a missing report and a broken pipeline each leave no release") {
    AppFixture app;
    app.put("version", "one");
    std::string text;
    const auto refused = [&] {
        try {
            (void)prepare(app.spec(app.commit()), app.listener, {});
        } catch (const Error& error) {
            text = error.text();
            return error.kind();
        }
        return ErrorKind::internal;
    };
    app.put_pipeline("test:\n  - name: unit tests\n    run: exit 1\n");
    REQUIRE(refused() == ErrorKind::step_failed);
    REQUIRE(text == "step \"unit tests\": exit status 1");
    app.put_pipeline("test:\n  - run: 'true'\n    junit: reports/*.xml\n");
    REQUIRE(refused() == ErrorKind::step_failed);
    app.put_pipeline("test:\n  - run: sleep 60\n    timeout: 1s\n");
    REQUIRE(refused() == ErrorKind::step_failed);
    REQUIRE(text.find("timed out") != std::string::npos);
    app.put("baton.yaml", "tset: []\n");
    REQUIRE(refused() == ErrorKind::step_failed);
    REQUIRE(text.find("test") != std::string::npos);
    app.put("baton.yaml", "");
    REQUIRE(refused() == ErrorKind::step_failed);
    for (const auto& entry : std::filesystem::directory_iterator(app.dir / "srv/releases")) {
        REQUIRE(entry.path().filename().string().starts_with("."));
    }
}

TEST_CASE("prepare: reports are read, and going back to a commit whose release is here builds nothing") {
    AppFixture app;
    app.put_pipeline(
        "test:\n  - run: mkdir reports; echo \"<testsuite><testcase name='a'/></testsuite>\" > reports/a.xml\n    "
        "junit: reports/*.xml\n");
    const auto commit = version(app, "one");
    auto spec = app.spec(commit);
    const auto prepared = prepare(spec, app.listener, {});
    REQUIRE(prepared.tests->total == 1);
    REQUIRE_FALSE(std::filesystem::exists(prepared.release / "reports"));  // what tests leave is not published
    spec.rollout.kind = wire::RolloutKind::rollback;
    app.listener.stages.clear();
    REQUIRE(prepare(spec, app.listener, {}).release == prepared.release);
    REQUIRE(app.listener.stages == std::vector<std::string>{"fetch"});
    spec.rollout.kind = wire::RolloutKind::deploy;
    spec.last_green_tests = 100;
    REQUIRE_THROWS_AS(prepare(spec, app.listener, {}), Error);
}

TEST_CASE("prepare: a step sees a clean environment, and declared parameters only") {
    AppFixture app;
    auto& config = app.agent.apps.begin()->second;
    config::Parameter parameter;
    parameter.name = "COLOUR";
    config.parameters.push_back(parameter);
    app.put_pipeline("prepare:\n  - run: env | sort > " + (app.dir / "env").string() +
                     "; stat -c %a%F $WORKSPACE_TMP > $WORKSPACE_TMP/kind; cp $WORKSPACE_TMP/kind " +
                     (app.dir / "kind").string() + "\n    env: {EXTRA: more}\n");
    auto spec = app.spec(version(app, "one"));
    spec.executor = 3;
    spec.rollout.parameters = {{"COLOUR", "blue; rm -rf x"}, {"LD_PRELOAD", "evil.so"}};
    ::setenv("AGENT_TOKEN", "secret", 1);
    (void)prepare(spec, app.listener, {});
    ::unsetenv("AGENT_TOKEN");
    const auto environment = read_file(app.dir / "env", 1 << 16);
    for (const char* line :
         {"BUILD_NUMBER=1\n", "BUILD_TAG=jenkins-shop-1\n", "BUILD_URL=http://web1:7070/job/shop/1/\n", "CI=true\n",
          "COLOUR=blue; rm -rf x\n", "EXTRA=more\n", "GIT_BRANCH=origin/main\n", "JOB_NAME=shop\n", "LANG=C.UTF-8\n",
          "NODE_ADDRESS=127.0.0.1\n", "NODE_NAME=web1\n", "NODE_LABELS=web1\n", "EXECUTOR_NUMBER=3\n",
          "BUILD_DISPLAY_NAME=#1\n", "JOB_BASE_NAME=shop\n", "JOB_URL=http://web1:7070/job/shop/\n",
          "GIT_LOCAL_BRANCH=main\n", "BATON_STAGE=prepare\n", "BATON_CANARY=true\n"}) {
        INFO(line);
        REQUIRE(environment.find(line) != std::string::npos);
    }
    REQUIRE(environment.find("GIT_COMMIT=" + spec.rollout.commit.str()) != std::string::npos);
    REQUIRE(environment.find("JENKINS_HOME=" + app.agent.state_dir.string() + "\n") != std::string::npos);
    REQUIRE(environment.find("WORKSPACE_TMP=" + spec.workspace.string() + "@tmp\n") != std::string::npos);
    CHECK(read_file(app.dir / "kind", 100) == "700directory\n");
    CHECK_FALSE(std::filesystem::exists(spec.workspace));
    CHECK_FALSE(std::filesystem::exists(spec.temporary()));
    REQUIRE(environment.find("BATON_STEP_OWNER=" + step_owner(app.agent)) != std::string::npos);
    REQUIRE(environment.find("AGENT_TOKEN") == std::string::npos);
    REQUIRE(environment.find("LD_PRELOAD") == std::string::npos);
}
