// SPDX-License-Identifier: MIT
// A printed object as JSON, Python or XML.
#include "agent/http/export/export_print.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/http/export/xpath.h"
#include "common/error.h"

namespace baton::http {

namespace {

using Json = nlohmann::ordered_json;
constexpr std::string_view xml_type = "application/xml;charset=UTF-8";
constexpr std::string_view text_type = "text/plain;charset=UTF-8";

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void append_python(const Json& value, std::string& out) {
    switch (value.type()) {
        case Json::value_t::null: out += "None"; return;
        case Json::value_t::boolean: out += value.get<bool>() ? "True" : "False"; return;
        case Json::value_t::array: {
            out += '[';
            const char* between = "";
            for (const Json& element : value) {
                out += between;
                append_python(element, out);
                between = ",";
            }
            out += ']';
            return;
        }
        case Json::value_t::object: {
            out += '{';
            const char* between = "";
            for (const auto& [name, element] : value.items()) {
                out += between;
                out += dump(Json(name));
                out += ':';
                append_python(element, out);
                between = ",";
            }
            out += '}';
            return;
        }
        default: out += dump(value); return;  // JSON's numbers and string escapes are Python's
    }
}

bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool name_part(char c) { return name_start(c) || (c >= '0' && c <= '9') || c == '-' || c == '.'; }

/// What may not stand in an element's name is dropped; nothing left: `_`.
std::string element_name(std::string_view name) {
    std::string clean;
    for (const char c : name) {
        if (clean.empty() ? name_start(c) : name_part(c)) clean += c;
    }
    return clean.empty() ? "_" : clean;
}

void append_xml(XmlNode& parent, std::string_view name, const Json& value) {
    if (value.is_null()) return;
    if (value.is_array()) {
        const std::string one = singular(name);
        for (const Json& element : value) append_xml(parent, one, element);
        return;
    }
    parent.children.push_back(to_xml(name, value));
}

bool valid_wrapper(std::string_view name) {
    return !name.empty() && name_start(name.front()) && std::ranges::all_of(name, name_part);
}

Response nothing_matched(std::string_view xpath) {
    return Response::content(std::string(text_type), fmt::format("XPath {} didn't match", xpath), 404);
}

Response matches_response(const XPathValue& value, const XmlRequest& request) {
    if (!request.wrapper.empty()) {
        XmlNode wrapper;
        wrapper.name = request.wrapper;
        for (const XPathNode& match : value.nodes) {
            if (match.kind == XPathNode::Kind::element) {
                wrapper.children.push_back(*match.element);
            } else {
                wrapper.text += match.text();
            }
        }
        return Response::content(std::string(xml_type), write_xml(wrapper));
    }
    if (value.nodes.empty()) return nothing_matched(request.xpath);
    if (value.nodes.size() > 1) {
        return Response::content(
            std::string(text_type),
            fmt::format("XPath \"{}\" matched {} nodes. Create XPath that only matches one, or use "
                        "the \"wrapper\" query parameter to wrap them all under a root element.",
                        request.xpath, value.nodes.size()),
            500);
    }
    const XPathNode& match = value.nodes.front();
    if (match.kind != XPathNode::Kind::element) {
        return Response::content(std::string(text_type), match.text());
    }
    return Response::content(std::string(xml_type), write_xml(*match.element));
}

}  // namespace

std::string to_json_text(const Json& value, Layout layout) {
    return layout == Layout::compact ? dump(value) : value.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string to_python_text(const Json& value) {
    std::string out;
    append_python(value, out);
    return out;
}

std::string singular(std::string_view name) {
    if (name.size() > 3 && name.ends_with("ies")) return std::string(name.substr(0, name.size() - 3)) + "y";
    if (name.size() > 1 && name.ends_with('s')) return std::string(name.substr(0, name.size() - 1));
    return std::string(name);
}

XmlNode to_xml(std::string_view element, const Json& value) {
    XmlNode node;
    node.name = element_name(element);
    if (value.is_string()) {
        node.text = value.get<std::string>();
    } else if (value.is_array()) {
        append_xml(node, "item", value);
    } else if (!value.is_object()) {
        if (!value.is_null()) node.text = dump(value);
    } else {
        for (const auto& [name, member] : value.items()) {
            if (name == "_class") {
                node.attributes.emplace_back("_class", member.get<std::string>());
            } else {
                append_xml(node, name, member);
            }
        }
    }
    return node;
}

Response xml_response(XmlNode root, const XmlRequest& request) {
    if (!request.wrapper.empty() && !valid_wrapper(request.wrapper)) {
        throw Error(ErrorKind::invalid, "'wrapper' must be an element's name");
    }
    for (const std::string& expression : request.exclude) remove_matches(root, expression);
    if (request.xpath.empty()) return Response::content(std::string(xml_type), write_xml(root));
    const XPathValue value = evaluate_xpath(root, request.xpath);
    if (value.kind == XPathValue::Kind::nodes) return matches_response(value, request);
    if (!request.wrapper.empty()) {
        XmlNode wrapper;
        wrapper.name = request.wrapper;
        wrapper.text = value.text;
        return Response::content(std::string(xml_type), write_xml(wrapper));
    }
    return Response::content(std::string(text_type), value.text);
}

}  // namespace baton::http
