// SPDX-License-Identifier: MIT
// From the configuration to what an app's protocol machine is told.
#include "agent/engine/settings.h"

#include <algorithm>
#include <fmt/format.h>

#include "agent/build/app_mirror.h"
#include "agent/engine/runner.h"
#include "common/error.h"
#include "common/file.h"
#include "common/text.h"

namespace baton::engine {

chain::Settings machine_settings(const config::AgentConfig& config, const config::App& app,
                                 const Parameters& default_parameters) {
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
    settings.default_parameters = default_parameters;
    return settings;
}

git::Mirror mirror_of(const config::AgentConfig& config, const config::App& app) {
    return build::app_mirror(config, app, AppPaths(config.state_dir, app.name).mirror);
}

std::map<std::string, std::string> effective_parameters(const config::App& app,
                                                        const std::map<std::string, std::string>& given) {
    std::map<std::string, std::string> parameters;
    for (const auto& declared : app.parameters) {
        const auto it = given.find(declared.name);
        std::string value = it == given.end() ? declared.default_value : it->second;
        switch (declared.type) {
            case config::Parameter::Type::boolean: value = lower(value) == "true" ? "true" : "false"; break;
            case config::Parameter::Type::choice:
                if (it == given.end() && value.empty() && !declared.choices.empty()) value = declared.choices.front();
                if (std::ranges::find(declared.choices, value) == declared.choices.end()) {
                    throw Error(ErrorKind::invalid, fmt::format("'{}' is none of the choices of {}: {}", value,
                                                                declared.name, join(declared.choices, ", ")));
                }
                break;
            case config::Parameter::Type::string:
            case config::Parameter::Type::text:
            case config::Parameter::Type::password: break;
        }
        parameters.emplace(declared.name, std::move(value));
    }
    return parameters;
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
