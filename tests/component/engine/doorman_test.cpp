// SPDX-License-Identifier: MIT
// What a load balancer that does not ask is told outside of switches.
#include "agent/engine/doorman.h"

#include <catch2/catch.hpp>

#include "common/file.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace std::chrono_literals;

namespace {

struct Node {
    Node() {
        config.self = NodeName("web1");
        config::Node self;
        self.name = config.self;
        self.address = {"127.0.0.1", 7070};
        config.nodes = {self};
        config.traffic.settle = 1ms;
        config.traffic.drain_timeout = 60s;
        app.name = AppName("shop");
    }
    /// `sh -c` as the way out and as the way back.
    engine::Doorman& commands(const std::string& leave, const std::string& rejoin) {
        config.traffic.method = config::TrafficMethod::command;
        config.traffic.leave_command = "cd " + dir.path().string() + "; " + leave;
        config.traffic.rejoin_command = "cd " + dir.path().string() + "; " + rejoin;
        return start();
    }
    engine::Doorman& start() {
        return doorman.emplace(
            config, app,
            [this] {
                build::BuildSpec spec;
                spec.agent = &config;
                spec.app = &app;
                spec.log_file = dir / "unused";
                return spec;
            },
            dir / "load-balancer.log", 20ms);
    }
    [[nodiscard]] bool has(const char* name) const { return std::filesystem::exists(dir / name); }

    test::TempDir dir;
    config::AgentConfig config;
    config::App app;
    std::optional<engine::Doorman> doorman;
};

}  // namespace

TEST_CASE("doorman: the last wish is carried out") {
    Node node;
    node.config.traffic.method = config::TrafficMethod::file;
    node.config.traffic.file = node.dir / "out";
    auto& doorman = node.start();
    CHECK(doorman.told());
    doorman.keep_out(true);
    REQUIRE(test::eventually([&] { return doorman.told(); }));
    CHECK(node.has("out"));
    doorman.keep_out(true);
    doorman.keep_out(false);
    REQUIRE(test::eventually([&] { return doorman.told(); }));
    CHECK_FALSE(node.has("out"));
}

TEST_CASE("doorman: a load balancer that could not be told is told again, and until then it is said why") {
    Node node;
    auto& doorman = node.commands("echo asked; test -e reachable", "true");
    doorman.keep_out(true);
    REQUIRE(test::eventually([&] { return !doorman.trouble().empty(); }));
    CHECK(doorman.trouble() == "the load balancer command did not follow");
    CHECK_FALSE(doorman.told());
    CHECK(read_file(node.dir / "load-balancer.log", 1000).find("asked") != std::string::npos);
    write_file_atomically(node.dir / "reachable", "");
    REQUIRE(test::eventually([&] { return doorman.told(); }));
    CHECK(doorman.trouble().empty());
}

TEST_CASE("doorman: a switch breaks off what is being told, and it is told when the switch is over") {
    Node node;
    auto& doorman = node.commands("touch begun; test -e quick || sleep 100; touch told", "true");
    doorman.keep_out(true);
    REQUIRE(test::eventually([&] { return node.has("begun"); }));
    {
        const auto door = doorman.hold();
        CHECK_FALSE(node.has("told"));
        write_file_atomically(node.dir / "quick", "");
        CHECK_FALSE(test::eventually([&] { return node.has("told"); }, 200ms));
    }
    REQUIRE(test::eventually([&] { return doorman.told(); }));
    CHECK(node.has("told"));
}

TEST_CASE("doorman: what a switch is about to say itself is told no more") {
    Node node;
    auto& doorman = node.commands("false", "touch back");
    doorman.keep_out(true);
    REQUIRE(test::eventually([&] { return !doorman.trouble().empty(); }));
    doorman.withdraw();
    CHECK(doorman.told());
    CHECK(doorman.trouble().empty());
}

TEST_CASE("doorman: a load balancer that asks by itself is told nothing") {
    Node node;
    node.config.traffic.method = config::TrafficMethod::readiness;
    auto& doorman = node.start();
    doorman.keep_out(true);
    CHECK(doorman.told());
    const auto door = doorman.hold();
}
