// SPDX-License-Identifier: MIT
// `/api/v1`.
#include "agent/http/api.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/http/api_json.h"
#include "agent/http/api_ledger.h"
#include "agent/http/log_response.h"
#include "common/error.h"
#include "common/text.h"
#include "common/ulid.h"

namespace baton::http {
namespace {

constexpr unsigned default_limit = 20;
constexpr unsigned most_limit = 500;

unsigned limit_of(const Request& request) {
    const auto text = request.arg("limit");
    if (!text) return default_limit;
    const auto limit = parse_whole(*text);
    if (!limit || *limit == 0 || *limit > most_limit) {
        throw Error(ErrorKind::invalid, fmt::format("'limit' must be a whole number from 1 to {}", most_limit));
    }
    return static_cast<unsigned>(*limit);
}

json::Value body_of(const Request& request) {
    if (request.body.empty()) return json::Value::object();
    json::Value body = json::parse(request.body);
    if (!body.is_object()) throw Error(ErrorKind::invalid, "the body must be a JSON object");
    return body;
}

[[noreturn]] void unknown(const Request& request) {
    throw Error(ErrorKind::not_found, fmt::format("there is nothing at {} {}", request.method,
                                                  request.target.substr(0, request.target.find('?'))));
}

Response accepted(const std::string& message) { return Response::json({{"message", message}}, 202); }

/// CommitId of an optional member, checked: a prefix or a name is for git to resolve, but no option and no path.
/// An order's reason travels with every message about what it ordered.
std::string reason_of(const json::Value& body) {
    constexpr std::size_t longest = 500;
    auto text = json::text_or(body, "reason", "");
    if (text.size() > longest)
        throw Error(ErrorKind::invalid, fmt::format("a reason may have {} bytes at most", longest));
    return text;
}

/// Empty: the one that the order means when it names none.
RolloutId rollout_of(const json::Value& body) {
    const auto text = json::text_or(body, "rollout", "");
    if (!text.empty() && !is_rollout_id(text))
        throw Error(ErrorKind::invalid, "'rollout' must be a rollout's id, 26 letters and digits");
    return RolloutId(text);
}

CommitId commit_of(const json::Value& body) {
    const std::string text = json::text_or(body, "commit", "");
    constexpr std::size_t longest = 255;
    const bool plain = text.size() <= longest && !text.starts_with('-') && std::ranges::all_of(text, [](char c) {
                           return c > ' ' && c < 0x7F && c != ':' && c != '^' && c != '~';
                       });
    if (!plain) throw Error(ErrorKind::invalid, "'commit' must be a commit id or a branch's or tag's name");
    return CommitId(text);
}

}  // namespace

Response Api::handle(const Request& request, const Principal& principal) {
    if (request.method == "GET" || request.method == "HEAD") {
        access_.require(principal, config::Role::read);
        return look(request);
    }
    if (request.method != "POST") {
        Response response = Response::json_error(ErrorKind::invalid, "use GET or POST");
        response.status = 405;
        response.headers.set("Allow", "GET, HEAD, POST");
        return response;
    }
    const bool trigger = request.path.size() == 5 && request.path[2] == "apps" && request.path[4] == "trigger";
    const bool stop = request.path.size() == 7 && request.path[4] == "builds" && request.path[6] == "stop";
    access_.require(principal, trigger || stop ? config::Role::trigger : config::Role::operate);
    if (stop) return this->stop(request, principal);
    return change(request, Access::caller(principal, request));
}

Response Api::look(const Request& request) {
    const auto& path = request.path;
    if (path.size() == 3 && path[2] == "status") {
        const auto app = request.arg("app");
        return Response::json(to_json(operations_.status(app ? std::optional(AppName(*app)) : std::nullopt)));
    }
    if (path.size() == 3 && path[2] == "ledger") return ledger_response(operations_, request);
    if (path.size() == 3 && path[2] == "audit") {
        const auto app = request.arg("app");
        json::Value entries = json::Value::array();
        for (const auto& entry :
             operations_.audit(limit_of(request), app ? std::optional(AppName(*app)) : std::nullopt))
            entries.push_back(to_json(entry));
        return Response::json({{"entries", entries}});
    }
    if (path.size() >= 5 && path[2] == "apps") return look_at_app(AppName(path[3]), request);
    unknown(request);
}

Response Api::look_at_app(const AppName& app, const Request& request) {
    const auto& path = request.path;
    const auto& what = path[4];
    if (path.size() == 5 && what == "rollouts") {
        json::Value list = json::Value::array();
        for (const auto& rollout : operations_.rollouts(app, limit_of(request))) list.push_back(to_json(rollout));
        return Response::json({{"rollouts", list}});
    }
    if (path.size() == 6 && what == "queue") {
        const auto id = parse_whole(path[5]);
        if (!id) unknown(request);
        return Response::json(to_json(operations_.queue_item(*id)));
    }
    if (what != "builds") unknown(request);
    if (path.size() == 5) {
        json::Value list = json::Value::array();
        for (const auto& build : operations_.builds(app, limit_of(request))) list.push_back(to_json(build));
        return Response::json({{"builds", list}});
    }
    const auto number =
        path[5] == "last" ? operations_.permalink(app, operations::Permalink::last) : [&]() -> std::optional<unsigned> {
        const auto whole = parse_whole(path[5]);
        return whole && *whole <= UINT32_MAX ? std::optional(static_cast<unsigned>(*whole)) : std::nullopt;
    }();
    if (!number) throw Error(ErrorKind::not_found, fmt::format("app '{}' has no build {}", app, path[5]));
    if (path.size() == 6) return Response::json(to_json(operations_.build(app, *number)));
    if (path.size() == 7 && path[6] == "log") return log_response(operations_, app, *number, request);
    if (path.size() == 7 && path[6] == "changes") {
        json::Value list = json::Value::array();
        for (const auto& change : operations_.changes(app, *number)) list.push_back(to_json(change));
        return Response::json({{"changes", list}});
    }
    unknown(request);
}

Response Api::stop(const Request& request, const Principal& principal) {
    const AppName app(request.path[3]);
    const auto number = parse_whole(request.path[5]);
    if (request.path[2] != "apps" || !number || *number > UINT32_MAX) unknown(request);
    const auto build = static_cast<unsigned>(*number);
    access_.require_own(principal, operations_.is_own_build(app, build, principal.name));
    return accepted(operations_.stop_build(app, build, Access::caller(principal, request)));
}

Response Api::change(const Request& request, operations::Caller caller) {
    const auto& path = request.path;
    const json::Value body = body_of(request);
    caller.reason = reason_of(body);
    if (path.size() == 5 && path[2] == "apps") return change_app(AppName(path[3]), path[4], body, caller);
    if (path.size() == 5 && path[2] == "nodes" && path[4] == "forget") {
        return accepted(operations_.forget(NodeName(path[3]), caller));
    }
    if (path.size() == 5 && path[2] == "nodes" && path[4] == "accept") {
        return accepted(operations_.accept(NodeName(path[3]), caller));
    }
    unknown(request);
}

Response Api::change_app(const AppName& app, const std::string& verb, const json::Value& body,
                         const operations::Caller& caller) {
    if (verb == "trigger") return trigger(app, body, caller);
    if (verb == "rollback") return accepted(operations_.rollback(app, commit_of(body), caller));
    if (verb == "halt") return accepted(operations_.halt(app, rollout_of(body), caller));
    if (verb == "resume" || verb == "retry") return accepted(operations_.resume(app, rollout_of(body), caller));
    if (verb == "promote") return accepted(operations_.promote(app, rollout_of(body), caller));
    if (verb == "freeze") {
        return accepted(operations_.freeze(app, json::number_or(body, "until_ms", 0), caller));
    }
    if (verb == "unfreeze") return accepted(operations_.unfreeze(app, caller));
    if (verb == "drain") return accepted(operations_.set_drained(app, true, caller));
    if (verb == "undrain") return accepted(operations_.set_drained(app, false, caller));
    if (verb == "disable") return accepted(operations_.set_disabled(app, true, caller));
    if (verb == "enable") return accepted(operations_.set_disabled(app, false, caller));
    if (verb == "force") return accepted(operations_.force(app, caller));
    throw Error(ErrorKind::not_found, fmt::format("nothing is called '{}'", verb));
}

Response Api::trigger(const AppName& app, const json::Value& body, const operations::Caller& caller) {
    operations::TriggerRequest request;
    request.cause = {wire::CauseKind::user, fmt::format("Started by user {}", caller.who), caller.who, caller.address};
    request.commit = commit_of(body);
    request.by_name = !request.commit.empty() || json::flag_or(body, "force", false);
    if (body.contains("parameters")) {
        const auto& parameters = json::member(body, "parameters");
        for (const auto& [name, value] : parameters.items()) request.parameters[name] = json::text(parameters, name);
    }
    const auto item = operations_.trigger(app, request, caller);
    return Response::json({{"queue_id", item.id}, {"rollout", nullptr}}, 202);
}

}  // namespace baton::http
