// SPDX-License-Identifier: MIT
// Whether this node takes part in serving an app, besides its switches: held back after a boot, drained by a person,
// and what of that a load balancer still has to hear, whichever agent process says it.
#pragma once

#include <optional>

#include "agent/build/traffic/service_state.h"
#include "agent/chain/durable.h"
#include "agent/engine/doorman.h"
#include "agent/store/store.h"
#include "common/config/agent_config.h"

namespace baton::engine {

/// The engine's thread only.
class Rotation {
  public:
    /// Not healthy before the first look, and stored flags said afresh: an agent that was killed while its node was out
    /// must not put it back by a guess. `catching_up`: back from the dead, it does not serve before it has the fleet's
    /// release.
    Rotation(const config::AgentConfig& config, const config::App& app, store::Store& store,
             build::ServiceState& service, Doorman& doorman, bool catching_up);

    /// Once, before anybody asks. `out`: a switch had the node out when the agent ended.
    void begin(bool out);
    /// It does not serve, whatever its app answers: a person has drained it, or it catches up first.
    [[nodiscard]] bool kept_out() const { return catching_up_ || is_drained(); }
    [[nodiscard]] bool catching_up() const { return catching_up_; }
    /// It has the fleet's release and serves.
    void caught_up();
    /// A switch begins, and says what the load balancer hears from here on.
    void leave_to_switch();
    /// A person's word; survives switches and restarts.
    void set_drained(const std::optional<chain::OrderNote>& drained);
    /// Who has drained it and why; nothing while nobody has.
    [[nodiscard]] std::optional<chain::OrderNote> drained() const;
    /// Ends `rejoining` once every load balancer has heard it. Now and then, while no switch is under way.
    void settle();
    /// What keeps the load balancer from knowing; empty when nothing does.
    [[nodiscard]] std::string trouble() const { return doorman_.trouble(); }
    [[nodiscard]] bool ready() const { return service_.ready(); }
    void set_healthy(bool healthy) { service_.set_healthy(healthy); }

  private:
    /// The load balancer is told that this node is out, by other ways than a switch, and has to be told of the end of
    /// it also by another agent process.
    void note_left();
    [[nodiscard]] bool is_drained() const { return store_.flags.has(app_.name, store::flag::drained); }

    const config::AgentConfig& config_;
    const config::App& app_;
    store::Store& store_;
    build::ServiceState& service_;
    Doorman& doorman_;
    bool catching_up_;
    bool left_;  ///< note_left(), and not yet settled; as in the store
};

}  // namespace baton::engine
