// SPDX-License-Identifier: MIT
// The HTTP server: cpp-httplib behind an accept loop, limits and deadlines of our own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/http/server/message.h"
#include "common/types.h"

namespace baton::http {

struct ServerTls {
    std::filesystem::path certificate_file;  ///< PEM, with its chain
    std::filesystem::path private_key_file;
    std::optional<std::filesystem::path> client_ca_file;  ///< then a client without a certificate of it is refused
};

/// A connection is a thread, so that a slow or streaming client delays nobody else; hence the caps.
struct ServerLimits {
    std::size_t header_bytes = 16 * 1024;       ///< request line and fields together, else 431
    std::size_t request_line_bytes = 8 * 1024;  ///< else 414
    std::size_t header_fields = 64;
    std::uint64_t body_bytes = 1024 * 1024;             ///< else 413
    std::uint64_t small_body_bytes = 64 * 1024;         ///< what each connection may hold whatever the others do
    std::uint64_t all_bodies_bytes = 64 * 1024 * 1024;  ///< held beyond that by all connections together, else 503
    Milliseconds header_deadline{5'000};                ///< whole head (and TLS handshake), else 408
    Milliseconds body_deadline{30'000};                 ///< whole body, else 408
    Milliseconds write_deadline{30'000};                ///< for each piece that the client does not take
    Milliseconds idle_timeout{5'000};                   ///< between two requests of a connection
    Milliseconds stop_grace{800};                       ///< for requests in progress at stop()
    std::size_t requests_per_connection = 10'000;
    std::size_t connections = 512;              ///< idle ones make room first, else 503
    std::size_t connections_per_address = 256;  ///< so that one client cannot take every place
    std::size_t streams = 64;                   ///< followers at once, else 503
    std::size_t streams_per_address = 48;       ///< so that one client's followers leave places for others'
};

struct ServerOptions {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;  ///< 0: any free one, see Server::port()
    ServerLimits limits;
    std::optional<ServerTls> tls;
    /// The body limit for a request of which only the head is known yet; none: limits.body_bytes. Must not throw.
    std::function<std::uint64_t(const Request&)> body_limit;
    /// Shapes what the server answers by itself (too large, too slow, malformed, too many), as the owner of the path
    /// would. `target` is empty where none was read. None: plain text. Called from many threads; must not throw.
    std::function<Response(int status, std::string_view why, std::string_view target)> refusal;
};

/// Figures since start; `now` ones are momentary.
struct ServerCounters {
    std::uint64_t connections = 0;
    std::uint64_t connections_now = 0;
    std::uint64_t streams_now = 0;
    std::uint64_t requests = 0;
    std::uint64_t refused_connections = 0;  ///< by a cap
    std::uint64_t refused_requests = 0;     ///< malformed, too large, too slow
    std::uint64_t handler_failures = 0;     ///< exceptions that left the handler
};

/// Called from many threads at once. An Error that leaves it becomes a response of its kind; any other exception
/// a 500 that tells the client nothing.
using Handler = std::function<Response(Request&&)>;

class Server {
  public:
    Server(ServerOptions options, Handler handler);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    /// Stops.
    ~Server();

    /// Binds, listens, serves. Error(conflict) when the address is taken, Error(invalid) for a bad address or TLS
    /// file, Error(io) otherwise.
    void start();
    /// The port bound, after start().
    [[nodiscard]] std::uint16_t port() const;
    /// No new connection; requests in progress get stop_grace; every thread has ended on return. Any thread.
    void stop();
    /// Reads the TLS files again; new connections use them. On an Error the old ones stay in use.
    void reload_tls();
    [[nodiscard]] ServerCounters counters() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace baton::http
