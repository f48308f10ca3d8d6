// SPDX-License-Identifier: MIT
// The `tree` argument of Jenkins' remote access API.
#include "agent/http/export/tree_spec.h"
#include "tests/fuzz/fuzz.h"

namespace {

std::size_t depth_of(const baton::http::Tree& tree) {
    std::size_t deepest = 0;
    for (const auto& [name, node] : tree.nodes) {
        const auto [from, to] = node.window(10);
        baton::fuzz::expect(from <= to && to <= 10, "a window lies in its list");
        deepest = std::max(deepest, depth_of(node.inside));
    }
    return deepest + 1;
}

}  // namespace

void baton::fuzz::run(std::string_view input) {
    refused_or([&] {
        const http::Tree tree = http::parse_tree(input);
        expect(depth_of(tree) <= http::most_tree_depth + 1, "the depth is bounded");
        (void)tree.find("builds");
        (void)tree.has_star();
    });
}
