// SPDX-License-Identifier: MIT
// JSON at the border: nlohmann/json behind limits, and member access whose errors name the member.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace baton::json {

using Value = nlohmann::json;

/// Parses a document. Error(invalid) with line and column for bad syntax, bad UTF-8, a key that comes twice,
/// or nesting deeper than 64 (nlohmann's dump recurses, so depth is a stack overflow in waiting).
[[nodiscard]] Value parse(std::string_view text);
/// Compact; invalid UTF-8 is replaced by U+FFFD.
[[nodiscard]] std::string dump(const Value& value);

/// Members of an object; Error(invalid) `'name' is missing` or `'name' must be a string`.
[[nodiscard]] const Value& member(const Value& object, std::string_view name);
[[nodiscard]] std::string text(const Value& object, std::string_view name);
[[nodiscard]] std::string text_or(const Value& object, std::string_view name, std::string_view fallback);
[[nodiscard]] std::uint64_t whole(const Value& object, std::string_view name);
[[nodiscard]] std::uint64_t whole_or(const Value& object, std::string_view name, std::uint64_t fallback);
[[nodiscard]] std::int64_t number_or(const Value& object, std::string_view name, std::int64_t fallback);
[[nodiscard]] bool flag(const Value& object, std::string_view name);
[[nodiscard]] bool flag_or(const Value& object, std::string_view name, bool fallback);

}  // namespace baton::json
