// SPDX-License-Identifier: MIT
// Jenkins' remote access API: the server's own paths, and the queue.
#include "agent/http/jenkins/jenkins.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "agent/http/jenkins/feeds.h"
#include "agent/http/jenkins/response.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::http {

namespace {

// Change lists are made by git; one answer makes at most this many, a job's worth.
constexpr std::size_t most_change_lists = most_listed_builds;

/// What Jenkins has and we do not: told apart from what nobody has.
constexpr std::array<std::string_view, 19> refused{"createItem",
                                                   "createView",
                                                   "script",
                                                   "scriptText",
                                                   "cli",
                                                   "credentials",
                                                   "promotion",
                                                   "restart",
                                                   "safeRestart",
                                                   "exit",
                                                   "safeExit",
                                                   "reload",
                                                   "label",
                                                   "fingerprint",
                                                   "overallLoad",
                                                   "securityRealm",
                                                   "credential-store",
                                                   "configureSecurity",
                                                   "systemInfo"};

bool is(const Request& request, std::size_t at, std::string_view segment) {
    return request.path.size() > at && request.path[at] == segment;
}

/// What several properties of one answer ask for is fetched once.
struct Memo {
    std::vector<operations::BuildView> builds;
    unsigned fetched = 0;
    std::map<unsigned, std::vector<operations::ChangeView>> changes;
};

}  // namespace

Jenkins::Jenkins(operations::Operations& operations, const config::AgentConfig& config, Access& access,
                 const Clock& clock)
    : operations_(operations), config_(config), access_(access), clock_(clock), crumb_secret_(random_bytes(32)) {}

std::optional<Response> Jenkins::handle(const Request& request, const Principal& principal) {
    if (request.path.empty()) {
        // Clients ask for the version here before they have logged in; so nothing but the header is told.
        return note_page("baton", "This is an agent of baton. It also speaks Jenkins' remote access API.");
    }
    if (request.method != "GET" && request.method != "HEAD" && request.method != "POST") {
        access_.require(principal, config::Role::read);
        Response response = Response::error(405, "There is GET, HEAD and POST");
        response.headers.set("Allow", "GET, HEAD, POST");
        return response;
    }
    if (auto response = open_to_all(request, principal)) return response;
    if (is(request, 0, "job") && request.path.size() > 1) return job(request, principal);
    return server(request, principal);
}

std::optional<Response> Jenkins::open_to_all(const Request& request, const Principal& principal) {
    if (is(request, 0, "crumbIssuer") && is(request, 1, "api")) {
        // Always there: a client that finds no crumb does not post at all. Nothing verifies it, for nobody
        // logs in with a cookie.
        const std::string crumb = to_hex(hmac_sha256(crumb_secret_, principal.name));
        return export_response(crumb_page(crumb), request, path_from(request, 1));
    }
    if (is(request, 0, "whoAmI")) {
        const ExportPage page = who_am_i_page(principal.name, !principal.authenticated());
        if (is(request, 1, "api")) return export_response(page, request, path_from(request, 1));
        return note_page("Who am I", principal.name);
    }
    if (is(request, 0, "login"))
        return note_page("Log in", "Send a token's name and secret as HTTP Basic credentials.");
    return std::nullopt;
}

std::optional<Response> Jenkins::server(const Request& request, const Principal& principal) {
    const std::string& first = request.path[0];
    constexpr std::array<std::string_view, 14> known{
        "api",    "me",        "user",      "view",   "computer",      "queue", "quietDown", "cancelQuietDown",
        "rssAll", "rssFailed", "rssLatest", "cc.xml", "pluginManager", "job"};
    const bool out_of_scope = std::ranges::find(refused, first) != refused.end();
    if (!out_of_scope && std::ranges::find(known, first) == known.end()) return std::nullopt;
    if (first == "me" && !principal.authenticated()) throw Error(ErrorKind::forbidden, "Authentication required");
    access_.require(principal, config::Role::read);
    if (out_of_scope) return not_offered();

    if (first == "quietDown") return quiet_down(request, principal, true);
    if (first == "cancelQuietDown") return quiet_down(request, principal, false);
    if (first == "queue") return queue(request, principal);
    if (first.starts_with("rss")) return feed(request, std::nullopt, first);
    if (first == "cc.xml") return Response::content("text/xml;charset=UTF-8", render_cc_xml(view(request)));

    const ServerView server = view(request);
    std::optional<ExportPage> page;
    std::size_t at = 1;  // where the rest of the path begins
    if (first == "api") {
        page = root_page(server);
        at = 0;
    } else if (first == "me") {
        page = user_page(server, principal.name);
    } else if (first == "user" && request.path.size() > 1 && is_valid_name(request.path[1])) {
        page = user_page(server, request.path[1]);
        at = 2;
    } else if (first == "view" && is(request, 1, "all")) {
        if (request.path.size() > 2 && request.path[2] != "api") return not_offered();
        page = view_page(server);
        at = 2;
    } else if (first == "pluginManager") {
        if (request.path.size() > 1 && request.path[1] != "api") return not_offered();
        page = plugins_page();
    } else if (first == "computer") {
        const bool all = request.path.size() < 2 || request.path[1] == "api";
        if (is(request, 1, "doCreateItem")) return not_offered();
        page = all ? computers_page(server) : computer_page(server, request.path[1]);
        at = all ? 1 : 2;
        if (page && request.path.size() > at && request.path[at] != "api") return not_offered();
    }
    if (!page) throw Error(ErrorKind::not_found, "there is nothing of this name");
    if (request.path.size() > at) return export_response(*page, request, path_from(request, at));
    return note_page(first, fmt::format("{} on {}", first, config_.self));
}

Response Jenkins::quiet_down(const Request& request, const Principal& principal, bool quieting) {
    access_.require(principal, config::Role::operate);
    if (request.method != "POST") return post_only();
    auto caller = Access::caller(principal, request);
    caller.reason = request.arg("message").value_or("");
    (void)operations_.set_quieting_down(quieting, caller);
    return redirect_to(request, "/");
}

Response Jenkins::queue(const Request& request, const Principal& principal) {
    if (is(request, 1, "cancelItem")) {
        access_.require(principal, config::Role::trigger);
        if (request.method != "POST") return post_only();
        const auto id = parse_whole(request.arg("id").value_or(""));
        if (!id) throw Error(ErrorKind::invalid, "'id' must be the number of a queue item");
        return cancel(request, principal, *id, true);
    }
    if (is(request, 1, "item") && request.path.size() > 2) {
        const auto id = parse_whole(request.path[2]);
        if (!id) throw Error(ErrorKind::not_found, "there is no such queue item");
        if (is(request, 3, "cancelQueue")) {
            access_.require(principal, config::Role::trigger);
            if (request.method != "POST") return post_only();
            return cancel(request, principal, *id, false);
        }
        const operations::QueueItem item = operations_.queue_item(*id);
        const ServerView server = view(request, item.app);
        if (is(request, 3, "api"))
            return export_response(queue_item_page(server, item), request, path_from(request, 3));
        return note_page(fmt::format("Queue item {}", item.id), fmt::format("{}: {}", item.app, to_text(item.state)));
    }
    if (is(request, 1, "api")) return export_response(queue_page(view(request)), request, path_from(request, 1));
    if (request.path.size() > 1) throw Error(ErrorKind::not_found, "there is nothing of this name");
    return note_page("Build queue", fmt::format("{} waiting", operations_.queue().size()));
}

Response Jenkins::cancel(const Request& request, const Principal& principal, std::uint64_t id, bool strict) {
    const operations::QueueItem item = operations_.queue_item(id);
    access_.require_own(principal, operations_.is_own_item(id, principal.name));
    try {
        operations_.cancel_queue_item(id, Access::caller(principal, request));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::conflict) throw;
        // It left the queue before: cancelItem says that there is none, cancelQueue that all is well.
        if (strict) throw Error(ErrorKind::not_found, fmt::format("queue item {} of {} no longer waits", id, item.app));
    }
    return redirect_to(request, "/queue/");
}

Response Jenkins::feed(const Request& request, const std::optional<AppName>& app, std::string_view name) {
    const FeedKind kind = name == "rssAll" ? FeedKind::all : name == "rssFailed" ? FeedKind::failed : FeedKind::latest;
    const std::string flavor = request.arg("flavor").value_or("atom");
    if (flavor != "atom" && flavor != "rss20") throw Error(ErrorKind::invalid, "'flavor' must be atom or rss20");
    const FeedFormat format = flavor == "atom" ? FeedFormat::atom : FeedFormat::rss20;
    const ServerView server = view(request, app);
    return Response::content(std::string(content_type(format)),
                             render_feed(server, app ? FeedScope::job : FeedScope::server, kind, format));
}

ServerView Jenkins::view(const Request& request, const std::optional<AppName>& only) const {
    ServerView server;
    server.base = config_.public_url.empty() ? request.base_url() : config_.public_url;
    while (server.base.ends_with('/')) server.base.pop_back();
    server.node = config_.self;
    server.executors = config_.executors;
    server.quieting_down = operations_.quieting_down();
    server.now_ms = to_epoch_ms(clock_.wall());
    const auto waiting = operations_.queue();
    for (const auto& [name, app] : config_.apps) {
        if (!only || name == *only) server.jobs.push_back(job_view(app, waiting));
    }
    return server;
}

JobView Jenkins::job_view(const config::App& app, const std::vector<operations::QueueItem>& waiting) const {
    JobView job;
    job.name = app.name;
    job.repository = app.repository;
    job.branch = app.branch;
    job.parameters = app.parameters;
    const operations::Status status = operations_.status(app.name);
    job.disabled = !status.apps.empty() && status.apps.front().disabled;
    job.next_number = operations_.next_build_number(app.name);
    std::ranges::copy_if(waiting, std::back_inserter(job.waiting),
                         [&](const operations::QueueItem& item) { return item.app == app.name; });
    const auto memo = std::make_shared<Memo>();
    job.builds = [this, name = app.name, memo](unsigned most) {
        const bool complete = memo->builds.size() < memo->fetched;
        if (most > memo->fetched && !complete) {
            memo->builds = operations_.builds(name, most);
            memo->fetched = most;
        }
        const auto count = static_cast<std::ptrdiff_t>(std::min<std::size_t>(most, memo->builds.size()));
        return std::vector(memo->builds.begin(), memo->builds.begin() + count);
    };
    job.permalink = [this, name = app.name](operations::Permalink link) -> std::optional<operations::BuildView> {
        const auto number = operations_.permalink(name, link);
        if (!number) return std::nullopt;
        return operations_.build(name, *number);
    };
    job.artifacts = [this, name = app.name](unsigned number) { return operations_.build(name, number).artifacts; };
    job.changes = [this, name = app.name, memo](unsigned number) -> std::vector<operations::ChangeView> {
        if (const auto known = memo->changes.find(number); known != memo->changes.end()) return known->second;
        if (memo->changes.size() >= most_change_lists) return {};
        return memo->changes.emplace(number, operations_.changes(name, number)).first->second;
    };
    return job;
}

}  // namespace baton::http
