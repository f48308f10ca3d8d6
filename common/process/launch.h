// SPDX-License-Identifier: MIT
// From the supervisor's child to the user's program: rights, limits, descriptors, environment, exec.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/process/parameters.h"

namespace baton::process {

/// Forks the command and waits until it is executed. Error, with the step that failed and errno's text, when
/// it could not be: nothing of it is left then. Only for a single-threaded process with the descriptors that
/// parameters.h names; those to keep are closed in this process afterwards.
[[nodiscard]] pid_t launch(const Parameters& parameters);

}  // namespace baton::process
