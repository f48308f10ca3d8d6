// SPDX-License-Identifier: MIT
// Urls of repositories: taken apart once, so that no password gets near an argument list or a message.
#include "common/git/remote_url.h"

#include <Poco/Exception.h>
#include <Poco/URI.h>
#include <algorithm>
#include <fmt/format.h>

#include "common/error.h"
#include "common/git/mirror.h"
#include "common/text.h"

namespace baton::git {
namespace {

constexpr std::size_t longest_url = 4096;
constexpr std::string_view separator = "://";

std::string decode(const std::string& text) {
    std::string decoded;
    try {
        Poco::URI::decode(text, decoded);
    } catch (const Poco::Exception&) {
        throw Error(ErrorKind::invalid, "a repository's url holds a % that is no escape");
    }
    return decoded;
}

RemoteUrl parse_http(const std::string& url, std::size_t authority) {
    const std::size_t end = std::min(url.find_first_of("/?#", authority), url.size());
    // Everything behind it would be taken for a query, and the rest of a password for what may be shown.
    if (end < url.size() && url[end] != '/') {
        throw Error(ErrorKind::invalid,
                    "a repository's url has a '?' or '#' before its path; in a user or password write %3F or %23");
    }
    const std::string whole = url.substr(authority, end - authority);
    const std::size_t at = whole.rfind('@');
    const std::string host = at == std::string::npos ? whole : whole.substr(at + 1);
    if (host.empty()) throw Error(ErrorKind::invalid, fmt::format("'{}' names no host", mask_urls_in(url)));
    RemoteUrl parsed;
    if (at != std::string::npos) {
        const std::string user = whole.substr(0, at);
        const std::size_t colon = user.find(':');
        parsed.username = decode(user.substr(0, colon));
        if (colon != std::string::npos) parsed.password = decode(user.substr(colon + 1));
    }
    parsed.scope = url.substr(0, authority) + host;
    parsed.plain = parsed.scope + url.substr(end);
    return parsed;
}

RemoteUrl parse_with_scheme(const std::string& url, std::size_t separated) {
    const std::string scheme = lower(url.substr(0, separated));
    const std::size_t rest = separated + separator.size();
    if (scheme == "http" || scheme == "https") return parse_http(scheme + url.substr(separated), rest);
    RemoteUrl parsed;
    parsed.plain = scheme + url.substr(separated);
    if (scheme == "ssh" || scheme == "git") return parsed;
    if (scheme == "file") {
        parsed.local = decode(url.substr(rest));
        if (parsed.local->is_absolute()) return parsed;
    }
    throw Error(
        ErrorKind::invalid,
        fmt::format("'{}' is no url of a repository: https, http, ssh, git, file and absolute paths are allowed",
                    mask_urls_in(url)));
}

}  // namespace

RemoteUrl parse_remote_url(const std::string& url) {
    if (url.empty() || url.size() > longest_url)
        throw Error(ErrorKind::invalid, "a repository's url is empty or too long");
    if (std::ranges::any_of(url, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; })) {
        throw Error(ErrorKind::invalid, "a repository's url holds control characters");
    }
    if (url.front() == '-') {
        throw Error(ErrorKind::invalid,
                    fmt::format("'{}' begins with '-' and would be an option of git", mask_urls_in(url)));
    }
    if (url.front() == '/') {
        RemoteUrl parsed;
        parsed.plain = url;
        parsed.local = url;
        return parsed;
    }
    if (const std::size_t separated = url.find(separator);
        separated != std::string::npos && separated > 0 && url.find(':') == separated) {
        return parse_with_scheme(url, separated);
    }
    // `user@host:path`, as scp has it; `x::y` would be a remote helper, which can run any program.
    const std::size_t colon = url.find(':');
    if (colon != std::string::npos && colon > 0 && colon < url.find('/') && url.find("::") == std::string::npos) {
        RemoteUrl parsed;
        parsed.plain = url;
        return parsed;
    }
    throw Error(ErrorKind::invalid,
                fmt::format("'{}' is no url of a repository: give https://…, ssh://…, host:path or an absolute path",
                            mask_urls_in(url)));
}

std::string mask_urls_in(std::string_view text) {
    std::string masked;
    while (true) {
        const std::size_t found = text.find(separator);
        if (found == std::string_view::npos) return masked.append(text);
        const std::size_t start = found + separator.size();
        masked.append(text.substr(0, start));
        text.remove_prefix(start);
        const std::size_t end = std::min(text.find_first_of("/ \t\r\n'\""), text.size());
        const std::size_t at = text.substr(0, end).rfind('@');
        if (at == std::string_view::npos) continue;
        masked.append("***");
        text.remove_prefix(at);
    }
}

std::string display_url(const std::string& url) { return mask_urls_in(url); }

}  // namespace baton::git
