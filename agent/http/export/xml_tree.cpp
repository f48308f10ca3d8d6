// SPDX-License-Identifier: MIT
// Writing a document with Poco's XML writer.
#include "agent/http/export/xml_tree.h"

#include <Poco/SAX/AttributesImpl.h>
#include <Poco/XML/XMLWriter.h>

#include <algorithm>
#include <sstream>

#include "common/text.h"

namespace baton::http {

namespace {

/// XML 1.0 has no way to write most control characters.
std::string printable(const std::string& text) {
    const auto forbidden = [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 && c != '\t' && c != '\n' && c != '\r';
    };
    std::string clean = valid_utf8(text);
    if (std::ranges::none_of(clean, forbidden)) return clean;
    std::string replaced;
    for (const char c : clean) {
        if (forbidden(c)) {
            replaced += "\xEF\xBF\xBD";
        } else {
            replaced += c;
        }
    }
    return replaced;
}

void write_node(Poco::XML::XMLWriter& writer, const XmlNode& node) {
    Poco::XML::AttributesImpl attributes;
    for (const auto& [name, value] : node.attributes) attributes.addAttribute("", "", name, "CDATA", printable(value));
    writer.startElement("", "", node.name, attributes);
    if (!node.text.empty()) writer.characters(printable(node.text));
    for (const XmlNode& child : node.children) write_node(writer, child);
    writer.endElement("", "", node.name);
}

}  // namespace

XmlNode& XmlNode::add(std::string child_name, std::string child_text) {
    XmlNode child;
    child.name = std::move(child_name);
    child.text = std::move(child_text);
    children.push_back(std::move(child));
    return children.back();
}

XmlNode& XmlNode::attribute(std::string attribute_name, std::string value) {
    attributes.emplace_back(std::move(attribute_name), std::move(value));
    return *this;
}

std::string XmlNode::string_value() const {
    std::string all = text;
    for (const XmlNode& child : children) all += child.string_value();
    return all;
}

std::string write_xml(const XmlNode& root, Declaration declaration) {
    std::ostringstream out;
    Poco::XML::XMLWriter writer(out, declaration == Declaration::xml ? Poco::XML::XMLWriter::WRITE_XML_DECLARATION : 0);
    if (declaration == Declaration::xml) {
        writer.startDocument();
    } else {
        writer.startFragment();
    }
    write_node(writer, root);
    if (declaration == Declaration::xml) {
        writer.endDocument();
    } else {
        writer.endFragment();
    }
    return out.str();
}

}  // namespace baton::http
