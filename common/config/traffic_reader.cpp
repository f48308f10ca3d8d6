// SPDX-License-Identifier: MIT
// `traffic:` of agent.yaml, the agent's or an app's.
#include <Poco/Net/IPAddress.h>
#include <algorithm>

#include "common/config/readers.h"
#include "common/text.h"

namespace baton::config {
namespace {

using namespace std::chrono_literals;

constexpr unsigned most_load_balancers = 64;
const std::vector<std::string> traffic_variables{"NODE_NAME", "NODE_ADDRESS", "APP"};

/// What each method cannot do without.
void check_method(Fields& fields, const Traffic& traffic) {
    const auto need = [&](bool given, std::string_view key, std::string_view expected) {
        if (!given && !fields.has(key)) {
            fields.fault("method", fmt::format("'method: {}' needs '{}', {}",
                                               name_of(traffic_method_names, traffic.method), key, expected));
        }
    };
    switch (traffic.method) {
        case TrafficMethod::none:
        case TrafficMethod::readiness: break;
        case TrafficMethod::haproxy_agent:
            need(traffic.agent_check_listen.has_value(), "agent_check_listen",
                 "the host:port that HAProxy's agent-check asks");
            break;
        case TrafficMethod::haproxy_socket:
            need(!traffic.haproxy_sockets.empty(), "haproxy_sockets",
                 "the paths or host:port of HAProxy's runtime API");
            need(!traffic.haproxy_server.empty(), "haproxy_server", "the 'backend/server' that this node is");
            break;
        case TrafficMethod::refuse: need(traffic.refuse_port != 0, "refuse_port", "the port that users come to"); break;
        case TrafficMethod::file:
            need(traffic.file.has_value(), "file", "the file that exists while the node is out");
            break;
        case TrafficMethod::command:
            need(!traffic.leave_command.empty(), "leave_command", "what takes the node out of the load balancer");
            need(!traffic.rejoin_command.empty(), "rejoin_command", "what puts the node back");
            break;
    }
}

void check_haproxy(Fields& fields, const Traffic& traffic) {
    if (!traffic.haproxy_server.empty()) {
        const auto parts = split(traffic.haproxy_server, '/');
        if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
            fields.fault("haproxy_server", fmt::format("'haproxy_server' must be 'backend/server', got '{}'",
                                                       shown(traffic.haproxy_server)));
        }
    }
    for (const auto& socket : traffic.haproxy_sockets) {
        if (!socket.starts_with('/') && !parse_address(socket)) {
            fields.fault(
                "haproxy_sockets",
                fmt::format("'haproxy_sockets': '{}' is neither an absolute path nor host:port", shown(socket)));
        }
    }
}

/// How many they are, or each by its address.
void read_load_balancers(Fields& fields, Traffic& traffic) {
    constexpr std::string_view key = "load_balancers";
    const auto* value = fields.value(key);
    if (value == nullptr || value->kind != yaml::Kind::sequence) {
        fields.whole(key, traffic.load_balancers, 1, most_load_balancers);
        return;
    }
    auto& addresses = traffic.load_balancer_addresses;
    fields.each(key, most_load_balancers, [&](const yaml::Value& item, std::size_t number) {
        Poco::Net::IPAddress address;
        if (item.kind != yaml::Kind::scalar || !Poco::Net::IPAddress::tryParse(item.text, address)) {
            fields.report().fault(item.at, fmt::format("'load_balancers': item {} must be an IP address, got '{}'",
                                                       number, shown(item.text)));
        } else if (auto text = address.toString(); std::ranges::find(addresses, text) != addresses.end()) {
            fields.report().fault(item.at, fmt::format("'load_balancers': {} is there twice", text));
        } else {
            addresses.push_back(std::move(text));
        }
    });
    if (value->items.empty()) fields.fault(key, "'load_balancers' names none (leave it out for anybody's questions)");
    if (!addresses.empty()) traffic.load_balancers = static_cast<unsigned>(addresses.size());
}

}  // namespace

Traffic read_traffic(const yaml::Value& map, const std::string& what, yaml::Position at, yaml::Report& report) {
    Traffic traffic;
    Fields fields(map, what, at, report);
    fields.choice("method", traffic.method, traffic_method_names);
    fields.duration("drain_timeout", traffic.drain_timeout);
    fields.duration("settle", traffic.settle);
    fields.duration("rejoin_timeout", traffic.rejoin_timeout, 1s);
    fields.flag("cut", traffic.cut);
    fields.address("agent_check_listen", traffic.agent_check_listen);
    read_load_balancers(fields, traffic);
    fields.whole("acknowledged_polls", traffic.acknowledged_polls, 1, 100);
    fields.whole("readiness_drain_status", traffic.readiness_drain_status, 400, 599);
    fields.lines("haproxy_sockets", traffic.haproxy_sockets);
    fields.line("haproxy_server", traffic.haproxy_server);
    fields.path("file", traffic.file);
    fields.block("leave_command", traffic.leave_command);
    fields.block("rejoin_command", traffic.rejoin_command);
    fields.whole("refuse_port", traffic.refuse_port, 1, 65535);
    fields.whole("in_flight_port", traffic.in_flight_port, 0, 65535);
    fields.line("in_flight_host", traffic.in_flight_host);
    fields.finish();

    if (traffic.agent_check_listen) {
        fields.check_variables("agent_check_listen", traffic.agent_check_listen->host, traffic_variables);
    }
    for (const auto& socket : traffic.haproxy_sockets)
        fields.check_variables("haproxy_sockets", socket, traffic_variables);
    fields.check_variables("haproxy_server", traffic.haproxy_server, traffic_variables);
    fields.check_variables("in_flight_host", traffic.in_flight_host, traffic_variables);
    if (traffic.file) fields.check_variables("file", traffic.file->string(), traffic_variables);
    check_method(fields, traffic);
    check_haproxy(fields, traffic);
    return traffic;
}

}  // namespace baton::config
