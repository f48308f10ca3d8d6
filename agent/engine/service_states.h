// SPDX-License-Identifier: MIT
// One ServiceState an app: shared by the builds, the health page and the agent-check listeners.
#pragma once

#include <fmt/format.h>
#include <map>

#include "agent/build/traffic/service_state.h"
#include "common/config/agent_config.h"
#include "common/error.h"

namespace baton::engine {

/// The set of apps is fixed at construction; each state is safe for any thread.
class ServiceStates {
  public:
    explicit ServiceStates(const config::AgentConfig& config) {
        for (const auto& [name, app] : config.apps) {
            states_.try_emplace(name, config.traffic_of(app).load_balancer_addresses);
        }
    }
    [[nodiscard]] build::ServiceState& of(const AppName& app) {
        const auto it = states_.find(app);
        if (it == states_.end()) throw Error(ErrorKind::not_found, fmt::format("no app '{}' is configured", app));
        return it->second;
    }

  private:
    std::map<AppName, build::ServiceState> states_;
};

}  // namespace baton::engine
