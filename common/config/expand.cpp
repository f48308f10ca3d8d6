// SPDX-License-Identifier: MIT
// `${NAME}` in the few values that have variables.
#include "common/config/expand.h"

namespace baton::config {
namespace {

/// Calls `plain` and `name` for the parts of `text` in turn; `name` also gets the part as written.
template <class Plain, class OnName>
void scan(std::string_view text, Plain plain, OnName name) {
    while (true) {
        const auto begin = text.find("${");
        plain(text.substr(0, begin));
        if (begin == std::string_view::npos) return;
        text.remove_prefix(begin);
        const auto end = text.find('}');
        if (end == std::string_view::npos) {
            name(std::string_view{}, text);
            return;
        }
        name(text.substr(2, end - 2), text.substr(0, end + 1));
        text.remove_prefix(end + 1);
    }
}

}  // namespace

std::string expand(std::string_view text, const Variables& variables) {
    std::string result;
    scan(
        text, [&](std::string_view plain) { result += plain; },
        [&](std::string_view name, std::string_view written) {
            const auto found = variables.find(name);
            result += found == variables.end() ? written : std::string_view(found->second);
        });
    return result;
}

std::vector<std::string> variables_in(std::string_view text) {
    std::vector<std::string> names;
    scan(
        text, [](std::string_view) {}, [&](std::string_view name, std::string_view) { names.emplace_back(name); });
    return names;
}

}  // namespace baton::config
