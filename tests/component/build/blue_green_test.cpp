// SPDX-License-Identifier: MIT
// blue_green with a real nginx and gunicorn: the recipe of examples/strategies under users who never rest.
#include <Poco/Net/ServerSocket.h>
#include <Poco/Net/StreamSocket.h>
#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <thread>

#include "agent/build/steps/health.h"
#include "agent/build/strategy/publisher.h"
#include "agent/build/strategy/upstream.h"
#include "agent/build/traffic/in_flight.h"
#include "agent/build/traffic/traffic.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "common/process/hold.h"
#include "common/process/process.h"
#include "tests/component/build/beside_fixture.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace baton::build;
using baton::test::BesideFixture;
using baton::test::eventually;
using baton::test::Users;

namespace {

struct Nginx : BesideFixture {
    Nginx() : BesideFixture("blue-green-nginx.yaml") {
        const auto conf = (app.dir / "nginx.conf").string();
        replace("baton.yaml", "ports: [9001, 9002]", fmt::format("ports: [{}, {}]", own.first, own.second));
        replace("baton.yaml", "nginx -t -q && nginx -s reload",
                fmt::format("nginx -c {0} -t -q && nginx -c {0} -s reload", conf));
        replace("baton.yaml", ":8080", fmt::format(":{}", front));
        replace("nginx.conf", "/run/nginx.pid", (app.dir / "nginx.pid").string());
        replace("nginx.conf", "/var/log/nginx/error.log", (app.dir / "error.log").string());
        replace("nginx.conf", "/srv/shop/shared/upstream.conf", upstream().string());
        replace("nginx.conf", "127.0.0.1:8080", fmt::format("127.0.0.1:{}", front));
        app.dir.write("nginx.conf", read_file(app.dir / "repo/nginx.conf", 1 << 20));
        app.dir.write("srv/shared/upstream.conf", "server 127.0.0.1:9;\n");
        server_ = std::jthread([conf](const std::stop_token& stop) {
            process::Command command;
            command.argv = {"nginx", "-c", conf, "-g", "daemon off;"};
            command.environment = {"PATH=/usr/sbin:/usr/bin:/bin"};
            (void)process::run(
                command, [](std::string_view) {}, stop);
        });
        REQUIRE(eventually([&] { return std::filesystem::exists(app.dir / "nginx.pid"); }));
    }
    [[nodiscard]] std::filesystem::path upstream() const { return app.dir / "srv/shared/upstream.conf"; }
    [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}", front); }
    [[nodiscard]] std::string upstream_text() const { return read_file(upstream(), 1'000); }
    [[nodiscard]] std::string line(unsigned port) const { return fmt::format("server 127.0.0.1:{};\n", port); }

  private:
    std::jthread server_;
};

}  // namespace

TEST_CASE("blue_green: three releases behind nginx take each other's place, and no request fails") {
    Nginx shop;
    const auto first = shop.deploy();
    INFO(shop.app.log() << first.reason);
    REQUIRE(first.outcome == SwitchOutcome::in_service);
    CHECK(shop.upstream_text() == shop.line(shop.own.first));
    Users users(shop.url());
    for (int round = 0; round < 3; ++round) {
        users.see_some();
        const auto result = shop.deploy();
        INFO(shop.app.log());
        REQUIRE(result.outcome == SwitchOutcome::in_service);
        CHECK(result.cost->kind == SwitchCost::Kind::measured);
        CHECK(result.cost->dark_ms == 0);
        CHECK(result.cost->cut == 0);
        CHECK(shop.upstream_text() == shop.line(round % 2 == 0 ? shop.own.second : shop.own.first));
        CHECK(shop.healthy());
    }
    users.see_some();
    CHECK(users.failures() == std::vector<std::string>{});
    CHECK(users.versions().size() == 4);
    CHECK(ask_address(shop.url() + "/", Milliseconds(30'000)).body.find(shop.commit().str()) == 0);
}

TEST_CASE(
    "blue_green: a sick release gets no traffic, and a web server that refuses the file goes on with the old one") {
    Nginx shop;
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    const auto good = shop.commit().str();
    Users users(shop.url());
    users.see_some();
    shop.app.put("sick", "yes");
    const auto sick = shop.deploy();
    INFO(shop.app.log());
    CHECK(sick.outcome == SwitchOutcome::restored);
    CHECK(sick.cost->dark_ms == 0);
    CHECK(shop.upstream_text() == shop.line(shop.own.first));
    shop.app.put("sick", "");
    const auto template_line = std::string("      server ${NODE_ADDRESS}:${PORT};\n");
    shop.replace("baton.yaml", template_line, "      sever ${NODE_ADDRESS}:${PORT};\n");
    const auto refused = shop.deploy();
    CHECK(refused.outcome == SwitchOutcome::restored);
    CHECK(refused.reason.find("tell the web server") != std::string::npos);
    CHECK(shop.upstream_text() == shop.line(shop.own.first));
    users.see_some();
    CHECK(users.failures() == std::vector<std::string>{});
    CHECK(users.versions().size() == 1);
    CHECK(users.versions().contains(good));
    CHECK(shop.healthy());
}

TEST_CASE("blue_green: a release that users cannot reach through the web server is turned back from") {
    Nginx shop;
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    const auto good = shop.commit().str();
    // The file is fine to nginx and names a port where nobody is, beside the right one as a word.
    shop.replace("baton.yaml", "      server ${NODE_ADDRESS}:${PORT};\n",
                 "      server ${NODE_ADDRESS}:9; # ${PORT}\n");
    const auto result = shop.deploy();
    INFO(shop.app.log());
    CHECK(result.outcome == SwitchOutcome::restored);
    CHECK(result.reason.find("through the front") != std::string::npos);
    CHECK(shop.upstream_text() == shop.line(shop.own.first));
    CHECK(eventually([&] {
        const auto answer = ask_address(shop.url() + "/", Milliseconds(30'000));
        return answer.status == 200 && answer.body.find(good) == 0;
    }));
}

TEST_CASE(
    "blue_green: by steps, the live colour is known from the web server's file and from the note of what was started") {
    Nginx shop;
    const auto start = fmt::format(
        "  restart:\n"
        "    - run: exec /usr/bin/gunicorn --daemon --pid {0}.$BATON_COLOR --bind 127.0.0.1:$BATON_PORT "
        "app:application\n"
        "      keep_processes: true\n"
        "  stop:\n"
        "    - run: |\n"
        "        test ! -e {0}.$BATON_COLOR || kill $(cat {0}.$BATON_COLOR)\n"
        "        for i in $(seq 300); do test -e {0}.$BATON_COLOR || exit 0; sleep 0.02; done; exit 1\n",
        (shop.app.dir / "pid").string());
    shop.replace("baton.yaml",
                 "    process: exec /usr/bin/gunicorn --workers 2 --threads 4 --bind \"$NODE_ADDRESS:$BATON_PORT\" "
                 "app:application\n    stop_timeout: 30s\n",
                 "");
    shop.replace("baton.yaml", "health:\n", start + "health:\n");
    const auto first = shop.deploy();
    INFO(shop.app.log() << first.reason);
    REQUIRE(first.outcome == SwitchOutcome::in_service);
    Users users(shop.url());
    users.see_some();
    REQUIRE(shop.deploy().outcome == SwitchOutcome::in_service);
    CHECK(std::filesystem::exists(shop.app.dir / "pid.green"));
    CHECK_FALSE(std::filesystem::exists(shop.app.dir / "pid.blue"));
    shop.app.put("sick", "yes");
    CHECK(shop.deploy().outcome == SwitchOutcome::restored);
    CHECK(std::filesystem::exists(shop.app.dir / "pid.green"));
    CHECK_FALSE(std::filesystem::exists(shop.app.dir / "pid.blue"));
    users.see_some();
    CHECK(users.failures() == std::vector<std::string>{});
    CHECK(users.versions().size() == 2);
    shop.app.shell("kill $(cat " + (shop.app.dir / "pid.green").string() + ")");
}

TEST_CASE("traffic: a port is deserted when nobody has come for a while, and a visit that is over is still noticed") {
    Poco::Net::ServerSocket server(Poco::Net::SocketAddress("127.0.0.1", 0));
    const auto port = server.address().port();
    config::Traffic traffic;
    traffic.settle = Milliseconds(2'000);
    traffic.drain_timeout = Milliseconds(400);
    const auto visit = [&] {
        Poco::Net::StreamSocket visitor(server.address());
        server.acceptConnection().close();  // the first to close is the one that remembers
    };
    CHECK(connections_at(port, "127.0.0.1").empty());
    visit();
    const auto seen = connections_at(port, "127.0.0.1");
    CHECK(seen.size() == 1);
    CHECK(connections_at(port, "127.0.0.2").empty());
    visit();
    CHECK(connections_at(port, "").size() == 2);
    CHECK(wait_until_deserted(traffic, port, "127.0.0.1") == 0);
    // Nobody is connected at any look, and still it is not deserted before the visits end.
    std::jthread visitors([&](const std::stop_token& stop) {
        for (; !stop.stop_requested(); std::this_thread::sleep_for(Milliseconds(10))) visit();
    });
    const auto began = SystemClock().now();
    (void)wait_until_deserted(traffic, port, "127.0.0.1");
    CHECK(SystemClock().now() - began >= traffic.settle + traffic.drain_timeout);
    visitors.request_stop();
    visitors.join();
    Poco::Net::StreamSocket stays(server.address());
    const auto held = server.acceptConnection();
    CHECK(wait_until_deserted(traffic, port, "127.0.0.1") == 1);
}

TEST_CASE("upstream: a port is a number of its own, and the host is the address before it") {
    CHECK(names_port("server 127.0.0.1:9001;", 9001));
    CHECK_FALSE(names_port("server 127.0.0.1:9001;", 900));
    CHECK_FALSE(names_port("server 127.0.0.1:19001;", 9001));
    CHECK(names_port("9001", 9001));
    CHECK(host_before("server 10.0.0.11:9001 max_fails=0;", 9001) == "10.0.0.11");
    CHECK(host_before("server shop.internal:9001;", 9001).empty());
    CHECK(host_before("server unix:/run/9001.sock;", 9001).empty());
    test::TempDir dir;
    const Upstream upstream(dir / "shared/up.conf", dir / "told");
    CHECK(upstream.text().empty());
    upstream.write("a");
    CHECK_FALSE(upstream.is_told("a"));
    upstream.note_told("a");
    CHECK(upstream.is_told("a"));
    upstream.write("b");
    upstream.take_back();
    CHECK(upstream.text() == "a");
}
