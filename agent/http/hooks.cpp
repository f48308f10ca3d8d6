// SPDX-License-Identifier: MIT
// Webhooks of the forges.
#include "agent/http/hooks.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/net/webhook.h"
#include "common/text.h"

namespace baton::http {
namespace {

constexpr std::size_t most_deliveries = 10'000;
constexpr Milliseconds deliveries_kept{3'600'000};  // who delivers again after an hour means it
/// To check a signature of so much costs nothing; for more, an address must not have failed too often.
constexpr std::size_t cheap_body_bytes = 64UL * 1024;

/// Where Jenkins' plugins take a forge's events for all jobs; the forge's own secret proves them.
struct SharedPath {
    std::string_view first;
    std::string_view second;  ///< empty: anything
};
constexpr std::array shared_paths{SharedPath{"github-webhook", ""}, SharedPath{"gitea-webhook", "post"},
                                  SharedPath{"gitlab-webhook", "post"}, SharedPath{"bitbucket-hook", ""},
                                  SharedPath{"bitbucket-scmsource-hook", "notify"}};

bool is(const Request& request, std::size_t at, std::string_view segment) {
    return request.path.size() > at && request.path[at] == segment;
}

bool is_shared_path(const Request& request) {
    return std::ranges::any_of(shared_paths, [&](const SharedPath& path) {
        return is(request, 0, path.first) && (path.second.empty() || is(request, 1, path.second));
    });
}

bool names_app(const Request& request) {
    return ((is(request, 0, "webhook") || is(request, 0, "project")) && request.path.size() == 2) ||
           is(request, 0, "gogs-webhook");
}

/// Looks for the apps whose trigger token somebody gave.
class TokenSearch {
  public:
    TokenSearch(Access& access, std::string_view token) : access_(access), token_(token) {}
    [[nodiscard]] bool fits(const config::App& app) {
        if (token_.empty() || !app.triggers.token_file) return false;
        const auto fit = access_.fits(app, token_);
        (fit ? compared_ : unreadable_) = true;
        found_ = found_ || fit.value_or(false);
        return fit.value_or(false);
    }
    [[nodiscard]] bool found() const { return found_; }
    /// Error(busy) when there were tokens to compare with and none could be read: no failure of whoever asks. One that
    /// fits none of those that were read is counted, or a fault in one app's file would let the others' be guessed.
    void require_compared() const {
        if (unreadable_ && !compared_) throw Access::cannot_check();
    }

  private:
    Access& access_;
    std::string token_;
    bool compared_ = false;
    bool unreadable_ = false;
    bool found_ = false;
};

bool touches_branch(const net::PushEvent& event, const config::App& app) {
    return std::ranges::any_of(event.changes, [&](const net::RefChange& change) {
        return change.kind == net::RefKind::branch && !change.deleted && change.name == app.branch;
    });
}

Response only_post() {
    Response response = Response::error(405, "Method must be POST");
    response.headers.set("Allow", "POST");
    return response;
}

}  // namespace

bool Hooks::takes_payload(const Request& head) { return names_app(head) || is_shared_path(head); }

std::optional<Response> Hooks::handle(const Request& request) {
    if (is(request, 0, "git") && is(request, 1, "notifyCommit")) return notify_commit(request);
    if (is(request, 0, "generic-webhook-trigger") && is(request, 1, "invoke")) return generic(request);
    if (!takes_payload(request)) return std::nullopt;
    if (request.method != "POST") return only_post();
    if (is(request, 0, "webhook")) {
        const Verdict verdict = of_app(AppName(request.path[1]), request);
        return Response::json(
            {{"triggered", verdict.triggered}, {"message", verdict.why}, {"queue_id", verdict.queue_id}},
            verdict.triggered ? 202 : 200);
    }
    if (names_app(request)) {
        const bool gogs = is(request, 0, "gogs-webhook");
        (void)of_app(AppName(gogs ? request.arg("job").value_or("") : request.path[1]), request);
        return Response::text("");
    }
    const bool github = is(request, 0, "github-webhook");
    if (github && !request.headers.find("X-GitHub-Event")) {
        throw Error(ErrorKind::invalid, "X-GitHub-Event is missing");
    }
    return of_any_app(request, github ? ErrorKind::invalid : ErrorKind::unauthorized);
}

bool Hooks::seen(const std::string& delivery) {
    const std::lock_guard lock(mutex_);
    const auto it = deliveries_.find(delivery);
    return it != deliveries_.end() && clock_.now() - it->second < deliveries_kept;
}

void Hooks::remember(std::string delivery) {
    const std::lock_guard lock(mutex_);
    if (!deliveries_.insert_or_assign(delivery, clock_.now()).second) return;
    order_.push_back(std::move(delivery));
    if (order_.size() > most_deliveries) {
        deliveries_.erase(order_.front());
        order_.pop_front();
    }
}

std::uint64_t Hooks::look(const config::App& app, const std::string& text, const std::string& who,
                          const Request& request) {
    operations::TriggerRequest trigger;
    trigger.cause = {wire::CauseKind::webhook, text, who, request.remote_address};
    // Whoever pushed is the payload's word; what asked is the hook.
    return operations_.trigger(app.name, trigger, {"webhook", request.remote_address}).id;
}

Hooks::Verdict Hooks::push(const config::App& app, const net::PushEvent& event, const Request& request) {
    if (event.is_ping) return {false, "pong", 0};
    // A sender that is no forge says in its own words that something is new; its signature is all that is needed.
    const bool forge = event.forge != net::Forge::unknown;
    if (forge && !event.is_push) return {false, "not a push", 0};
    if (forge && !touches_branch(event, app)) return {false, fmt::format("nothing of branch {}", app.branch), 0};
    const std::string delivery = fmt::format("{}:{}", app.name, event.delivery_id);
    if (!event.delivery_id.empty() && seen(delivery)) return {false, "delivered before", 0};
    const std::string by = event.pusher.empty() ? "" : fmt::format(" by {}", first_line(event.pusher, 100));
    const std::string text =
        forge ? fmt::format("Started by {} push{}", net::to_text(event.forge), by) : "Started by a webhook";
    const auto id = look(app, text, event.pusher, request);
    // Only now: one that could not be queued may be delivered again.
    if (!event.delivery_id.empty()) remember(delivery);
    return {true, "", id};
}

void Hooks::refuse_floods(const Request& request) {
    // A signature cannot be guessed, so a wrong one before must not keep a right one out: forges deliver for many
    // from one address. What is compared as it stands can be tried out, and large bodies cost time.
    const bool token = request.headers.find("X-Gitlab-Token") || request.headers.find("Authorization");
    if (token || request.body.size() > cheap_body_bytes) access_.brake().check(request.remote_address);
}

bool Hooks::proved(const config::App& app, const Request& request, Doubt& doubt) {
    if (app.triggers.webhook_secret_files.empty()) {
        doubt = {"the app has no webhook_secret_file", Blame::sender};
        return false;
    }
    const auto secrets = access_.webhook_secrets(app);
    if (secrets.empty()) {
        if (doubt.why.empty()) doubt = {"none of the app's webhook secrets can be read", Blame::agent};
        return false;
    }
    try {
        (void)net::verify_webhook(request.headers, request.body, secrets, clock_.wall());
        return true;
    } catch (const Error& error) {
        doubt = {error.text(), Blame::sender};
        return false;
    }
}

void Hooks::refused(const std::string& app, const Request& request, const Doubt& doubt, ErrorKind refusal) {
    if (doubt.blame == Blame::sender) access_.refused(request, fmt::format("webhook of {}", app), doubt.why);
    // An unknown app, one without a secret that can be read and a wrong signature look the same to a stranger.
    throw Error(refusal, "the webhook's signature is missing or does not fit; the agent's log tells more");
}

Hooks::Verdict Hooks::of_app(const AppName& name, const Request& request) {
    refuse_floods(request);
    const auto it = config_.apps.find(name);
    if (it == config_.apps.end()) refused(name.str(), request, {"there is no such app", Blame::sender});
    const config::App& app = it->second;
    Doubt doubt;
    if (!proved(app, request, doubt)) {
        // GitLab and others can be told to log in instead, in the hook's URL.
        const bool credentials = request.headers.find("Authorization").has_value();
        if (!credentials) refused(name.str(), request, doubt);
        access_.require(access_.identify(request), config::Role::trigger);
    }
    const auto event = net::parse_push_event(request.headers, request.body);
    if (event.is_push && !event.repository_urls.empty() && !net::names_repository(event, app.repository)) {
        throw Error(ErrorKind::invalid, fmt::format("this hook is of another repository than {}'s", name));
    }
    return push(app, event, request);
}

Response Hooks::of_any_app(const Request& request, ErrorKind refusal) {
    refuse_floods(request);
    std::vector<const config::App*> trusting;
    Doubt doubt;
    for (const auto& [name, app] : config_.apps) {
        if (!app.triggers.webhook_secret_files.empty() && proved(app, request, doubt)) trusting.push_back(&app);
    }
    if (doubt.why.empty()) doubt.why = "no app has a webhook_secret_file";
    if (trusting.empty()) refused("any", request, doubt, refusal);
    const auto event = net::parse_push_event(request.headers, request.body);
    for (const auto* app : trusting) {
        if (net::names_repository(event, app->repository)) (void)push(*app, event, request);
    }
    return Response::text("");
}

Response Hooks::notify_commit(const Request& request) {
    if (request.method != "GET" && request.method != "HEAD" && request.method != "POST") return only_post();
    const auto url = request.arg("url");
    const auto token = request.arg("token");
    access_.brake().check(request.remote_address);
    if (!token || token->empty()) throw Error(ErrorKind::unauthorized, "an access token is required: token=");
    if (const auto sha1 = request.arg("sha1"); sha1 && !from_hex(trim(*sha1)) && !trim(*sha1).empty()) {
        throw Error(ErrorKind::invalid, "'sha1' must be hexadecimal");
    }
    TokenSearch search(access_, *token);
    std::vector<std::string> lines;
    constexpr std::size_t most_told = 10;
    Response response = Response::text("");
    const std::string wanted = request.arg("branches").value_or("");
    for (const auto& [name, app] : config_.apps) {
        if (!search.fits(app)) continue;
        if (!url || url->empty()) continue;
        if (net::normalised_repository(*url) != net::normalised_repository(app.repository)) continue;
        const auto branches = split(wanted, ',');
        if (!wanted.empty() &&
            std::ranges::none_of(branches, [&](const std::string& branch) { return trim(branch) == app.branch; })) {
            continue;
        }
        (void)look(app, "Started by an SCM change", "notifyCommit", request);
        lines.push_back(fmt::format("Scheduled polling of {}", name));
        if (lines.size() <= most_told) {
            response.headers.add("Triggered", fmt::format("{}/job/{}/", request.base_url(), name));
        }
    }
    if (!search.found()) {
        search.require_compared();
        access_.refused(request, "notifyCommit", "wrong token");
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
    TokenSearch search(access_, token);
    json::Value jobs = json::Value::object();
    for (const auto& [name, app] : config_.apps) {
        if (!search.fits(app)) continue;
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
    search.require_compared();
    access_.refused(request, "generic webhook", token.empty() ? "no token" : "wrong token");
    const std::string message = fmt::format("Did not find any jobs with GenericTrigger configured!\n{}\n",
                                            token.empty() ? "No token was supplied." : "A token was supplied.");
    return Response::json({{"jobs", nullptr}, {"message", message}}, 404);
}

}  // namespace baton::http
