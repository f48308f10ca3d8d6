// SPDX-License-Identifier: MIT
// Small work on text: splitting, escaping, masking, the nearest known word, units of time and size.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"

namespace baton {

[[nodiscard]] std::string_view trim(std::string_view text);
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);
[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// Control characters, ESC and invalid UTF-8 as `\n`, `\x1b`, …: one line that cannot forge another.
[[nodiscard]] std::string escape_control(std::string_view text);
/// Invalid UTF-8 replaced by U+FFFD; everything else as it was.
[[nodiscard]] std::string valid_utf8(std::string_view text);
/// `https://user:secret@host/x` as `https://***@host/x`; any other text unchanged.
[[nodiscard]] std::string mask_url(std::string_view url);
/// The first line, cut to `most` bytes at a character's border with `…`.
[[nodiscard]] std::string first_line(std::string_view text, std::size_t most = 120);

/// The known word nearest to `word` by edit distance (at most 3, and less than its length); none if too far.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word, std::span<const std::string> known);

/// Compares in time that depends on the lengths only.
[[nodiscard]] bool equal_constant_time(std::string_view left, std::string_view right);
[[nodiscard]] std::string to_hex(std::string_view bytes);
/// None unless `hex` is an even number of hexadecimal digits.
[[nodiscard]] std::optional<std::string> from_hex(std::string_view hex);

/// `250ms 30s 5m 1h30m 7d`: whole numbers with units, largest unit first, no blanks. None for anything else,
/// a bare number included; at most 366 days.
[[nodiscard]] std::optional<Milliseconds> parse_duration(std::string_view text);
/// The shortest text that parse_duration reads back: `1h30m`, `0s`.
[[nodiscard]] std::string to_text(Milliseconds duration);
/// `512`, `64KiB`, `64MiB`, `2GiB` (also KB, MB, GB as powers of 1000) in bytes. None for anything else.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);

/// `2026-11-23T13:05:09.123Z`
[[nodiscard]] std::string to_iso8601(WallTime time);
/// How long ago or how long it took, for people: `3s`, `4m10s`, `2h5m`, `3d4h`.
[[nodiscard]] std::string human_duration(Milliseconds duration);

/// A whole decimal number without sign, blanks or anything after it.
[[nodiscard]] std::optional<std::uint64_t> parse_whole(std::string_view text);

}  // namespace baton
