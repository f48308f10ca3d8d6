// SPDX-License-Identifier: MIT
// The one way in which tests wait: for a condition, with a limit.
#pragma once

#include <chrono>
#include <functional>

namespace baton::test {

/// Polls `condition` until it holds or `within` has passed; the last answer.
[[nodiscard]] bool eventually(const std::function<bool()>& condition,
                              std::chrono::milliseconds within = std::chrono::seconds(5));

}  // namespace baton::test
