// SPDX-License-Identifier: MIT
// Jenkins' remote trigger.
#include "agent/http/remote_trigger.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/http/jenkins/response.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::http {
namespace {

/// `30sec`, `30secs`, or a bare number of milliseconds rounded down to seconds, as Jenkins reads it.
std::optional<Milliseconds> delay_of(const Request& request) {
    const auto text = request.arg("delay");
    if (!text || text->empty()) return std::nullopt;
    std::string_view number = *text;
    std::uint64_t unit_ms = 1;
    for (const std::string_view ending : {"secs", "sec"}) {
        if (number.ends_with(ending)) {
            number.remove_suffix(ending.size());
            unit_ms = 1000;
            break;
        }
    }
    const auto value = parse_whole(number);
    constexpr std::uint64_t most_ms = 7ULL * 24 * 3600 * 1000;
    if (!value || *value > most_ms / unit_ms) {
        throw Error(ErrorKind::invalid, fmt::format("'delay={}' must be 30sec or a number of milliseconds", *text));
    }
    return Milliseconds{static_cast<std::int64_t>(*value * unit_ms / 1000 * 1000)};
}

/// Parameters out of the `json` field of Jenkins' form: a list, or a single object.
std::map<std::string, std::string> form_parameters(const Request& request) {
    std::map<std::string, std::string> parameters;
    const auto text = request.arg("json");
    if (!text || text->empty()) return parameters;
    const json::Value form = json::parse(*text);
    if (!form.is_object()) throw Error(ErrorKind::invalid, "'json' must be an object");
    if (!form.contains("parameter")) return parameters;
    const auto& given = json::member(form, "parameter");
    const auto add = [&](const json::Value& one) {
        if (one.is_object() && one.contains("file")) {
            throw Error(ErrorKind::invalid, fmt::format("parameter {} is a file, which this agent does not take: put "
                                                        "it where a step can fetch it, and give its address",
                                                        json::text_or(one, "name", "")));
        }
        const auto& value = json::member(one, "value");
        parameters[json::text(one, "name")] = value.is_string() ? value.get<std::string>() : json::dump(value);
    };
    if (given.is_array()) {
        std::ranges::for_each(given, add);
    } else {
        add(given);
    }
    return parameters;
}

std::map<std::string, std::string> argument_parameters(const config::App& app, const Request& request) {
    std::map<std::string, std::string> parameters;
    for (const auto& declared : app.parameters) {
        const auto values = request.args(declared.name);
        if (values.size() > 1) throw Error(ErrorKind::invalid, fmt::format("parameter {} comes twice", declared.name));
        if (!values.empty()) parameters[declared.name] = values.front();
    }
    return parameters;
}

/// The value of `name=` in what a steward writes into the cause of a trigger.
std::string_view word_after(std::string_view text, std::string_view name) {
    const auto at = text.find(name);
    if (at == std::string_view::npos) return {};
    text.remove_prefix(at + name.size());
    return text.substr(0, text.find_first_of(" ;\n\r\t"));
}

}  // namespace

void RemoteTrigger::refuse_what_comes_back(const config::App& app, const Request& request) const {
    for (const char* field : {"cause", "BATON_CAUSE"}) {
        const std::string text = request.arg(field).value_or("");
        if (text.find("baton rollout=") == std::string::npos) continue;
        const std::string_view marker = word_after(text, "rollout=");
        const RolloutId rollout(marker.substr(0, marker.find('.')));
        for (const std::string& hop : split(word_after(text, "hops="), ',')) {
            if (hop != config_.self.str()) continue;
            throw Error(ErrorKind::conflict,
                        fmt::format("this trigger has come round: rollout {} was here already, and "
                                    "is not started again",
                                    first_line(rollout.str())));
        }
        if (operations_.knows_rollout(app.name, rollout)) {
            throw Error(ErrorKind::conflict, fmt::format("rollout {} comes to this node along the chain: it is not "
                                                         "started again",
                                                         rollout));
        }
    }
}

std::string queue_url(const Request& request, std::uint64_t id) {
    return fmt::format("{}/queue/item/{}/", request.base_url(), id);
}

Response RemoteTrigger::queue(const config::App& app, Parameters parameters, const Request& request, bool by_token,
                              const Principal& principal) {
    refuse_what_comes_back(app, request);
    operations::TriggerRequest trigger;
    if (by_token) {
        const auto note = request.arg("cause");
        std::string text = fmt::format("Started by remote host {}", request.remote_address);
        if (note && !note->empty()) text += fmt::format(" with note: {}", first_line(*note, 500));
        trigger.cause = {wire::CauseKind::remote, text, "app token", request.remote_address};
    } else {
        trigger.cause = {wire::CauseKind::user, fmt::format("Started by user {}", principal.name), principal.name,
                         request.remote_address};
    }
    trigger.delay = delay_of(request);
    if (parameters == Parameters::from_arguments) {
        if (app.parameters.empty()) throw Error(ErrorKind::invalid, fmt::format("{} is not parameterized", app.name));
        trigger.parameters = argument_parameters(app, request);
    } else {
        trigger.parameters = form_parameters(request);
    }
    const auto item = operations_.trigger(app.name, trigger, {trigger.cause.who, request.remote_address});
    Response response;
    response.status = 201;
    response.headers.set("Location", queue_url(request, item.id));
    return response;
}

Response RemoteTrigger::build(const AppName& name, Parameters parameters, const Request& request,
                              const Principal& principal) {
    const auto it = config_.apps.find(name);
    // With its token a link is enough; what only asks about a link (HEAD) still builds nothing.
    if (it != config_.apps.end() && (request.method == "GET" || request.method == "POST")) {
        switch (access_.check_app_token(it->second, request)) {
            case Access::AppToken::right: return queue(it->second, parameters, request, true, principal);
            case Access::AppToken::wrong: throw Error(ErrorKind::forbidden, "Invalid token provided.");
            case Access::AppToken::absent: break;
        }
    }
    access_.require(principal, config::Role::trigger);
    if (request.method != "POST") return post_only();
    return queue(config_.app(name), parameters, request, false, principal);
}

const config::App& RemoteTrigger::app_by_token(const Request& request) const {
    const auto it = config_.apps.find(AppName(request.arg("job").value_or("")));
    if (it == config_.apps.end() || !it->second.triggers.token_file) throw Error(ErrorKind::not_found, "no such job");
    if (access_.check_app_token(it->second, request) == Access::AppToken::right) return it->second;
    throw Error(ErrorKind::forbidden, "Invalid token provided.");
}

Response RemoteTrigger::build_by_token(Parameters parameters, const Request& request) {
    return queue(app_by_token(request), parameters, request, true, {});
}

Response RemoteTrigger::poll_by_token(const Request& request) {
    look_at_git(app_by_token(request), request, "app token");
    return Response::text("Scheduled.\n");
}

Response RemoteTrigger::poll(const AppName& name, const Request& request, const Principal& principal) {
    const auto it = config_.apps.find(name);
    const auto token =
        it == config_.apps.end() ? Access::AppToken::absent : access_.check_app_token(it->second, request);
    if (token == Access::AppToken::wrong) throw Error(ErrorKind::forbidden, "Invalid token provided.");
    if (token == Access::AppToken::absent) {
        access_.require(principal, config::Role::trigger);
        if (request.method != "POST") return post_only();
    }
    look_at_git(config_.app(name), request, token == Access::AppToken::right ? "app token" : principal.name);
    return redirect_to(request, fmt::format("/job/{}/", name));
}

void RemoteTrigger::look_at_git(const config::App& app, const Request& request, const std::string& who) {
    operations::TriggerRequest trigger;
    trigger.cause = {wire::CauseKind::poll, "Started by an SCM change", who, request.remote_address};
    (void)operations_.trigger(app.name, trigger, {who, request.remote_address});
}

}  // namespace baton::http
