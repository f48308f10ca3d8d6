// SPDX-License-Identifier: MIT
// How this node leaves the load balancer and comes back: the choice, and the ways that need no other program.
#include "agent/build/traffic/traffic.h"

#include <algorithm>
#include <fmt/format.h>

#include "agent/build/steps/health.h"
#include "agent/build/traffic/in_flight.h"
#include "agent/build/traffic/service_state.h"
#include "agent/build/traffic/traffic_methods.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"

namespace baton::build {

namespace {

/// After the load balancer has heard: what it needs to act, measured in milliseconds.
constexpr Milliseconds after_poll{250};
constexpr Milliseconds between_looks{100};

/// No load balancer to speak to.
class NoTraffic final : public Traffic {
  public:
    Noticed leave(const std::stop_token&) override { return Noticed::yes; }
    Noticed rejoin(const std::stop_token&) override { return Noticed::yes; }
    bool drains() const override { return false; }
    std::string describe() const override { return "nothing"; }
};

/// readiness and haproxy_agent: the load balancer asks, and each question is an acknowledgement.
class PolledTraffic final : public Traffic {
  public:
    PolledTraffic(const config::Traffic& options, ServiceState& state, PollSource source)
        : options_(options), state_(state), source_(source) {}

    Noticed leave(const std::stop_token& stop) override {
        state_.set_mode(ServiceMode::draining);
        if (!wait(options_.drain_timeout, stop)) return Noticed::no;
        pause_for(after_poll, stop);
        return Noticed::yes;
    }

    Noticed rejoin(const std::stop_token& stop) override {
        // Whoever never left has nothing to take back: `up ready` would end an operator's own drain.
        if (state_.mode() == ServiceMode::serving) return Noticed::yes;
        state_.set_mode(ServiceMode::rejoining);
        if (!wait(options_.rejoin_timeout, stop)) return Noticed::no;
        state_.set_mode(ServiceMode::serving);
        return Noticed::yes;
    }

    std::string describe() const override {
        return state_.describe_polls(source_, options_.load_balancers, options_.acknowledged_polls);
    }

  private:
    bool wait(Milliseconds limit, const std::stop_token& stop) {
        return state_.wait_for_polls(source_, options_.load_balancers, options_.acknowledged_polls, limit, stop);
    }
    const config::Traffic& options_;
    ServiceState& state_;
    PollSource source_;
};

/// Where the agent itself tells the load balancer: not to send here, as long as a person or the fleet keeps this node
/// out for another reason than the switch that ends.
class UnlessKeptOut final : public Traffic {
  public:
    UnlessKeptOut(std::unique_ptr<Traffic> inner, const ServiceState* state, BuildLog& log)
        : inner_(std::move(inner)), state_(state), log_(log) {}
    Noticed leave(const std::stop_token& stop) override { return inner_->leave(stop); }
    Noticed rejoin(const std::stop_token& stop) override {
        if (state_ == nullptr || !state_->kept_out()) return inner_->rejoin(stop);
        log_.line("this node is kept out of service: the load balancer is not told to send requests here");
        return Noticed::yes;
    }
    bool drains() const override { return inner_->drains(); }
    std::string describe() const override { return inner_->describe(); }

  private:
    std::unique_ptr<Traffic> inner_;
    const ServiceState* state_;
    BuildLog& log_;
};

ServiceState& needed_state(const BuildSpec& spec) {
    if (spec.service == nullptr) throw Error(ErrorKind::internal, "this traffic method needs a service state");
    return *spec.service;
}

std::unique_ptr<Traffic> make_method(const BuildSpec& spec, BuildLog& log) {
    const auto& options = spec.agent->traffic_of(*spec.app);
    switch (options.method) {
        case config::TrafficMethod::none: return std::make_unique<NoTraffic>();
        case config::TrafficMethod::readiness:
            return std::make_unique<PolledTraffic>(options, needed_state(spec), PollSource::readiness);
        case config::TrafficMethod::haproxy_agent:
            return std::make_unique<PolledTraffic>(options, needed_state(spec), PollSource::agent_check);
        case config::TrafficMethod::file: return make_file_traffic(spec);
        case config::TrafficMethod::command: return make_command_traffic(spec, log);
        case config::TrafficMethod::haproxy_socket: return make_haproxy_socket_traffic(spec);
        case config::TrafficMethod::refuse: return make_refuse_traffic(spec);
    }
    throw Error(ErrorKind::internal, "unknown traffic method");
}

}  // namespace

bool must_be_told(config::TrafficMethod method) {
    switch (method) {
        case config::TrafficMethod::none:
        case config::TrafficMethod::readiness:
        case config::TrafficMethod::haproxy_agent: return false;
        case config::TrafficMethod::haproxy_socket:
        case config::TrafficMethod::refuse:
        case config::TrafficMethod::file:
        case config::TrafficMethod::command: return true;
    }
    throw Error(ErrorKind::internal, "unknown traffic method");
}

std::unique_ptr<Traffic> make_traffic(const BuildSpec& spec, BuildLog& log) {
    auto method = make_method(spec, log);
    if (!must_be_told(spec.agent->traffic_of(*spec.app).method)) return method;
    return std::make_unique<UnlessKeptOut>(std::move(method), spec.service, log);
}

unsigned wait_for_requests(const config::Traffic& traffic, const std::stop_token& stop) {
    if (traffic.in_flight_port == 0) return 0;
    const SystemClock clock;
    const auto deadline = clock.now() + traffic.drain_timeout;
    unsigned quiet = 0;
    while (true) {
        const auto left = requests_in_flight(traffic.in_flight_port, traffic.in_flight_host);
        quiet = left == 0 ? quiet + 1 : 0;
        if (quiet >= 2) return 0;
        if (left > 0 && clock.now() >= deadline) return left;
        pause_for(between_looks, stop);
    }
}

unsigned wait_until_deserted(const config::Traffic& traffic, std::uint16_t port, const std::string& host) {
    const SystemClock clock;
    auto quiet_since = clock.now();
    const auto deadline = quiet_since + traffic.settle + traffic.drain_timeout;
    auto known = connections_at(port, host);
    while (true) {
        pause_for(between_looks, {});
        auto there = connections_at(port, host);
        const auto left = requests_in_flight(port, host);
        const bool used = left > 0 || !std::ranges::includes(known, there);
        const auto now = clock.now();
        if (used) quiet_since = now;
        if (now - quiet_since >= traffic.settle) return 0;
        if (now >= deadline) return left;
        known = std::move(there);
    }
}

}  // namespace baton::build
