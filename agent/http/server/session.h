// SPDX-License-Identifier: MIT
// One connection, from the first byte to the last. What it shares with the server is handed in.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>

#include "agent/http/server/server.h"
#include "common/net/tls.h"

namespace baton::http {

/// Where a connection stands, for the choice of the one that makes room for another.
enum class SessionState { reading_head, reading_body, idle, busy };

/// Metrics and shared budgets; lives longer than every session.
struct ServerShared {
    ServerOptions options;
    Handler handler;
    std::stop_source stop;
    std::atomic<std::uint64_t> connections{0};
    std::atomic<std::uint64_t> requests{0};
    std::atomic<std::uint64_t> refused_connections{0};
    std::atomic<std::uint64_t> refused_requests{0};
    std::atomic<std::uint64_t> handler_failures{0};
    std::atomic<std::uint64_t> streams{0};
    std::mutex followers_mutex;
    std::map<std::string, std::size_t> followers;  ///< under followers_mutex: streams by address
    std::atomic<std::uint64_t> body_bytes{0};      ///< held now by all sessions, beyond what each may hold anyway

    [[nodiscard]] Response refusal(int status, std::string_view why, std::string_view target) const {
        return options.refusal ? options.refusal(status, why, target) : Response::error(status, why);
    }
};

/// Serves `fd` (non-blocking, stays the caller's) until the client leaves, misbehaves or the server stops.
/// `enter` is told of each change of state. Never throws.
void serve_connection(ServerShared& shared, int fd, const std::string& remote_address, const net::TlsContext& tls,
                      const std::function<void(SessionState)>& enter) noexcept;

}  // namespace baton::http
