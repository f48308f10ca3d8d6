// SPDX-License-Identifier: MIT
// Look-up in header fields without regard to letter case.
#include "common/net/header_list.h"

#include <algorithm>

namespace baton::net {

namespace {

char lower_ascii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool same_token(std::string_view left, std::string_view right) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](char a, char b) { return lower_ascii(a) == lower_ascii(b); });
}

void HeaderList::set(std::string name, std::string value) {
    remove(name);
    add(std::move(name), std::move(value));
}

void HeaderList::remove(std::string_view name) {
    std::erase_if(fields_, [&](const Field& field) { return same_token(field.first, name); });
}

std::optional<std::string_view> HeaderList::find(std::string_view name) const {
    for (const auto& [field, value] : fields_) {
        if (same_token(field, name)) return value;
    }
    return std::nullopt;
}

std::size_t HeaderList::count(std::string_view name) const {
    return static_cast<std::size_t>(std::count_if(fields_.begin(), fields_.end(),
                                                  [&](const Field& field) { return same_token(field.first, name); }));
}

}  // namespace baton::net
