// SPDX-License-Identifier: MIT
// The head of a request: strict where a proxy in front could read it otherwise than we do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/http/server/message.h"
#include "agent/http/server/server.h"

namespace baton::http {

/// A request that is not served: thrown while it is read, answered with `status`, and the connection closes.
struct Refused {
    int status;
    std::string why;
};

struct RequestHead {
    Request request;  ///< without a body yet
    std::optional<std::uint64_t> content_length;
    bool chunked = false;
    bool keep_alive = false;
    bool expects_continue = false;
    bool chunks_understood = false;  ///< the client speaks HTTP/1.1
};

/// Parses request line and fields, up to and without the empty line, and throws Refused.
[[nodiscard]] RequestHead parse_head(std::string_view head, const ServerLimits& limits);

/// The size in a chunk's first line, extensions dropped. Throws Refused.
[[nodiscard]] std::uint64_t parse_chunk_size(std::string_view line);

}  // namespace baton::http
