// SPDX-License-Identifier: MIT
// An app of agent.yaml.
#include <algorithm>
#include <set>

#include "common/config/readers.h"
#include "common/text.h"

namespace baton::config {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_parameters = 64;
constexpr std::size_t most_secret_files = 8;

void read_credentials(Fields& app, Credentials& credentials) {
    const auto* map = app.value("credentials");
    if (map == nullptr) return;
    Fields fields(*map, "'credentials'", app.where("credentials"), app.report());
    fields.line("username", credentials.username);
    fields.path("password_file", credentials.password_file);
    fields.path("ssh_key_file", credentials.ssh_key_file);
    fields.path("known_hosts_file", credentials.known_hosts_file);
    fields.finish();
    if (credentials.password_file && credentials.ssh_key_file) {
        fields.fault("ssh_key_file",
                     "'password_file' and 'ssh_key_file' exclude each other: a password is for https, a key for ssh");
    }
    if (credentials.password_file && credentials.username.empty())
        fields.require("username", "the name that the password belongs to");
}

void read_triggers(Fields& app, Triggers& triggers) {
    const auto* map = app.value("triggers");
    if (map == nullptr) return;
    Fields fields(*map, "'triggers'", app.where("triggers"), app.report());
    if (fields.has("poll_interval")) {
        Milliseconds interval{60'000};
        fields.duration("poll_interval", interval, 1s);
        triggers.poll_interval = interval;
    } else {
        Milliseconds none{};
        fields.duration("poll_interval", none);  // declared, so that a misspelt one finds it
    }
    std::vector<std::string> files;
    fields.lines("webhook_secret_file", files);
    for (const auto& file : files) {
        if (!file.starts_with('/')) {
            fields.fault("webhook_secret_file",
                         fmt::format("'webhook_secret_file' must be an absolute path, got '{}'", shown(file)));
        }
        triggers.webhook_secret_files.emplace_back(file);
    }
    if (files.size() > most_secret_files) {
        fields.fault("webhook_secret_file", fmt::format("'webhook_secret_file' names {} files, at most {} are allowed",
                                                        files.size(), most_secret_files));
    }
    fields.path("token_file", triggers.token_file);
    fields.duration("quiet_period", triggers.quiet_period);
    fields.finish();
}

void read_rollout(Fields& app, RolloutPolicy& policy) {
    const auto* map = app.value("rollout");
    if (map == nullptr) return;
    Fields fields(*map, "'rollout'", app.where("rollout"), app.report());
    fields.share("max_unavailable", policy.max_unavailable, 1);
    fields.share("min_healthy", policy.min_healthy, 0);
    const auto* ahead = fields.value("prepare_ahead");
    if (ahead != nullptr && ahead->kind == yaml::Kind::scalar && ahead->text == "all") {
        policy.prepare_ahead.reset();
    } else if (ahead != nullptr) {
        const auto count = ahead->kind == yaml::Kind::scalar ? parse_whole(ahead->text) : std::nullopt;
        if (count && *count <= 10'000) {
            policy.prepare_ahead = static_cast<unsigned>(*count);
        } else {
            fields.fault("prepare_ahead",
                         fmt::format("'prepare_ahead' must be a whole number of nodes or all, got '{}'",
                                     ahead->kind == yaml::Kind::scalar ? shown(ahead->text) : "a list or map"));
        }
    }
    fields.whole("canary", policy.canary, 0, 10'000);
    fields.duration("bake_time", policy.bake_time);
    fields.duration("handoff_timeout", policy.handoff_timeout, 1s);
    fields.whole("max_unreachable", policy.max_unreachable, 0, 10'000);
    fields.choice("on_failure", policy.on_failure, on_failure_names);
    fields.choice("on_new_commit", policy.on_new_commit, on_new_commit_names);
    fields.finish();
}

bool is_parameter_name(std::string_view name) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return !name.empty() && name.size() <= 64 && letter(name.front()) &&
           std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

void check_parameter(Fields& fields, const Parameter& parameter) {
    if (!parameter.name.empty() && !is_parameter_name(parameter.name)) {
        fields.fault("name", fmt::format("'name': '{}' cannot be an environment variable (write letters, digits and _)",
                                         shown(parameter.name)));
    }
    if (parameter.name.starts_with("BATON_")) fields.fault("name", "names that begin with BATON_ are the agent's own");
    if (parameter.type == Parameter::Type::password && fields.has("default_value")) {
        fields.fault("default_value", "a password has no 'default_value': a secret never stands in this file");
    }
    if (parameter.type == Parameter::Type::boolean && fields.has("default_value") &&
        parameter.default_value != "true" && parameter.default_value != "false") {
        fields.fault("default_value", fmt::format("'default_value' of a boolean must be true or false, got '{}'",
                                                  shown(parameter.default_value)));
    }
    if (parameter.type == Parameter::Type::choice) {
        if (parameter.choices.empty()) fields.require("choices", "the list of what may be chosen");
        if (fields.has("default_value") &&
            std::ranges::find(parameter.choices, parameter.default_value) == parameter.choices.end()) {
            fields.fault("default_value",
                         fmt::format("'default_value': '{}' is none of the choices", shown(parameter.default_value)));
        }
    } else if (fields.has("choices")) {
        fields.fault("choices", "'choices' belongs to 'type: choice'");
    }
}

void read_parameters(Fields& app, std::vector<Parameter>& parameters) {
    std::set<std::string> names;
    app.each("parameters", most_parameters, [&](const yaml::Value& item, std::size_t number) {
        Parameter parameter;
        Fields fields(item, fmt::format("parameter {}", number), item.at, app.report());
        fields.line("name", parameter.name);
        fields.require("name", "the parameter's name");
        fields.choice("type", parameter.type, parameter_type_names);
        fields.block("default_value", parameter.default_value);
        fields.block("description", parameter.description);
        fields.lines("choices", parameter.choices);
        fields.finish();
        check_parameter(fields, parameter);
        if (parameter.type == Parameter::Type::choice && parameter.default_value.empty() &&
            !parameter.choices.empty()) {
            parameter.default_value = parameter.choices.front();
        }
        if (!parameter.name.empty() && !names.insert(parameter.name).second) {
            fields.fault("name", fmt::format("the parameter '{}' is declared twice", shown(parameter.name)));
        }
        parameters.push_back(std::move(parameter));
    });
}

/// What git would read as an option or refuse as a ref, and what a shell or a URL would need quoted.
bool is_branch(std::string_view name) {
    if (name.empty() || name.size() > 200 || name.front() == '-' || name.front() == '/' || name.back() == '/' ||
        name.back() == '.' || name.find("..") != std::string_view::npos || name.find("//") != std::string_view::npos ||
        name.find("@{") != std::string_view::npos || name.ends_with(".lock")) {
        return false;
    }
    return std::ranges::all_of(name, [](char c) {
        return static_cast<unsigned char>(c) > 0x20 && c != 0x7F &&
               std::string_view("~^:?*[\\\"'`$;&|<>(){}!").find(c) == std::string_view::npos;
    });
}

void check_repository(Fields& fields, const App& app) {
    const std::string& url = app.repository;
    if (url.starts_with('-')) {
        fields.fault("repository", "'repository' must not begin with '-': git would read an option");
    }
    const auto scheme = url.find("://");
    if (scheme == std::string::npos) return;
    const auto authority = std::string_view(url).substr(scheme + 3, url.find('/', scheme + 3) - scheme - 3);
    const auto at = authority.rfind('@');
    if (at == std::string_view::npos) return;
    // `ssh://git@host` names a user only; `https://token@host` is a secret even without a colon.
    const bool http = url.starts_with("http");
    if (http || authority.substr(0, at).find(':') != std::string_view::npos) {
        fields.fault("repository",
                     fmt::format("'repository' holds a secret ('{}'): a secret never stands in this file, "
                                 "use 'credentials: {{username: …, password_file: …}}'",
                                 escape_control(mask_url(url))));
    }
}

void check_app(Fields& fields, const App& app, const std::string& pipeline) {
    check_repository(fields, app);
    if (!is_branch(app.branch)) {
        fields.fault("branch", fmt::format("'branch': '{}' is not the name of a branch", shown(app.branch)));
    }
    if (pipeline.ends_with('/')) fields.fault("pipeline", "'pipeline' must name a file inside the repository");
    fields.check_variables("deploy_to", app.deploy_to.string(), {"NODE_NAME", "APP", "NODE_ADDRESS"});
    if (app.deploy_to == "/") fields.fault("deploy_to", "'deploy_to' must be a directory of the app's own, got '/'");
    if (app.verify_commit == VerifyCommit::ssh && !app.allowed_signers_file) {
        fields.fault("verify_commit", "'verify_commit: ssh' needs 'allowed_signers_file', the keys that may sign");
    }
}

}  // namespace

App read_app(const yaml::Entry& entry, yaml::Report& report) {
    App app;
    app.name = AppName(entry.key);
    if (!is_valid_name(entry.key)) {
        report.fault(
            entry.at,
            fmt::format("'{}' is not a name for an app (write small letters, digits, '.', '_', '-', at most 63)",
                        shown(entry.key)));
    }
    const std::string what = fmt::format("app '{}'", shown(entry.key));
    Fields fields(entry.value, what, entry.at, report);
    fields.line("repository", app.repository);
    fields.require("repository", "the URL of its git repository");
    fields.line("branch", app.branch);
    read_credentials(fields, app.credentials);
    std::string pipeline = app.pipeline;
    fields.inner_path("pipeline", pipeline);
    app.pipeline = pipeline;
    fields.path("deploy_to", app.deploy_to);
    fields.line("run_as", app.run_as);
    read_triggers(fields, app.triggers);
    read_rollout(fields, app.rollout);
    if (const auto* traffic = fields.value("traffic")) {
        app.traffic = read_traffic(*traffic, fmt::format("'traffic' of {}", what), fields.where("traffic"), report);
    }
    read_parameters(fields, app.parameters);
    fields.choice("verify_commit", app.verify_commit, verify_commit_names);
    fields.path("allowed_signers_file", app.allowed_signers_file);
    fields.path("wheels", app.wheels);
    fields.whole("keep_releases", app.keep_releases, 1, 1000);
    fields.whole("keep_builds", app.keep_builds, 1, 100'000);
    fields.size("max_log_bytes", app.max_log_bytes, 64ULL * 1024);
    fields.finish();
    check_app(fields, app, pipeline);
    return app;
}

}  // namespace baton::config
