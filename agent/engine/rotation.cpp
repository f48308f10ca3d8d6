// SPDX-License-Identifier: MIT
// Whether this node takes part in serving an app, besides its switches.
#include "agent/engine/rotation.h"

#include "agent/chain/codec.h"
#include "common/json.h"
#include "common/log.h"

namespace baton::engine {

using namespace std::chrono_literals;
using build::PollSource;
using build::ServiceMode;

Rotation::Rotation(const config::AgentConfig& config, const config::App& app, store::Store& store,
                   build::ServiceState& service, Doorman& doorman, bool catching_up)
    : config_(config),
      app_(app),
      store_(store),
      service_(service),
      doorman_(doorman),
      catching_up_(catching_up),
      left_(store.flags.has(app.name, store::flag::left)) {}

void Rotation::begin(bool out) {
    // From the first request on, and before the first look: the app may be down, or up with an old release.
    service_.set_healthy(false);
    service_.set_held_back(catching_up_);
    service_.set_drained(is_drained());
    if (catching_up_ || is_drained()) note_left();
    if (out) {
        service_.set_mode(ServiceMode::draining);
    } else if (left_ && !catching_up_) {
        service_.set_mode(ServiceMode::rejoining);
    }
    // A switch that is taken up again says the rest itself.
    if (kept_out() || (left_ && !out)) doorman_.keep_out(kept_out());
}

void Rotation::caught_up() {
    catching_up_ = false;
    service_.set_held_back(false);
    doorman_.keep_out(kept_out());
    log::info("chain", "caught up; this node serves", {{"app", app_.name}});
}

void Rotation::leave_to_switch() {
    if (!catching_up_) return;
    // Nothing before the fleet's release is proved.
    catching_up_ = false;
    service_.set_healthy(false);
    service_.set_held_back(false);
    if (!is_drained()) doorman_.withdraw();
}

void Rotation::set_drained(const std::optional<chain::OrderNote>& drained) {
    if (drained) {
        store_.flags.set(app_.name, store::flag::drained, json::dump(chain::codec::to_json(*drained)));
        note_left();
    } else {
        store_.flags.erase(app_.name, store::flag::drained);
    }
    service_.set_drained(drained.has_value());
    doorman_.keep_out(kept_out());
}

std::optional<chain::OrderNote> Rotation::drained() const {
    const auto stored = store_.flags.get(app_.name, store::flag::drained);
    if (!stored) return {};
    // Earlier agents stored only that it is so.
    return stored->starts_with('{') ? chain::codec::parse_order_note(json::parse(*stored)) : chain::OrderNote{};
}

void Rotation::note_left() {
    if (!left_) store_.flags.set(app_.name, store::flag::left, "yes");
    left_ = true;
}

void Rotation::settle() {
    if (is_drained() || !doorman_.told()) return;
    if (service_.mode() == ServiceMode::rejoining) {
        const auto& traffic = config_.traffic_of(app_);
        const bool readiness = traffic.method == config::TrafficMethod::readiness;
        const bool polled = readiness || traffic.method == config::TrafficMethod::haproxy_agent;
        const auto source = readiness ? PollSource::readiness : PollSource::agent_check;
        if (polled && !service_.wait_for_polls(source, traffic.load_balancers, traffic.acknowledged_polls, 0ms, {}))
            return;
        // From now on nothing of ours is said that would end an operator's own drain.
        service_.set_mode(ServiceMode::serving);
    }
    if (!left_ || catching_up_ || service_.mode() != ServiceMode::serving) return;
    store_.flags.erase(app_.name, store::flag::left);
    left_ = false;
}

}  // namespace baton::engine
