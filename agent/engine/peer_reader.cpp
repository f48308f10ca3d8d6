// SPDX-License-Identifier: MIT
// What peers say, and what of it is not understood.
#include "agent/engine/peer_reader.h"

#include "common/error.h"
#include "common/log.h"

namespace baton::engine {

PeerExchange PeerReader::read(const NodeName& from, std::string_view body) {
    PeerExchange exchange;
    try {
        exchange = parse_exchange(body);
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::conflict && is_news(from, "refused", 0)) {
            log::warning("peer", "cannot be understood", {{"peer", from}, {"reason", error.text()}});
        }
        throw;
    }
    {
        const std::lock_guard lock(mutex_);
        said_.erase({from, "refused"});
    }
    const bool other = exchange.protocol != chain::protocol_version;
    if (is_news(from, "version", exchange.protocol) && other) {
        log::info("peer", "speaks another version of the protocol",
                  {{"peer", from}, {"theirs", exchange.protocol}, {"ours", chain::protocol_version}});
    }
    if (!exchange.passed_over.empty() && is_news(from, "passed over", exchange.protocol)) {
        log::info("peer", "passed over what a newer agent said",
                  {{"peer", from}, {"first", exchange.passed_over.front()}});
    }
    return exchange;
}

bool PeerReader::is_news(const NodeName& peer, const std::string& what, unsigned version) {
    const std::lock_guard lock(mutex_);
    const auto [it, added] = said_.try_emplace({peer, what}, version);
    if (!added && it->second == version) return false;
    it->second = version;
    return true;
}

}  // namespace baton::engine
