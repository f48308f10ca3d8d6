// SPDX-License-Identifier: MIT
// Leaving the load balancer: acknowledgement by polls, the agent-check port, files, commands, requests in flight.
#include <Poco/Net/ServerSocket.h>
#include <Poco/Net/StreamSocket.h>
#include <catch2/catch.hpp>
#include <thread>

#include "agent/build/steps/health.h"
#include "agent/build/traffic/agent_check_listener.h"
#include "agent/build/traffic/in_flight.h"
#include "agent/build/traffic/service_state.h"
#include "agent/build/traffic/traffic.h"
#include "common/error.h"
#include "common/file.h"
#include "tests/component/build/fixture.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace baton::build;
using namespace std::chrono_literals;

namespace {

/// What HAProxy does: connect, read to the end.
std::string poll_agent(std::uint16_t port) {
    Poco::Net::StreamSocket socket(Poco::Net::SocketAddress("127.0.0.1", port));
    socket.setReceiveTimeout(Poco::Timespan(30, 0));
    std::string answer;
    char buffer[64];
    for (int got = 0; (got = socket.receiveBytes(buffer, sizeof buffer)) > 0;)
        answer.append(buffer, static_cast<std::size_t>(got));
    return answer;
}

/// A node that is out while there is a file `drained`.
BuildSpec spec_with_file(test::AppFixture& app) {
    app.agent.traffic.method = config::TrafficMethod::file;
    app.agent.traffic.file = app.dir / "drained";
    app.agent.traffic.settle = 1ms;
    return app.spec(CommitId(std::string(40, 'a')));
}

}  // namespace

TEST_CASE("traffic: haproxy_agent leaves after the load balancer has heard, and says ready until it has heard that") {
    test::AppFixture app;
    app.agent.traffic.method = config::TrafficMethod::haproxy_agent;
    app.agent.traffic.drain_timeout = app.agent.traffic.rejoin_timeout = 60s;
    auto spec = app.spec(CommitId(std::string(40, 'a')));
    BuildLog log(app.dir / "log", 1 << 20, {});
    const AgentCheckListener listener({"127.0.0.1", 0}, {&app.service});
    REQUIRE(poll_agent(listener.port()) == "up\n");
    const auto traffic = make_traffic(spec, log);
    auto noticed = Noticed::no;
    {
        std::jthread leaving([&] { noticed = traffic->leave({}); });
        REQUIRE(test::eventually([&] { return app.service.mode() == ServiceMode::draining; }));
        REQUIRE(poll_agent(listener.port()) == "drain\n");
        REQUIRE(traffic->describe() == "0 of 1 load balancers have noticed");
        REQUIRE(poll_agent(listener.port()) == "drain\n");
    }
    REQUIRE(noticed == Noticed::yes);
    {
        std::jthread coming([&] { noticed = traffic->rejoin({}); });
        REQUIRE(test::eventually([&] { return app.service.mode() == ServiceMode::rejoining; }));
        REQUIRE(poll_agent(listener.port()) == "up ready\n");
        REQUIRE(poll_agent(listener.port()) == "up ready\n");
    }
    REQUIRE(noticed == Noticed::yes);
    // Plain again: `up ready` for ever would undo what an operator drains.
    REQUIRE(poll_agent(listener.port()) == "up\n");
    REQUIRE(traffic->rejoin({}) == Noticed::yes);
    REQUIRE(app.service.mode() == ServiceMode::serving);
}

TEST_CASE("traffic: a load balancer that does not ask is not taken for one that has noticed") {
    test::AppFixture app;
    app.agent.traffic.method = config::TrafficMethod::readiness;
    app.agent.traffic.drain_timeout = 200ms;
    app.agent.traffic.rejoin_timeout = 200ms;
    app.put_pipeline("");
    app.put("version", "one");
    const auto spec = app.spec(app.commit());
    const auto prepared = prepare(spec, app.listener, {});
    const auto result = switch_over(spec, prepared.pipeline, prepared.release, {}, app.listener, {});
    REQUIRE(result.outcome == SwitchOutcome::untouched);
    REQUIRE(result.reason.find("0 of 1 load balancers") != std::string::npos);
    REQUIRE_FALSE(std::filesystem::exists(std::filesystem::symlink_status(app.dir / "srv/current")));
    REQUIRE(app.service.ready());
}

TEST_CASE("traffic: polls through another door, of another time or of too few peers do not count") {
    ServiceState state;
    const auto early = state.answer();
    state.set_mode(ServiceMode::draining);
    state.count_poll(PollSource::readiness, "10.0.0.1", early);
    state.count_poll(PollSource::agent_check, "10.0.0.1", state.answer());
    REQUIRE_FALSE(state.wait_for_polls(PollSource::readiness, 1, 1, 10ms, {}));
    state.count_poll(PollSource::readiness, "10.0.0.1", state.answer());
    state.count_poll(PollSource::readiness, "10.0.0.1", state.answer());
    REQUIRE(state.wait_for_polls(PollSource::readiness, 1, 2, 10ms, {}));
    REQUIRE_FALSE(state.wait_for_polls(PollSource::readiness, 2, 1, 10ms, {}));
    std::stop_source stop;
    stop.request_stop();
    REQUIRE_THROWS_AS(state.wait_for_polls(PollSource::readiness, 2, 1, 10s, stop.get_token()), Error);
}

TEST_CASE("traffic: where the load balancers are known, nobody else's polls count") {
    ServiceState state({"10.0.0.1", "fd00::5"});
    state.set_mode(ServiceMode::draining);
    state.count_poll(PollSource::readiness, "10.0.0.9", state.answer());  // a monitor
    REQUIRE_FALSE(state.wait_for_polls(PollSource::readiness, 1, 1, 0ms, {}));
    REQUIRE(state.describe_polls(PollSource::readiness, 2, 1) ==
            "0 of 2 load balancers have noticed, not yet 10.0.0.1, fd00::5");
    state.count_poll(PollSource::readiness, "::ffff:10.0.0.1", state.answer());
    REQUIRE(state.describe_polls(PollSource::readiness, 2, 1) == "1 of 2 load balancers have noticed, not yet fd00::5");
    state.count_poll(PollSource::readiness, "fd00::5", state.answer());
    REQUIRE(state.wait_for_polls(PollSource::readiness, 2, 1, 0ms, {}));
}

TEST_CASE("traffic: a switch does not take back a node that is kept out for another reason") {
    test::AppFixture app;
    BuildLog log(app.dir / "log", 1 << 20, {});
    const auto spec = spec_with_file(app);
    const auto file = make_traffic(spec, log);
    REQUIRE(file->leave({}) == Noticed::yes);
    app.service.set_drained(true);
    REQUIRE(file->rejoin({}) == Noticed::yes);
    REQUIRE(std::filesystem::exists(app.dir / "drained"));
    app.service.set_drained(false);
    REQUIRE(file->rejoin({}) == Noticed::yes);
    REQUIRE_FALSE(std::filesystem::exists(app.dir / "drained"));
    REQUIRE(app.service.ready());
}

TEST_CASE("traffic: an app that is down is not ready, and the agent port of a taken address fails loudly") {
    ServiceState state;
    state.set_healthy(false);
    REQUIRE_FALSE(state.ready());
    REQUIRE(state.agent_check_answer() == "up\n");
    const AgentCheckListener listener({"127.0.0.1", 0}, {&state});
    REQUIRE_THROWS_AS(AgentCheckListener({"127.0.0.1", listener.port()}, {&state}), Error);
}

TEST_CASE("traffic: a file and commands are there while the node is out") {
    test::AppFixture app;
    BuildLog log(app.dir / "log", 1 << 20, {});
    const auto spec = spec_with_file(app);
    const auto file = make_traffic(spec, log);
    REQUIRE(file->leave({}) == Noticed::yes);
    REQUIRE(std::filesystem::exists(app.dir / "drained"));
    REQUIRE(file->rejoin({}) == Noticed::yes);
    REQUIRE_FALSE(std::filesystem::exists(app.dir / "drained"));
    app.agent.traffic.method = config::TrafficMethod::command;
    app.agent.traffic.leave_command = "echo $NODE_NAME $BATON_STAGE > " + (app.dir / "out").string();
    app.agent.traffic.rejoin_command = "exit 1";
    const auto command = make_traffic(spec, log);
    REQUIRE(command->leave({}) == Noticed::yes);
    REQUIRE(read_file(app.dir / "out", 100) == "web1 drain\n");
    REQUIRE(command->rejoin({}) == Noticed::no);
}

TEST_CASE("traffic: requests in flight are the established connections to the app's port") {
    Poco::Net::ServerSocket server(Poco::Net::SocketAddress("127.0.0.1", 0));
    const auto port = server.address().port();
    REQUIRE(requests_in_flight(port, "") == 0);
    Poco::Net::StreamSocket client(server.address());
    auto accepted = server.acceptConnection();
    REQUIRE(requests_in_flight(port, "") == 1);
    REQUIRE(requests_in_flight(port, "127.0.0.1") == 1);
    REQUIRE(requests_in_flight(port, "127.0.0.2") == 0);
    config::Traffic options;
    options.in_flight_port = port;
    options.drain_timeout = 150ms;
    REQUIRE(wait_for_requests(options, {}) == 1);
    client.close();
    accepted.close();
    REQUIRE(wait_for_requests(options, {}) == 0);
    REQUIRE_THROWS_AS(requests_in_flight(port, "localhost"), Error);
}

TEST_CASE("health: it must last for min_healthy_time, and gives up at the deadline") {
    test::AppFixture app;
    const auto spec = app.spec(CommitId(std::string(40, 'a')));
    config::Health health;
    // Healthy at every look but each third.
    const auto counter = (app.dir / "n").string();
    health.command = "n=$(cat " + counter + " 2>/dev/null || echo 0); echo $((n + 1)) > " + counter +
                     "; [ $((n % 3)) != 2 ] || { echo out of order; exit 1; }";
    health.interval = 50ms;
    health.timeout = 2s;
    health.min_healthy_time = 4s;
    health.healthy_deadline = 5s;
    StepContext context;
    context.current = app.dir.path();
    unsigned looks = 0;
    auto proved = HealthCheck(spec, health, context).prove([&](const Probe&) { ++looks; }, {});
    REQUIRE_FALSE(proved.healthy);
    REQUIRE(looks > 3);
    REQUIRE(proved.reason.find("not healthy within 5s") == 0);
    health.command = "true";
    health.min_healthy_time = 200ms;
    REQUIRE(HealthCheck(spec, health, context).prove([](const Probe&) {}, {}).healthy);
    health.command = "sleep 30";
    health.timeout = 100ms;
    const auto probe = HealthCheck(spec, health, context).look({});
    REQUIRE_FALSE(probe.healthy);
    REQUIRE(probe.reason.find("timed out") != std::string::npos);
}
