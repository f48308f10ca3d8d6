// SPDX-License-Identifier: MIT
// The file is the same on every node; here it becomes the configuration of one.
#include <algorithm>

#include "common/config/expand.h"
#include "common/config/fields.h"
#include "common/config/identity.h"
#include "common/config/load.h"
#include "common/text.h"

namespace baton::config {
namespace {

void expand_traffic(Traffic& traffic, const Variables& variables) {
    if (traffic.agent_check_listen)
        traffic.agent_check_listen->host = expand(traffic.agent_check_listen->host, variables);
    for (auto& socket : traffic.haproxy_sockets) socket = expand(socket, variables);
    traffic.haproxy_server = expand(traffic.haproxy_server, variables);
    traffic.in_flight_host = expand(traffic.in_flight_host, variables);
    if (traffic.file) traffic.file = expand(traffic.file->string(), variables);
}

bool names_the_app(const Traffic& traffic) {
    std::string all = traffic.haproxy_server + traffic.in_flight_host + (traffic.file ? traffic.file->string() : "") +
                      (traffic.agent_check_listen ? traffic.agent_check_listen->host : "") +
                      join(traffic.haproxy_sockets, " ");
    const auto used = variables_in(all);
    return std::ranges::find(used, "APP") != used.end();
}

}  // namespace

void bind_to_node(AgentConfig& config, const NodeName& self) {
    const Node* node = config.find_node(self);
    if (node == nullptr) {
        std::vector<std::string> known;
        for (const auto& each : config.nodes) known.push_back(each.name.str());
        const auto near = nearest(self.str(), known);
        throw Error(ErrorKind::not_found,
                    fmt::format("the chain has no node '{}' (known: {}{})", shown(self.str()), join(known, ", "),
                                near ? fmt::format("; did you mean '{}'?", *near) : ""));
    }
    config.self = self;
    Variables variables{{"NODE_NAME", self.str()}, {"NODE_ADDRESS", node->address.host}};
    config.state_dir = expand(config.state_dir.string(), variables);
    if (config.listen) config.listen->host = expand(config.listen->host, variables);
    const bool per_app = names_the_app(config.traffic);
    for (auto& [name, app] : config.apps) {
        variables["APP"] = name.str();
        app.deploy_to = expand(app.deploy_to.string(), variables);
        // A section for all apps that names the app is a section of each.
        if (!app.traffic && per_app) app.traffic = config.traffic;
        if (app.traffic) expand_traffic(*app.traffic, variables);
    }
    variables.erase("APP");
    expand_traffic(config.traffic, variables);
}

AgentConfig load_for_this_node(const std::filesystem::path& path, const std::optional<std::string>& node_argument) {
    AgentConfig config = load_agent_config(path);
    bind_to_node(config, identify(config, node_argument));
    return config;
}

}  // namespace baton::config
