// SPDX-License-Identifier: MIT
// The records of an app's builds: what the runner writes while it works, and what is known when it does not.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "agent/build/build.h"
#include "agent/chain/machine.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/agent_config.h"

namespace baton::engine {

/// What a runner tells. Called on the runner's thread; each call may block until the matter is on disk.
class RunnerEvents {
  public:
    RunnerEvents() = default;
    RunnerEvents(const RunnerEvents&) = delete;
    RunnerEvents& operator=(const RunnerEvents&) = delete;
    virtual ~RunnerEvents() = default;
    /// The record of a build changed: its stage, state, or what it waits for.
    virtual void build_changed(const store::BuildRecord& record) = 0;
    virtual void build_ready(const wire::Target& target, bool deploys, bool has_once_steps) = 0;
    virtual void build_failed(const wire::Target& target, const std::string& reason) = 0;
    virtual void once_started(const chain::Ticket& ticket) = 0;
    virtual void once_done(const chain::Ticket& ticket) = 0;
    virtual void switched(const chain::Ticket& ticket, const wire::Rollout& rollout, chain::SwitchEnd end,
                          const std::string& reason) = 0;
};

/// Where an app's things lie below the state directory.
struct AppPaths {
    AppPaths(const std::filesystem::path& state_dir, const AppName& app);
    [[nodiscard]] std::filesystem::path log(unsigned build) const;
    [[nodiscard]] std::filesystem::path artifacts_of(unsigned build) const;
    std::filesystem::path mirror;
    std::filesystem::path workspaces;
    std::filesystem::path cache;
    std::filesystem::path logs;
    std::filesystem::path artifacts;
};

/// Any thread; a record that is open belongs to the runner's thread, but for one that waits for its permit.
class BuildRecords {
  public:
    BuildRecords(const config::AgentConfig& config, const config::App& app, store::Store& store, const Clock& clock,
                 RunnerEvents& events, const AppPaths& paths)
        : config_(config), app_(app), store_(store), clock_(clock), events_(events), paths_(paths) {}

    /// The record of a target's build that has no end yet.
    [[nodiscard]] std::optional<store::BuildRecord> open(const wire::Target& target) const;
    /// A new one, with its number and the head of its log.
    store::BuildRecord begin(const wire::Rollout& rollout, bool ahead);
    /// That of a switch which is gone through once more; a new one where it is lost.
    store::BuildRecord reopen(const wire::Rollout& rollout);
    /// Writes how it ended, and clears away what is too old. Never fails: the protocol knows the end, stored or not.
    void end(store::BuildRecord& record, wire::BuildState state, const std::string& message);
    /// Keeps what a switch cost. Never fails.
    void note_cost(const store::BuildRecord& record, const build::SwitchCost& cost);
    /// Ends the record of a build whose turn is over (a permit that is waited for; a handoff that was made).
    void finish(const wire::Target& target, wire::BuildState as, const std::string& message);
    /// What a build in the stage permit waits for.
    void note_stage(const wire::Target& target, wire::Stage stage, const std::string& waits_for);

  private:
    void prune();

    const config::AgentConfig& config_;
    const config::App& app_;
    store::Store& store_;
    const Clock& clock_;
    RunnerEvents& events_;
    const AppPaths& paths_;
};

}  // namespace baton::engine
