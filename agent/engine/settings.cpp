// SPDX-License-Identifier: MIT
// From the configuration to what an app's protocol machine is told.
#include "agent/engine/settings.h"

#include "agent/build/app_mirror.h"
#include "agent/engine/runner.h"
#include "common/error.h"
#include "common/file.h"

namespace baton::engine {

chain::Settings machine_settings(const config::AgentConfig& config, const config::App& app) {
    chain::Settings settings;
    settings.self = config.self;
    for (const auto& node : config.nodes) {
        if (node.jenkins) continue;
        settings.voters.push_back(node.name);
        if (node.is_member()) settings.order.push_back(node.name);
    }
    settings.policy = app.rollout;
    settings.lanes = app.rollout.max_unavailable.of(settings.order.size());
    settings.neighbours = !config.neighbours_of(config.self).empty();
    settings.config_hash = config.hash;
    return settings;
}

git::Mirror mirror_of(const config::AgentConfig& config, const config::App& app) {
    return build::app_mirror(config, app, AppPaths(config.state_dir, app.name).mirror);
}

std::vector<std::string> secrets_of(const config::App& app, const std::map<std::string, std::string>& parameters) {
    std::vector<std::filesystem::path> files = app.triggers.webhook_secret_files;
    if (app.triggers.token_file) files.push_back(*app.triggers.token_file);
    if (app.credentials.password_file) files.push_back(*app.credentials.password_file);
    std::vector<std::string> secrets;
    for (const auto& file : files) {
        try {
            secrets.push_back(read_secret_file(file));
        } catch (const Error&) {
            continue;
        }
    }
    for (const auto& declared : app.parameters) {
        const auto given = parameters.find(declared.name);
        if (declared.type == config::Parameter::Type::password && given != parameters.end() && !given->second.empty()) {
            secrets.push_back(given->second);
        }
    }
    return secrets;
}

}  // namespace baton::engine
