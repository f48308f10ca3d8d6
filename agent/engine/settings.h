// SPDX-License-Identifier: MIT
// From the configuration to what an app's protocol machine and its mirror are told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/chain/settings.h"
#include "common/config/agent_config.h"
#include "common/git/mirror.h"

namespace baton::engine {

[[nodiscard]] chain::Settings machine_settings(const config::AgentConfig& config, const config::App& app);
/// The app's mirror with its credentials, as configured.
[[nodiscard]] git::Mirror mirror_of(const config::AgentConfig& config, const config::App& app);
/// What must not stand in a build's log: the app's own secrets and its password parameters. A file that cannot be
/// read now is left out: whoever needs it will say so.
[[nodiscard]] std::vector<std::string> secrets_of(const config::App& app,
                                                  const std::map<std::string, std::string>& parameters);

}  // namespace baton::engine
