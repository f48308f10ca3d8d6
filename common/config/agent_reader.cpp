// SPDX-License-Identifier: MIT
// agent.yaml: the chain, who may do what, and the apps.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "common/config/expand.h"
#include "common/config/load.h"
#include "common/config/readers.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/json.h"
#include "common/text.h"

namespace baton::config {
namespace {

constexpr std::size_t most_nodes = 1000;
constexpr std::size_t most_apps = 500;

bool is_http_url(std::string_view url) { return url.starts_with("http://") || url.starts_with("https://"); }

void read_jenkins(Fields& node, std::optional<JenkinsNode>& target) {
    const auto* map = node.value("jenkins");
    if (map == nullptr) return;
    JenkinsNode jenkins;
    Fields fields(*map, fmt::format("'jenkins' of {}", node.what()), node.where("jenkins"), node.report());
    fields.line("url", jenkins.url);
    fields.require("url", "the address of the Jenkins, http://… or https://…");
    fields.line("job", jenkins.job);
    fields.line("user", jenkins.user);
    fields.require("job", "the job that deploys there, such as shop-deploy or folder/shop-deploy");
    fields.check_variables("job", jenkins.job, {"APP"});
    fields.path("token_file", jenkins.token_file);
    fields.path("ca_file", jenkins.ca_file);
    fields.duration("timeout", jenkins.timeout, Milliseconds{1'000});
    fields.flag("accept_unstable", jenkins.accept_unstable);
    fields.finish();
    if (!jenkins.url.empty() && !is_http_url(jenkins.url)) {
        fields.fault("url", fmt::format("'url': '{}' is not http:// or https://", shown(mask_url(jenkins.url))));
    }
    if (mask_url(jenkins.url) != jenkins.url) fields.fault("url", "'url' holds a secret: use 'user' and 'token_file'");
    if (!jenkins.user.empty() && jenkins.token_file.empty())
        fields.require("token_file", "the file with the user's API token");
    target = std::move(jenkins);
}

/// `https://host:8443/ci` as host and port; for a Jenkins node that gives no address of its own.
std::optional<Address> address_of_url(std::string_view url) {
    const bool tls = url.starts_with("https://");
    url.remove_prefix(std::min(url.size(), std::string_view(tls ? "https://" : "http://").size()));
    const std::string host(url.substr(0, url.find('/')));
    if (host.empty()) return std::nullopt;
    if (auto address = parse_address(host)) return address;
    return parse_address(host + (tls ? ":443" : ":80"));
}

Node read_node(const yaml::Value& item, std::size_t number, yaml::Report& report) {
    Node node;
    Fields fields(item, fmt::format("node {}", number), item.at, report);
    std::string name;
    fields.line("name", name);
    fields.require("name", "the node's name");
    if (!name.empty() && !is_valid_name(name)) {
        fields.fault(
            "name",
            fmt::format("'{}' is not a name for a node (write small letters, digits, '.', '_', '-', at most 63)",
                        shown(name)));
    }
    node.name = NodeName(name);
    read_jenkins(fields, node.jenkins);
    std::optional<Address> address;
    fields.address("address", address);
    if (node.jenkins) {
        if (!address) address = address_of_url(node.jenkins->url);
    } else {
        fields.require("address", "the host:port that its agent listens on, such as \"10.0.0.11:7070\"");
    }
    if (address) {
        node.address = *address;
        fields.check_variables("address", address->host, {});
        if (address->host == "0.0.0.0" || address->host == "::") {
            fields.fault("address", fmt::format("'address' must be one that the other nodes can reach, got '{}'",
                                                address->text()));
        }
    }
    fields.choice("role", node.role, node_role_names);
    if (node.jenkins && node.role == NodeRole::witness) {
        fields.fault("role", "a Jenkins grants no permits: 'role: witness' needs an agent of baton");
    }
    fields.finish();
    return node;
}

void check_chain(Fields& chain, const std::vector<Node>& nodes, const std::vector<yaml::Position>& places) {
    std::map<std::string, std::size_t> names;
    std::map<std::string, std::size_t> addresses;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const auto twice = [&](std::map<std::string, std::size_t>& seen, const std::string& text,
                               std::string_view what) {
            if (text.empty()) return;
            const auto [earlier, added] = seen.emplace(text, i);
            if (!added) {
                chain.report().fault(places[i],
                                     fmt::format("the {} '{}' is already that of node {} in line {}", what, shown(text),
                                                 earlier->second + 1, places[earlier->second].line));
            }
        };
        twice(names, nodes[i].name.str(), "name");
        // One Jenkins may have the jobs of several nodes.
        if (nodes[i].address.port != 0 && !nodes[i].jenkins) twice(addresses, nodes[i].address.text(), "address");
    }
    const auto members = std::ranges::count_if(nodes, &Node::is_member);
    const bool witness = std::ranges::count(nodes, NodeRole::witness, &Node::role) > 0;
    if (!nodes.empty() && members == 0)
        chain.fault("nodes", "'nodes' has no member that runs an agent and deploys, expected at least one");
    if (members == 2 && !witness) {
        chain.warn("nodes",
                   "two members and no witness: when one is dead, the other has no majority and deploys nothing "
                   "(add a third agent with 'role: witness' on any other machine)");
    }
}

std::vector<Node> read_chain(Fields& top) {
    std::vector<Node> nodes;
    top.require("chain", "'nodes', the list of all nodes in order");
    const auto* map = top.value("chain");
    if (map == nullptr) return nodes;
    Fields fields(*map, "'chain'", top.where("chain"), top.report());
    std::vector<yaml::Position> places;
    fields.require("nodes", "the list of all nodes in order");
    fields.each("nodes", most_nodes, [&](const yaml::Value& item, std::size_t number) {
        nodes.push_back(read_node(item, number, top.report()));
        places.push_back(item.at);
    });
    const auto* list = fields.value("nodes");
    if (list != nullptr && list->kind == yaml::Kind::sequence && list->items.empty()) {
        fields.fault("nodes", "'nodes' is empty, expected at least one node");
    }
    fields.finish();
    check_chain(fields, nodes, places);
    return nodes;
}

void read_tls(Fields& security, std::optional<Tls>& target) {
    const auto* map = security.value("tls");
    if (map == nullptr) return;
    Tls tls;
    Fields fields(*map, "'tls'", security.where("tls"), security.report());
    fields.path("certificate_file", tls.certificate_file);
    fields.require("certificate_file", "the file of this node's certificate");
    fields.path("private_key_file", tls.private_key_file);
    fields.require("private_key_file", "the file of its private key");
    fields.path("client_ca_file", tls.client_ca_file);
    fields.path("ca_file", tls.ca_file);
    fields.finish();
    target = std::move(tls);
}

Security read_security(Fields& top) {
    Security security;
    top.require("security", "'cluster_key_file' at least (make a key with: baton keygen)");
    const auto* map = top.value("security");
    if (map == nullptr) return security;
    Fields fields(*map, "'security'", top.where("security"), top.report());
    fields.path("cluster_key_file", security.cluster_key_file);
    fields.require("cluster_key_file", "the file of the key that signs what agents say (make one with: baton keygen)");
    fields.path("tokens_file", security.tokens_file);
    fields.choice("anonymous", security.anonymous, anonymous_names);
    read_tls(fields, security.tls);
    fields.finish();
    return security;
}

std::map<AppName, App> read_apps(Fields& top) {
    std::map<AppName, App> apps;
    const auto* map = top.value("apps");
    if (map == nullptr) return apps;
    if (map->kind != yaml::Kind::map) {
        top.fault("apps", "'apps' must be a map of names and apps");
        return apps;
    }
    if (map->entries.size() > most_apps) {
        top.fault("apps", fmt::format("'apps' has {} apps, at most {} are allowed", map->entries.size(), most_apps));
        return apps;
    }
    for (const auto& entry : map->entries) apps.emplace(AppName(entry.key), read_app(entry, top.report()));
    return apps;
}

/// What one section cannot see by itself.
void cross_check(Fields& top, const AgentConfig& config) {
    const auto members = static_cast<std::size_t>(std::ranges::count_if(config.nodes, &Node::is_member));
    for (const auto& node : config.nodes) {
        if (node.jenkins && config.apps.size() > 1 && node.jenkins->job.find("${APP}") == std::string::npos) {
            top.fault("apps",
                      fmt::format("{} apps would all trigger the job '{}' of node '{}': write ${{APP}} into its "
                                  "name",
                                  config.apps.size(), shown(node.jenkins->job), node.name));
        }
    }
    std::map<std::string, std::string> directories;
    for (const auto& [name, app] : config.apps) {
        const unsigned lanes = app.rollout.max_unavailable.of(members);
        if (members > 1 && lanes >= members) {
            top.warn("apps", fmt::format("app '{}': 'max_unavailable' lets all {} nodes be out of service at once",
                                         name, members));
        }
        const unsigned needed = app.rollout.min_healthy.count == 0 ? 0 : app.rollout.min_healthy.of(members);
        if (members > 0 && needed >= members) {
            top.fault("apps", fmt::format("app '{}': 'min_healthy' of {} besides the node that goes out can "
                                          "never be met by {} nodes",
                                          name, needed, members));
        }
        if (app.deploy_to.empty()) continue;
        const auto directory = expand(app.deploy_to.lexically_normal().string(), {{"APP", name.str()}});
        const auto [earlier, added] = directories.emplace(directory, name.str());
        if (!added) {
            top.fault("apps", fmt::format("apps '{}' and '{}' both have 'deploy_to: {}', expected one directory each",
                                          earlier->second, name, shown(directory)));
        }
    }
}

json::Value canonical(const Share& share) { return fmt::format("{}{}", share.count, share.percent ? "%" : ""); }

/// What all peers must see alike for the protocol's promises: the chain, and each app's code and policy.
/// Paths, ports of the load balancer and the like may differ without harm while a new file is being spread.
std::string hash_of(const AgentConfig& config) {
    json::Value nodes = json::Value::array();
    for (const auto& node : config.nodes) {
        nodes.push_back(
            {{"name", node.name.str()},
             {"address", node.address.text()},
             {"role", name_of(node_role_names, node.role)},
             {"jenkins", node.jenkins ? json::Value(node.jenkins->url + " " + node.jenkins->job) : json::Value()}});
    }
    json::Value apps = json::Value::object();
    for (const auto& [name, app] : config.apps) {
        const RolloutPolicy& policy = app.rollout;
        apps[name.str()] = {
            {"repository", app.repository},
            {"branch", app.branch},
            {"pipeline", app.pipeline.string()},
            {"verify_commit", name_of(verify_commit_names, app.verify_commit)},
            {"max_unavailable", canonical(policy.max_unavailable)},
            {"min_healthy", canonical(policy.min_healthy)},
            {"prepare_ahead", policy.prepare_ahead ? json::Value(*policy.prepare_ahead) : json::Value("all")},
            {"canary", policy.canary},
            {"bake_time_ms", policy.bake_time.count()},
            {"handoff_timeout_ms", policy.handoff_timeout.count()},
            {"max_unreachable", policy.max_unreachable},
            {"on_failure", name_of(on_failure_names, policy.on_failure)},
            {"on_new_commit", name_of(on_new_commit_names, policy.on_new_commit)}};
    }
    return sha256_hex(json::dump({{"form", 1}, {"nodes", nodes}, {"apps", apps}}));
}

}  // namespace

AgentConfig parse_agent_config(std::string_view text, std::string_view file_name) {
    yaml::Report report(file_name);
    const auto root = yaml::parse(text, report);
    AgentConfig config;
    if (root) {
        Fields top(*root, "agent.yaml", {1, 1}, report);
        top.path("state_dir", config.state_dir);
        top.check_variables("state_dir", config.state_dir.string(), {"NODE_NAME", "NODE_ADDRESS"});
        top.whole("executors", config.executors, 1, 256);
        config.nodes = read_chain(top);
        config.security = read_security(top);
        if (const auto* traffic = top.value("traffic")) {
            config.traffic = read_traffic(*traffic, "'traffic'", top.where("traffic"), report);
        }
        config.apps = read_apps(top);
        top.line("public_url", config.public_url);
        if (!config.public_url.empty() && !is_http_url(config.public_url)) {
            top.fault("public_url",
                      fmt::format("'public_url': '{}' is not http:// or https://", shown(config.public_url)));
        }
        top.finish();
        cross_check(top, config);
    }
    report.throw_if_faulty();
    config.warnings = report.warnings();
    config.hash = hash_of(config);
    return config;
}

AgentConfig load_agent_config(const std::filesystem::path& path) {
    return parse_agent_config(read_file(path, most_config_bytes), path.string());
}

}  // namespace baton::config
