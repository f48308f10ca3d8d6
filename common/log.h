// SPDX-License-Identifier: MIT
// The daemon's log: one line on standard error an event, `time level component message key=value…`.
#pragma once

#include <fmt/format.h>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace baton::log {

enum class Level { debug, info, warning, error };

/// A key with its value, already text.
struct Field {
    template <class Value>
    Field(std::string_view key_, const Value& value_) : key(key_), value(fmt::format("{}", value_)) {}
    std::string_view key;
    std::string value;
};

/// Call once, before other threads run. Under systemd (JOURNAL_STREAM set) lines begin with `<3>`…`<7>`.
void set_level(Level level);

/// `message` is constant text, so that it can be searched for; what varies goes into fields. Values are
/// escaped, and quoted where they hold blanks; an empty one is left out with its key. Any thread; never throws.
void write(Level level, std::string_view component, std::string_view message, std::initializer_list<Field> fields = {});

inline void debug(std::string_view component, std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Level::debug, component, message, fields);
}
inline void info(std::string_view component, std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Level::info, component, message, fields);
}
inline void warning(std::string_view component, std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Level::warning, component, message, fields);
}
inline void error(std::string_view component, std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Level::error, component, message, fields);
}

}  // namespace baton::log
