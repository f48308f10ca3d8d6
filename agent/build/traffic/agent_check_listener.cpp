// SPDX-License-Identifier: MIT
// The TCP port that HAProxy's agent-check asks.
#include "agent/build/traffic/agent_check_listener.h"

#include <Poco/Net/NetException.h>
#include <Poco/Net/SocketAddress.h>
#include <Poco/Net/StreamSocket.h>
#include <fmt/format.h>

#include "common/error.h"
#include "common/log.h"

namespace baton::build {

namespace {

/// How soon a stop is noticed.
const Poco::Timespan poll_time(0, 100'000);
constexpr int backlog = 64;

/// The gravest of several: a drain of one app holds for the node.
unsigned gravity(std::string_view answer) { return answer == "drain\n" ? 2 : answer == "up ready\n" ? 1 : 0; }

}  // namespace

AgentCheckListener::AgentCheckListener(const config::Address& address, std::vector<ServiceState*> states)
    : states_(std::move(states)) {
    try {
        // No port sharing: a second agent on this address must fail, not answer every other poll.
        socket_.bind(Poco::Net::SocketAddress(address.host, address.port), true, false);
        socket_.listen(backlog);
    } catch (const Poco::Exception& error) {
        throw Error(ErrorKind::conflict,
                    fmt::format("listen for agent-check on {}: {}", address.text(), error.displayText()));
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
}

std::uint16_t AgentCheckListener::port() const { return socket_.address().port(); }

void AgentCheckListener::serve(const std::stop_token& stop) {
    bool complained = false;
    while (!stop.stop_requested()) {
        try {
            if (socket_.poll(poll_time, Poco::Net::Socket::SELECT_READ)) answer_one();
        } catch (const Poco::Exception& error) {
            // A client that hangs up early is nobody's concern; a lack of descriptors must not become a busy loop.
            if (!complained)
                log::warning("traffic", "an agent-check was not answered", {{"error", error.displayText()}});
            complained = true;
            std::this_thread::yield();
        }
    }
}

void AgentCheckListener::answer_one() {
    Poco::Net::SocketAddress peer;
    auto connection = socket_.acceptConnection(peer);
    connection.setBlocking(false);
    std::vector<ServiceState::Answer> answers;
    std::string text = "up\n";
    for (const auto* state : states_) {
        answers.push_back(state->answer());
        if (gravity(answers.back().agent_check) > gravity(text)) text = answers.back().agent_check;
    }
    // A few bytes always fit into a fresh socket's buffer: no client can hold this thread up.
    const auto sent = connection.sendBytes(text.data(), static_cast<int>(text.size()));
    connection.shutdownSend();
    if (sent != static_cast<int>(text.size())) return;
    for (std::size_t i = 0; i < states_.size(); ++i) {
        // What was said must be what this app has to say; else its load balancer has not heard it.
        if (answers[i].agent_check == text)
            states_[i]->count_poll(PollSource::agent_check, peer.host().toString(), answers[i]);
    }
}

}  // namespace baton::build
