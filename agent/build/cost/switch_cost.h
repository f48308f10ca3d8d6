// SPDX-License-Identifier: MIT
// What one switch cost users, in the figures that the ledger keeps.
#pragma once

#include <cstdint>
#include <vector>

namespace baton::build {

/// What one switch cost users, as far as this node can tell. Times in milliseconds.
struct SwitchCost {
    enum class Kind {
        measured,  ///< the app was asked all along
        assumed,   ///< it has no health check: dark for as long as its stop and restart steps took
        unknown,   ///< cut off, not watched throughout, or not over: the figures are a lower bound
    };
    Kind kind = Kind::unknown;
    std::int64_t dark_ms = 0;     ///< the app did not answer
    std::int64_t exposed_ms = 0;  ///< of that, while the load balancer could send requests
    std::vector<std::int64_t> outages_ms;  ///< exposed_ms, outage by outage: a load balancer notices each anew
    std::int64_t out_ms = 0;      ///< from the load balancer's letting go until it had the node back
    std::int64_t drain_ms = 0;    ///< until it had let go and no request was in flight
    std::int64_t restart_ms = 0;  ///< from the stop until the first healthy answer of what stayed
    std::int64_t rejoin_ms = 0;   ///< from asking for requests until the load balancer had the node back
    std::uint64_t cut = 0;        ///< requests in flight at the stop
};

}  // namespace baton::build
