// SPDX-License-Identifier: MIT
// The queue of accepted triggers: written before they are answered, merged when they ask for the same.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/store/database.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::store {

/// `waiting` is in the queue; every other state has left it.
enum class QueueState {
    waiting,
    started,    ///< it became a rollout and, unless the rollout was known already, a build
    held,       ///< accepted, but a rule says no: frozen, a commit that was rolled back
    cancelled,  ///< a person took it out, or its app was disabled
    refused,    ///< it turned out to be impossible: no such commit
};
[[nodiscard]] std::string_view to_text(QueueState state);
[[nodiscard]] QueueState parse_queue_state(std::string_view text);

struct QueueItem {
    std::uint64_t id = 0;  ///< grows from the milliseconds at which the database was made; fits 53 bits
    AppName app;
    std::map<std::string, std::string> parameters;
    std::vector<wire::Cause> causes;  ///< at least one; the first is the one that queued it
    CommitId commit;                  ///< empty: the branch's tip when it starts
    bool by_name = false;             ///< a person named the commit
    std::int64_t created_ms = 0;
    std::int64_t due_ms = 0;  ///< not started before
    QueueState state = QueueState::waiting;
    std::int64_t left_ms = 0;  ///< when it left the queue; 0 while it waits
    RolloutId rollout;         ///< once started
    unsigned build = 0;        ///< number of the build; 0 while there is none
    std::string reason;        ///< why held, cancelled or refused
};

/// The answer to a trigger.
struct Queued {
    std::uint64_t id = 0;
    bool coalesced = false;  ///< an item that already waited stands for it
};

/// How an item left the queue.
struct QueueOutcome {
    QueueState state = QueueState::started;
    RolloutId rollout;
    unsigned build = 0;
    std::string reason;
};

/// Any thread. Items that left are kept for a day.
class QueueStore {
  public:
    /// Most items that may wait at once, over all apps: past it a trigger gets Error(too_large).
    static constexpr std::size_t most_waiting = 10'000;
    /// Causes kept with one item; later ones only count as answered.
    static constexpr std::size_t most_causes = 50;
    static constexpr std::int64_t kept_ms = 24LL * 60 * 60 * 1000;

    explicit QueueStore(Database& database) : database_(database) {}

    /// Durable on return. Takes app, parameters, causes, commit, by_name, created_ms and due_ms of `item`. An
    /// item of the same app with the same parameters and commit that still waits stands for both: it gets the
    /// causes, the earlier due time, and by_name if either has it.
    Queued add_or_coalesce(const QueueItem& item);
    /// The waiting items that are due, in the order of due time, then id.
    [[nodiscard]] std::vector<QueueItem> due(std::int64_t now_ms) const;
    /// When the next waiting item is due; none when nothing waits.
    [[nodiscard]] std::optional<std::int64_t> next_due_ms() const;
    /// The first item that became this rollout; none for one that came from elsewhere.
    [[nodiscard]] std::optional<std::uint64_t> first_of(const AppName& app, const RolloutId& rollout) const;
    /// Those that became this rollout or joined it, oldest first.
    [[nodiscard]] std::vector<QueueItem> of_rollout(const AppName& app, const RolloutId& rollout) const;
    /// Takes a waiting item out of the queue. False when it no longer waited: then nothing changes.
    [[nodiscard]] bool finish(std::uint64_t id, const QueueOutcome& outcome, std::int64_t now_ms);
    /// Notes why an item still waits; nothing when it no longer does.
    void explain(std::uint64_t id, std::string_view reason);
    /// Enters the number of the build into an item that started before its build did.
    void set_build(std::uint64_t id, unsigned build);
    /// False when it no longer waits.
    [[nodiscard]] bool cancel(std::uint64_t id, std::string_view reason, std::int64_t now_ms);
    /// Cancels all that waits for an app; gives how many.
    std::size_t cancel_all(const AppName& app, std::string_view reason, std::int64_t now_ms);
    [[nodiscard]] std::optional<QueueItem> get(std::uint64_t id) const;
    /// What waits, oldest first.
    [[nodiscard]] std::vector<QueueItem> list() const;
    [[nodiscard]] std::vector<QueueItem> list(const AppName& app) const;
    /// Forgets items that left more than a day before `now_ms`; gives how many.
    std::size_t prune(std::int64_t now_ms);

  private:
    Database& database_;
};

}  // namespace baton::store
