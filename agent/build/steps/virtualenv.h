// SPDX-License-Identifier: MIT
// The built-in step `virtualenv:`: Python environments, made once for each content of a requirements file.
#pragma once

#include <filesystem>
#include <stop_token>

#include "agent/build/steps/step_runner.h"

namespace baton::build {

/// The virtualenv for `requirements` (relative to the workspace), made when it is not there yet. A virtualenv cannot
/// be moved, so it is built at its final path, `cache/virtualenvs/HASH`, under a lock; a marker file, written last,
/// says that it is complete, and one without it is made anew. HASH covers the file's content, the interpreter's path
/// and version, and the directory of wheels. With `app.wheels` pip looks nowhere else; without it, it asks the index.
/// Error(step_failed) when the file or pip is at fault, Error(cancelled) after `stop`. Its time-out is the step's.
[[nodiscard]] std::filesystem::path make_virtualenv(StepRunner& runner, const config::Step& step,
                                                    const std::stop_token& stop);

/// Removes those that no build has asked for in 30 days, save those in `keep`. Quiet when there is nothing.
void prune_virtualenvs(const std::filesystem::path& cache, const std::vector<std::filesystem::path>& keep);

}  // namespace baton::build
