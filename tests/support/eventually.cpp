// SPDX-License-Identifier: MIT
// The one way in which tests wait: the only sleep of the test tree.
#include "tests/support/eventually.h"

#include <thread>

namespace baton::test {

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds within) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= deadline) return condition();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

}  // namespace baton::test
