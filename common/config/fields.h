// SPDX-License-Identifier: MIT
// A map of the file, read key by key: each call both declares a key and reads it, so that what is known and
// what is read cannot drift apart. What is wrong goes into the report, and the value keeps its default.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/agent_config.h"
#include "common/config/names.h"
#include "common/config/yaml.h"

namespace baton::config {

class Fields {
  public:
    /// `what` names the map in messages (`app 'shop'`); `at` is where it begins, for what is missing.
    Fields(const yaml::Value& map, std::string what, yaml::Position at, yaml::Report& report);
    Fields(const yaml::Value&&, std::string, yaml::Position, yaml::Report&) = delete;

    /// Declares a key and gives its value; null when it is missing or empty (which is reported).
    const yaml::Value* value(std::string_view key);
    /// The entry itself, for its position.
    const yaml::Entry* entry(std::string_view key);
    /// Reports a key that is missing. `expected` says what it would be.
    void require(std::string_view key, std::string_view expected);
    [[nodiscard]] bool has(std::string_view key) const;
    /// Where the key's value is, else where the map begins.
    [[nodiscard]] yaml::Position where(std::string_view key) const;

    /// One line of text, not empty.
    void line(std::string_view key, std::string& target);
    /// Text that may have several lines: a command.
    void block(std::string_view key, std::string& target);
    /// A string, or a list of strings.
    void lines(std::string_view key, std::vector<std::string>& target);
    /// An absolute path.
    void path(std::string_view key, std::filesystem::path& target);
    void path(std::string_view key, std::optional<std::filesystem::path>& target);
    /// A path that stays below the directory that it is relative to.
    void inner_path(std::string_view key, std::string& target);
    void flag(std::string_view key, bool& target);
    void duration(std::string_view key, Milliseconds& target, Milliseconds least = Milliseconds{0});
    void size(std::string_view key, std::uint64_t& target, std::uint64_t least);
    void share(std::string_view key, Share& target, unsigned least);
    void address(std::string_view key, std::optional<Address>& target);
    template <class Number>
    void whole(std::string_view key, Number& target, std::uint64_t least, std::uint64_t most) {
        if (const auto number = whole_value(key, least, most)) target = static_cast<Number>(*number);
    }
    template <class Names, class Enum>
    void choice(std::string_view key, Enum& target, const Names& names) {
        const auto* found = value(key);
        if (found == nullptr) return;
        std::vector<std::string> known;
        for (const auto& [name, enumerator] : names) {
            known.emplace_back(name);
            if (found->kind == yaml::Kind::scalar && found->text == name) {
                target = enumerator;
                return;
            }
        }
        refuse_choice(key, *found, known);
    }
    /// Calls `read` for each item of a list, with the item's number from 1.
    void each(std::string_view key, std::size_t most, const std::function<void(const yaml::Value&, std::size_t)>& read);

    /// Reports every `${NAME}` in `text` that is not in `known`.
    void check_variables(std::string_view key, std::string_view text, const std::vector<std::string>& known);
    void fault(std::string_view key, std::string message) { report_.fault(where(key), std::move(message)); }
    void warn(std::string_view key, std::string message) { report_.warn(where(key), std::move(message)); }
    [[nodiscard]] yaml::Report& report() { return report_; }
    [[nodiscard]] const std::string& what() const { return what_; }
    [[nodiscard]] yaml::Position at() const { return at_; }

    /// Reports the keys that no call declared, with the nearest known one. Call last.
    void finish();

  private:
    const yaml::Value* scalar(std::string_view key, std::string_view expected);
    std::optional<std::uint64_t> whole_value(std::string_view key, std::uint64_t least, std::uint64_t most);
    std::optional<std::string> line_of(std::string_view key, const yaml::Value& value, bool several_lines);
    void refuse_choice(std::string_view key, const yaml::Value& found, const std::vector<std::string>& known);

    const yaml::Value& map_;
    std::string what_;
    yaml::Position at_;
    yaml::Report& report_;
    std::vector<std::string> known_;
};

/// `host:port` or `[v6]:port`; none for anything else. The host may hold variables.
[[nodiscard]] std::optional<Address> parse_address(std::string_view text);

/// `text` for a message: one line, cut, without control characters.
[[nodiscard]] std::string shown(std::string_view text);

}  // namespace baton::config
