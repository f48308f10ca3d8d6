// SPDX-License-Identifier: MIT
// How a process stands back: niceness, scheduling policy, I/O class, who goes first when memory runs out.
#pragma once

#include "common/process/process.h"

namespace baton::process {

/// For the calling process and all that it will start; as the leader of its session. Best effort: a machine that
/// refuses still runs the step. Only to be called between fork and exec.
void take_priority(Priority priority) noexcept;

}  // namespace baton::process
