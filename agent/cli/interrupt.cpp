// SPDX-License-Identifier: MIT
// Ctrl-C as a value.
#include "agent/cli/interrupt.h"

#include <pthread.h>

#include <cerrno>
#include <ctime>

namespace baton::cli {

Interrupt::Interrupt() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
}

Interrupt::~Interrupt() {
    // One that came and was not waited for must not kill the program that has just cleaned up after it.
    const timespec no_time{};
    while (sigtimedwait(&signals_, nullptr, &no_time) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Interrupt::wait(Milliseconds time) {
    using Clock = std::chrono::steady_clock;
    const auto until = Clock::now() + time;
    while (!came_) {
        const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(until - Clock::now());
        if (left.count() <= 0) return false;
        const timespec rest{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
        // EINTR: a signal of another kind, such as the terminal's new size; the rest of the time remains.
        if (sigtimedwait(&signals_, nullptr, &rest) > 0) came_ = true;
    }
    return true;
}

}  // namespace baton::cli
