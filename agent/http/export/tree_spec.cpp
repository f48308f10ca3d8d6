// SPDX-License-Identifier: MIT
// Reading the `tree` argument.
#include "agent/http/export/tree_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/error.h"
#include "common/text.h"

namespace baton::http {

namespace {

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Tree whole() {
        Tree tree = list(0);
        if (at_ != text_.size()) fail("a comma");
        return tree;
    }

  private:
    Tree list(std::size_t depth) {
        if (depth > most_tree_depth) {
            throw Error(ErrorKind::invalid, fmt::format("'tree' nests deeper than {}", most_tree_depth));
        }
        Tree tree;
        do {
            std::string found = name();
            // A name that comes twice: the last one counts.
            tree.nodes.insert_or_assign(std::move(found), node(depth));
        } while (take(','));
        return tree;
    }

    std::string name() {
        const std::size_t end = std::min(text_.find_first_of(",[]{}", at_), text_.size());
        if (end == at_) fail("a name");
        std::string found(text_.substr(at_, end - at_));
        at_ = end;
        return found;
    }

    TreeNode node(std::size_t depth) {
        TreeNode node;
        if (take('[')) {
            node.inside = list(depth + 1);
            if (!take(']')) fail("']'");
        }
        if (take('{')) {
            const std::optional<std::size_t> first = number();
            const bool comma = take(',');
            const std::optional<std::size_t> second = comma ? number() : std::nullopt;
            if (!take('}')) fail("'}'");
            if (!first && !second) fail("a range such as {0,5}");
            node.from = first.value_or(0);
            if (!comma) {
                node.to = node.from + 1;
            } else if (second) {
                node.to = *second;
            }
        }
        return node;
    }

    std::optional<std::size_t> number() {
        const std::size_t end = std::min(text_.find_first_not_of("0123456789", at_), text_.size());
        if (end == at_) return std::nullopt;
        const auto value = parse_whole(text_.substr(at_, end - at_));
        constexpr std::uint64_t most = 1'000'000'000;
        if (!value || *value > most) fail("a smaller number");
        at_ = end;
        return static_cast<std::size_t>(*value);
    }

    bool take(char wanted) {
        if (at_ == text_.size() || text_[at_] != wanted) return false;
        ++at_;
        return true;
    }

    [[noreturn]] void fail(std::string_view expected) const {
        throw Error(ErrorKind::invalid,
                    fmt::format("'tree' is wrong at character {}: {} is expected", at_ + 1, expected));
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

const TreeNode* Tree::find(std::string_view name) const {
    if (const auto it = nodes.find(name); it != nodes.end()) return &it->second;
    if (const auto it = nodes.find(std::string_view("*")); it != nodes.end()) return &it->second;
    return nullptr;
}

bool Tree::has_star() const { return nodes.contains(std::string_view("*")); }

std::pair<std::size_t, std::size_t> TreeNode::window(std::size_t size) const {
    const std::size_t end = std::min(to, size);
    return {std::min(from, end), end};
}

Tree parse_tree(std::string_view text) {
    if (text.size() > most_tree_bytes) {
        throw Error(ErrorKind::invalid, fmt::format("'tree' is longer than {} bytes", most_tree_bytes));
    }
    return Parser(text).whole();
}

}  // namespace baton::http
