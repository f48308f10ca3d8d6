// SPDX-License-Identifier: MIT
// What a repository's url may be, and its parts as git's command line and messages need them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace baton::git {

struct RemoteUrl {
    std::string plain;     ///< for git's arguments: without user and password where it is http or https
    std::string username;  ///< http and https: from the url, decoded
    std::string password;  ///< http and https: from the url, decoded
    std::string scope;     ///< http and https: `https://host:port`, what credentials are bound to; else empty
    std::optional<std::filesystem::path> local;  ///< a repository on this machine
};

/// Error(invalid) for what begins with `-`, has an unknown scheme (`ext::` and other helpers included), is a relative
/// path, or holds control characters.
[[nodiscard]] RemoteUrl parse_remote_url(const std::string& url);

/// Every `scheme://user:secret@` in a text as `scheme://***@`.
[[nodiscard]] std::string mask_urls_in(std::string_view text);

}  // namespace baton::git
