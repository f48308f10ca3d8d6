// SPDX-License-Identifier: MIT
// A small document of elements, for what is printed as XML.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace baton::http {

/// An element with its attributes, and text or children.
struct XmlNode {
    std::string name;
    std::vector<std::pair<std::string, std::string>> attributes;
    std::string text;
    std::vector<XmlNode> children;

    /// Appends an element with a text; returns it.
    XmlNode& add(std::string child_name, std::string child_text = {});
    XmlNode& attribute(std::string attribute_name, std::string value);
    /// Its text and that of everything inside.
    [[nodiscard]] std::string string_value() const;
};

enum class Declaration { none, xml };

/// Compact. What XML cannot hold (control characters, invalid UTF-8) becomes U+FFFD.
[[nodiscard]] std::string write_xml(const XmlNode& root, Declaration declaration = Declaration::none);

}  // namespace baton::http
