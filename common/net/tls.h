// SPDX-License-Identifier: MIT
// OpenSSL contexts with our choices: TLS 1.2 or newer, peers verified, nothing negotiated down.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

struct ssl_ctx_st;

namespace baton::net {

/// Shared by the connections that were made with it; safe to use from any thread.
using TlsContext = std::shared_ptr<ssl_ctx_st>;

/// For a server. With `client_ca_file` a client without a certificate of that CA is refused.
/// Error(invalid, forbidden, not_found) names the file at fault; a key that others may read is refused.
[[nodiscard]] TlsContext server_tls_context(const std::filesystem::path& certificate_file,
                                            const std::filesystem::path& private_key_file,
                                            const std::optional<std::filesystem::path>& client_ca_file);

/// For a client: the server is verified against `ca_file` (or the system's authorities).
[[nodiscard]] TlsContext client_tls_context(const std::optional<std::filesystem::path>& ca_file,
                                            const std::optional<std::filesystem::path>& certificate_file,
                                            const std::optional<std::filesystem::path>& private_key_file);

/// The text of this thread's oldest OpenSSL error, and forgets the rest.
[[nodiscard]] std::string take_tls_error();

}  // namespace baton::net
