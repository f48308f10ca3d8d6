// SPDX-License-Identifier: MIT
// `/etc/baton/agent.yaml` as values: the same bytes on every node.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/config/fault.h"
#include "common/types.h"

namespace baton::config {

/// `host:port`; `text` is as written.
struct Address {
    std::string host;
    std::uint16_t port = 0;
    [[nodiscard]] std::string text() const;
    auto operator<=>(const Address&) const = default;
};

/// A whole number of nodes, or a share of the chain rounded down but at least 1.
struct Share {
    unsigned count = 1;
    bool percent = false;  ///< `count` is in percent of the nodes
    [[nodiscard]] unsigned of(std::size_t nodes) const;
};

/// member: deploys and grants. witness: grants only, so that two nodes have a majority when one is dead.
enum class NodeRole { member, witness };

/// A node of the chain that is still a Jenkins: no agent runs there. The member before it triggers its job and follows
/// the build to its end.
struct JenkinsNode {
    std::string url;
    std::string job;                               ///< `${APP}` is expanded; `folder/job` names a job in a folder
    std::string user;                              ///< empty: the token is the job's own trigger token
    std::filesystem::path token_file;              ///< of the user's API token
    std::optional<std::filesystem::path> ca_file;  ///< what its certificate is checked against
    Milliseconds timeout{3'600'000};               ///< for queue and build together
    bool accept_unstable = false;                  ///< a build that ends UNSTABLE is good enough
};

struct Node {
    NodeName name;
    Address address;
    NodeRole role = NodeRole::member;
    std::optional<JenkinsNode> jenkins;

    /// An agent that deploys runs there.
    [[nodiscard]] bool is_member() const { return role == NodeRole::member && !jenkins; }
};

struct Tls {
    std::filesystem::path certificate_file;
    std::filesystem::path private_key_file;
    std::optional<std::filesystem::path> client_ca_file;  ///< then peers must show a certificate of this CA
    std::optional<std::filesystem::path> ca_file;         ///< what peers' certificates are checked against
};

enum class Anonymous { none, read };

struct Security {
    std::filesystem::path cluster_key_file;
    std::optional<std::filesystem::path> tokens_file;
    Anonymous anonymous = Anonymous::none;
    std::optional<Tls> tls;
};

enum class TrafficMethod { none, readiness, haproxy_agent, haproxy_socket, refuse, file, command };

struct Traffic {
    TrafficMethod method = TrafficMethod::none;
    Milliseconds drain_timeout{30'000};
    Milliseconds settle{3'000};
    Milliseconds rejoin_timeout{30'000};        ///< how long the load balancer may take to have the node back
    bool cut = false;                           ///< after drain_timeout go on all the same, and count what was cut
    std::optional<Address> agent_check_listen;  ///< haproxy_agent: where HAProxy's agent-check connects to
    unsigned load_balancers = 1;                ///< how many must have noticed (haproxy_agent, readiness)
    /// Their addresses, as text in the canonical form: then only their questions count. Empty: anybody's.
    std::vector<std::string> load_balancer_addresses;
    unsigned acknowledged_polls = 2;            ///< polls of each that must have seen the new answer
    int readiness_drain_status = 503;           ///< 404 for HAProxy's disable-on-404
    std::vector<std::string> haproxy_sockets;   ///< haproxy_socket: paths or host:port of the runtime API
    std::string haproxy_server;                 ///< haproxy_socket: `backend/server`, ${NODE_NAME} expanded
    std::optional<std::filesystem::path> file;  ///< file: exists while the node is out
    std::string leave_command;                  ///< command: sh -c; exit status 0 means the load balancer has acted
    std::string rejoin_command;
    std::uint16_t refuse_port = 0;     ///< refuse: new connections to this port get RST
    std::uint16_t in_flight_port = 0;  ///< established connections to it are requests in flight; 0: not counted
    std::string in_flight_host;        ///< the local address of those connections; empty for any
};

struct Credentials {
    std::string username;
    std::optional<std::filesystem::path> password_file;
    std::optional<std::filesystem::path> ssh_key_file;
    std::optional<std::filesystem::path> known_hosts_file;
};

enum class VerifyCommit { none, ssh, gpg };

/// A declared parameter of an app: nothing undeclared ever reaches a step.
struct Parameter {
    enum class Type { string, text, boolean, choice, password };
    std::string name;
    Type type = Type::string;
    std::string default_value;
    std::string description;
    std::vector<std::string> choices;
};

struct Triggers {
    std::optional<Milliseconds> poll_interval;                ///< none: not polled
    std::vector<std::filesystem::path> webhook_secret_files;  ///< any of them may have signed (rotation)
    std::optional<std::filesystem::path> token_file;          ///< Jenkins' "trigger builds remotely"
    Milliseconds quiet_period{0};
};

enum class OnFailure { halt, rollback };
enum class OnNewCommit { supersede, queue };

struct RolloutPolicy {
    Share max_unavailable;
    Share min_healthy{0, false};               ///< nodes that must be serving besides this one; 0: not looked at
    std::optional<unsigned> prepare_ahead{0};  ///< none means `all`
    unsigned canary = 1;
    Milliseconds bake_time{0};
    Milliseconds handoff_timeout{30'000};
    unsigned max_unreachable = 1;
    OnFailure on_failure = OnFailure::halt;
    OnNewCommit on_new_commit = OnNewCommit::supersede;
};

struct App {
    AppName name;
    std::string repository;
    std::string branch = "main";
    Credentials credentials;
    std::filesystem::path pipeline = "baton.yaml";  ///< inside the repository
    std::filesystem::path deploy_to;                ///< variables expanded
    std::string run_as;                             ///< user name; empty: the agent's own
    Triggers triggers;
    RolloutPolicy rollout;
    std::optional<Traffic> traffic;  ///< this app's own; else the agent's
    std::vector<Parameter> parameters;
    VerifyCommit verify_commit = VerifyCommit::none;
    std::optional<std::filesystem::path> allowed_signers_file;
    std::optional<std::filesystem::path> wheels;  ///< a local directory of wheels: pip goes offline
    unsigned keep_releases = 5;
    unsigned keep_builds = 50;
    std::uint64_t max_log_bytes = 64ULL * 1024 * 1024;
};

/// How prepare and test steps stand back behind what serves users on the same machine.
enum class BuildPriority { idle, low, normal };

struct AgentConfig {
    std::filesystem::path state_dir = "/var/lib/baton";
    unsigned executors = 2;
    BuildPriority build_priority = BuildPriority::low;
    std::vector<Node> nodes;        ///< the chain, in order
    std::optional<Address> listen;  ///< where this agent listens, when not on its own entry's address
    Security security;
    Traffic traffic;
    std::map<AppName, App> apps;
    std::string public_url;       ///< how people reach this agent, when a proxy stands before it
    std::string hash;             ///< SHA-256 of what peers must agree on (chain and apps), hexadecimal
    NodeName self;                ///< set by the identity look-up
    std::vector<Fault> warnings;  ///< what is allowed but probably not meant

    [[nodiscard]] const Node* find_node(const NodeName& name) const;
    /// The Jenkins nodes that a member brings on: those right after it in the chain, wrapping round; in order.
    [[nodiscard]] std::vector<const Node*> neighbours_of(const NodeName& member) const;
    /// How many nodes run an agent.
    [[nodiscard]] std::size_t agents() const;
    /// Error(not_found) that names the known apps.
    [[nodiscard]] const App& app(const AppName& name) const;
    [[nodiscard]] const Traffic& traffic_of(const App& app) const { return app.traffic ? *app.traffic : traffic; }
};

}  // namespace baton::config
