// SPDX-License-Identifier: MIT
// From a path to the surface that answers it, with the one place where it is decided who may come that far.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/http/access/access.h"
#include "agent/http/api.h"
#include "agent/http/hooks.h"
#include "agent/http/jenkins/jenkins.h"
#include "agent/http/remote_trigger.h"
#include "agent/http/server/message.h"
#include "agent/http/server/server.h"
#include "agent/operations/operations.h"
#include "agent/operations/peers.h"
#include "agent/operations/service.h"
#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/net/peer_signing.h"

namespace baton::http {

/// Any thread.
class Router {
  public:
    Router(operations::Operations& operations, operations::Peers& peers, operations::Service& service,
           const config::AgentConfig& config, net::PeerVerifier& verifier, const Clock& clock);

    /// Never throws: an Error becomes an answer of its kind, in the form of the surface that was asked.
    [[nodiscard]] Response handle(Request&& request);
    /// Where the figures of the server that serves this router come from; call before it serves.
    void show_counters(std::function<ServerCounters()> counters) { server_counters_ = std::move(counters); }
    /// The body limit for a request of which only the head is known.
    [[nodiscard]] static std::uint64_t body_limit(const Request& head);

    /// The shape of what the server refuses before there is a request: see ServerOptions::refusal.
    [[nodiscard]] Response refusal(int status, std::string_view why, std::string_view target) const;

  private:
    void mark(Response& response) const;
    [[nodiscard]] Response route(const Request& request);
    [[nodiscard]] Response route_known(const Request& request, const Principal& principal);
    [[nodiscard]] Response health(const AppName& app, const Request& request);

    operations::Operations& operations_;
    operations::Peers& peers_;
    operations::Service& service_;
    const config::AgentConfig& config_;
    Access access_;
    Api api_;
    RemoteTrigger remote_trigger_;
    Hooks hooks_;
    Jenkins jenkins_;
    std::string session_;
    std::function<ServerCounters()> server_counters_;
};

}  // namespace baton::http
