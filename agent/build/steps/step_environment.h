// SPDX-License-Identifier: MIT
// The clean environment of a step: what Jenkins' users expect, what git and baton have to say, and nothing of the
// agent's.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/build/steps/build_spec.h"
#include "common/process/process.h"

namespace baton::build {

/// What differs from step to step of one build.
struct StepContext {
    wire::Stage stage = wire::Stage::prepare;
    std::filesystem::path release;     ///< BATON_RELEASE_DIR; empty before there is one
    std::filesystem::path current;     ///< BATON_CURRENT_DIR: where the app runs from; empty for a CI job
    std::filesystem::path virtualenv;  ///< its bin/ comes first on PATH; empty: none
    CommitId commit;                   ///< GIT_COMMIT; empty: the rollout's
    std::string colour;                ///< BATON_COLOR: which of two instances; empty: there is one only
    unsigned port = 0;                 ///< BATON_PORT: where that one alone can be asked; 0: none
};

/// `NAME=value` for each, sorted. `extra` (the step's own `env:`) wins over all but the names that identify the
/// build and its owner.
[[nodiscard]] std::vector<std::string> step_environment(const BuildSpec& spec, const StepContext& context,
                                                        const std::map<std::string, std::string>& extra);

/// The account of the app's `run_as`; none when it is empty. Error(not_found) for an unknown user, Error(forbidden)
/// when this agent is not root and it is another's.
[[nodiscard]] std::optional<process::Account> step_account(const config::App& app);

/// Is this node among the first `canary` ones of the rollout's walk?
[[nodiscard]] bool is_canary(const BuildSpec& spec);

/// For `${…}` in health checks and their like: NODE_NAME, NODE_ADDRESS (host only), APP, GIT_COMMIT, and PORT unless it
/// is 0.
[[nodiscard]] std::map<std::string, std::string, std::less<>> health_variables(const BuildSpec& spec,
                                                                               const CommitId& commit,
                                                                               unsigned port = 0);

/// What BATON_STEP_OWNER holds in the environment of every step of this agent: for process::end_leftovers.
[[nodiscard]] std::string step_owner(const config::AgentConfig& agent);

}  // namespace baton::build
