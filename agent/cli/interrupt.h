// SPDX-License-Identifier: MIT
// Ctrl-C as a value: while an object lives, SIGINT and SIGTERM are waited for instead of killing the program.
#pragma once

#include <csignal>

#include "common/types.h"

namespace baton::cli {

/// Main thread only, one at a time. The signals' former mask comes back with the destructor.
class Interrupt {
  public:
    Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;
    ~Interrupt();
    /// Waits for `time`; true as soon as a signal has come (and from then on at once).
    [[nodiscard]] bool wait(Milliseconds time);

  private:
    sigset_t signals_{};
    sigset_t before_{};
    bool came_ = false;
};

}  // namespace baton::cli
