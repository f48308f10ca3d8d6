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

std::vector<const Node*> AgentConfig::neighbours_of(const NodeName& member) const {
    const auto start = std::ranges::find(nodes, member, &Node::name);
    std::vector<const Node*> found;
    if (start == nodes.end() || !start->is_member()) return found;
    const auto first = static_cast<std::size_t>(start - nodes.begin());
    for (std::size_t step = 1; step < nodes.size(); ++step) {
        const auto& node = nodes[(first + step) % nodes.size()];
        if (node.is_member()) break;
        if (node.jenkins) found.push_back(&node);  // a witness in between is nobody's neighbour
    }
    return found;
}

std::size_t AgentConfig::agents() const {
    return static_cast<std::size_t>(std::ranges::count_if(nodes, [](const Node& node) { return !node.jenkins; }));
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
