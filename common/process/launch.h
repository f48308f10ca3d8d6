// SPDX-License-Identifier: MIT
// From the supervisor's child to the user's program: rights, limits, descriptors, environment, exec.
#pragma once

#include <sys/types.h>

#include <vector>

#include "common/process/parameters.h"

namespace baton::process {

/// Forks the command and waits until it is executed. Error, with the step that failed and errno's text, when
/// it could not be: nothing of it is left then. `kept` become 3, 4, … in it: each lies above its target, and they stay
/// open here. Only for a single-threaded process.
[[nodiscard]] pid_t launch(const Parameters& parameters, const std::vector<int>& kept);

}  // namespace baton::process
