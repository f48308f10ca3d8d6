// SPDX-License-Identifier: MIT
// The effective configuration as YAML, defaults written out, for people and for check-config.
#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "common/config/load.h"
#include "common/config/names.h"
#include "common/text.h"

namespace baton::config {
namespace {

/// A thin hand on the emitter: pairs whose empty values are left out.
class Printer {
  public:
    Printer() { out_.SetIndent(2); }

    void begin(std::string_view key) { out_ << YAML::Key << std::string(key) << YAML::Value << YAML::BeginMap; }
    void begin() { out_ << YAML::BeginMap; }
    void end() { out_ << YAML::EndMap; }
    void begin_list(std::string_view key) { out_ << YAML::Key << std::string(key) << YAML::Value << YAML::BeginSeq; }
    void end_list() { out_ << YAML::EndSeq; }

    void raw(std::string_view key, const std::string& value) {
        out_ << YAML::Key << std::string(key) << YAML::Value << value;
    }
    void text(std::string_view key, const std::string& value) {
        if (value.empty()) return;
        out_ << YAML::Key << std::string(key) << YAML::Value;
        scalar(value);
    }
    void path(std::string_view key, const std::filesystem::path& value) { text(key, value.string()); }
    void path(std::string_view key, const std::optional<std::filesystem::path>& value) {
        if (value) text(key, value->string());
    }
    void number(std::string_view key, std::uint64_t value) { raw(key, std::to_string(value)); }
    void flag(std::string_view key, bool value) { out_ << YAML::Key << std::string(key) << YAML::Value << value; }
    void duration(std::string_view key, Milliseconds value) { raw(key, to_text(value)); }
    void share(std::string_view key, const Share& value) {
        raw(key, fmt::format("{}{}", value.count, value.percent ? "%" : ""));
    }
    template <class Names, class Enum>
    void choice(std::string_view key, const Names& names, Enum value) {
        raw(key, std::string(name_of(names, value)));
    }
    void texts(std::string_view key, const std::vector<std::string>& values) {
        if (values.empty()) return;
        begin_list(key);
        for (const auto& value : values) scalar(value);
        end_list();
    }
    void map(std::string_view key, const std::map<std::string, std::string>& values) {
        if (values.empty()) return;
        begin(key);
        for (const auto& [name, value] : values)
            out_ << YAML::Key << name << YAML::Value << YAML::DoubleQuoted << value;
        end();
    }
    [[nodiscard]] std::string take() const { return std::string(out_.c_str()) + "\n"; }

  private:
    /// yaml-cpp quotes what YAML needs quoted, but leaves words alone that another reader takes for a number.
    void scalar(const std::string& value) {
        const auto letter = [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        };
        const bool plain = (letter(value.front()) || value.front() == '/' || value.front() == '.') &&
                           value.back() != ' ' && std::ranges::all_of(value, [&](char c) {
                               return letter(c) || std::string_view("_./-+@= ").find(c) != std::string_view::npos;
                           });
        const bool block = value.find('\n') != std::string::npos && value.find_first_of("\r\t") == std::string::npos &&
                           value.back() == '\n' && value.find_first_not_of('\n') == 0 && value.front() != ' ' &&
                           !value.ends_with("\n\n");
        if (block) {
            out_ << YAML::Literal << value;
        } else if (plain) {
            out_ << value;
        } else {
            out_ << YAML::DoubleQuoted << value;
        }
    }

    YAML::Emitter out_;
};

void print(Printer& out, const Traffic& traffic) {
    out.begin("traffic");
    out.choice("method", traffic_method_names, traffic.method);
    out.duration("drain_timeout", traffic.drain_timeout);
    out.duration("settle", traffic.settle);
    out.duration("rejoin_timeout", traffic.rejoin_timeout);
    out.flag("cut", traffic.cut);
    if (traffic.agent_check_listen) out.text("agent_check_listen", traffic.agent_check_listen->text());
    if (traffic.load_balancer_addresses.empty()) {
        out.number("load_balancers", traffic.load_balancers);
    } else {
        out.texts("load_balancers", traffic.load_balancer_addresses);
    }
    out.number("acknowledged_polls", traffic.acknowledged_polls);
    out.number("readiness_drain_status", static_cast<std::uint64_t>(traffic.readiness_drain_status));
    out.texts("haproxy_sockets", traffic.haproxy_sockets);
    out.text("haproxy_server", traffic.haproxy_server);
    out.path("file", traffic.file);
    out.text("leave_command", traffic.leave_command);
    out.text("rejoin_command", traffic.rejoin_command);
    if (traffic.refuse_port != 0) out.number("refuse_port", traffic.refuse_port);
    out.number("in_flight_port", traffic.in_flight_port);
    out.text("in_flight_host", traffic.in_flight_host);
    out.end();
}

void print(Printer& out, const std::vector<Node>& nodes) {
    out.begin("chain");
    out.begin_list("nodes");
    for (const auto& node : nodes) {
        out.begin();
        out.text("name", node.name.str());
        out.text("address", node.address.text());
        out.choice("role", node_role_names, node.role);
        if (node.jenkins) {
            out.begin("jenkins");
            out.text("url", node.jenkins->url);
            out.text("job", node.jenkins->job);
            out.text("user", node.jenkins->user);
            out.path("token_file", node.jenkins->token_file);
            out.path("ca_file", node.jenkins->ca_file);
            out.duration("timeout", node.jenkins->timeout);
            out.flag("accept_unstable", node.jenkins->accept_unstable);
            out.end();
        }
        out.end();
    }
    out.end_list();
    out.end();
}

void print(Printer& out, const Security& security) {
    out.begin("security");
    out.path("cluster_key_file", security.cluster_key_file);
    out.path("tokens_file", security.tokens_file);
    out.choice("anonymous", anonymous_names, security.anonymous);
    if (security.tls) {
        out.begin("tls");
        out.path("certificate_file", security.tls->certificate_file);
        out.path("private_key_file", security.tls->private_key_file);
        out.path("client_ca_file", security.tls->client_ca_file);
        out.path("ca_file", security.tls->ca_file);
        out.end();
    }
    out.end();
}

void print(Printer& out, const Triggers& triggers) {
    out.begin("triggers");
    if (triggers.poll_interval) out.duration("poll_interval", *triggers.poll_interval);
    std::vector<std::string> files;
    for (const auto& file : triggers.webhook_secret_files) files.push_back(file.string());
    out.texts("webhook_secret_file", files);
    out.path("token_file", triggers.token_file);
    out.duration("quiet_period", triggers.quiet_period);
    out.end();
}

void print(Printer& out, const RolloutPolicy& policy) {
    out.begin("rollout");
    out.share("max_unavailable", policy.max_unavailable);
    out.share("min_healthy", policy.min_healthy);
    out.raw("prepare_ahead", policy.prepare_ahead ? std::to_string(*policy.prepare_ahead) : "all");
    out.number("canary", policy.canary);
    out.duration("bake_time", policy.bake_time);
    out.duration("handoff_timeout", policy.handoff_timeout);
    out.number("max_unreachable", policy.max_unreachable);
    out.choice("on_failure", on_failure_names, policy.on_failure);
    out.choice("on_new_commit", on_new_commit_names, policy.on_new_commit);
    out.end();
}

void print(Printer& out, const std::vector<Parameter>& parameters) {
    if (parameters.empty()) return;
    out.begin_list("parameters");
    for (const auto& parameter : parameters) {
        out.begin();
        out.text("name", parameter.name);
        out.choice("type", parameter_type_names, parameter.type);
        out.text("default_value", parameter.default_value);
        out.text("description", parameter.description);
        out.texts("choices", parameter.choices);
        out.end();
    }
    out.end_list();
}

void print(Printer& out, const App& app) {
    out.begin(app.name.str());
    out.text("repository", app.repository);
    out.text("branch", app.branch);
    const Credentials& credentials = app.credentials;
    if (!credentials.username.empty() || credentials.password_file || credentials.ssh_key_file ||
        credentials.known_hosts_file) {
        out.begin("credentials");
        out.text("username", credentials.username);
        out.path("password_file", credentials.password_file);
        out.path("ssh_key_file", credentials.ssh_key_file);
        out.path("known_hosts_file", credentials.known_hosts_file);
        out.end();
    }
    out.path("pipeline", app.pipeline);
    out.path("deploy_to", app.deploy_to);
    out.text("run_as", app.run_as);
    print(out, app.triggers);
    print(out, app.rollout);
    if (app.traffic) print(out, *app.traffic);
    print(out, app.parameters);
    out.choice("verify_commit", verify_commit_names, app.verify_commit);
    out.path("allowed_signers_file", app.allowed_signers_file);
    out.path("wheels", app.wheels);
    out.number("keep_releases", app.keep_releases);
    out.number("keep_builds", app.keep_builds);
    out.number("max_log_bytes", app.max_log_bytes);
    out.end();
}

void print(Printer& out, std::string_view key, const std::vector<Step>& steps) {
    if (steps.empty()) return;
    out.begin_list(key);
    for (const auto& step : steps) {
        const bool virtualenv = step.kind == Step::Kind::virtualenv;
        out.begin();
        out.text("name", step.name);
        out.text(virtualenv ? "virtualenv" : "run", step.command);
        if (virtualenv) out.text("python", step.python);
        out.duration("timeout", step.timeout);
        out.map("env", step.env);
        out.text("workdir", step.workdir);
        out.texts("junit", step.junit);
        if (step.min_tests) out.number("min_tests", *step.min_tests);
        if (step.once) out.flag("once", true);
        if (step.keep_processes) out.flag("keep_processes", true);
        out.end();
    }
    out.end_list();
}

void print(Printer& out, const Switch& over) {
    out.begin("switch");
    out.choice("publish", publish_names, over.publish);
    out.text("rsync_to", over.rsync_to);
    out.choice("strategy", strategy_names, over.strategy);
    if (over.strategy != Strategy::stop_start) {
        out.begin("options");
        out.text("process", over.options.process);
        if (!over.options.process.empty()) {
            out.choice("stop_signal", stop_signal_names, over.options.stop_signal);
            out.duration("stop_timeout", over.options.stop_timeout);
        }
        out.text("listen", over.options.listen);
        if (!over.options.ports.empty()) {
            std::vector<std::string> ports;
            for (const unsigned port : over.options.ports) ports.push_back(std::to_string(port));
            out.texts("ports", ports);
        }
        out.text("front", over.options.front);
        out.text("upstream_file", over.options.upstream_file);
        out.text("upstream_template", over.options.upstream_template);
        out.text("reload", over.options.reload);
        out.end();
    }
    out.texts("shared", over.shared);
    print(out, "stop", over.stop);
    print(out, "trial", over.trial);
    print(out, "restart", over.restart);
    out.end();
}

void print(Printer& out, const Health& health) {
    out.begin("health");
    out.text("http", health.http);
    out.text("command", health.command);
    if (!health.http.empty()) out.number("expect_status", static_cast<std::uint64_t>(health.expect_status));
    out.text("expect_body", health.expect_body);
    out.duration("interval", health.interval);
    out.duration("timeout", health.timeout);
    out.duration("min_healthy_time", health.min_healthy_time);
    out.duration("healthy_deadline", health.healthy_deadline);
    out.texts("warm_up", health.warm_up);
    out.end();
}

}  // namespace

std::string to_yaml(const AgentConfig& config) {
    Printer out;
    out.begin();
    out.path("state_dir", config.state_dir);
    out.number("executors", config.executors);
    out.choice("build_priority", build_priority_names, config.build_priority);
    print(out, config.nodes);
    if (config.listen) out.text("listen", config.listen->text());
    print(out, config.security);
    print(out, config.traffic);
    if (!config.apps.empty()) {
        out.begin("apps");
        for (const auto& [name, app] : config.apps) print(out, app);
        out.end();
    }
    out.text("public_url", config.public_url);
    out.end();
    return out.take();
}

std::string to_yaml(const Pipeline& pipeline) {
    Printer out;
    out.begin();
    print(out, "prepare", pipeline.prepare);
    print(out, "test", pipeline.test);
    print(out, "migrate", pipeline.migrate);
    if (pipeline.switch_over) print(out, *pipeline.switch_over);
    if (pipeline.health) print(out, *pipeline.health);
    out.texts("artifacts", pipeline.artifacts);
    out.end();
    return out.take();
}

}  // namespace baton::config
