// SPDX-License-Identifier: MIT
// The words of the product as types: names that cannot be mistaken for one another.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <fmt/format.h>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace baton {

/// A string that means one thing. Default-constructed it is empty, which stands for "none".
template <class Tag>
class Name {
  public:
    Name() = default;
    explicit Name(std::string value) : value_(std::move(value)) {}
    explicit Name(std::string_view value) : value_(value) {}
    explicit Name(const char* value) : value_(value) {}

    [[nodiscard]] const std::string& str() const noexcept { return value_; }
    [[nodiscard]] bool empty() const noexcept { return value_.empty(); }
    auto operator<=>(const Name&) const = default;

  private:
    std::string value_;
};

using NodeName = Name<struct NodeNameTag>;    ///< a VM of the chain: `[a-z0-9][a-z0-9._-]{0,62}`
using AppName = Name<struct AppNameTag>;      ///< an app, a job to Jenkins: same characters
using CommitId = Name<struct CommitIdTag>;    ///< 40 lower-case hexadecimal digits
using RolloutId = Name<struct RolloutIdTag>;  ///< a ULID, 26 characters of Crockford's base 32

/// True for a name that may stand in a path, a URL and a log without quoting.
[[nodiscard]] bool is_valid_name(std::string_view text);
[[nodiscard]] bool is_commit_id(std::string_view text);

using Milliseconds = std::chrono::milliseconds;
/// Wall time, for people and records only; never for a time-out.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Milliseconds>;
/// Monotonic time, for every wait and time-out.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Milliseconds>;

}  // namespace baton

template <class Tag>
struct std::hash<baton::Name<Tag>> {
    std::size_t operator()(const baton::Name<Tag>& name) const noexcept { return std::hash<std::string>{}(name.str()); }
};

template <class Tag>
struct fmt::formatter<baton::Name<Tag>> : fmt::formatter<std::string_view> {
    template <class Context>
    auto format(const baton::Name<Tag>& name, Context& context) const {
        return fmt::formatter<std::string_view>::format(name.str(), context);
    }
};
