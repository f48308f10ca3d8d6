// SPDX-License-Identifier: MIT
// From the configuration to what an app's protocol machine and its mirror are told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/chain/settings.h"
#include "agent/engine/parameter_seal.h"
#include "common/config/agent_config.h"
#include "common/git/mirror.h"

namespace baton::engine {

/// `default_parameters`: of a rollout for which nobody chose any, sealed as they travel.
[[nodiscard]] chain::Settings machine_settings(const config::AgentConfig& config, const config::App& app,
                                               const Parameters& default_parameters);
/// The app's mirror with its credentials, as configured.
[[nodiscard]] git::Mirror mirror_of(const config::AgentConfig& config, const config::App& app);
/// The declared parameters with what was given for them, or else their defaults; nothing else ever reaches a step.
/// Error(invalid) for what is none of the choices.
[[nodiscard]] std::map<std::string, std::string> effective_parameters(const config::App& app,
                                                                      const std::map<std::string, std::string>& given);
/// What must not stand in a build's log: the app's own secrets and its password parameters. A file that cannot be
/// read now is left out: whoever needs it will say so.
[[nodiscard]] std::vector<std::string> secrets_of(const config::App& app,
                                                  const std::map<std::string, std::string>& parameters);

}  // namespace baton::engine
