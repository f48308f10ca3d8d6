// SPDX-License-Identifier: MIT
// A printed object as text: JSON, Python, or XML with a small XPath.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/http/export/xml_tree.h"
#include "agent/http/server/message.h"

namespace baton::http {

enum class Layout { compact, indented };

[[nodiscard]] std::string to_json_text(const nlohmann::ordered_json& value, Layout layout);
/// The same with None, True and False: what Python's ast.literal_eval reads.
[[nodiscard]] std::string to_python_text(const nlohmann::ordered_json& value);
/// Elements of an object: lists repeat their name in the singular, null is left out, `_class` is an
/// attribute.
[[nodiscard]] XmlNode to_xml(std::string_view element, const nlohmann::ordered_json& value);
/// `builds` as `build`, `properties` as `property`.
[[nodiscard]] std::string singular(std::string_view name);

/// What a client asks of `X/api/xml`.
struct XmlRequest {
    std::string xpath;                 ///< empty: the whole document
    std::string wrapper;               ///< empty: exactly one match is wanted
    std::vector<std::string> exclude;  ///< what is taken out first
};

/// 200 with XML or text, 404 without a match, 500 for several without a wrapper. Error(invalid) for an
/// expression or wrapper that is none.
[[nodiscard]] Response xml_response(XmlNode root, const XmlRequest& request);

}  // namespace baton::http
