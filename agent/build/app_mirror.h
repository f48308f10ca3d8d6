// SPDX-License-Identifier: MIT
// The mirror of an app's repository, as the configuration describes it: for builds and for polling alike.
#pragma once

#include <filesystem>

#include "common/config/agent_config.h"
#include "common/git/mirror.h"

namespace baton::build {

/// Does no I/O. Error(invalid) for a url or branch that git must not see.
[[nodiscard]] git::Mirror app_mirror(const config::AgentConfig& agent, const config::App& app,
                                     const std::filesystem::path& path);

}  // namespace baton::build
