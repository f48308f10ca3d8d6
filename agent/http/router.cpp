// SPDX-License-Identifier: MIT
// From a path to the surface that answers it.
#include "agent/http/router.h"

#include <utility>

#include "agent/http/metrics.h"
#include "agent/http/peer.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::http {
namespace {

/// What clients of Jenkins look for to see that they talk to one, and which version's behaviour to expect.
constexpr const char* jenkins_version = "2.462.3";

/// Webhooks of busy repositories are large; GitHub's limit is 25 MB.
constexpr std::uint64_t hook_body_bytes = 25ULL * 1024 * 1024;
constexpr std::uint64_t peer_body_bytes = 16ULL * 1024 * 1024;
constexpr std::uint64_t plain_body_bytes = 1024ULL * 1024;

bool is(const Request& request, std::size_t at, std::string_view segment) {
    return request.path.size() > at && request.path[at] == segment;
}

/// Errors of the JSON surfaces are JSON; the others' are text.
Response error_response(const Request& request, const Error& error) {
    const bool json = is(request, 0, "api") || is(request, 0, "peer") || net::is_signed(request.headers);
    Response response = json ? Response::json_error(error.kind(), error.text())
                             : Response::error(status_of(error.kind()), error.text());
    // npm's jenkins shows this text instead of one of its own.
    if (!json) response.headers.set("X-Error", first_line(escape_control(error.text()), 300));
    if (error.kind() == ErrorKind::unauthorized) response.headers.set("WWW-Authenticate", "Basic realm=\"Jenkins\"");
    return response;
}

/// The word for a status that the server gives by itself.
ErrorKind kind_of(int status) {
    switch (status) {
        case 408: return ErrorKind::timeout;
        case 413:
        case 414:
        case 431: return ErrorKind::too_large;
        case 503: return ErrorKind::busy;
        default: return ErrorKind::invalid;
    }
}

}  // namespace

Router::Router(operations::Operations& operations, operations::Peers& peers, operations::Service& service,
               const config::AgentConfig& config, net::PeerVerifier& verifier, const Clock& clock)
    : operations_(operations),
      peers_(peers),
      service_(service),
      config_(config),
      access_(config, verifier, clock),
      api_(operations, config, access_),
      remote_trigger_(operations, config, access_),
      hooks_(operations, config, access_, clock),
      jenkins_(operations, config, access_, clock),
      session_(to_hex(random_bytes(4))) {}

std::uint64_t Router::body_limit(const Request& head) {
    if (Hooks::takes_payload(head)) return hook_body_bytes;
    if (net::is_signed(head.headers)) return peer_body_bytes;
    return plain_body_bytes;
}

Response Router::handle(Request&& request) {
    Response response;
    try {
        response = route(request);
    } catch (const Error& error) {
        response = error_response(request, error);
    } catch (const std::exception& fault) {
        log::error("http", "a handler failed", {{"method", request.method}, {"reason", fault.what()}});
        response = Response::json_error(ErrorKind::internal, "the agent failed to answer; its log says why");
    }
    mark(response);
    return response;
}

Response Router::refusal(int status, std::string_view why, std::string_view target) const {
    const bool json = target.starts_with("/api/v1") || target.starts_with("/peer/");
    Response response = json ? Response::json_error(kind_of(status), why) : Response::error(status, why);
    response.status = status;
    mark(response);
    return response;
}

void Router::mark(Response& response) const {
    response.headers.set("X-Jenkins", jenkins_version);
    response.headers.set("X-Jenkins-Session", session_);
    response.headers.set("X-Content-Type-Options", "nosniff");
    response.headers.set("X-Frame-Options", "deny");
}

Response Router::route(const Request& request) {
    if (is(request, 0, "healthz")) return Response::text("ok\n");
    if (is(request, 0, "health") && request.path.size() == 2) return health(AppName(request.path[1]), request);
    if (auto response = hooks_.handle(request)) return std::move(*response);
    const Principal principal = access_.identify(request);
    if (is(request, 0, "peer")) return handle_peer(peers_, access_.require_peer(principal), request);
    if (is(request, 0, "job") && is(request, 2, "build") && principal.peer && request.method == "POST") {
        return handle_handoff(peers_, *principal.peer, AppName(request.path[1]), request);
    }
    return route_known(request, principal);
}

Response Router::route_known(const Request& request, const Principal& principal) {
    using Parameters = RemoteTrigger::Parameters;
    if (is(request, 0, "job") && is(request, 2, "build")) {
        return remote_trigger_.build(AppName(request.path[1]), Parameters::none, request, principal);
    }
    if (is(request, 0, "job") && is(request, 2, "buildWithParameters")) {
        return remote_trigger_.build(AppName(request.path[1]), Parameters::from_arguments, request, principal);
    }
    if (is(request, 0, "job") && is(request, 2, "polling")) {
        return remote_trigger_.poll(AppName(request.path[1]), request, principal);
    }
    if (is(request, 0, "buildByToken") && is(request, 1, "polling")) return remote_trigger_.poll_by_token(request);
    if (is(request, 0, "buildByToken") && is(request, 1, "build")) {
        return remote_trigger_.build_by_token(Parameters::none, request);
    }
    if (is(request, 0, "buildByToken") && is(request, 1, "buildWithParameters")) {
        return remote_trigger_.build_by_token(Parameters::from_arguments, request);
    }
    if (is(request, 0, "api") && is(request, 1, "v1")) return api_.handle(request, principal);
    if (is(request, 0, "metrics")) {
        access_.require(principal, config::Role::read);
        return Response::content("text/plain; version=0.0.4; charset=utf-8",
                                 render_metrics(operations_.status(), access_.brake().failures(),
                                                server_counters_ ? server_counters_() : ServerCounters{}));
    }
    if (auto response = jenkins_.handle(request, principal)) return std::move(*response);
    access_.require(principal, config::Role::read);
    throw Error(ErrorKind::not_found, "there is nothing of this name");
}

Response Router::health(const AppName& app, const Request& request) {
    const auto it = config_.apps.find(app);
    if (it == config_.apps.end()) throw Error(ErrorKind::not_found, "no such app");
    if (service_.readiness(app, request.remote_address)) return Response::text("in service\n");
    return Response::text("not in service\n", config_.traffic_of(it->second).readiness_drain_status);
}

}  // namespace baton::http
