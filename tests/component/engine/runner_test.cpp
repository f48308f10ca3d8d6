// SPDX-License-Identifier: MIT
// The runner's records: nothing is built twice under one attempt, nobody else writes over them, none stays open.
#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <mutex>

#include "agent/build/traffic/service_state.h"
#include "agent/engine/runner.h"
#include "common/file.h"
#include "common/process/process.h"
#include "common/text.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace std::chrono_literals;
using wire::BuildState;
using wire::Stage;

namespace {

/// Keeps what the runner tells; Catch's assertions stay on the test's thread.
class Heard final : public engine::RunnerEvents {
  public:
    void build_changed(const store::BuildRecord& /*record*/) override {}
    void build_ready(const wire::Target& /*target*/, bool /*deploys*/, bool /*once*/) override { add("ready"); }
    void build_failed(const wire::Target& /*target*/, const std::string& /*reason*/) override { add("failed"); }
    void once_started(const chain::Ticket& /*ticket*/) override {}
    void once_done(const chain::Ticket& /*ticket*/) override {}
    void switched(const chain::Ticket& /*ticket*/, const wire::Rollout& /*rollout*/, chain::SwitchEnd /*end*/,
                  const std::string& /*reason*/) override {
        add("switched");
    }
    [[nodiscard]] std::vector<std::string> all() const {
        const std::lock_guard lock(mutex_);
        return heard_;
    }

  private:
    void add(const std::string& what) {
        const std::lock_guard lock(mutex_);
        heard_.push_back(what);
    }
    mutable std::mutex mutex_;
    std::vector<std::string> heard_;
};

/// A node with one app, whose pipeline is given, and its runner.
class Node {
  public:
    explicit Node(const std::string& pipeline) {
        const auto repository = dir / "repo";
        std::filesystem::create_directories(repository);
        std::filesystem::create_directories(dir / "state");
        std::filesystem::create_directories(dir / "srv");
        write_file_atomically(repository / "baton.yaml", pipeline);
        shell("git init -q -b main . && git add -A && git -c user.name=a -c user.email=a@example.com commit -q -m one");
        config.state_dir = dir / "state";
        config.self = NodeName("web1");
        config::Node self;
        self.name = config.self;
        self.address = {"127.0.0.1", 7070};
        config.nodes = {self};
        config::App app;
        app.name = AppName("shop");
        app.repository = repository.string();
        app.deploy_to = dir / "srv";
        config.apps[app.name] = app;
        rollout.app = app.name;
        rollout.key = {0, RolloutId("01HZZZZZZZZZZZZZZZZZZZZZZZ")};
        rollout.commit = CommitId(std::string(trim(shell("git rev-parse HEAD"))));
        rollout.started_on = config.self;
        store.emplace(dir / "baton.db");
        const auto& own = config.apps.at(app.name);
        runner.emplace(engine::RunnerContext{config, own, *store, clock, slots, heard, service, {}, seal});
    }

    std::string shell(const std::string& text) {
        process::Command command;
        command.argv = {"/bin/sh", "-c", text};
        command.directory = dir / "repo";
        command.environment = {"PATH=/usr/bin:/bin", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=/nonexistent"};
        command.timeout = 20s;
        std::string output;
        const auto result = process::run(command, [&](std::string_view bytes) { output += bytes; }, {});
        INFO(output);
        REQUIRE(result.ok());
        return output;
    }
    [[nodiscard]] std::vector<store::BuildRecord> builds() const { return store->builds.list(rollout.app, 10); }
    [[nodiscard]] bool in_stage(Stage stage) const {
        const auto all = builds();
        return !all.empty() && all.front().stage == stage;
    }

    test::TempDir dir;
    config::AgentConfig config;
    wire::Rollout rollout;
    SystemClock clock;
    engine::Slots slots{2};
    build::ServiceState service;
    Heard heard;
    std::shared_ptr<net::ClusterKeyRing> keys =
        std::make_shared<net::ClusterKeyRing>(net::ClusterKeys::parse(net::generate_key_line(SystemClock().wall())));
    engine::ParameterSeal seal{keys, NodeName("web1"), clock};
    std::optional<store::Store> store;
    std::optional<engine::Runner> runner;
};

constexpr const char* deploys = "switch: {restart: [{run: 'true'}]}\n";

}  // namespace

TEST_CASE("runner: a build that has failed is not built again under the same attempt, but told again") {
    Node node("test: [{run: 'false'}]\n");
    node.runner->prepare(node.rollout, false);
    node.runner->prepare(node.rollout, false);
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 2; }, 20s));
    CHECK(node.heard.all() == std::vector<std::string>{"failed", "failed"});
    REQUIRE(node.builds().size() == 1);
    ++node.rollout.attempt;
    node.runner->prepare(node.rollout, false);
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 3; }, 20s));
    CHECK(node.builds().size() == 2);
}

TEST_CASE("runner: what the protocol waits for is not written over a build that still tests") {
    Node node(std::string("test: [{run: 'while [ ! -e ../../go ]; do sleep 0.02; done'}]\n") + deploys);
    const auto go = engine::AppPaths(node.config.state_dir, node.rollout.app).workspaces.parent_path() / "go";
    node.runner->prepare(node.rollout, false);
    REQUIRE(test::eventually([&] { return node.in_stage(Stage::test); }, 20s));
    node.runner->records().note_stage(node.rollout.target(), Stage::permit, "its turn");
    CHECK(node.builds().front().stage == Stage::test);
    CHECK(node.builds().front().message.empty());
    write_file_atomically(go, "");
    REQUIRE(test::eventually([&] { return node.in_stage(Stage::permit); }, 20s));
    node.runner->records().note_stage(node.rollout.target(), Stage::permit, "its turn");
    CHECK(node.builds().front().message == "its turn");
}

TEST_CASE("runner: a cancel ends a build in whatever stage it meets it, and its record with it") {
    Node node(std::string("test: [{run: 'sleep 30'}]\n") + deploys);
    const auto target = node.rollout.target();
    node.runner->prepare(node.rollout, false);
    CHECK(node.runner->has(target));
    REQUIRE(test::eventually([&] { return node.in_stage(Stage::test); }, 20s));
    CHECK(node.runner->cancel(target, BuildState::superseded, "a newer one"));
    REQUIRE(test::eventually([&] { return !node.runner->has(target); }, 20s));
    CHECK(node.builds().front().state == BuildState::superseded);
    CHECK(node.builds().front().message == "a newer one");
    CHECK(node.heard.all().empty());
    CHECK(node.store->builds.unfinished().empty());
}

TEST_CASE("runner: a switch whose end was stored and not heard of goes on in the record that it had") {
    Node node(std::string("test: [{run: 'true'}]\n") + deploys);
    const chain::Ticket ticket{1, 1};
    node.runner->prepare(node.rollout, false);
    REQUIRE(test::eventually([&] { return node.heard.all() == std::vector<std::string>{"ready"}; }, 20s));
    node.runner->switch_over(ticket, node.rollout, {});
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 2; }, 20s));
    const auto release = node.builds().front().release_path;
    build::SwitchOptions redo;
    redo.redo = true;
    node.runner->switch_over(ticket, node.rollout, redo);
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 3; }, 20s));
    REQUIRE(node.builds().size() == 1);
    CHECK(node.builds().front().state == BuildState::succeeded);
    CHECK(node.builds().front().release_path == release);
    CHECK(std::filesystem::read_symlink(node.dir / "srv" / "current").filename() ==
          std::filesystem::path(release).filename());
}

TEST_CASE("runner: an app that is brought up after a boot writes over no record") {
    Node node(std::string("test: [{run: 'true'}]\n") + deploys);
    node.runner->prepare(node.rollout, false);
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 1; }, 20s));
    node.runner->switch_over({1, 1}, node.rollout, {});
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 2; }, 20s));
    const auto before = node.builds().front();
    node.runner->bring_up(node.rollout);
    REQUIRE(test::eventually([&] { return !node.runner->has(node.rollout.target()); }, 20s));
    const auto after = node.builds().front();
    CHECK(after.rollout == before.rollout);
    CHECK(after.state == before.state);
    CHECK(after.stage == before.stage);
    CHECK(after.finished_ms == before.finished_ms);
}

TEST_CASE("runner: a password that cannot be read fails a build, and undoes a switch that had begun") {
    Node node(std::string("test: [{run: 'true'}]\n") + "switch: {restart: [{run: 'test \"$PASSWORD\" != lost'}]}\n");
    auto& app = node.config.apps.at(node.rollout.app);
    config::Parameter password;
    password.name = "PASSWORD";
    password.type = config::Parameter::Type::password;
    app.parameters = {password};
    const auto readable = node.seal.seal(app, {{"PASSWORD", "right"}});
    const std::string from_elsewhere = "sealed:gone:QUJDREVGR0hJSktMTU5PUFFSU1Q=";

    node.rollout.parameters = readable;
    node.runner->prepare(node.rollout, false);
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 1; }, 20s));
    node.runner->switch_over({1, 1}, node.rollout, {});
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 2; }, 20s));
    CHECK(node.builds().front().state == BuildState::succeeded);
    const auto first = std::filesystem::read_symlink(node.dir / "srv" / "current");

    // The same commit again, sealed with a key that is gone.
    auto lost = node.rollout;
    lost.key.id = RolloutId("01HZZZZZZZZZZZZZZZZZZZZZZY");
    lost.parameters = {{"PASSWORD", from_elsewhere}};
    node.runner->prepare(lost, false);
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 3; }, 20s));
    CHECK(node.heard.all().back() == "failed");
    CHECK(node.builds().front().message.find("trigger again") != std::string::npos);

    lost.parameters = readable;
    ++lost.attempt;
    node.runner->prepare(lost, false);
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 4; }, 20s));
    lost.parameters = {{"PASSWORD", from_elsewhere}};
    build::SwitchOptions redo;
    redo.redo = true;
    node.runner->switch_over({2, 1}, lost, redo);
    REQUIRE(test::eventually([&] { return node.heard.all().size() == 5; }, 20s));
    CHECK(node.builds().front().state == BuildState::restored);
    CHECK(std::filesystem::read_symlink(node.dir / "srv" / "current") == first);
}

TEST_CASE("runner: workspaces that a killed agent has left behind are gone with the next build") {
    Node node("test: [{run: 'test ! -e ../77 && test ! -e ../77@tmp && test -d .'}]\n");
    const auto workspaces = engine::AppPaths(node.config.state_dir, node.rollout.app).workspaces;
    for (const char* left : {"77", "77@tmp"}) {
        std::filesystem::create_directories(workspaces / left / "read-only");
        std::filesystem::permissions(workspaces / left / "read-only", std::filesystem::perms::owner_read);
    }
    node.runner->prepare(node.rollout, false);
    REQUIRE(test::eventually([&] { return !node.heard.all().empty(); }, 20s));
    CHECK(node.heard.all().front() == "ready");
    CHECK(std::filesystem::is_empty(workspaces));
}
