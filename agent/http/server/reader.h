// SPDX-License-Identifier: MIT
// Reads requests off a connection within the limits: head, then body, plain or chunked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/http/server/head.h"
#include "agent/http/server/session.h"
#include "common/net/transport.h"

namespace baton::http {

/// A part of the memory that all bodies share; given back by the destructor.
class BodyShare {
  public:
    explicit BodyShare(ServerShared& shared) : shared_(shared), spare_(shared.options.limits.small_body_bytes) {}
    BodyShare(const BodyShare&) = delete;
    BodyShare& operator=(const BodyShare&) = delete;
    ~BodyShare() { release(); }
    /// Throws Refused(503) when nothing is left.
    void take(std::uint64_t bytes);
    void release() noexcept;

  private:
    ServerShared& shared_;
    std::uint64_t spare_;      // not yet used of what each may hold, so that a crowd's large bodies stop no small one
    std::uint64_t taken_ = 0;  // of what all share
};

/// One thread. Throws Refused for what is the client's fault, and Error when the connection breaks.
class RequestReader {
  public:
    RequestReader(ServerShared& shared, net::Transport& transport)
        : limits_(shared.options.limits), body_limit_(shared.options.body_limit), transport_(transport) {}

    /// Whether bytes of a next request are here already.
    [[nodiscard]] bool has_bytes() const { return !buffer_.empty(); }
    /// The next head. None when the client leaves, or stays silent until `deadline`, before its first byte.
    [[nodiscard]] std::optional<RequestHead> read_head(Instant deadline);
    /// The body that `head` announces, into head.request.body; memory is taken from `share` as it comes.
    void read_body(RequestHead& head, BodyShare& share);
    /// The target of the request that is being read, as far as it can be made out; for the answer to a refused one.
    [[nodiscard]] const std::string& target() const { return target_; }
    /// After a refusal: lets the client read the answer before the reset that closing with unread bytes causes.
    void drain_briefly();

  private:
    [[nodiscard]] std::optional<RequestHead> read_whole_head(Instant deadline);
    [[nodiscard]] bool fill(Instant deadline);
    [[nodiscard]] std::string read_line(std::size_t most_bytes, Instant deadline);
    void read_exactly(std::uint64_t count, std::string& body, BodyShare& share, Instant deadline);
    void read_chunked(std::string& body, std::uint64_t limit, BodyShare& share, Instant deadline);

    const ServerLimits& limits_;
    const std::function<std::uint64_t(const Request&)>& body_limit_;
    net::Transport& transport_;
    std::string buffer_;  // received and not yet used
    std::string target_;
};

}  // namespace baton::http
