// SPDX-License-Identifier: MIT
// What this agent says to its peers: signed requests, in order for each peer, none of which waits for another peer.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/net/http_client.h"
#include "common/net/peer_signing.h"

namespace baton::engine {

/// What came back, whatever its status; none when the peer could not be reached in time.
using PeerAnswer = std::optional<net::HttpResponse>;
/// Called on one of the outbox's threads; must not block for long.
using OnAnswer = std::function<void(const PeerAnswer& answer)>;

/// Any thread. Delivery is at most once: what matters is repeated by the protocol, not here.
class Outbox {
  public:
    Outbox(const config::AgentConfig& config, const net::PeerSigner& signer);
    Outbox(const Outbox&) = delete;
    Outbox& operator=(const Outbox&) = delete;
    ~Outbox() = default;

    /// Queues a POST of JSON. Beyond most_queued for one peer its oldest is dropped, and so is
    /// what waits behind a request that a dead peer did not take, but for the last; a dropped one gets no answer.
    void post(const NodeName& to, std::string target, std::string body, OnAnswer on_answer);
    /// Blocks: one request now, on the caller's thread. Error(unreachable/timeout/…).
    [[nodiscard]] net::HttpResponse call(const NodeName& to, const std::string& method, const std::string& target,
                                         std::string body, Milliseconds deadline) const;
    /// Ends the threads; what is queued is dropped. Idempotent.
    void stop();

    static constexpr std::size_t most_queued = 256;

  private:
    struct Letter {
        std::string target;
        std::string body;
        OnAnswer on_answer;
    };
    void work(const std::stop_token& stop);
    [[nodiscard]] std::optional<NodeName> next_peer() const;  // under mutex_
    [[nodiscard]] PeerAnswer deliver(const NodeName& to, const Letter& letter);

    const config::AgentConfig& config_;
    const net::PeerSigner& signer_;
    net::HttpClient client_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::map<NodeName, std::deque<Letter>> queues_;
    std::map<NodeName, net::HttpConnection> connections_;  // a peer's is used by the thread that has it in busy_
    std::set<NodeName> busy_;
    std::map<NodeName, bool> answered_;  // the last outcome, so that a change is logged once
    std::vector<std::jthread> threads_;
};

}  // namespace baton::engine
