// SPDX-License-Identifier: MIT
// What every node shows of every node: how builds stand and what they cost, told to the peers and taken in from them.
// For people alone; nothing that the protocol decides depends on it.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "agent/chain/machine.h"
#include "agent/engine/outbox.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/wire/rollout.h"

namespace baton::engine {

/// The engine's thread only.
class Progress {
  public:
    Progress(const config::AgentConfig& config, const config::App& app, store::Store& store, const Clock& clock,
             Outbox& outbox)
        : config_(config), app_(app), store_(store), clock_(clock), outbox_(outbox) {}

    /// Rollouts are in the history from the moment they are known, not only once a build begins: some wait for their
    /// time, some are halted or overtaken before it, and for some nothing is to be built.
    void record(const chain::View& view);
    /// A build of this node has changed: stored, and told to every peer. `current`: what this node runs.
    void update(const store::BuildRecord& record, const std::optional<wire::Rollout>& current);
    /// What this node waits for while no build of its own is open, and about which rollout; empty: nothing any more.
    void note_waiting(const wire::RolloutKey& rollout, const std::string& what);
    /// Says again how this node stands with the newest rollout.
    void say_again(const std::optional<wire::Rollout>& current, const std::optional<wire::Rollout>& newest);
    /// How a neighbour without an agent stands, as this node, its steward, knows: stored, and told to every peer.
    void tell_for(wire::NodeProgress row);
    /// What this node runs without a switch of its own (a roll-back to what was there), its neighbours run as well.
    void note_neighbours(const std::optional<wire::Rollout>& current);
    void merge(const std::vector<wire::NodeProgress>& progress, const std::vector<wire::Rollout>& rollouts);
    /// Rows of other nodes that are news here.
    void merge_ledger(const std::vector<store::LedgerEntry>& rows);
    [[nodiscard]] std::vector<store::LedgerEntry> ledger() const;
    /// The newest rollouts with what every node said of them.
    void history(std::vector<wire::NodeProgress>& progress, std::vector<wire::Rollout>& rollouts) const;

  private:
    void record(const wire::Rollout& rollout);
    void publish(const wire::NodeProgress& row);

    const config::AgentConfig& config_;
    const config::App& app_;
    store::Store& store_;
    const Clock& clock_;
    Outbox& outbox_;
    std::set<wire::Target> recorded_;  ///< rollouts that the store has
};

}  // namespace baton::engine
