// SPDX-License-Identifier: MIT
// HTTP calls that always end: connect time-out, overall deadline, a cap on what comes back. On cpp-httplib.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/net/header_list.h"
#include "common/types.h"

namespace baton::net {

struct ClientTls {
    std::optional<std::filesystem::path> ca_file;           ///< none: the system's authorities
    std::optional<std::filesystem::path> certificate_file;  ///< shown to a server that asks
    std::optional<std::filesystem::path> private_key_file;
};

struct HttpClientOptions {
    Milliseconds connect_timeout{2'000};  ///< TCP and TLS handshake; each address of a name gets its share
    Milliseconds deadline{10'000};        ///< the whole call, connect included
    std::uint64_t max_response_bytes = 16 * 1024 * 1024;
    ClientTls tls;
};

struct HttpRequest {
    std::string method = "GET";
    std::string url;     ///< `http[s]://host[:port]/path?query`, already encoded
    HeaderList headers;  ///< Host, Content-Length and Connection are the client's
    std::string body;
    std::optional<Milliseconds> deadline;  ///< instead of the option's
};

struct HttpResponse {
    int status = 0;
    HeaderList headers;
    std::string body;
    [[nodiscard]] bool ok() const { return status >= 200 && status < 300; }
};

/// A piece of a streamed body. False ends the call.
using OnData = std::function<bool(std::string_view)>;

/// Calls, each over a connection of its own. Any thread.
///
/// Every status is an answer, redirects too (they are not followed). Errors: invalid (the URL, a TLS file),
/// unreachable (no connection, TLS refused, broken off), timeout, too_large, cancelled. The text names the URL
/// without credentials. Host names are looked up by the system, whose own time-outs apply before the deadline.
class HttpClient {
  public:
    explicit HttpClient(HttpClientOptions options = {});
    [[nodiscard]] HttpResponse call(const HttpRequest& request) const;
    /// A 2xx body goes to `on_data` as it comes and the response's body stays empty; any other body is collected.
    /// There is no overall deadline: `idle` is the longest silence. `stop` ends it with Error(cancelled) within
    /// 100 ms; `on_data` returning false ends it as a success.
    [[nodiscard]] HttpResponse stream(const HttpRequest& request, const OnData& on_data, Milliseconds idle,
                                      std::stop_token stop = {}) const;

  private:
    HttpClientOptions options_;
};

/// A connection to one server that is kept between calls. One thread at a time.
class HttpConnection {
  public:
    /// `base_url` is `http[s]://host[:port]`.
    HttpConnection(std::string base_url, HttpClientOptions options = {});
    HttpConnection(HttpConnection&&) noexcept;
    HttpConnection& operator=(HttpConnection&&) noexcept;
    ~HttpConnection();
    /// As HttpClient::call; `request.url` is the target only, beginning with `/`. A kept connection that the
    /// server had closed is opened anew for GET and HEAD; other methods report unreachable, since the server may have
    /// acted.
    [[nodiscard]] HttpResponse call(const HttpRequest& request);

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace baton::net
