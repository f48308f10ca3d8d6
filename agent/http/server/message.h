// SPDX-License-Identifier: MIT
// What a handler gets and gives: requests and responses without any library's type.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/json.h"
#include "common/net/form.h"
#include "common/net/header_list.h"

namespace baton::http {

/// One request, complete and within the server's limits. Belongs to one thread.
struct Request {
    std::string method;             ///< upper case; one of GET HEAD POST PUT PATCH DELETE OPTIONS
    std::string target;             ///< raw, as it was sent: path and query, what signatures are made over
    std::vector<std::string> path;  ///< decoded segments; empty for `/`
    net::Arguments query;           ///< decoded
    net::HeaderList headers;
    std::string body;
    std::string remote_address;       ///< numeric, without port; an IPv4 peer of an IPv6 socket as IPv4
    std::string certificate_subject;  ///< of a client that showed a certificate of the client CA; else empty
    bool secure = false;              ///< came over TLS

    /// Query and, for other methods than GET and HEAD, form (urlencoded or multipart), query first. The first
    /// value of that name. The form is parsed at the first call: Error(invalid) when it is malformed.
    [[nodiscard]] std::optional<std::string> arg(std::string_view name) const;
    /// All values of that name, query first.
    [[nodiscard]] std::vector<std::string> args(std::string_view name) const;
    /// Query, then form.
    [[nodiscard]] net::Arguments all_arguments() const;
    [[nodiscard]] std::string header(std::string_view name) const { return headers.get(name); }
    /// `http://host:port` as the client addressed us (Host header), without a slash at the end.
    [[nodiscard]] std::string base_url() const;

  private:
    [[nodiscard]] const net::Arguments& form() const;
    mutable std::optional<net::Arguments> form_;
};

/// Where a streaming response goes. Used by the thread that runs the stream function only.
class Writer {
  public:
    virtual ~Writer() = default;
    /// Sends `bytes` now. False when the client is gone, does not read, or the server stops: then return.
    [[nodiscard]] virtual bool write(std::string_view bytes) = 0;
    /// False once the client has hung up or the server stops. Ask after each wait.
    [[nodiscard]] virtual bool open() const = 0;
    /// Requested when the server stops, for waits that should end with it.
    [[nodiscard]] virtual std::stop_token stopping() const = 0;
};

/// True: the response is complete. False: it is broken off, and the client can tell.
using StreamFunction = std::function<bool(Writer&)>;

struct Response {
    int status = 200;
    net::HeaderList headers;  ///< written with this letter case; Content-Length and framing are the server's
    std::string body;
    StreamFunction stream;  ///< instead of a body; runs on the connection's thread until it returns

    /// `type` without a charset gets none added.
    [[nodiscard]] static Response content(std::string type, std::string body, int status = 200);
    [[nodiscard]] static Response text(std::string body, int status = 200);
    [[nodiscard]] static Response html(std::string body, int status = 200);
    /// Compact JSON; from a value, or from text that is JSON already.
    [[nodiscard]] static Response json(const json::Value& value, int status = 200);
    [[nodiscard]] static Response json_text(std::string body, int status = 200);
    /// 302 with a short body; `location` goes out as it is.
    [[nodiscard]] static Response redirect(std::string location, int status = 302);
    /// Plain text `message`, for paths without a format of their own.
    [[nodiscard]] static Response error(int status, std::string_view message);
    /// `{"error":{"kind":…,"message":…}}` with status_of(kind).
    [[nodiscard]] static Response json_error(ErrorKind kind, std::string_view message);
    /// `text/event-stream`, not to be cached or buffered on the way.
    [[nodiscard]] static Response events(StreamFunction stream);
    /// A stream of any type.
    [[nodiscard]] static Response streamed(std::string type, StreamFunction stream);
};

/// The HTTP status that stands for a kind of failure.
[[nodiscard]] int status_of(ErrorKind kind);

}  // namespace baton::http
