// SPDX-License-Identifier: MIT
// Jenkins' remote trigger.
#include "agent/http/remote_trigger.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>

#include "common/error.h"
#include "common/text.h"

namespace baton::http {
namespace {

/// `30sec`, `30secs`, or a bare number of milliseconds rounded down to seconds, as Jenkins reads it.
Milliseconds delay_of(const Request& request) {
    const auto text = request.arg("delay");
    if (!text || text->empty()) return Milliseconds{0};
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

Response post_only() {
    Response response = Response::error(405, "This changes something: use POST");
    response.headers.set("Allow", "POST");
    return response;
}

}  // namespace

std::string queue_url(const Request& request, std::uint64_t id) {
    return fmt::format("{}/queue/item/{}/", request.base_url(), id);
}

Response RemoteTrigger::queue(const config::App& app, Parameters parameters, const Request& request, bool by_token,
                              const Principal& principal) {
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
    if (it != config_.apps.end()) {
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

Response RemoteTrigger::build_by_token(Parameters parameters, const Request& request) {
    const auto it = config_.apps.find(AppName(request.arg("job").value_or("")));
    if (it == config_.apps.end()) throw Error(ErrorKind::not_found, "no such job");
    switch (access_.check_app_token(it->second, request)) {
        case Access::AppToken::right: return queue(it->second, parameters, request, true, {});
        case Access::AppToken::wrong: throw Error(ErrorKind::forbidden, "Invalid token provided.");
        case Access::AppToken::absent: break;
    }
    if (it->second.triggers.token_file) throw Error(ErrorKind::forbidden, "Invalid token provided.");
    throw Error(ErrorKind::not_found, "no such job");
}

}  // namespace baton::http
