// SPDX-License-Identifier: MIT
// An exported page as an answer: `api/json`, `api/python`, `api/xml` with `tree`, `depth`, `pretty` and
// `xpath`.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "agent/http/jenkins/model.h"
#include "agent/http/server/message.h"

namespace baton::http {

/// `suffix` are the segments after the object's path, beginning with `api`. Error(not_found) for a format
/// that there is not, Error(invalid) for a wrong argument, Error(forbidden) for jsonp.
[[nodiscard]] Response export_response(const ExportPage& page, const Request& request,
                                       std::span<const std::string> suffix);

/// A small page for people who follow a link of the interface.
[[nodiscard]] Response note_page(std::string_view title, std::string_view text);

/// 405: this changes something.
[[nodiscard]] Response post_only();
/// 501: Jenkins has this, an agent does not.
[[nodiscard]] Response not_offered();

/// The segments from `at` on.
[[nodiscard]] std::span<const std::string> path_from(const Request& request, std::size_t at);
[[nodiscard]] std::string escape_html(std::string_view text);

/// 302 to a path below the address that the client used; never to where a Referer points.
[[nodiscard]] Response redirect_to(const Request& request, std::string_view path);

}  // namespace baton::http
