// SPDX-License-Identifier: MIT
// An XPath expression as a tree.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace baton::http {

struct XPathExpression;

struct XPathStep {
    enum class Axis { self, child, attribute, text };
    bool descend = false;  ///< came after `//`: from the node and everything below it
    Axis axis = Axis::child;
    std::string name;  ///< `*`: any
    std::vector<XPathExpression> predicates;
};

struct XPathExpression {
    enum class Kind { path, literal, number, unite, equal, differ, both, either, call };
    Kind kind = Kind::path;
    bool absolute = false;         ///< path
    std::vector<XPathStep> steps;  ///< path
    std::string text;              ///< literal, or a function's name
    double number = 0;
    std::vector<XPathExpression> parts;  ///< operands and arguments
};

/// Error(invalid) that says at which character it is not understood.
[[nodiscard]] XPathExpression parse_xpath(std::string_view text);

}  // namespace baton::http
