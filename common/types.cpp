// SPDX-License-Identifier: MIT
// What a name may be made of.
#include "common/types.h"

#include <algorithm>

namespace baton {

bool is_valid_name(std::string_view text) {
    constexpr std::size_t longest = 63;  // a DNS label, so that a node's name can be its host name
    const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    if (text.empty() || text.size() > longest || !plain(text.front())) return false;
    return std::ranges::all_of(text, [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_commit_id(std::string_view text) {
    constexpr std::size_t sha1_digits = 40;
    return text.size() == sha1_digits &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace baton
