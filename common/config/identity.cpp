// SPDX-License-Identifier: MIT
// Which node of the chain am I?
#include "common/config/identity.h"

#include <Poco/Environment.h>
#include <Poco/Exception.h>
#include <Poco/Net/IPAddress.h>
#include <Poco/Net/NetworkInterface.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "common/error.h"
#include "common/text.h"

namespace baton::config {
namespace {

/// One spelling for one address; other text in lower case.
std::string canonical(const std::string& host) {
    Poco::Net::IPAddress address;
    if (!Poco::Net::IPAddress::tryParse(host, address)) return lower(host);
    std::string text = address.toString();
    return text.substr(0, text.find('%'));
}

std::string without_domain(const std::string& host) { return host.substr(0, host.find('.')); }

bool is_host(const Node& node, const std::string& host_name) {
    if (host_name.empty()) return false;
    const std::string own = lower(host_name);
    const std::string bare = without_domain(own);
    const std::string name = node.name.str();
    Poco::Net::IPAddress ignored;
    const bool literal = Poco::Net::IPAddress::tryParse(node.address.host, ignored);
    const std::string host = literal ? "" : lower(node.address.host);
    // A domain that both have must be the same; one that only one has is no difference.
    const auto same = [&](const std::string& other) {
        if (other.empty()) return false;
        const bool both = other.find('.') != std::string::npos && own.find('.') != std::string::npos;
        return both ? other == own : without_domain(other) == bare;
    };
    return same(name) || same(host);
}

std::string compared(const AgentConfig& config, const Machine& machine) {
    std::string text = fmt::format("\n  this machine: host name '{}', addresses {}", escape_control(machine.host_name),
                                   machine.addresses.empty() ? "none" : join(machine.addresses, ", "));
    for (const auto& node : config.nodes) {
        if (node.jenkins) continue;
        text += fmt::format("\n  node '{}': address {}", node.name, node.address.text());
    }
    return text + "\nSay which one it is with --node NAME or BATON_NODE.";
}

}  // namespace

Machine this_machine() {
    Machine machine;
    try {
        for (const auto& [index, interface] : Poco::Net::NetworkInterface::map(false, false)) {
            for (const auto& address : interface.addressList()) {
                machine.addresses.push_back(canonical(address.get<0>().toString()));
            }
        }
        machine.host_name = Poco::Environment::nodeName();
    } catch (const Poco::Exception& error) {
        throw Error(ErrorKind::io, fmt::format("ask the system for its addresses: {}", error.displayText()));
    }
    return machine;
}

NodeName find_self(const AgentConfig& config, const Machine& machine) {
    std::vector<const Node*> by_address;
    std::vector<const Node*> by_name;
    for (const auto& node : config.nodes) {
        if (node.jenkins) continue;  // no agent runs there
        const std::string host = canonical(node.address.host);
        const bool own =
            std::ranges::any_of(machine.addresses, [&](const std::string& each) { return canonical(each) == host; });
        if (own) by_address.push_back(&node);
        if (is_host(node, machine.host_name)) by_name.push_back(&node);
    }
    if (by_address.size() == 1) return by_address.front()->name;
    // Several nodes on one machine: its name may still tell, but only among those.
    std::vector<const Node*> left = by_name;
    if (!by_address.empty()) {
        std::erase_if(left, [&](const Node* node) { return std::ranges::find(by_address, node) == by_address.end(); });
    }
    if (left.size() == 1) return left.front()->name;
    const auto& several = left.empty() ? by_address : left;
    if (several.empty()) {
        throw Error(ErrorKind::not_found,
                    fmt::format("this machine is none of the chain's nodes{}", compared(config, machine)));
    }
    std::vector<std::string> names;
    for (const Node* node : several) names.push_back(node->name.str());
    throw Error(ErrorKind::conflict, fmt::format("this machine could be {} of the chain's nodes: {}{}", names.size(),
                                                 join(names, ", "), compared(config, machine)));
}

NodeName identify(const AgentConfig& config, const std::optional<std::string>& argument) {
    std::string given = argument.value_or("");
    std::string_view source = "--node";
    if (given.empty()) {
        // Read before other threads run; nothing in the program sets variables.
        const char* variable = std::getenv("BATON_NODE");  // NOLINT(concurrency-mt-unsafe)
        if (variable != nullptr) given = variable;
        source = "BATON_NODE";
    }
    if (given.empty()) return find_self(config, this_machine());
    if (const auto* node = config.find_node(NodeName(given))) {
        if (!node->jenkins) return node->name;
        throw Error(ErrorKind::conflict,
                    fmt::format("{}: node '{}' is still a Jenkins ({}): take 'jenkins' out of its entry, on all nodes, "
                                "before an agent runs there",
                                source, given, node->jenkins->url));
    }
    std::vector<std::string> known;
    for (const auto& node : config.nodes) known.push_back(node.name.str());
    const auto near = nearest(given, known);
    throw Error(ErrorKind::not_found,
                fmt::format("{}: the chain has no node '{}' (known: {}{})", source, escape_control(first_line(given)),
                            join(known, ", "), near ? fmt::format("; did you mean '{}'?", *near) : ""));
}

}  // namespace baton::config
