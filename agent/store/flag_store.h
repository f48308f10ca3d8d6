// SPDX-License-Identifier: MIT
// Small facts per app that must survive a restart: disabled, drained, frozen, the last tip a poll saw, how
// far a neighbour without an agent has come.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/store/database.h"
#include "common/types.h"

namespace baton::store {

/// Keys in use. A key may carry a subject after a colon: `bad_commit:0123…`.
namespace flag {
inline constexpr std::string_view disabled = "disabled";
inline constexpr std::string_view drained = "drained";
inline constexpr std::string_view left = "left";
inline constexpr std::string_view frozen = "frozen";
inline constexpr std::string_view polled_tip = "polled_tip";
inline constexpr std::string_view bad_commit = "bad_commit:";
inline constexpr std::string_view neighbour = "neighbour:";
inline constexpr std::string_view quieting_down = "quieting_down";
}  // namespace flag

/// Any thread. An empty app stands for the agent as a whole.
class FlagStore {
  public:
    explicit FlagStore(Database& database) : database_(database) {}
    void set(const AppName& app, std::string_view key, std::string_view value);
    [[nodiscard]] std::optional<std::string> get(const AppName& app, std::string_view key) const;
    [[nodiscard]] bool has(const AppName& app, std::string_view key) const;
    /// False when there was none.
    bool erase(const AppName& app, std::string_view key);
    /// All keys of an app that begin with `prefix`.
    [[nodiscard]] std::map<std::string, std::string> all(const AppName& app, std::string_view prefix = {}) const;

  private:
    Database& database_;
};

}  // namespace baton::store
