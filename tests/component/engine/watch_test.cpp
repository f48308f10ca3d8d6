// SPDX-License-Identifier: MIT
// Every app is watched by itself: one whose health check hangs hides nothing of the others, and does not hold up the
// end.
#include <catch2/catch.hpp>

#include "agent/build/strategy/publisher.h"
#include "common/file.h"
#include "tests/support/engine_node.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace std::chrono_literals;

namespace {

// In the order in which the configuration holds them, the one that hangs stands before and behind.
const AppName first{"a-hangs"};
const AppName shop{"shop"};
const AppName last{"z-hangs"};
/// Longer than a test waits for anything.
constexpr const char* hanging = "health: {command: 'touch looked; sleep 60', timeout: 60s}\n";
constexpr const char* asks_for_files =
    "health: {command: 'test ! -e hang || { touch looked; sleep 60; }; test -e up', timeout: 60s}\n";

/// An agent's engine on a node with no others, and three apps that were deployed before it started.
class Node : public test::EngineNode {
  public:
    Node() {
        add(first, hanging);
        add(shop, asks_for_files);
        add(last, hanging);
        store.emplace(dir / "baton.db");
        outbox.emplace(config, signer);
        services.emplace(config);
        engine.emplace(config, *store, clock, *outbox, *services, seal, false);
    }
    [[nodiscard]] std::filesystem::path file_of(const AppName& app, const char* name) const {
        return dir / app.str() / "current" / name;
    }
    /// Its health check has been asked, and does not come to an end.
    [[nodiscard]] bool hangs(const AppName& app) const { return std::filesystem::exists(file_of(app, "looked")); }
    [[nodiscard]] bool serves(const AppName& app) { return services->of(app).ready(); }

  private:
    void add(const AppName& name, const std::string& health) {
        config::App app;
        app.name = name;
        app.repository = (dir / "nowhere").string();
        app.deploy_to = dir / name.str();
        config.apps[name] = app;
        const auto workspace = dir / ("workspace-" + name.str());
        std::filesystem::create_directories(workspace);
        std::filesystem::create_directories(app.deploy_to);
        write_file_atomically(workspace / "up", "");
        build::ReleaseRecord record;
        record.commit = CommitId(std::string(40, 'a'));
        record.pipeline = "switch: {restart: [{run: 'true'}]}\n" + health;
        build::Publisher publisher(app.deploy_to, std::nullopt);
        record.id = publisher.new_id(record.commit, clock.wall());
        (void)publisher.stage_release(workspace, record, {}, {});
        publisher.publish(publisher.complete_release(record), {}, {});
    }
};

}  // namespace

TEST_CASE(
    "watching: an app whose health check hangs neither keeps the others from beginning nor hides that they are down") {
    Node node;
    node.engine->start();
    REQUIRE(test::eventually([&] { return node.serves(shop); }, 10s));
    REQUIRE(test::eventually([&] { return node.hangs(first) && node.hangs(last); }, 10s));
    std::filesystem::remove(node.file_of(shop, "up"));
    REQUIRE(test::eventually([&] { return !node.serves(shop); }, 10s));
    write_file_atomically(node.file_of(shop, "up"), "");
    REQUIRE(test::eventually([&] { return node.serves(shop); }, 10s));
    CHECK_FALSE(node.serves(first));  // nothing is known of them yet
    CHECK_FALSE(node.serves(last));
    node.engine->stop(0ms);
}

TEST_CASE("watching: the end breaks a look off at once, and that says nothing about the app") {
    Node node;
    node.engine->start();
    REQUIRE(test::eventually([&] { return node.serves(shop); }, 10s));
    write_file_atomically(node.file_of(shop, "hang"), "");
    REQUIRE(test::eventually([&] { return node.hangs(shop); }, 10s));
    const auto began = node.clock.now();
    node.engine->stop(0ms);
    CHECK(node.clock.now() - began < 20s);
    CHECK(node.serves(shop));
}
