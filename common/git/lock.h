// SPDX-License-Identifier: MIT
// One writer at a time per mirror, over all processes of the machine, with a limit on the wait.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string_view>

#include "common/file.h"
#include "common/types.h"

namespace baton::git {

/// The flock beside the mirror (`MIRROR.lock`), held until the result is destroyed. `which` names another of the
/// mirror's locks. Error(busy) when the deadline passes while another holds it, Error(cancelled) on `stop`.
[[nodiscard]] FileLock lock_mirror(const std::filesystem::path& mirror, const std::stop_token& stop, Instant deadline,
                                   std::string_view which = "lock");

[[nodiscard]] Instant now();

/// Removes lock files and half-written packs that a killed git left in the bare repository at `mirror`; only while
/// its lock is held, since then no living process of ours can own them. Returns how many were removed.
std::size_t clean_up_mirror(const std::filesystem::path& mirror);

}  // namespace baton::git
