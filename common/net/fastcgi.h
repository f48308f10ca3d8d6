// SPDX-License-Identifier: MIT
// One GET of a FastCGI application without a web server in between: for health checks of the very process.
#pragma once

#include <cstdint>
#include <string>

#include "common/net/http_client.h"
#include "common/types.h"

namespace baton::net {

/// Asks `fastcgi://host:port/path?query` as a web server on this machine would, with the path in PATH_INFO and the
/// URL's host as Host. Status 200 where the application names none. Errors as HttpClient::call.
[[nodiscard]] HttpResponse call_fastcgi(const std::string& url, Milliseconds deadline, std::uint64_t most_bytes);

}  // namespace baton::net
