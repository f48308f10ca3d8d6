// SPDX-License-Identifier: MIT
// Short secrets at rest: readable only with a key, and the same text gives the same bytes, so that two can be compared.
#pragma once

#include <string>
#include <string_view>

namespace baton {

/// AES-256-SIV (RFC 5297): encrypted, and changed by nobody without being found out. `context` is not part of the
/// result; who opens it must name the same, so that a value cannot be put in another's place. Raw bytes, 16 more than
/// `plain` has. `key` of any length is stretched, and serves for nothing else by that.
[[nodiscard]] std::string seal(std::string_view key, std::string_view plain, std::string_view context);
/// What was sealed. Error(corrupt) for another key, another context or changed bytes.
[[nodiscard]] std::string unseal(std::string_view key, std::string_view sealed, std::string_view context);

}  // namespace baton
