// SPDX-License-Identifier: MIT
// Printing exported objects by depth or by tree.
#include "agent/http/export/export.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace baton::http {

namespace {

using Json = nlohmann::ordered_json;

template <class... Cases>
struct Overloaded : Cases... {
    using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

Json begin(const Exported& object) {
    Json json = Json::object();
    if (!object.class_name.empty()) json["_class"] = object.class_name;
    return json;
}

/// Walks a value down to its objects; `on_object` says how these are printed, `on_list` cuts lists.
template <class OnObject, class OnList>
Json print_value(const ExportValue& value, const OnObject& on_object, const OnList& on_list) {
    return std::visit(
        Overloaded{
            [](std::nullptr_t) { return Json(nullptr); },
            [&](const ExportValue::List& list) {
                Json json = Json::array();
                const auto [from, to] = on_list(list.size());
                for (std::size_t index = from; index < to; ++index) {
                    json.push_back(print_value(list[index], on_object, on_list));
                }
                return json;
            },
            [&](const std::shared_ptr<const Exported>& object) { return object ? on_object(*object) : Json(nullptr); },
            [&](const ExportValue::Later& later) { return print_value(later(), on_object, on_list); },
            [](const auto& scalar) { return Json(scalar); }},
        value.content);
}

Json print_depth(const Exported& object, int level) {
    Json json = begin(object);
    const auto print_all = [&](const std::vector<ExportProperty>& properties) {
        for (const ExportProperty& property : properties) {
            if (property.visibility < level) continue;
            const int below = property.is_inline ? level : level + 1;
            json[property.name] = print_value(
                property.value, [below](const Exported& inner) { return print_depth(inner, below); },
                [](std::size_t size) {
                    return std::pair{std::size_t{0}, size};
                });
        }
    };
    print_all(object.properties);
    if (object.rest && level <= 1) print_all(object.rest());
    return json;
}

Json print_tree(const Exported& object, const Tree& tree) {
    Json json = begin(object);
    const auto print_all = [&](const std::vector<ExportProperty>& properties) {
        for (const ExportProperty& property : properties) {
            const TreeNode* node = tree.find(property.name);
            if (node == nullptr) continue;
            json[property.name] = print_value(
                property.value, [node](const Exported& inner) { return print_tree(inner, node->inside); },
                [node](std::size_t size) { return node->window(size); });
        }
    };
    print_all(object.properties);
    const auto among_first = [&](const std::string& name) {
        return std::ranges::any_of(object.properties, [&](const ExportProperty& one) { return one.name == name; });
    };
    const bool more_wanted = tree.has_star() || std::ranges::any_of(tree.nodes, [&](const auto& entry) {
                                 return !among_first(entry.first);
                             });
    if (object.rest && more_wanted) print_all(object.rest());
    return json;
}

}  // namespace

ExportValue::ExportValue(Exported value) : content(std::make_shared<const Exported>(std::move(value))) {}

nlohmann::ordered_json print(const Exported& object, const Selection& selection) {
    if (selection.tree != nullptr) return print_tree(object, *selection.tree);
    return print_depth(object, 1 - static_cast<int>(std::min(selection.depth, most_depth)));
}

}  // namespace baton::http
