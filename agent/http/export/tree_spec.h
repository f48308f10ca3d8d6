// SPDX-License-Identifier: MIT
// The `tree` argument of Jenkins' remote access API: which properties are wanted, and which window of a list.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace baton::http {

struct TreeNode;

/// `name[inside]{range},…`. `*` stands for every property.
struct Tree {
    std::map<std::string, TreeNode, std::less<>> nodes;

    /// The node of that name, or of `*`; null when it is not wanted.
    [[nodiscard]] const TreeNode* find(std::string_view name) const;
    [[nodiscard]] bool has_star() const;
};

struct TreeNode {
    Tree inside;
    std::size_t from = 0;
    std::size_t to = static_cast<std::size_t>(-1);

    /// The part of a list of `size` elements that is wanted: first index, and the one after the last.
    [[nodiscard]] std::pair<std::size_t, std::size_t> window(std::size_t size) const;
};

/// Bounds of what is parsed: a tree nests deeper than this only to hurt.
inline constexpr std::size_t most_tree_depth = 32;
inline constexpr std::size_t most_tree_bytes = 16 * 1024;

/// Error(invalid) that says at which character it is wrong.
[[nodiscard]] Tree parse_tree(std::string_view text);

}  // namespace baton::http
