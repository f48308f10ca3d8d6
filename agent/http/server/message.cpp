// SPDX-License-Identifier: MIT
// Arguments of a request, and the usual responses.
#include "agent/http/server/message.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace baton::http {

const net::Arguments& Request::form() const {
    if (!form_) {
        const bool may_have_one = method != "GET" && method != "HEAD";
        form_ = may_have_one ? net::parse_form(header("Content-Type"), body) : net::Arguments{};
    }
    return *form_;
}

std::optional<std::string> Request::arg(std::string_view name) const {
    for (const auto& [key, value] : query) {
        if (key == name) return value;
    }
    for (const auto& [key, value] : form()) {
        if (key == name) return value;
    }
    return std::nullopt;
}

std::vector<std::string> Request::args(std::string_view name) const {
    std::vector<std::string> values;
    for (const net::Arguments* list : {&query, &form()}) {
        for (const auto& [key, value] : *list) {
            if (key == name) values.push_back(value);
        }
    }
    return values;
}

net::Arguments Request::all_arguments() const {
    net::Arguments all = query;
    const net::Arguments& rest = form();
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
}

std::string Request::base_url() const {
    const auto host = headers.find("Host");
    return fmt::format("{}://{}", secure ? "https" : "http", host && !host->empty() ? *host : "localhost");
}

Response Response::content(std::string type, std::string body, int status) {
    Response response;
    response.status = status;
    response.headers.set("Content-Type", std::move(type));
    response.body = std::move(body);
    return response;
}

Response Response::text(std::string body, int status) {
    return content("text/plain;charset=UTF-8", std::move(body), status);
}

Response Response::html(std::string body, int status) {
    return content("text/html;charset=UTF-8", std::move(body), status);
}

Response Response::json(const json::Value& value, int status) { return json_text(json::dump(value), status); }

Response Response::json_text(std::string body, int status) {
    return content("application/json;charset=UTF-8", std::move(body), status);
}

Response Response::redirect(std::string location, int status) {
    Response response = text("redirect\n", status);
    response.headers.set("Location", std::move(location));
    return response;
}

Response Response::error(int status, std::string_view message) { return text(fmt::format("{}\n", message), status); }

Response Response::json_error(ErrorKind kind, std::string_view message) {
    json::Value value;
    value["error"]["kind"] = to_text(kind);
    value["error"]["message"] = message;
    return json(value, status_of(kind));
}

Response Response::events(StreamFunction stream) {
    Response response = streamed("text/event-stream", std::move(stream));
    response.headers.set("Cache-Control", "no-store");
    response.headers.set("X-Accel-Buffering", "no");
    return response;
}

Response Response::streamed(std::string type, StreamFunction stream) {
    Response response;
    response.headers.set("Content-Type", std::move(type));
    response.stream = std::move(stream);
    return response;
}

int status_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::invalid: return 400;
        case ErrorKind::not_found: return 404;
        case ErrorKind::unauthorized: return 401;
        case ErrorKind::forbidden: return 403;
        case ErrorKind::conflict: return 409;
        case ErrorKind::too_large: return 413;
        case ErrorKind::busy: return 503;
        case ErrorKind::timeout: return 504;
        case ErrorKind::cancelled: return 503;
        case ErrorKind::unreachable: return 502;
        case ErrorKind::step_failed:
        case ErrorKind::io:
        case ErrorKind::corrupt:
        case ErrorKind::internal: return 500;
    }
    return 500;
}

}  // namespace baton::http
