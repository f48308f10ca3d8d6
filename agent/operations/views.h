// SPDX-License-Identifier: MIT
// What the agent shows of itself, as plain values: every surface (JSON, Jenkins, metrics, page) prints these.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/config/agent_config.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::operations {

/// Who asks, for the record: a token's name (or `anonymous`, `app token`, a peer's name), an address, and why.
struct Caller {
    std::string who;
    std::string address;
    std::string reason{};  ///< in the person's words; empty: none was given
};

/// How a rollout stands as a whole, as seen from this node.
enum class RolloutState { queued, running, succeeded, halted, superseded };
[[nodiscard]] std::string_view to_text(RolloutState state);

/// What a person ordered.
struct OrderView {
    std::string by;  ///< empty: not known
    std::string reason;
    std::int64_t since_ms = 0;  ///< 0: not known
};

struct NodeView {
    NodeName node;
    std::string address;
    bool self = false;
    bool jenkins = false;                 ///< no agent runs there: it is still a Jenkins
    bool reachable = false;               ///< heard of within the last 15 s
    std::int64_t last_heard_ms_ago = -1;  ///< -1: never
    wire::NodeProgress progress;          ///< of the rollout that this view belongs to
    bool in_service = true;
    std::optional<OrderView> drained;    ///< taken out by hand
    std::optional<OrderView> forgotten;  ///< its machine is gone
};

struct RolloutView {
    wire::Rollout rollout;
    RolloutState state = RolloutState::running;
    std::string reason;           ///< of a halt; queued: what it waits for
    std::int64_t halted_ms = 0;   ///< since when; 0: not halted, or not known
    std::optional<OrderView> promoted;  ///< its bake time was ended
    std::vector<NodeView> nodes;  ///< in the order in which the rollout visits them
};

struct FreezeView {
    std::string by;
    std::string reason;
    std::int64_t since_ms = 0;
    std::int64_t until_ms = 0;  ///< 0: until unfreeze
};

enum class QueueState { waiting, started, held, cancelled, refused };
[[nodiscard]] std::string_view to_text(QueueState state);

struct QueueItem {
    std::uint64_t id = 0;
    AppName app;
    QueueState state = QueueState::waiting;
    std::map<std::string, std::string> parameters;
    std::vector<wire::Cause> causes;
    CommitId commit;  ///< asked for by name, else empty
    std::int64_t created_ms = 0;
    std::int64_t due_ms = 0;
    RolloutId rollout;   ///< started
    unsigned build = 0;  ///< of this node; 0 until it has begun
    bool no_build = false;  ///< started, and nothing will be built for it on this node; `reason` says why
    std::string reason;     ///< held, refused; or why it still waits
};

struct AppStatus {
    AppName app;
    std::string phase;  ///< idle, asking, out
    std::optional<FreezeView> frozen;
    std::optional<RolloutView> rollout;  ///< the newest this node has heard of, or the one that others are queued behind
    std::vector<RolloutView> queued;     ///< on_new_commit: queue: those that follow it
    std::string waits_for;
    std::int64_t waiting_ms = 0;
    CommitId current;
    bool in_service = true;  ///< what GET /health/APP answers
    bool disabled = false;
    bool draining = false;
    std::vector<QueueItem> triggers;  ///< accepted on this node, and waiting
};

struct Status {
    NodeName node;
    std::int64_t now_ms = 0;
    std::string quieting_down;  ///< who wants nothing new to start on this node; empty: nobody
    std::vector<AppStatus> apps;
};

struct StepView {
    std::string stage;
    std::string name;
    std::int64_t started_ms = 0;
    std::int64_t finished_ms = 0;
    std::string outcome;
};

struct FailedTest {
    std::string suite;
    std::string class_name;
    std::string name;
    std::string message;
    double seconds = 0;
};

struct TestsView {
    unsigned total = 0;
    unsigned failed = 0;
    unsigned skipped = 0;
    double seconds = 0;
    std::vector<FailedTest> bad;
};

struct ChangeView {
    CommitId commit;
    std::string author;
    std::string author_email;
    std::int64_t at_ms = 0;
    std::string message;                                     ///< whole
    std::vector<std::pair<std::string, std::string>> paths;  ///< add|edit|delete, path
};

struct BuildView {
    AppName app;
    unsigned number = 0;
    wire::Target target;
    CommitId commit;
    CommitId previous_commit;
    wire::BuildState state = wire::BuildState::waiting;
    wire::Stage stage = wire::Stage::queued;
    std::int64_t started_ms = 0;
    std::int64_t finished_ms = 0;  ///< 0 while it runs
    std::string message;
    std::uint64_t queue_id = 0;
    std::vector<wire::Cause> causes;
    std::map<std::string, std::string> parameters;
    std::vector<StepView> steps;
    std::optional<TestsView> tests;
    std::vector<std::string> artifacts;  ///< relative paths
    [[nodiscard]] bool running() const { return finished_ms == 0; }
};

/// A piece of a build's log.
struct LogPiece {
    std::string bytes;       ///< from the offset asked for, cut at a character's border
    std::uint64_t next = 0;  ///< offset to ask for next
    bool more = false;       ///< the build still runs, or more is there already
};

struct AuditEntry {
    std::int64_t at_ms = 0;
    std::string who;
    std::string address;
    std::string action;
    std::string app;
    std::string detail;
};

}  // namespace baton::operations
