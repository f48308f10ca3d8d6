// SPDX-License-Identifier: MIT
// A rollout: one commit of one app travelling the chain, as agents tell each other and keep it.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/types.h"

namespace baton::wire {

/// Orders rollouts: newest wins. `epoch` grows when a clock is behind what is already known.
struct RolloutKey {
    std::uint64_t epoch = 0;
    RolloutId id;
    auto operator<=>(const RolloutKey&) const = default;
    [[nodiscard]] bool empty() const { return id.empty(); }
};

/// What a node asks a permit for. `attempt` grows with each retry that a person orders.
struct Target {
    RolloutKey key;
    unsigned attempt = 1;
    auto operator<=>(const Target&) const = default;
};

enum class RolloutKind {
    deploy,    ///< fetch, prepare, test, then the switch
    rollback,  ///< back to a commit that ran before: no prepare, no tests where the release is still there
};

enum class CauseKind { poll, webhook, remote, user, retry, failure };

/// Why a rollout started. `text` is for people: `Started by GitHub push by ann`.
struct Cause {
    CauseKind kind = CauseKind::user;
    std::string text;
    std::string who;      ///< token name, pusher; empty if unknown
    std::string address;  ///< where the request came from; empty for a poll
    bool operator==(const Cause&) const = default;
};

struct Rollout {
    AppName app;
    RolloutKey key;
    unsigned attempt = 1;
    CommitId commit;
    RolloutKind kind = RolloutKind::deploy;
    NodeName started_on;
    std::int64_t started_ms = 0;  ///< wall time of started_on
    Cause cause;
    std::string author;   ///< of the commit
    std::string subject;  ///< first line of the commit's message
    std::map<std::string, std::string> parameters;
    bool by_name = false;  ///< a person named this commit: descent and earlier failure do not hold it
    CommitId undoes;       ///< rollback: the commit that is bad from now on

    [[nodiscard]] Target target() const { return {key, attempt}; }
    bool operator==(const Rollout&) const = default;
};

/// A stage of a build, in the order in which they run; `done` when it has ended.
enum class Stage { queued, fetch, prepare, test, permit, drain, migrate, switch_over, verify, rejoin, handoff, done };
/// How a build stands. `halted`: its rollout was stopped by a person or a failure elsewhere before it got its turn.
enum class BuildState { waiting, running, succeeded, failed, cancelled, superseded, restored, stuck };

/// What one node does or did for one rollout: the row that every agent shows for every node.
struct NodeProgress {
    NodeName node;
    RolloutKey rollout;
    std::uint64_t version = 0;  ///< grows with each change on `node`: the newer row wins
    unsigned build = 0;         ///< number on that node; 0 before it has one
    Stage stage = Stage::queued;
    BuildState state = BuildState::waiting;
    std::int64_t since_ms = 0;  ///< wall time at which this stage began
    std::int64_t started_ms = 0;
    std::int64_t finished_ms = 0;  ///< 0 while it runs
    std::string waits_for;         ///< what a waiting stage waits for, for people
    std::string message;           ///< why it failed
    CommitId current;              ///< the node's current commit
    bool operator==(const NodeProgress&) const = default;
};

[[nodiscard]] std::string_view to_text(RolloutKind kind);
[[nodiscard]] std::string_view to_text(CauseKind kind);
[[nodiscard]] std::string_view to_text(Stage stage);  ///< `switch_over` is "switch"
[[nodiscard]] std::string_view to_text(BuildState state);
/// Strict: Error(invalid) for a text that names nothing.
[[nodiscard]] RolloutKind parse_rollout_kind(std::string_view text);
[[nodiscard]] CauseKind parse_cause_kind(std::string_view text);
[[nodiscard]] Stage parse_stage(std::string_view text);
[[nodiscard]] BuildState parse_build_state(std::string_view text);

[[nodiscard]] json::Value to_json(const RolloutKey& key);
[[nodiscard]] json::Value to_json(const Target& target);
[[nodiscard]] json::Value to_json(const Rollout& rollout);
[[nodiscard]] json::Value to_json(const NodeProgress& progress);
/// Unknown members are ignored (a newer agent may send them); missing or wrong ones are Error(invalid).
[[nodiscard]] RolloutKey parse_rollout_key(const json::Value& value);
[[nodiscard]] Target parse_target(const json::Value& value);
[[nodiscard]] Rollout parse_rollout(const json::Value& value);
[[nodiscard]] NodeProgress parse_node_progress(const json::Value& value);

}  // namespace baton::wire
