// SPDX-License-Identifier: MIT
// The one way in which tests wait: for a condition, with a limit that is for a hang.
#pragma once

#include <chrono>
#include <functional>

namespace baton::test {

/// Polls `condition` until it holds or `within` has passed; the last answer.
[[nodiscard]] bool eventually(const std::function<bool()>& condition,
                              std::chrono::milliseconds within = std::chrono::seconds(60));

}  // namespace baton::test
