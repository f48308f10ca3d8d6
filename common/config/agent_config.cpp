// SPDX-License-Identifier: MIT
// Look-ups in the configuration.
#include "common/config/agent_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/error.h"
#include "common/text.h"

namespace baton::config {

std::string Address::text() const {
    if (host.find(':') != std::string::npos && !host.starts_with('[')) return fmt::format("[{}]:{}", host, port);
    return fmt::format("{}:{}", host, port);
}

unsigned Share::of(std::size_t nodes) const {
    if (!percent) return count;
    return static_cast<unsigned>(std::max<std::size_t>(1, nodes * count / 100));
}

const Node* AgentConfig::find_node(const NodeName& name) const {
    const auto found = std::ranges::find(nodes, name, &Node::name);
    return found == nodes.end() ? nullptr : &*found;
}

const App& AgentConfig::app(const AppName& name) const {
    const auto found = apps.find(name);
    if (found != apps.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [app, value] : apps) known.push_back(app.str());
    const auto near = nearest(name.str(), known);
    throw Error(ErrorKind::not_found,
                fmt::format("no app '{}' is configured (known: {}{})", escape_control(first_line(name.str())),
                            known.empty() ? "none" : join(known, ", "),
                            near ? fmt::format("; did you mean '{}'?", *near) : ""));
}

}  // namespace baton::config
