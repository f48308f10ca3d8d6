// SPDX-License-Identifier: MIT
// Digests and chance, from Poco and the system.
#pragma once

#include <string>
#include <string_view>

namespace baton {

/// Lower-case hexadecimal.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
/// RFC 2104 with SHA-256; raw 32 bytes.
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view bytes);
[[nodiscard]] std::string base64_encode(std::string_view bytes);
/// Empty optional is not used: Error(invalid) for anything but base 64.
[[nodiscard]] std::string base64_decode(std::string_view text);
/// `count` bytes from the kernel's random source.
[[nodiscard]] std::string random_bytes(std::size_t count);

}  // namespace baton
