// SPDX-License-Identifier: MIT
// Requests in flight: established connections to the app's port, as the kernel counts them.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace baton::build {

/// Connections of /proc/net/tcp and tcp6 in state ESTABLISHED whose local end is `port` and, unless it is empty, the
/// address `host` (an IPv4 or IPv6 literal). Exact for a port to which the web server opens one connection a
/// request (FastCGI); kept connections of clients or load balancers count as well. Error(io), Error(invalid).
[[nodiscard]] unsigned requests_in_flight(std::uint16_t port, const std::string& host);

/// Every connection to `port` that the kernel still knows of, whatever its state, each as a text of its own: those that
/// have ended stay for a minute (TIME_WAIT), so that a text that was not there a moment ago is a connection since then,
/// however short. From either end, since it depends on who closed first. Error(io), Error(invalid).
[[nodiscard]] std::set<std::string> connections_at(std::uint16_t port, const std::string& host);

/// The same from the text of one such table; `host_hex` as the kernel writes it, empty for any.
[[nodiscard]] unsigned count_established(std::string_view table, std::uint16_t port, std::string_view host_hex);

}  // namespace baton::build
