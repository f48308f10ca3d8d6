// SPDX-License-Identifier: MIT
// Rollout ids: ULIDs (github.com/ulid/spec), 48 bits of milliseconds and 80 of chance, sorted by time as text.
#pragma once

#include <string_view>

#include "common/types.h"

namespace baton {

/// A new id for this moment; chance from the system's random source. Any thread.
[[nodiscard]] RolloutId new_rollout_id(WallTime now);
/// The same with given chance, for a deterministic world: the low 80 bits are `high16` and `low64`.
[[nodiscard]] RolloutId make_rollout_id(WallTime now, std::uint16_t high16, std::uint64_t low64);
[[nodiscard]] bool is_rollout_id(std::string_view text);

}  // namespace baton
