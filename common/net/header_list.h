// SPDX-License-Identifier: MIT
// Header fields of a message: order and letter case are kept, look-up does not mind the case.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace baton::net {

/// Some clients look `Location` or `X-Text-Size` up with their case, so what is written is what was set.
class HeaderList {
  public:
    using Field = std::pair<std::string, std::string>;

    HeaderList() = default;
    HeaderList(std::initializer_list<Field> fields) : fields_(fields) {}

    /// Appends, whether or not the name is there already.
    void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
    /// Replaces all fields of that name by one.
    void set(std::string name, std::string value);
    void remove(std::string_view name);
    /// The first value of that name. The view lives as long as the field.
    [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
    /// The first value, or an empty text.
    [[nodiscard]] std::string get(std::string_view name) const { return std::string(find(name).value_or("")); }
    [[nodiscard]] std::size_t count(std::string_view name) const;
    [[nodiscard]] const std::vector<Field>& fields() const { return fields_; }
    [[nodiscard]] std::size_t size() const { return fields_.size(); }

  private:
    std::vector<Field> fields_;
};

/// Whether two header names (or tokens such as `close`) are the same, letter case aside. ASCII only.
[[nodiscard]] bool same_token(std::string_view left, std::string_view right);

}  // namespace baton::net
