// SPDX-License-Identifier: MIT
// All that may be asked of the agent, as plain functions. The surfaces decode a request, call one of these, and encode
// what comes back; who may call what is decided by the surface before.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/operations/ledger.h"
#include "agent/operations/views.h"
#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::store {
struct Store;
}
namespace baton::engine {
class Engine;
class ParameterSeal;
}

namespace baton::chain {
struct View;
}

namespace baton::operations {

struct TriggerRequest {
    wire::Cause cause;
    CommitId commit;                                ///< empty: the branch's tip
    std::map<std::string, std::string> parameters;  ///< undeclared ones are dropped, absent ones get their default
    std::optional<Milliseconds> delay;              ///< none: the app's quiet period
    bool by_name = false;                           ///< a person insists on this commit
};

/// Which of an app's builds; the names are Jenkins' permalinks.
enum class Permalink {
    last,
    last_completed,
    last_successful,
    last_stable,
    last_unstable,
    last_failed,
    last_unsuccessful
};

/// Any thread may call any function. Error(not_found) for an unknown app, node, build or item in each of them.
class Operations {
  public:
    /// `wake_starter` is called after something was queued.
    Operations(const config::AgentConfig& config, store::Store& store, engine::Engine& engine,
               const engine::ParameterSeal& seal, std::function<void()> wake_starter, const Clock& clock);

    // --- looking ---
    [[nodiscard]] Status status(const std::optional<AppName>& app = std::nullopt) const;
    /// Whether a rollout of that id has come here, over any way.
    [[nodiscard]] bool knows_rollout(const AppName& app, const RolloutId& id) const;
    [[nodiscard]] std::vector<RolloutView> rollouts(const AppName& app, unsigned most) const;
    [[nodiscard]] std::vector<BuildView> builds(const AppName& app, unsigned most) const;  ///< newest first
    [[nodiscard]] BuildView build(const AppName& app, unsigned number) const;
    [[nodiscard]] std::optional<unsigned> permalink(const AppName& app, Permalink link) const;
    [[nodiscard]] unsigned next_build_number(const AppName& app) const;
    [[nodiscard]] std::vector<ChangeView> changes(const AppName& app, unsigned number) const;
    /// At most `most_bytes` from `offset`; waits up to `wait` for the first new byte while the build runs.
    [[nodiscard]] LogPiece log(const AppName& app, unsigned number, std::uint64_t offset, std::size_t most_bytes,
                               Milliseconds wait, const std::stop_token& stop) const;
    /// A kept file of a build; Error(not_found) also for a path that leads out of the build's artifacts.
    [[nodiscard]] std::string artifact_path(const AppName& app, unsigned number, const std::string& relative) const;
    /// Who did what, newest first; no `app`: all of it.
    [[nodiscard]] std::vector<AuditEntry> audit(unsigned most, const std::optional<AppName>& app = std::nullopt) const;
    /// What deploys cost since then, on all nodes as far as this one has heard; no `app`: all of them. `since_ms` 0
    /// stands for the last 30 days. Error(invalid) for a time to come and for assumptions that make no sense.
    [[nodiscard]] LedgerView ledger(const std::optional<AppName>& app, std::int64_t since_ms,
                                    const Assumptions& assumptions = {}) const;
    [[nodiscard]] bool in_service(const AppName& app) const;
    [[nodiscard]] bool quieting_down() const;

    // --- the queue ---
    /// Durable when it returns. Error(conflict) for a disabled app. A waiting twin is joined, and its id returned.
    QueueItem trigger(const AppName& app, const TriggerRequest& request, const Caller& caller);
    [[nodiscard]] QueueItem queue_item(std::uint64_t id) const;
    [[nodiscard]] std::vector<QueueItem> queue() const;  ///< those still waiting
    void cancel_queue_item(std::uint64_t id, const Caller& caller);
    /// Whether nobody but the token `who` has asked for it: then that token may take it back with the role `trigger`.
    [[nodiscard]] bool is_own_item(std::uint64_t id, const std::string& who) const;
    [[nodiscard]] bool is_own_build(const AppName& app, unsigned number, const std::string& who) const;

    // --- orders; each answers with a sentence for the person who gave it ---
    /// Cancels fetch, prepare, test and waiting, which halts the rollout; Error(conflict) once the switch has begun.
    std::string stop_build(const AppName& app, unsigned number, const Caller& caller);
    std::string set_disabled(const AppName& app, bool disabled, const Caller& caller);
    std::string set_quieting_down(bool quieting, const Caller& caller);
    /// `which` may be empty: the rollout that `status` shows. Error(not_found) for one that is not known here.
    std::string halt(const AppName& app, const RolloutId& which, const Caller& caller);
    /// The halted or failed rollout once more; `which` may be empty: the newest.
    std::string resume(const AppName& app, const RolloutId& which, const Caller& caller);
    std::string promote(const AppName& app, const RolloutId& which, const Caller& caller);
    std::string rollback(const AppName& app, const CommitId& to, const Caller& caller);  ///< empty: the previous one
    /// Error(invalid) without a reason. `until_ms` 0: until unfreeze.
    std::string freeze(const AppName& app, std::int64_t until_ms, const Caller& caller);
    std::string unfreeze(const AppName& app, const Caller& caller);
    std::string set_drained(const AppName& app, bool drained, const Caller& caller);
    std::string forget(const NodeName& node, const Caller& caller);
    std::string accept(const NodeName& node, const Caller& caller);
    std::string force(const AppName& app, const Caller& caller);

  private:
    [[nodiscard]] BuildView with_queue_id(BuildView view) const;
    void explain_unbuilt(QueueItem& item) const;
    /// The rollout that an order names, or means when it names none.
    [[nodiscard]] wire::Rollout meant(const AppName& app, const RolloutId& which) const;
    /// The store shows a halt, or a rollout, of which this node's protocol has not heard yet.
    [[nodiscard]] bool shows_more_than(const chain::View& view, const AppName& app, const RolloutId& which) const;
    /// The commit of the app that a person means by an id's beginning, a branch or a tag. Error(not_found).
    [[nodiscard]] CommitId commit_named(const AppName& name, const CommitId& text) const;
    /// What a roll-back goes to that names no commit. Error(conflict) when there is none, or one is under way.
    [[nodiscard]] CommitId release_before(const AppName& app, const chain::View& view) const;
    /// Written down, then given by `give`; a refusal is written down as well. Whether a majority has the order.
    bool order(const Caller& caller, const std::string& action, const AppName& app, const std::string& detail,
               const std::function<bool()>& give);
    /// For every app. What is to be added to the answer: which apps refused it, and whether it is being spread.
    std::string order_for_all(const Caller& caller, const std::string& action, const NodeName& node,
                              const std::function<bool(const AppName&)>& give);
    void record(const Caller& caller, const std::string& action, const AppName& app, const std::string& detail);

    const config::AgentConfig& config_;
    store::Store& store_;
    engine::Engine& engine_;
    const engine::ParameterSeal& seal_;
    std::function<void()> wake_starter_;
    const Clock& clock_;
};

}  // namespace baton::operations
