// SPDX-License-Identifier: MIT
// The parts of agent.yaml, each read by a function of its own; inside this room only.
#pragma once

#include <string>

#include "common/config/agent_config.h"
#include "common/config/fields.h"

namespace baton::config {

/// Where a traffic section stands decides whether `${APP}` has a meaning there.
[[nodiscard]] Traffic read_traffic(const yaml::Value& map, const std::string& what, yaml::Position at,
                                   yaml::Report& report);
/// The entry of one app; its key is the name.
[[nodiscard]] App read_app(const yaml::Entry& entry, yaml::Report& report);

}  // namespace baton::config
