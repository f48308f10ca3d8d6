// SPDX-License-Identifier: MIT
// What agents ask each other: protocol messages, handoffs, packs. Only for requests that a peer signed.
#pragma once

#include "agent/http/server/message.h"
#include "agent/operations/peers.h"

namespace baton::http {

/// `/peer/v1/chain/APP` and `/peer/v1/pack/APP`. Any thread.
[[nodiscard]] Response handle_peer(operations::Peers& peers, const NodeName& from, const Request& request);
/// `POST /job/APP/build` with a signed rollout as its body: the handoff. 202 once it is stored.
[[nodiscard]] Response handle_handoff(operations::Peers& peers, const NodeName& from, const AppName& app,
                                      const Request& request);

}  // namespace baton::http
