// SPDX-License-Identifier: MIT
// The kernel's table of processes: who descends from whom, whose environment holds what, and signals that
// cannot reach a stranger that took over a process id.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace baton::process {

/// All live descendants of `root`, parents before children, zombies included. A snapshot: what forks
/// meanwhile may be missing, so callers that must have all of them stop what they found and look again.
[[nodiscard]] std::vector<pid_t> descendants(pid_t root);

/// Sends `signal` to those of `pids` that still descend from `root`. Those that are gone are passed over.
void signal_descendants(pid_t root, const std::vector<pid_t>& pids, int signal);

/// Stops every descendant of `root`, those that fork meanwhile too, then kills them all. One round; a caller
/// that waits for children calls it again until there are none. Returns how many were found.
std::size_t kill_descendants(pid_t root);

/// The parent's id, or none when `pid` is gone.
[[nodiscard]] std::optional<pid_t> parent_of(pid_t pid);

/// Clock ticks since boot: together with its id it names a process for good.
using StartTime = std::uint64_t;

/// None when `pid` is gone.
[[nodiscard]] std::optional<StartTime> start_time_of(pid_t pid);
/// It has ended, and its parent has not noticed yet.
[[nodiscard]] bool is_zombie(pid_t pid);

/// Every process, zombies aside, whose environment holds the entry `entry` (`NAME=value`) and not `unless`
/// (empty: none), and all descendants of those; but neither this process nor an ancestor of it. As far as
/// this process may read the environments: root all, others their own.
[[nodiscard]] std::map<pid_t, StartTime> find_by_environment(std::string_view entry, std::string_view unless);

/// SIGTERM to all that find_by_environment() gives, a second for them to go, then SIGSTOP and SIGKILL in
/// rounds until several looks in a row find none, at most 5 s. Returns how many different processes were met.
std::size_t end_by_environment(std::string_view entry, std::string_view unless);

}  // namespace baton::process
