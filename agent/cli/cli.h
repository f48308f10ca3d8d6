// SPDX-License-Identifier: MIT
// The command line. It talks HTTP to an agent and never opens an agent's database.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace baton::cli {

/// Runs the agent in the foreground: the configuration file, and `--node` if given. Returns the exit status.
using AgentMain = std::function<int(const std::string& config_path, const std::optional<std::string>& node)>;

/// What the program's exit status tells a script.
enum ExitCode : int {
    exit_ok = 0,
    exit_failed = 1,       ///< the rollout, the check or the request failed
    exit_usage = 2,        ///< the command line is wrong
    exit_held = 3,         ///< frozen, held, or otherwise not allowed by the state
    exit_unreachable = 4,  ///< no agent answered
};

/// The whole of `baton`. Writes to standard output and error; never throws. Called once, from main, before
/// other threads run (commands that follow an agent block SIGINT and SIGTERM while they wait).
[[nodiscard]] int run_cli(int argc, char** argv, const AgentMain& agent_main);

}  // namespace baton::cli
