// SPDX-License-Identifier: MIT
// From the configuration to what an app's protocol machine and its mirror are told.
#pragma once

#include "agent/chain/settings.h"
#include "common/config/agent_config.h"
#include "common/git/mirror.h"

namespace baton::engine {

[[nodiscard]] chain::Settings machine_settings(const config::AgentConfig& config, const config::App& app);
/// The app's mirror with its credentials, as configured.
[[nodiscard]] git::Mirror mirror_of(const config::AgentConfig& config, const config::App& app);

}  // namespace baton::engine
