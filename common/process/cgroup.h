// SPDX-License-Identifier: MIT
// A cgroup (version 2) for each step, where systemd delegated ours: a belt beside the supervisor's braces.
#pragma once

#include <string>
#include <string_view>

#include "common/process/process.h"

namespace baton::process {

/// Below the cgroup that was delegated to this process, where prepare_cgroups() puts the process itself.
constexpr const char* agent_leaf = "agent";

/// The cgroup that was delegated to this process; empty: none was, or it may not be written.
[[nodiscard]] std::string delegated_cgroup();
/// `cpu.weight 10` or the like; empty where a step's cgroup would have no controller for it.
[[nodiscard]] std::string describe_weight(Priority priority);

/// The directory for a step's cgroup below this process's own one; empty unless that is delegated
/// (Delegate=yes sets an extended attribute on it) and writable. Nothing is made yet.
[[nodiscard]] std::string plan_cgroup(std::string_view step_id);

/// Makes it, with a small weight for a step of low priority where the controllers are there. False when the kernel
/// refuses.
[[nodiscard]] bool make_cgroup(const std::string& directory, Priority priority);

/// Moves the calling process into it. Best effort: the supervisor finds its descendants without.
void enter_cgroup(const std::string& directory) noexcept;

/// Kills what is in it at once (cgroup.kill) and removes it. Best effort.
void end_cgroup(const std::string& directory) noexcept;

}  // namespace baton::process
