// SPDX-License-Identifier: MIT
// One agent, spoken to over HTTP.
#include "agent/cli/client.h"

#include <Poco/URI.h>
#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/file.h"
#include "common/text.h"
#include "common/types.h"

namespace baton::cli {
namespace {

using namespace std::chrono_literals;

// An order is recorded on a majority of the nodes before it is answered, so an answer may wait for slow
// peers.
constexpr Milliseconds call_deadline = 30s;

std::string environment(const char* name) {
    // Read before other threads run; nothing in the program sets variables.
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    return value == nullptr ? "" : value;
}

std::string base_of(std::string agent) {
    if (agent.find("://") == std::string::npos) agent = "http://" + agent;
    while (agent.ends_with('/')) agent.pop_back();
    if (!agent.starts_with("http://") && !agent.starts_with("https://")) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' is not the address of an agent (write http://web1:7070)",
                                                    escape_control(first_line(mask_url(agent)))));
    }
    return agent;
}

std::string token_of(const Connection& connection) {
    if (connection.token_file) return read_secret_file(*connection.token_file);
    if (const auto file = environment("BATON_TOKEN_FILE"); !file.empty()) return read_secret_file(file);
    std::string token(trim(environment("BATON_TOKEN")));
    if (token.find_first_of("\r\n") != std::string::npos)
        throw Error(ErrorKind::invalid, "BATON_TOKEN has several lines");
    return token;
}

net::HttpClientOptions options_of(const Connection& connection) {
    net::HttpClientOptions options;
    options.deadline = call_deadline;
    options.tls.ca_file = connection.ca_file;
    options.tls.certificate_file = connection.certificate_file;
    options.tls.private_key_file = connection.private_key_file;
    return options;
}

ErrorKind kind_of_status(int status) {
    switch (status) {
        case 400: return ErrorKind::invalid;
        case 401: return ErrorKind::unauthorized;
        case 403: return ErrorKind::forbidden;
        case 404: return ErrorKind::not_found;
        case 409: return ErrorKind::conflict;
        case 413: return ErrorKind::too_large;
        case 429:
        case 503: return ErrorKind::busy;
        case 504: return ErrorKind::timeout;
        default: return ErrorKind::internal;
    }
}

/// The agent's error, or what can be made of an answer that is none of ours (a proxy's page).
Error error_of(const net::HttpResponse& response) {
    ErrorKind kind = kind_of_status(response.status);
    std::string message = fmt::format("the agent answered with HTTP status {}", response.status);
    try {
        const json::Value body = json::parse(response.body);
        const json::Value& error = json::member(body, "error");
        message = json::text(error, "message");
        kind = parse_error_kind(json::text(error, "kind"));
    } catch (const Error&) {
        // What was learnt until here is the best there is: an unknown kind keeps the message and the status's
        // kind.
    }
    return {kind, message};
}

}  // namespace

AgentClient::AgentClient(const Connection& connection)
    : base_(base_of(connection.agent)), token_(token_of(connection)), client_(options_of(connection)) {}

net::HttpResponse AgentClient::call(const std::string& method, const std::string& target, std::string body) const {
    net::HttpRequest request;
    request.method = method;
    request.url = base_ + target;
    request.body = std::move(body);
    if (!request.body.empty()) request.headers.set("Content-Type", "application/json");
    if (!token_.empty()) request.headers.set("Authorization", "Bearer " + token_);
    net::HttpResponse response = client_.call(request);
    if (!response.ok()) throw error_of(response);
    return response;
}

json::Value AgentClient::get(const std::string& target) const {
    const auto response = call("GET", target, "");
    return with_context(fmt::format("{} does not answer as an agent", mask_url(base_)),
                        [&] { return json::parse(response.body); });
}

json::Value AgentClient::post(const std::string& target, const json::Value& body) const {
    const auto response = call("POST", target, json::dump(body));
    return with_context(fmt::format("{} does not answer as an agent", mask_url(base_)),
                        [&] { return json::parse(response.body); });
}

AgentClient::LogPiece AgentClient::log(const std::string& target, std::uint64_t start) const {
    auto response = call("GET", fmt::format("{}?start={}", target, start), "");
    return {std::move(response.body), lower(response.headers.get("X-More-Data")) == "true"};
}

std::string path_name(std::string_view what, std::string_view name) {
    if (!is_valid_name(name)) {
        throw Error(ErrorKind::invalid,
                    fmt::format("'{}' is not the name of {}", escape_control(first_line(name)), what));
    }
    return std::string(name);
}

std::string query_value(std::string_view text) {
    std::string encoded;
    Poco::URI::encode(std::string(text), "!*'();:@&=+$,/?#[]%", encoded);
    return encoded;
}

}  // namespace baton::cli
