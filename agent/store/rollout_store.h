// SPDX-License-Identifier: MIT
// The rollouts this agent knows of, and what every node reported about them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/store/database.h"
#include "common/wire/rollout.h"

namespace baton::store {

/// How a rollout stands, as far as this node knows.
enum class RolloutState { running, succeeded, halted, superseded, held };
[[nodiscard]] std::string_view to_text(RolloutState state);
[[nodiscard]] RolloutState parse_rollout_state(std::string_view text);

struct RolloutRecord {
    wire::Rollout rollout;
    RolloutState state = RolloutState::running;
    std::string reason;           ///< why halted, superseded or held; empty otherwise
    std::int64_t updated_ms = 0;  ///< wall time of the last change here
};

/// Any thread.
class RolloutStore {
  public:
    /// Rollouts kept per app; running ones are never pruned.
    static constexpr std::size_t most_per_app = 500;

    explicit RolloutStore(Database& database) : database_(database) {}

    /// Enters or replaces it, unless a later attempt of it is known (then false, and nothing changes).
    bool upsert(const RolloutRecord& record);
    /// False when it is not known.
    bool set_state(const AppName& app, const wire::RolloutKey& key, RolloutState state, std::string_view reason,
                   std::int64_t now_ms);
    [[nodiscard]] std::optional<RolloutRecord> get(const AppName& app, const RolloutId& id) const;
    /// By id alone, whatever its app.
    [[nodiscard]] std::optional<RolloutRecord> find(const RolloutId& id) const;
    [[nodiscard]] std::optional<RolloutRecord> newest(const AppName& app) const;
    [[nodiscard]] std::optional<RolloutRecord> newest(const AppName& app, RolloutState state) const;
    /// Newest first.
    [[nodiscard]] std::vector<RolloutRecord> list(const AppName& app, std::size_t limit) const;

    /// Enters a node's report unless its version is not above the stored one (then false). A report may come
    /// before the rollout itself is known.
    bool put_progress(const AppName& app, const wire::NodeProgress& progress);
    /// What is known of one rollout, by node name.
    [[nodiscard]] std::vector<wire::NodeProgress> progress(const AppName& app, const RolloutId& id) const;
    [[nodiscard]] std::optional<wire::NodeProgress> progress(const AppName& app, const RolloutId& id,
                                                             const NodeName& node) const;

    /// Drops the oldest beyond most_per_app with their reports; gives how many. upsert() calls it.
    std::size_t prune(const AppName& app);

  private:
    Database& database_;
};

}  // namespace baton::store
