// SPDX-License-Identifier: MIT
// Bytes over a connected socket, plain or TLS, each wait with a deadline. What client and server stand on.
#pragma once

#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/net/tls.h"
#include "common/types.h"

struct ssl_st;

namespace baton::net {

/// This moment on the monotonic clock, and a deadline from it.
[[nodiscard]] Instant steady_now();
[[nodiscard]] inline Instant deadline_in(Milliseconds duration) { return steady_now() + duration; }

/// Errors: timeout when the deadline passes, unreachable when the connection breaks, cancelled by the stop token.
/// One thread at a time; another thread may shutdown(2) the socket to end its waits.
class Transport {
  public:
    /// `fd` is non-blocking and stays the caller's, who closes it after this object is gone.
    explicit Transport(int fd) : fd_(fd) {}
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;
    ~Transport();

    /// From now on waits end within 100 ms of a request to stop.
    void stop_with(std::stop_token stop) { stop_ = std::move(stop); }
    /// The handshake of a server.
    void accept_tls(const TlsContext& context, Instant deadline);
    /// The handshake of a client, which also checks that the certificate is `host`'s (a name or an address).
    void connect_tls(const TlsContext& context, const std::string& host, Instant deadline);
    [[nodiscard]] bool secure() const { return tls_ != nullptr; }
    /// Of the certificate that the other side has shown and that was verified; empty without one.
    [[nodiscard]] std::string peer_subject() const;

    /// At least one byte; 0 at the end of the stream.
    [[nodiscard]] std::size_t read_some(char* buffer, std::size_t size, Instant deadline);
    /// All of it.
    void write_all(std::string_view bytes, Instant deadline);
    /// Waits until there is something to read. False when the deadline passes first.
    [[nodiscard]] bool wait_readable(Instant deadline);
    /// True once the other side has closed its sending direction or the connection is broken.
    [[nodiscard]] bool peer_gone() const;
    /// Says goodbye in TLS, if that is possible without waiting.
    void close_tls() noexcept;

  private:
    enum class Want { read, write };
    void wait(Want want, Instant deadline);
    void handshake(int (*step)(ssl_st*), Instant deadline);
    /// What an SSL call that returned `result` needs next: waits for it, or throws. False at a clean end.
    [[nodiscard]] bool after_tls_call(int result, int errno_value, Instant deadline);

    int fd_;
    std::shared_ptr<ssl_st> tls_;
    TlsContext context_;
    std::stop_token stop_;
};

}  // namespace baton::net
