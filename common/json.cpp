// SPDX-License-Identifier: MIT
// JSON at the border: the only place where a document is parsed or printed.
#include "common/json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "common/error.h"

namespace baton::json {
namespace {

constexpr std::size_t deepest = 64;

/// Watches nesting and doubled keys while nlohmann parses.
class Guard {
  public:
    bool operator()(int /*depth*/, Value::parse_event_t event, Value& parsed) {
        using Event = Value::parse_event_t;
        switch (event) {
            case Event::object_start:
            case Event::array_start:
                if (keys_.size() >= deepest) {
                    throw Error(ErrorKind::invalid, fmt::format("JSON is nested deeper than {} levels", deepest));
                }
                keys_.emplace_back();
                break;
            case Event::object_end:
            case Event::array_end: keys_.pop_back(); break;
            case Event::key: {
                const auto& key = parsed.get_ref<const std::string&>();
                if (!keys_.back().insert(key).second) {
                    throw Error(ErrorKind::invalid, fmt::format("JSON key '{}' comes twice", key));
                }
                break;
            }
            case Event::value: break;
        }
        return true;
    }

  private:
    std::vector<std::set<std::string>> keys_;
};

const Value* find(const Value& object, std::string_view name) {
    if (!object.is_object()) throw Error(ErrorKind::invalid, fmt::format("expected an object with '{}'", name));
    const auto it = object.find(std::string(name));
    return it == object.end() || it->is_null() ? nullptr : &*it;
}

[[noreturn]] void wrong(std::string_view name, std::string_view wanted) {
    throw Error(ErrorKind::invalid, fmt::format("'{}' must be {}", name, wanted));
}

std::uint64_t as_whole(const Value& value, std::string_view name) {
    if (!value.is_number_unsigned()) wrong(name, "a whole number");
    return value.get<std::uint64_t>();
}

const std::string& as_text(const Value& value, std::string_view name) {
    if (!value.is_string()) wrong(name, "a string");
    return value.get_ref<const std::string&>();
}

bool as_flag(const Value& value, std::string_view name) {
    if (!value.is_boolean()) wrong(name, "true or false");
    return value.get<bool>();
}

}  // namespace

Value parse(std::string_view text) {
    try {
        return Value::parse(text, Guard{});
    } catch (const Value::exception& fault) {
        // nlohmann's text begins with its own id in brackets, which tells a user nothing.
        std::string_view what = fault.what();
        if (const auto bracket = what.find("] "); bracket != std::string_view::npos) what.remove_prefix(bracket + 2);
        // Nor does what it read last belong into an answer or a log: it may be a password. Line and column are enough.
        what = what.substr(0, what.find("; last read: "));
        throw Error(ErrorKind::invalid, fmt::format("JSON: {}", what));
    }
}

std::string dump(const Value& value) { return value.dump(-1, ' ', false, Value::error_handler_t::replace); }

const Value& member(const Value& object, std::string_view name) {
    const Value* found = find(object, name);
    if (found == nullptr) throw Error(ErrorKind::invalid, fmt::format("'{}' is missing", name));
    return *found;
}

std::string text(const Value& object, std::string_view name) { return as_text(member(object, name), name); }

std::string text_or(const Value& object, std::string_view name, std::string_view fallback) {
    const Value* found = find(object, name);
    return found == nullptr ? std::string(fallback) : as_text(*found, name);
}

std::uint64_t whole(const Value& object, std::string_view name) { return as_whole(member(object, name), name); }

std::uint64_t whole_or(const Value& object, std::string_view name, std::uint64_t fallback) {
    const Value* found = find(object, name);
    return found == nullptr ? fallback : as_whole(*found, name);
}

std::int64_t number_or(const Value& object, std::string_view name, std::int64_t fallback) {
    const Value* found = find(object, name);
    if (found == nullptr) return fallback;
    if (!found->is_number_integer()) wrong(name, "a whole number");
    return found->get<std::int64_t>();
}

bool flag(const Value& object, std::string_view name) { return as_flag(member(object, name), name); }

bool flag_or(const Value& object, std::string_view name, bool fallback) {
    const Value* found = find(object, name);
    return found == nullptr ? fallback : as_flag(*found, name);
}

}  // namespace baton::json
