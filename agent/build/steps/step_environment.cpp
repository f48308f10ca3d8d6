// SPDX-License-Identifier: MIT
// The clean environment of a step.
#include "agent/build/steps/step_environment.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include "common/error.h"
#include "common/text.h"

namespace baton::build {

namespace {

constexpr const char* system_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string node_host(const BuildSpec& spec) {
    const auto* node = spec.agent->find_node(spec.agent->self);
    return node == nullptr ? std::string() : node->address.host;
}

/// The home of the agent's own user.
std::pair<std::string, std::string> own_name_and_home() {
    std::vector<char> buffer(16 * 1024);
    passwd entry{};
    passwd* found = nullptr;
    if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
        return {std::to_string(::geteuid()), "/"};
    }
    return {entry.pw_name, entry.pw_dir};
}

using Environment = std::map<std::string, std::string>;

void add_names_of_build(Environment& environment, const BuildSpec& spec) {
    const auto& job = spec.app->name.str();
    environment["CI"] = "true";
    environment["JOB_NAME"] = job;
    environment["JOB_BASE_NAME"] = job;
    environment["JOB_URL"] = fmt::format("{}job/{}/", spec.agent_url, job);
    environment["BUILD_NUMBER"] = environment["BUILD_ID"] = std::to_string(spec.number);
    environment["BUILD_DISPLAY_NAME"] = fmt::format("#{}", spec.number);
    environment["BUILD_TAG"] = fmt::format("jenkins-{}-{}", job, spec.number);
    environment["BUILD_URL"] = fmt::format("{}job/{}/{}/", spec.agent_url, job, spec.number);
    environment["JENKINS_URL"] = spec.agent_url;
    environment["JENKINS_HOME"] = spec.agent->state_dir.string();
    environment["EXECUTOR_NUMBER"] = std::to_string(spec.executor);
    environment["WORKSPACE"] = spec.workspace.string();
    environment["NODE_NAME"] = environment["NODE_LABELS"] = spec.agent->self.str();
    environment["NODE_ADDRESS"] = node_host(spec);
}

void add_git(Environment& environment, const BuildSpec& spec, const CommitId& commit) {
    environment["GIT_COMMIT"] = commit.str();
    environment["GIT_BRANCH"] = "origin/" + spec.app->branch;
    environment["GIT_LOCAL_BRANCH"] = spec.app->branch;
    environment["GIT_URL"] = mask_url(spec.app->repository);
    if (!spec.previous_commit.empty()) environment["GIT_PREVIOUS_COMMIT"] = spec.previous_commit.str();
    if (!spec.previous_good_commit.empty()) {
        environment["GIT_PREVIOUS_SUCCESSFUL_COMMIT"] = spec.previous_good_commit.str();
    }
}

void add_baton(Environment& environment, const BuildSpec& spec, const StepContext& context) {
    environment["BATON_ROLLOUT"] = spec.rollout.key.id.str();
    environment["BATON_STAGE"] = wire::to_text(context.stage);
    environment["BATON_CANARY"] = is_canary(spec) ? "true" : "false";
    if (!context.release.empty()) environment["BATON_RELEASE_DIR"] = context.release.string();
    if (!context.current.empty()) environment["BATON_CURRENT_DIR"] = context.current.string();
    if (!context.colour.empty()) environment["BATON_COLOR"] = context.colour;
    if (context.port != 0) environment["BATON_PORT"] = std::to_string(context.port);
    environment["BATON_STEP_OWNER"] = step_owner(*spec.agent);
    // Where the agent is the app: which of its releases runs. One that was replaced in place says "(deleted)".
    std::error_code unknown;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", unknown);
    if (!unknown) environment["BATON_AGENT_PROGRAM"] = program.string();
}

}  // namespace

std::string step_owner(const config::AgentConfig& agent) {
    return fmt::format("{}@{}", agent.self.str(), agent.state_dir.string());
}

std::vector<std::string> step_environment(const BuildSpec& spec, const StepContext& context,
                                          const std::map<std::string, std::string>& extra) {
    Environment environment;
    // Parameters first: an app may declare one, but must not take a name away from what follows. Undeclared ones
    // come from outside and never reach a step.
    for (const auto& parameter : spec.app->parameters) {
        const auto given = spec.rollout.parameters.find(parameter.name);
        environment[parameter.name] = given == spec.rollout.parameters.end() ? parameter.default_value : given->second;
    }
    environment["PATH"] = system_path;
    environment["LANG"] = "C.UTF-8";
    if (spec.app->run_as.empty()) {
        std::tie(environment["USER"], environment["HOME"]) = own_name_and_home();
    } else {
        const auto account = process::find_account(spec.app->run_as);
        environment["USER"] = account.name;
        environment["HOME"] = account.home;
    }
    environment["LOGNAME"] = environment["USER"];
    environment["SHELL"] = "/bin/sh";
    for (const auto& [name, value] : extra) environment[name] = value;
    if (!context.virtualenv.empty()) {
        environment["VIRTUAL_ENV"] = context.virtualenv.string();
        environment["PATH"] = fmt::format("{}/bin:{}", context.virtualenv.string(), environment["PATH"]);
    }
    add_names_of_build(environment, spec);
    const bool has_workspace = context.stage == wire::Stage::prepare || context.stage == wire::Stage::test;
    if (has_workspace) environment["WORKSPACE_TMP"] = spec.temporary().string();
    add_git(environment, spec, context.commit.empty() ? spec.rollout.commit : context.commit);
    add_baton(environment, spec, context);

    std::vector<std::string> lines;
    lines.reserve(environment.size());
    for (const auto& [name, value] : environment) {
        // A NUL would cut the value short without a word; it can only come from outside.
        lines.push_back(fmt::format("{}={}", name, value.substr(0, value.find('\0'))));
    }
    return lines;
}

std::optional<process::Account> step_account(const config::App& app) {
    if (app.run_as.empty()) return std::nullopt;
    auto account = process::find_account(app.run_as);
    if (::geteuid() == account.uid) return std::nullopt;
    if (::geteuid() != 0) {
        throw Error(
            ErrorKind::forbidden,
            fmt::format("only root can run the steps of app \"{}\" as \"{}\"; run the agent as root or as that user",
                        app.name, app.run_as));
    }
    return account;
}

bool is_canary(const BuildSpec& spec) {
    const auto& nodes = spec.agent->nodes;
    const auto index_of = [&](const NodeName& name) {
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            if (nodes[i].name == name) return i;
        }
        return std::size_t{0};
    };
    if (nodes.empty()) return true;
    const auto place = (index_of(spec.agent->self) + nodes.size() - index_of(spec.rollout.started_on)) % nodes.size();
    return place < spec.app->rollout.canary;
}

std::map<std::string, std::string, std::less<>> health_variables(const BuildSpec& spec, const CommitId& commit,
                                                                 unsigned port) {
    std::map<std::string, std::string, std::less<>> variables{{"NODE_NAME", spec.agent->self.str()},
                                                              {"NODE_ADDRESS", node_host(spec)},
                                                              {"APP", spec.app->name.str()},
                                                              {"GIT_COMMIT", commit.str()}};
    if (port != 0) variables["PORT"] = std::to_string(port);
    return variables;
}

}  // namespace baton::build
