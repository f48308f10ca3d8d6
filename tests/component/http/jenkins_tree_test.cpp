// SPDX-License-Identifier: MIT
// The `tree` argument: what is read, what is refused.
#include <catch2/catch.hpp>
#include <string>

#include "agent/http/export/tree_spec.h"
#include "common/error.h"

using namespace baton;
using namespace baton::http;

namespace {

std::string refusal(const std::string& text) {
    try {
        (void)parse_tree(text);
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::invalid);
        return error.text();
    }
    return "accepted";
}

}  // namespace

TEST_CASE("jenkins tree: names, nesting and ranges") {
    const Tree tree = parse_tree("jobs[name,builds[number,url]{0,5}],mode");
    REQUIRE(tree.find("mode") != nullptr);
    CHECK(tree.find("other") == nullptr);
    const TreeNode* jobs = tree.find("jobs");
    REQUIRE(jobs != nullptr);
    CHECK(jobs->inside.find("name") != nullptr);
    const TreeNode* builds = jobs->inside.find("builds");
    REQUIRE(builds != nullptr);
    CHECK(builds->inside.find("url") != nullptr);
    CHECK(builds->window(20) == std::pair<std::size_t, std::size_t>(0, 5));
    CHECK(builds->window(3) == std::pair<std::size_t, std::size_t>(0, 3));
}

TEST_CASE("jenkins tree: each form of a range") {
    const auto window = [](const std::string& range, std::size_t size) {
        return parse_tree("a" + range).find("a")->window(size);
    };
    using Window = std::pair<std::size_t, std::size_t>;
    CHECK(window("{2}", 10) == Window(2, 3));
    CHECK(window("{2,}", 10) == Window(2, 10));
    CHECK(window("{,2}", 10) == Window(0, 2));
    CHECK(window("{2,4}", 10) == Window(2, 4));
    for (const char* empty : {"{7}", "{7,}", "{9,4}"}) {
        const Window cut = window(empty, 5);
        CHECK(cut.first == cut.second);
    }
}

TEST_CASE("jenkins tree: a star stands for every name, the last of two wins, blanks belong to a name") {
    const Tree tree = parse_tree("*,a[x],a[y]");
    CHECK(tree.has_star());
    CHECK(tree.find("anything") != nullptr);
    CHECK(tree.find("a")->inside.find("y") != nullptr);
    CHECK(tree.find("a")->inside.find("x") == nullptr);
    CHECK(parse_tree("a, b").find(" b") != nullptr);
}

TEST_CASE("jenkins tree: ten levels, as python-jenkins asks for jobs, are fine") {
    std::string text = "jobs[url,color,name]";
    for (int level = 0; level < 9; ++level) text = "jobs[url,color,name," + text + "]";
    CHECK(parse_tree(text).find("jobs") != nullptr);
}

TEST_CASE("jenkins tree: what is malformed is refused with the place, and nothing nests for ever") {
    for (const char* wrong : {"", ",", "a,", "a[", "a[]", "a[b", "a]", "a{", "a{}", "a{,}", "a{1", "a{x}", "a{1;2}",
                              "a{-1,2}", "a}", "[a]", "a[b]]", "a{1,2}[b]", "a{99999999999999999999}"}) {
        INFO(wrong);
        CHECK_THAT(refusal(wrong), Catch::Contains("'tree' is wrong at character"));
    }
    const auto nested = [](std::size_t levels) {
        std::string text;
        for (std::size_t n = 0; n < levels; ++n) text += "a[";
        return text + "a" + std::string(levels, ']');
    };
    CHECK_NOTHROW(parse_tree(nested(most_tree_depth)));
    CHECK_THAT(refusal(nested(most_tree_depth + 1)), Catch::Contains("deeper than 32"));
    CHECK_THAT(refusal(nested(5000)), Catch::Contains("deeper than 32"));
    CHECK_THAT(refusal(std::string(most_tree_bytes + 1, 'a')), Catch::Contains("longer than"));
}
