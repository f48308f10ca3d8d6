// SPDX-License-Identifier: MIT
// How this node leaves the load balancer and comes back, in the ways that people's load balancers allow.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "agent/build/steps/build_log.h"
#include "agent/build/steps/step_environment.h"

namespace baton::build {

/// Whether the load balancer is known to have acted.
enum class Noticed { yes, no };

/// One way of leaving and coming back. Blocking, one thread; every wait has a limit from the configuration.
/// Both are idempotent, since a switch that was cut off is begun anew.
class Traffic {
  public:
    Traffic() = default;
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    virtual ~Traffic() = default;
    /// Asks for no new requests, and waits until the load balancer has acted, at most drain_timeout.
    [[nodiscard]] virtual Noticed leave(const std::stop_token& stop) = 0;
    /// Asks for requests again, and waits until the load balancer sends them, at most rejoin_timeout.
    [[nodiscard]] virtual Noticed rejoin(const std::stop_token& stop) = 0;
    /// Whether leave() keeps requests away at all.
    [[nodiscard]] virtual bool drains() const { return true; }
    /// What is waited for, for people.
    [[nodiscard]] virtual std::string describe() const = 0;
};

/// Whether somebody has to act for the load balancer to know: the others ask by themselves, or there is none.
[[nodiscard]] bool must_be_told(config::TrafficMethod method);

/// The method that the configuration names for this app. Error(invalid) where it lacks what it needs.
[[nodiscard]] std::unique_ptr<Traffic> make_traffic(const BuildSpec& spec, BuildLog& log);

/// Waits until no request is in flight, twice in a row 100 ms apart: one look can fall between two requests. Returns
/// how many were left after drain_timeout. 0 at once where the configuration names no port.
[[nodiscard]] unsigned wait_for_requests(const config::Traffic& traffic, const std::stop_token& stop);

/// Waits until nobody has connected to the port for `settle`, and nobody is connected. For a port that a web server was
/// told to leave: its workers of before the telling go by themselves, at a time that nobody is told. Returns how many
/// were connected at last, after `settle` and drain_timeout.
[[nodiscard]] unsigned wait_until_deserted(const config::Traffic& traffic, std::uint16_t port, const std::string& host);

}  // namespace baton::build
