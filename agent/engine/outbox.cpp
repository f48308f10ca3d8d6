// SPDX-License-Identifier: MIT
// What this agent says to its peers.
#include "agent/engine/outbox.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json.h"
#include "common/log.h"

namespace baton::engine {
namespace {

using namespace std::chrono_literals;

// A dead peer holds a thread for the connect time-out, so there are a few of them; a live one answers in a millisecond.
constexpr std::size_t most_threads = 8;
constexpr auto connect_timeout = 2s;
constexpr auto call_deadline = 8s;

net::ClientTls client_tls(const config::AgentConfig& config) {
    net::ClientTls tls;
    if (config.security.tls) {
        tls.ca_file = config.security.tls->ca_file;
        if (config.security.tls->client_ca_file) {
            tls.certificate_file = config.security.tls->certificate_file;
            tls.private_key_file = config.security.tls->private_key_file;
        }
    }
    return tls;
}

net::HttpClientOptions client_options(const config::AgentConfig& config) {
    net::HttpClientOptions options;
    options.connect_timeout = connect_timeout;
    options.deadline = call_deadline;
    options.tls = client_tls(config);
    return options;
}

std::string base_url(const config::AgentConfig& config, const NodeName& node) {
    const auto* entry = config.find_node(node);
    if (entry == nullptr) throw Error(ErrorKind::not_found, fmt::format("node '{}' is not in the chain", node));
    return fmt::format("{}://{}", config.security.tls ? "https" : "http", entry->address.text());
}

/// The peer's own words where it has given any, or the beginning of what came.
std::string refusal(const net::HttpResponse& answer) {
    constexpr std::size_t most_bytes = 500;
    try {
        const json::Value value = json::parse(answer.body);
        return json::text(json::member(value, "error"), "message").substr(0, most_bytes);
    } catch (const Error&) {
        return fmt::format("status {}: {}", answer.status, answer.body.substr(0, most_bytes));
    }
}

}  // namespace

Outbox::Outbox(const config::AgentConfig& config, const net::PeerSigner& signer)
    : config_(config), signer_(signer), client_(client_options(config)) {
    const std::size_t peers = config.nodes.empty() ? 0 : config.nodes.size() - 1;
    for (std::size_t i = 0; i < std::min(peers, most_threads); ++i) {
        threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }
}

void Outbox::post(const NodeName& to, std::string target, std::string body, OnAnswer on_answer) {
    {
        const std::lock_guard lock(mutex_);
        auto& queue = queues_[to];
        if (queue.size() >= most_queued) queue.pop_front();
        queue.push_back({std::move(target), std::move(body), std::move(on_answer)});
    }
    wake_.notify_one();
}

net::HttpResponse Outbox::call(const NodeName& to, const std::string& method, const std::string& target,
                               std::string body, Milliseconds deadline) const {
    net::HttpRequest request;
    request.method = method;
    request.url = base_url(config_, to) + target;
    request.headers = signer_.sign(method, target, body, to);
    if (!body.empty()) request.headers.set("Content-Type", "application/json");
    request.body = std::move(body);
    request.deadline = deadline;
    return client_.call(request);
}

void Outbox::stop() {
    for (auto& thread : threads_) thread.request_stop();
    threads_.clear();
}

std::optional<NodeName> Outbox::next_peer() const {
    for (const auto& [peer, queue] : queues_) {
        if (!queue.empty() && !busy_.contains(peer)) return peer;
    }
    return std::nullopt;
}

void Outbox::work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [&] { return next_peer().has_value(); })) {
        const NodeName peer = *next_peer();
        const Letter letter = std::move(queues_[peer].front());
        queues_[peer].pop_front();
        busy_.insert(peer);
        connections_.try_emplace(peer, base_url(config_, peer), client_options(config_));
        lock.unlock();
        const PeerAnswer answer = deliver(peer, letter);
        try {
            if (letter.on_answer) letter.on_answer(answer);
        } catch (const Error& error) {
            log::warning("peer", "an answer could not be taken in", {{"peer", peer}, {"reason", error.text()}});
        }
        lock.lock();
        busy_.erase(peer);
        if (!answer && queues_[peer].size() > 1) {
            // Everything queued for a peer that does not answer is stale by now, but for what was said last.
            queues_[peer].erase(queues_[peer].begin(), queues_[peer].end() - 1);
        }
        if (!queues_[peer].empty()) wake_.notify_one();
    }
}

PeerAnswer Outbox::deliver(const NodeName& to, const Letter& letter) {
    net::HttpConnection* connection = nullptr;
    {
        const std::lock_guard lock(mutex_);
        connection = &connections_.at(to);
    }
    PeerAnswer answer;
    std::string why;
    // A kept connection may have been closed by the peer meanwhile; every letter may be said twice, so once more.
    for (int attempt = 0; attempt < 2 && !answer; ++attempt) {
        try {
            net::HttpRequest request;
            request.method = "POST";
            request.url = letter.target;
            request.headers = signer_.sign("POST", letter.target, letter.body, to);
            request.headers.set("Content-Type", "application/json");
            request.body = letter.body;
            answer = connection->call(request);
            if (!answer->ok()) why = refusal(*answer);
        } catch (const Error& error) {
            why = error.text();
            if (error.kind() != ErrorKind::unreachable) break;
        }
    }
    const bool good = answer && answer->ok();
    const std::lock_guard lock(mutex_);
    const auto [last, fresh] = answered_.try_emplace(to, true);
    if (last->second && !good) {
        log::warning("peer", answer ? "refuses what this agent says" : "does not answer",
                     {{"peer", to}, {"reason", why}});
    }
    if (!last->second && good) log::info("peer", "answers again", {{"peer", to}});
    last->second = good;
    return answer;
}

}  // namespace baton::engine
