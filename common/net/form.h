// SPDX-License-Identifier: MIT
// What clients put into a target and a form body: percent-encoding, query strings, multipart bodies.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace baton::net {

/// Name and value in the order in which they came.
using Arguments = std::vector<std::pair<std::string, std::string>>;

/// More than this many arguments in one query or form is Error(too_large).
inline constexpr std::size_t max_arguments = 1000;

enum class Plus { literal, space };

/// `%41` as `A`. Error(invalid) for a broken escape.
[[nodiscard]] std::string percent_decode(std::string_view text, Plus plus = Plus::literal);
/// Everything but unreserved characters as `%XX`: safe as a path segment and as a query value.
[[nodiscard]] std::string percent_encode(std::string_view text);

/// `a=1&b=two+words`, as a query string or an urlencoded body has it. A name without `=` has an empty value.
[[nodiscard]] Arguments parse_query(std::string_view text);
[[nodiscard]] std::string encode_query(const Arguments& arguments);

/// The parts of a `multipart/form-data` body by their names; `content_type` holds the boundary.
/// A file part counts with its content. Error(invalid) for a body without that boundary.
[[nodiscard]] Arguments parse_multipart(std::string_view content_type, std::string_view body);

/// The arguments of a form body, urlencoded or multipart by its content type; empty for any other type.
[[nodiscard]] Arguments parse_form(std::string_view content_type, std::string_view body);

/// The segments of a path, each decoded after the split, so that `%2F` makes no segment. Empty segments and the
/// query are dropped. Error(invalid) for a broken escape, a control character, `.` or `..`.
[[nodiscard]] std::vector<std::string> path_segments(std::string_view target);

}  // namespace baton::net
