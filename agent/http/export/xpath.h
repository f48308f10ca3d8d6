// SPDX-License-Identifier: MIT
// The part of XPath 1.0 that scripts use on Jenkins' `api/xml`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/http/export/xml_tree.h"

namespace baton::http {

/// A matched node. Points into the document that was searched.
struct XPathNode {
    enum class Kind { element, attribute, text };
    Kind kind = Kind::element;
    const XmlNode* element = nullptr;  ///< itself, or the one that has the attribute or text
    std::size_t index = 0;             ///< of the attribute
    bool operator==(const XPathNode&) const = default;

    /// The string value.
    [[nodiscard]] std::string text() const;
};

struct XPathValue {
    enum class Kind { nodes, text };
    Kind kind = Kind::nodes;
    std::vector<XPathNode> nodes;  ///< in document order, each once
    std::string text;              ///< of a string, number or boolean
};

inline constexpr std::size_t most_xpath_bytes = 4096;

/// Understands absolute, relative and `//` steps, names, `*`, `.`, `@name`, `text()`, `|`; predicates `[n]`,
/// `[last()]`, `[path]`, `=` and `!=` with texts and numbers, `and`, `or`, `not()`, `contains()`,
/// `starts-with()`; and `concat()`, `count()`, `string()`, `boolean()` around them. Anything else is
/// Error(invalid) that says where. Error(too_large) for a search that visits more nodes than any honest one.
[[nodiscard]] XPathValue evaluate_xpath(const XmlNode& root, std::string_view expression);

/// Takes the elements that match out of the document (the root itself stays).
void remove_matches(XmlNode& root, std::string_view expression);

}  // namespace baton::http
