// SPDX-License-Identifier: MIT
// The first and the last lines of a build's log, as people and scripts know them from Jenkins' console.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::engine {

/// `Started by …`, a line a cause, and where it runs. A log that cannot be written is a warning, not a failure.
void write_console_head(const std::filesystem::path& log, const std::vector<wire::Cause>& causes, const NodeName& node);
/// `Finished: SUCCESS`: the last line there is, so it is to be written before the build counts as ended. Of one that was
/// cut short also that it was, and `message`, which says by whom.
void write_console_tail(const std::filesystem::path& log, wire::BuildState state, const std::string& message);

}  // namespace baton::engine
