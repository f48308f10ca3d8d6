// SPDX-License-Identifier: MIT
// overlap with real gunicorn and uwsgi: the recipes of examples/strategies under users who never rest.
#include <catch2/catch.hpp>
#include <csignal>
#include <fmt/format.h>

#include "agent/build/steps/health.h"
#include "common/error.h"
#include "common/file.h"
#include "common/process/hold.h"
#include "tests/component/build/beside_fixture.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace baton::build;
using baton::test::BesideFixture;
using baton::test::eventually;
using baton::test::Users;

namespace {

struct Gunicorn : BesideFixture {
    Gunicorn() : BesideFixture("overlap-gunicorn.yaml") {
        replace("baton.yaml", "${NODE_ADDRESS}:8000", fmt::format("${{NODE_ADDRESS}}:{}", front));
    }
    [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}", front); }
    [[nodiscard]] std::optional<process::Held> held(const std::string& colour) const {
        return process::find_held(app.agent.state_dir / "instances/shop", colour);
    }
    [[nodiscard]] std::optional<process::Held> live() const { return held("blue") ? held("blue") : held("green"); }
};

}  // namespace

TEST_CASE("overlap: three releases of gunicorn take each other's place, and no request fails") {
    Gunicorn shop;
    const auto first = shop.deploy();
    INFO(shop.app.log() << first.reason);
    REQUIRE(first.outcome == SwitchOutcome::in_service);
    Users users(shop.url());
    std::vector<std::string> commits{shop.commit().str()};
    for (int round = 0; round < 3; ++round) {
        users.see_some();
        const auto result = shop.deploy();
        INFO(shop.app.log());
        REQUIRE(result.outcome == SwitchOutcome::in_service);
        REQUIRE(result.cost);
        CHECK(result.cost->kind == SwitchCost::Kind::measured);
        CHECK(result.cost->dark_ms == 0);
        CHECK(result.cost->out_ms == 0);
        commits.push_back(shop.commit().str());
        // One of the two is left.
        CHECK(shop.held("blue").has_value() != shop.held("green").has_value());
        CHECK(shop.healthy());
    }
    users.see_some();
    CHECK(users.failures() == std::vector<std::string>{});
    for (const auto& commit : commits) CHECK(users.versions().contains(commit));
    CHECK(ask_address(shop.url() + "/", Milliseconds(30'000)).body.find(commits.back()) == 0);
}

TEST_CASE("overlap: users see nothing of a release that answers 500, nor of one that does not load") {
    Gunicorn shop;
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    const auto good = shop.commit().str();
    Users users(shop.url());
    users.see_some();
    const auto pid = shop.live()->pid;
    shop.app.put("sick", "yes");
    const auto sick = shop.deploy();
    INFO(shop.app.log());
    CHECK(sick.outcome == SwitchOutcome::restored);
    CHECK(sick.reason.find("status 500") != std::string::npos);
    CHECK(sick.cost->dark_ms == 0);
    shop.app.put("sick", "");
    shop.app.put("app.py", "raise RuntimeError('the shop is closed')\n");
    const auto broken = shop.deploy();
    CHECK(broken.outcome == SwitchOutcome::restored);
    CHECK(shop.app.log().find("the shop is closed") != std::string::npos);
    users.see_some();
    CHECK(users.failures() == std::vector<std::string>{});
    CHECK(users.versions().size() == 1);
    CHECK(users.versions().contains(good));
    // The old one was not even started again.
    CHECK(shop.live()->pid == pid);
    CHECK(shop.app.service.ready());
}

TEST_CASE(
    "overlap: a holder that was killed takes nothing with it, and the next release gets the socket from the app") {
    Gunicorn shop;
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    Users users(shop.url());
    users.see_some();
    const auto app_pid = shop.live()->pid;
    const auto holder = std::stoi(shop.app.shell(fmt::format("cut -d' ' -f4 /proc/{}/stat", app_pid)));
    REQUIRE(holder > 1);
    REQUIRE(::kill(holder, SIGKILL) == 0);
    REQUIRE(eventually([&] { return shop.live()->state == process::Held::State::lost; }));
    CHECK(shop.healthy());
    const auto result = shop.deploy();
    INFO(shop.app.log());
    REQUIRE(result.outcome == SwitchOutcome::in_service);
    CHECK(eventually([&] { return ::kill(app_pid, 0) != 0; }));
    users.see_some();
    CHECK(users.failures() == std::vector<std::string>{});
}

TEST_CASE("overlap: an app that ends by itself is started again, and who asks meanwhile waits") {
    Gunicorn shop;
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    const auto before = *shop.live();
    REQUIRE(::kill(before.pid, SIGKILL) == 0);
    REQUIRE(eventually([&] { return shop.live()->restarts == 1; }));
    CHECK(shop.live()->pid != before.pid);
    CHECK(ask_address(shop.url() + "/", Milliseconds(30'000)).status == 200);
}

TEST_CASE("overlap: after a boot, when nothing runs, the current release is started again") {
    Gunicorn shop;
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    for (const char* colour : {"blue", "green"}) {
        process::end_held(shop.app.agent.state_dir / "instances/shop", colour);
    }
    CHECK_FALSE(shop.healthy());
    auto spec = shop.app.spec(shop.commit());
    const auto release = std::filesystem::canonical(shop.app.dir / "srv/current");
    const auto pipeline = prepare(spec, shop.app.listener, {}).pipeline;
    SwitchOptions redo;
    redo.redo = true;
    REQUIRE(switch_over(spec, pipeline, release, redo, shop.app.listener, {}).outcome == SwitchOutcome::in_service);
    CHECK(shop.healthy());
    // Cut off behind its end: found running, it is left alone.
    const auto pid = shop.live()->pid;
    REQUIRE(switch_over(spec, pipeline, release, redo, shop.app.listener, {}).outcome == SwitchOutcome::in_service);
    CHECK(shop.live()->pid == pid);
}

TEST_CASE("overlap: from stop_start and back, by stop steps") {
    Gunicorn shop;
    const auto overlap = read_file(shop.app.dir / "repo/baton.yaml", 1 << 20);
    const auto pid_file = (shop.app.dir / "old.pid").string();
    const auto stop_start = fmt::format(
        "prepare: [{{run: 'echo \"$GIT_COMMIT\" > commit'}}]\n"
        "switch:\n"
        "  stop: [{{run: 'test ! -e {0} || kill $(cat {0}); for i in $(seq 200); do test -e {0} || break; sleep 0.02; "
        "done'}}]\n"
        "  restart:\n"
        "    - run: exec /usr/bin/gunicorn --daemon --pid {0} --bind 127.0.0.1:{1} app:application\n"
        "      keep_processes: true\n"
        "health: {{http: 'http://127.0.0.1:{1}/health', expect_body: '${{GIT_COMMIT}}', interval: 100ms, "
        "min_healthy_time: 300ms, healthy_deadline: 15s}}\n",
        pid_file, shop.front);
    shop.app.put("baton.yaml", stop_start);
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    shop.app.put("baton.yaml", overlap);
    const auto over = shop.deploy();
    INFO(shop.app.log());
    REQUIRE(over.outcome == SwitchOutcome::in_service);
    CHECK_FALSE(std::filesystem::exists(pid_file));
    shop.app.put("baton.yaml", stop_start);
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    CHECK_FALSE(shop.live());
    shop.app.shell("kill $(cat " + pid_file + ")");
}

TEST_CASE("overlap: uwsgi speaks FastCGI on the socket that it inherits, and ends when its requests are answered") {
    BesideFixture shop("overlap-uwsgi.yaml");
    shop.replace("baton.yaml", "${NODE_ADDRESS}:9000", fmt::format("${{NODE_ADDRESS}}:{}", shop.front));
    const auto first = shop.deploy();
    INFO(shop.app.log() << first.reason);
    REQUIRE(first.outcome == SwitchOutcome::in_service);
    Users users(fmt::format("fastcgi://127.0.0.1:{}", shop.front));
    for (int round = 0; round < 2; ++round) {
        users.see_some();
        const auto result = shop.deploy();
        REQUIRE(result.outcome == SwitchOutcome::in_service);
        CHECK(result.cost->dark_ms == 0);
    }
    users.see_some();
    CHECK(users.failures() == std::vector<std::string>{});
    CHECK(users.versions().contains(shop.commit().str()));
}
