// SPDX-License-Identifier: MIT
// Hears what peers say, and tells the log, once each, what of it this agent does not understand.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "agent/engine/peer_wire.h"
#include "common/types.h"

namespace baton::engine {

/// Any thread.
class PeerReader {
  public:
    /// parse_exchange(). Of a version that cannot be understood the log says so before the Error(conflict) leaves.
    [[nodiscard]] PeerExchange read(const NodeName& from, std::string_view body);

  private:
    /// True the first time that this is to be said about this version of this peer.
    bool is_news(const NodeName& peer, const std::string& what, unsigned version);

    std::mutex mutex_;
    std::map<std::pair<NodeName, std::string>, unsigned> said_;  ///< under mutex_: at most a few a peer
};

}  // namespace baton::engine
