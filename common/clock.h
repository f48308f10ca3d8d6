// SPDX-License-Identifier: MIT
// Time as a parameter: the system's clocks, or a test's.
#pragma once

#include "common/types.h"

namespace baton {

/// One of the program's few seams. Real: SystemClock. Tests that need to move time use a clock of their own.
/// Safe to call from any thread.
class Clock {
  public:
    Clock() = default;
    Clock(const Clock&) = delete;
    Clock& operator=(const Clock&) = delete;
    virtual ~Clock() = default;
    [[nodiscard]] virtual WallTime wall() const = 0;
    [[nodiscard]] virtual Instant now() const = 0;
};

class SystemClock final : public Clock {
  public:
    [[nodiscard]] WallTime wall() const override {
        return std::chrono::time_point_cast<Milliseconds>(std::chrono::system_clock::now());
    }
    [[nodiscard]] Instant now() const override {
        return std::chrono::time_point_cast<Milliseconds>(std::chrono::steady_clock::now());
    }
};

/// Milliseconds since 1970-01-01 UTC, as records and the wire carry wall time.
[[nodiscard]] inline std::int64_t to_epoch_ms(WallTime time) { return time.time_since_epoch().count(); }
[[nodiscard]] inline WallTime from_epoch_ms(std::int64_t ms) { return WallTime{Milliseconds{ms}}; }

}  // namespace baton
