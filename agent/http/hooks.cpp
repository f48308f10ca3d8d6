// SPDX-License-Identifier: MIT
// Webhooks of the forges.
#include "agent/http/hooks.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/net/webhook.h"
#include "common/text.h"

namespace baton::http {
namespace {

constexpr std::size_t most_deliveries = 10'000;

std::vector<std::string> secrets_of(const config::App& app) {
    std::vector<std::string> secrets;
    for (const auto& file : app.triggers.webhook_secret_files) secrets.push_back(read_secret_file(file));
    return secrets;
}

bool touches_branch(const net::PushEvent& event, const config::App& app) {
    return std::ranges::any_of(event.changes, [&](const net::RefChange& change) {
        return change.kind == net::RefKind::branch && !change.deleted && change.name == app.branch;
    });
}

}  // namespace

bool Hooks::seen(const std::string& delivery) {
    const std::lock_guard lock(mutex_);
    if (!deliveries_.insert(delivery).second) return true;
    order_.push_back(delivery);
    if (order_.size() > most_deliveries) {
        deliveries_.erase(order_.front());
        order_.pop_front();
    }
    return false;
}

std::uint64_t Hooks::look(const config::App& app, const std::string& text, const std::string& who,
                          const Request& request) {
    operations::TriggerRequest trigger;
    trigger.cause = {wire::CauseKind::webhook, text, who, request.remote_address};
    return operations_.trigger(app.name, trigger, {who.empty() ? "webhook" : who, request.remote_address}).id;
}

Hooks::Verdict Hooks::push(const config::App& app, const net::PushEvent& event, const Request& request) {
    if (event.is_ping) return {false, "pong", 0};
    if (!event.is_push) return {false, "not a push", 0};
    if (!touches_branch(event, app)) return {false, fmt::format("nothing of branch {}", app.branch), 0};
    if (!event.delivery_id.empty() && seen(fmt::format("{}:{}", app.name, event.delivery_id)))
        return {false, "delivered before", 0};
    const std::string by = event.pusher.empty() ? "" : fmt::format(" by {}", first_line(event.pusher, 100));
    const std::string forge = event.forge == net::Forge::github      ? "GitHub"
                              : event.forge == net::Forge::gitlab    ? "GitLab"
                              : event.forge == net::Forge::gitea     ? "Gitea"
                              : event.forge == net::Forge::bitbucket ? "Bitbucket"
                                                                     : "webhook";
    return {true, "", look(app, fmt::format("Started by {} push{}", forge, by), event.pusher, request)};
}

Response Hooks::webhook(const AppName& name, const Request& request) {
    const auto it = config_.apps.find(name);
    access_.brake().check(request.remote_address);
    try {
        // An unknown app, one without a secret and a wrong signature look the same to a stranger.
        if (it == config_.apps.end() || it->second.triggers.webhook_secret_files.empty()) {
            throw Error(ErrorKind::unauthorized, "the signature does not fit");
        }
        (void)net::verify_webhook(request.headers, request.body, secrets_of(it->second), clock_.wall());
    } catch (const Error& error) {
        access_.brake().failed(request.remote_address);
        log::warning("webhook", "refused",
                     {{"app", name}, {"address", request.remote_address}, {"reason", error.text()}});
        throw;
    }
    const auto event = net::parse_push_event(request.headers, request.body);
    if (event.is_push && !event.repository_urls.empty() && !net::names_repository(event, it->second.repository)) {
        throw Error(ErrorKind::invalid, fmt::format("this hook is of another repository than {}'s", name));
    }
    const auto verdict = push(it->second, event, request);
    return Response::json({{"triggered", verdict.triggered}, {"message", verdict.why}, {"queue_id", verdict.queue_id}},
                          verdict.triggered ? 202 : 200);
}

Response Hooks::github(const Request& request) {
    if (request.method != "POST") {
        Response response = Response::error(405, "Method must be POST");
        response.headers.set("Allow", "POST");
        return response;
    }
    if (!request.headers.find("X-GitHub-Event")) throw Error(ErrorKind::invalid, "X-GitHub-Event is missing");
    access_.brake().check(request.remote_address);
    std::vector<const config::App*> proved;
    for (const auto& [name, app] : config_.apps) {
        if (app.triggers.webhook_secret_files.empty()) continue;
        try {
            (void)net::verify_webhook(request.headers, request.body, secrets_of(app), clock_.wall());
            proved.push_back(&app);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::unauthorized) throw;
        }
    }
    if (proved.empty()) {
        access_.brake().failed(request.remote_address);
        log::warning("webhook", "refused", {{"address", request.remote_address}, {"reason", "no app's secret fits"}});
        throw Error(ErrorKind::invalid, "the signature does not fit");
    }
    const auto event = net::parse_push_event(request.headers, request.body);
    for (const auto* app : proved) {
        if (event.is_ping || net::names_repository(event, app->repository)) (void)push(*app, event, request);
    }
    return Response::text("");
}

Response Hooks::notify_commit(const Request& request) {
    const auto url = request.arg("url");
    const auto token = request.arg("token");
    access_.brake().check(request.remote_address);
    if (!token || token->empty()) throw Error(ErrorKind::unauthorized, "an access token is required: token=");
    if (const auto sha1 = request.arg("sha1"); sha1 && !from_hex(trim(*sha1)) && !trim(*sha1).empty()) {
        throw Error(ErrorKind::invalid, "'sha1' must be hexadecimal");
    }
    bool known_token = false;
    std::vector<std::string> lines;
    Response response = Response::text("");
    const std::string wanted = request.arg("branches").value_or("");
    for (const auto& [name, app] : config_.apps) {
        if (!app.triggers.token_file) continue;
        if (!net::token_matches(*token, {read_secret_file(*app.triggers.token_file)})) continue;
        known_token = true;
        if (!url || url->empty()) continue;
        if (net::normalised_repository(*url) != net::normalised_repository(app.repository)) continue;
        const auto branches = split(wanted, ',');
        if (!wanted.empty() &&
            std::ranges::none_of(branches, [&](const std::string& branch) { return trim(branch) == app.branch; })) {
            continue;
        }
        (void)look(app, "Started by an SCM change", "notifyCommit", request);
        lines.push_back(fmt::format("Scheduled polling of {}", name));
        response.headers.add("Triggered", fmt::format("{}/job/{}/", request.base_url(), name));
    }
    if (!known_token) {
        access_.brake().failed(request.remote_address);
        throw Error(ErrorKind::forbidden, "Invalid access token");
    }
    if (!url || url->empty()) throw Error(ErrorKind::invalid, "'url' is required");
    if (lines.empty()) {
        lines.push_back(fmt::format("No git jobs using repository: {} and branches: {}", mask_url(*url), wanted));
    }
    response.body = join(lines, "\n") + "\n";
    return response;
}

Response Hooks::generic(const Request& request) {
    if (request.method == "OPTIONS") return Response::text("");
    access_.brake().check(request.remote_address);
    std::string token = request.arg("token").value_or("");
    if (token.empty()) token = request.header("token");
    if (token.empty() && lower(request.header("Authorization")).starts_with("bearer ")) {
        token = trim(request.header("Authorization").substr(7));
    }
    if (token.empty()) token = request.header("X-Gitlab-Token");
    json::Value jobs = json::Value::object();
    for (const auto& [name, app] : config_.apps) {
        if (token.empty() || !app.triggers.token_file) continue;
        if (!net::token_matches(token, {read_secret_file(*app.triggers.token_file)})) continue;
        const bool dry = request.header("gwt-dry-run") == "true";
        const auto id = dry ? 0 : look(app, "Generic Cause", "generic-webhook-trigger", request);
        jobs[name.str()] = {{"regexpFilterExpression", ""},
                            {"triggered", !dry},
                            {"resolvedVariables", json::Value::object()},
                            {"regexpFilterText", ""},
                            {"id", id},
                            {"url", id == 0 ? "" : fmt::format("queue/item/{}/", id)}};
    }
    if (!jobs.empty()) return Response::json({{"jobs", jobs}, {"message", "Triggered jobs."}});
    access_.brake().failed(request.remote_address);
    const std::string message = fmt::format("Did not find any jobs with GenericTrigger configured!\n{}\n",
                                            token.empty() ? "No token was supplied." : "A token was supplied.");
    return Response::json({{"jobs", nullptr}, {"message", message}}, 404);
}

}  // namespace baton::http
