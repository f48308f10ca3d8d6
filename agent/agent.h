// SPDX-License-Identifier: MIT
// The composition root: the whole agent, built in order and ended in reverse.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace baton {

/// Runs the agent in the foreground until SIGTERM or SIGINT; SIGHUP reads the TLS files again. The exit status.
/// Error for what keeps it from starting: configuration, state directory, address in use.
[[nodiscard]] int run_agent(const std::filesystem::path& config_file, const std::optional<std::string>& node);

}  // namespace baton
