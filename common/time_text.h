// SPDX-License-Identifier: MIT
// Points in time as people and files write them.
#pragma once

#include <optional>
#include <string_view>

#include "common/types.h"

namespace baton {

/// ISO 8601 in UTC, as to_iso8601() writes it, or less of it: `2026-12-24`, `2026-12-24T18:00`, `…:30`, `….250`, each
/// with or without the `Z`; a blank for the `T`. None for anything else, other zones and days that do not exist
/// included.
[[nodiscard]] std::optional<WallTime> parse_iso8601(std::string_view text);

}  // namespace baton
