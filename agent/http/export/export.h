// SPDX-License-Identifier: MIT
// The export model of Jenkins' remote access API: objects with visible properties, printed by `depth` or
// `tree`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "agent/http/export/tree_spec.h"

namespace baton::http {

struct Exported;

/// A value of a property. A Later is made only when it is printed, so that what nobody asked for costs
/// nothing.
struct ExportValue {
    using List = std::vector<ExportValue>;
    using Later = std::function<ExportValue()>;
    using Content = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, List,
                                 std::shared_ptr<const Exported>, Later>;

    ExportValue(std::nullptr_t = nullptr) {}
    ExportValue(bool value) : content(value) {}
    ExportValue(int value) : content(std::int64_t{value}) {}
    ExportValue(unsigned value) : content(std::int64_t{value}) {}
    ExportValue(std::int64_t value) : content(value) {}
    ExportValue(double value) : content(value) {}
    ExportValue(const char* value) : content(std::string(value)) {}
    ExportValue(std::string value) : content(std::move(value)) {}
    ExportValue(List value) : content(std::move(value)) {}
    ExportValue(Exported value);
    ExportValue(Later value) : content(std::move(value)) {}

    Content content;
};

/// How far up a property is seen: 1 on the object that was asked for, 2 in references to it, 999 always.
struct ExportProperty {
    std::string name;
    ExportValue value;
    int visibility = 1;
    bool is_inline = false;  ///< its values are printed at the same level, not one further down
};

struct Exported {
    std::string class_name;  ///< `_class`; empty: not printed
    std::vector<ExportProperty> properties;
    /// More properties, all of visibility 1 or less: made when one of them may be wanted.
    std::function<std::vector<ExportProperty>()> rest;
};

inline constexpr int always_visible = 999;
inline constexpr unsigned most_depth = 10;

/// What of an object is printed.
struct Selection {
    unsigned depth = 0;  ///< at most most_depth; not looked at when there is a tree
    const Tree* tree = nullptr;
};

/// The object as JSON, members in the object's order, `_class` first. Any thread.
[[nodiscard]] nlohmann::ordered_json print(const Exported& object, const Selection& selection);

}  // namespace baton::http
