// SPDX-License-Identifier: MIT
// The parts of the two files that are read by functions of their own; inside this room only.
#pragma once

#include <string>

#include "common/config/agent_config.h"
#include "common/config/fields.h"
#include "common/config/load.h"
#include "common/config/pipeline_config.h"

namespace baton::config {

/// Where a traffic section stands decides whether `${APP}` has a meaning there.
[[nodiscard]] Traffic read_traffic(const yaml::Value& map, const std::string& what, yaml::Position at,
                                   yaml::Report& report);
/// The entry of one app; its key is the name.
[[nodiscard]] App read_app(const yaml::Entry& entry, yaml::Report& report);

/// `switch.options`, whatever the strategy.
void read_strategy_options(Fields& over, Switch& target);
/// What the strategy needs, and what does not go together. After all of `switch` was read.
void check_strategy(Fields& over, const Switch& target, PipelineOf whose);
/// An address that a health check asks. `${PORT}` has a meaning where two releases run side by side.
void check_health_url(Fields& fields, std::string_view key, const std::string& url, bool beside);

}  // namespace baton::config
