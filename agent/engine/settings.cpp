// SPDX-License-Identifier: MIT
// From the configuration to what an app's protocol machine is told.
#include "agent/engine/settings.h"

#include "agent/build/app_mirror.h"
#include "agent/engine/runner.h"

namespace baton::engine {

chain::Settings machine_settings(const config::AgentConfig& config, const config::App& app) {
    chain::Settings settings;
    settings.self = config.self;
    for (const auto& node : config.nodes) {
        if (node.jenkins) continue;
        settings.voters.push_back(node.name);
        if (node.role == config::NodeRole::member) settings.order.push_back(node.name);
    }
    settings.policy = app.rollout;
    settings.lanes = app.rollout.max_unavailable.of(settings.order.size());
    settings.config_hash = config.hash;
    return settings;
}

git::Mirror mirror_of(const config::AgentConfig& config, const config::App& app) {
    return build::app_mirror(config, app, AppPaths(config.state_dir, app.name).mirror);
}

}  // namespace baton::engine
