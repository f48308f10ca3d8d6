// SPDX-License-Identifier: MIT
// The TCP port that HAProxy's agent-check asks: one line of answer a connection, each one an acknowledgement.
#pragma once

#include <Poco/Net/ServerSocket.h>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "agent/build/traffic/service_state.h"
#include "common/config/agent_config.h"

namespace baton::build {

/// Answers for one node on one address: with several apps behind it the node drains while any of them drains.
/// HAProxy leaves a server as it is when nobody answers, so an agent that is gone takes no node out of service.
class AgentCheckListener {
  public:
    /// Listens from now on. The states must outlive it. Error(conflict) when the address is taken.
    AgentCheckListener(const config::Address& address, std::vector<ServiceState*> states);
    AgentCheckListener(const AgentCheckListener&) = delete;
    AgentCheckListener& operator=(const AgentCheckListener&) = delete;

    [[nodiscard]] std::uint16_t port() const;

  private:
    void serve(const std::stop_token& stop);
    void answer_one();

    std::vector<ServiceState*> states_;
    Poco::Net::ServerSocket socket_;
    std::jthread thread_;  ///< last: ends before what it uses
};

}  // namespace baton::build
