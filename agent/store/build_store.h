// SPDX-License-Identifier: MIT
// What this node built: one row a build, numbered from 1 an app.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/store/database.h"
#include "common/wire/rollout.h"

namespace baton::store {

/// Totals of the suites that a build's test steps reported.
struct TestTotals {
    unsigned total = 0;
    unsigned failed = 0;  ///< failures and errors
    unsigned skipped = 0;
    std::int64_t duration_ms = 0;
    bool operator==(const TestTotals&) const = default;
};

struct BuildRecord {
    AppName app;
    unsigned number = 0;
    wire::RolloutKey rollout;
    unsigned attempt = 1;
    wire::RolloutKind kind = wire::RolloutKind::deploy;
    CommitId commit;
    CommitId previous_commit;  ///< current on this node when it started; empty if none
    wire::Stage stage = wire::Stage::queued;
    wire::BuildState state = wire::BuildState::running;
    std::int64_t started_ms = 0;   ///< wall time
    std::int64_t stage_ms = 0;     ///< wall time at which `stage` began
    std::int64_t finished_ms = 0;  ///< 0 while it runs
    std::string message;           ///< why it failed; what it waits for
    std::string release_path;
    std::string pipeline;             ///< JSON text: the pipeline as it was read for this build
    std::uint64_t queue_id = 0;       ///< 0 for one that no queue item asked for
    std::optional<TestTotals> tests;  ///< none: no report
    std::string failing_tests;        ///< JSON text, an array; empty if none
    std::string steps;                ///< JSON text, an array; empty if none
    std::string changes;              ///< JSON text: commits since previous_commit; empty if none
    std::vector<wire::Cause> causes;
    std::map<std::string, std::string> parameters;
};

/// Any thread.
class BuildStore {
  public:
    explicit BuildStore(Database& database) : database_(database) {}

    /// Enters a build that starts now and gives its number: the app's next, durable and never used again.
    unsigned insert(const BuildRecord& record);
    /// The number that the next insert() will give.
    [[nodiscard]] unsigned next_number(const AppName& app) const;
    /// Replaces the row of (app, number). Error(not_found) when there is none.
    void save(const BuildRecord& record);
    void update_stage(const AppName& app, unsigned number, wire::Stage stage, wire::BuildState state,
                      std::string_view message, std::int64_t now_ms);
    /// Ends it: stage done, with the state it ended in.
    void finish(const AppName& app, unsigned number, wire::BuildState state, std::string_view message,
                std::int64_t now_ms);

    [[nodiscard]] std::optional<BuildRecord> get(const AppName& app, unsigned number) const;
    /// Newest first.
    [[nodiscard]] std::vector<BuildRecord> list(const AppName& app, std::size_t limit) const;
    /// Newest first, numbers below `before` only: for pages.
    [[nodiscard]] std::vector<BuildRecord> list(const AppName& app, std::size_t limit, unsigned before) const;
    [[nodiscard]] std::optional<BuildRecord> newest(const AppName& app) const;
    /// The newest in one of these states.
    [[nodiscard]] std::optional<BuildRecord> newest(const AppName& app, std::span<const wire::BuildState> states) const;
    /// The newest build that this node ran for a rollout.
    [[nodiscard]] std::optional<BuildRecord> for_rollout(const AppName& app, const RolloutId& rollout) const;
    /// How many tests the newest succeeded build with a report ran; none if there is none.
    [[nodiscard]] std::optional<unsigned> last_green_test_count(const AppName& app) const;
    /// Builds without an end, of every app: what a restarted agent must take care of.
    [[nodiscard]] std::vector<BuildRecord> unfinished() const;
    /// Forgets all but the newest `keep` builds; one that runs and the newest that succeeded stay as well.
    /// Gives the numbers that went, so that their logs can go too.
    std::vector<unsigned> prune(const AppName& app, std::size_t keep);

  private:
    Database& database_;
};

}  // namespace baton::store
