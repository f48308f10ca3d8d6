// SPDX-License-Identifier: MIT
// The ledger: what each deploy cost users, a row a build and node.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/store/database.h"
#include "common/types.h"

namespace baton::store {

/// How a figure came about.
enum class LedgerKind {
    measured,
    assumed,  ///< taken from settings: nothing watched
    unknown,  ///< the agent died in between: the figures are worth nothing
};
[[nodiscard]] std::string_view to_text(LedgerKind kind);
[[nodiscard]] LedgerKind parse_ledger_kind(std::string_view text);

struct LedgerEntry {
    NodeName node;
    AppName app;
    RolloutId rollout;
    unsigned build = 0;
    std::int64_t dark_ms = 0;     ///< in the load balancer, and nobody answered
    std::int64_t exposed_ms = 0;  ///< in the load balancer while the release was being switched
    /// exposed_ms, outage by outage; empty: not told apart (rows of before version 2, and of agents of before it). At
    /// most most_outages, in which case the last holds the rest.
    std::vector<std::int64_t> outages_ms;
    std::int64_t out_ms = 0;      ///< out of the load balancer by our doing
    std::int64_t drain_ms = 0;
    std::int64_t restart_ms = 0;
    std::int64_t rejoin_ms = 0;
    std::uint64_t cut = 0;  ///< requests in flight that the end of draining cut off
    LedgerKind kind = LedgerKind::measured;
    std::int64_t at_ms = 0;
};

/// More outages than this in one switch are flapping, and no figure tells what a load balancer made of it.
inline constexpr std::size_t most_outages = 32;
/// The outages fit the sum, as far as they are told apart.
[[nodiscard]] bool outages_add_up(const LedgerEntry& entry);

enum class LedgerGroup { node, app, day };

/// Sums over a group. `unknown` rows count in `deploys` and `unknown` only.
struct LedgerSum {
    std::string key;  ///< node, app, or day `2026-11-23` in UTC
    std::uint64_t deploys = 0;
    std::uint64_t assumed = 0;
    std::uint64_t unknown = 0;
    std::int64_t dark_ms = 0;
    std::int64_t exposed_ms = 0;
    std::int64_t out_ms = 0;
    std::int64_t drain_ms = 0;
    std::int64_t restart_ms = 0;
    std::int64_t rejoin_ms = 0;
    std::uint64_t cut = 0;
};

/// Any thread.
class LedgerStore {
  public:
    static constexpr std::size_t most_entries = 50'000;

    explicit LedgerStore(Database& database) : database_(database) {}
    /// Enters it, or replaces the row of the same node, app, rollout and build.
    void put(const LedgerEntry& entry);
    /// Newest first; an empty `app` stands for all.
    [[nodiscard]] std::vector<LedgerEntry> list(const AppName& app, std::int64_t since_ms, std::size_t limit) const;
    /// By key. An empty `app` stands for all.
    [[nodiscard]] std::vector<LedgerSum> sums(LedgerGroup group, const AppName& app, std::int64_t since_ms) const;

  private:
    Database& database_;
};

}  // namespace baton::store
