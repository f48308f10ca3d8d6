// SPDX-License-Identifier: MIT
// Which node of the chain am I? The file is the same on every node, so the machine itself must tell.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/config/agent_config.h"

namespace baton::config {

/// What a machine knows of itself.
struct Machine {
    std::vector<std::string> addresses;  ///< of its interfaces, as text, without a scope
    std::string host_name;               ///< as the kernel has it, perhaps with a domain
};

/// Asks the system. Error(io) when it does not tell.
[[nodiscard]] Machine this_machine();

/// The node whose address is one of the machine's; where that leaves none or several, the one whose name or
/// address is the machine's host name (with or without its domain). Error(not_found) when nothing matches and
/// Error(conflict) when more than one does, both listing what was compared and how to name the node.
[[nodiscard]] NodeName find_self(const AgentConfig& config, const Machine& machine);

/// `argument` (`--node`) if given, else BATON_NODE if set and not empty, else find_self(this_machine()).
/// Error(not_found) when a given name is none of the chain's.
[[nodiscard]] NodeName identify(const AgentConfig& config, const std::optional<std::string>& argument);

}  // namespace baton::config
