// SPDX-License-Identifier: MIT
// The ways of leaving a load balancer that act on something outside: a file, a command, HAProxy's runtime API,
// nftables.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "agent/build/traffic/traffic.h"

namespace baton::build {

/// A file that exists while the node is out, for the node's own web server to look at: it outlives the agent.
[[nodiscard]] std::unique_ptr<Traffic> make_file_traffic(const BuildSpec& spec);
/// Two shell commands, for cloud load balancers; exit status 0 means that it has acted.
[[nodiscard]] std::unique_ptr<Traffic> make_command_traffic(const BuildSpec& spec, BuildLog& log);
/// `set server … state drain|ready` at each socket of HAProxy's runtime API, then its own word that the server is up.
[[nodiscard]] std::unique_ptr<Traffic> make_haproxy_socket_traffic(const BuildSpec& spec);
/// An nftables rule that answers new connections from outside with RST while established ones go on: for load balancers
/// that notice failures only. Connections of this machine to itself pass, so that health checks do.
[[nodiscard]] std::unique_ptr<Traffic> make_refuse_traffic(const BuildSpec& spec);

/// The rules for `nft -f -`, each one transaction that is right whatever was there before.
[[nodiscard]] std::string refuse_rules(std::uint16_t port);
[[nodiscard]] std::string no_refuse_rules(std::uint16_t port);

}  // namespace baton::build
