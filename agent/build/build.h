// SPDX-License-Identifier: MIT
// What one node does for one rollout: the stages of a build, as plain blocking functions that a worker thread calls.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/build/cost/switch_cost.h"
#include "agent/build/reports/junit.h"
#include "agent/build/steps/build_spec.h"
#include "common/config/pipeline_config.h"

namespace baton::build {

/// What prepare() found and made, needed by the switch; stored by the caller so that a restarted agent has it.
struct Prepared {
    config::Pipeline pipeline;
    std::filesystem::path release;  ///< `deploy_to/releases/…`, complete but not current; empty for a CI job
    std::optional<TestReport> tests;
};

/// fetch, prepare, test. Error(step_failed) when the commit is at fault, another kind when the node or git is;
/// Error(cancelled) after `stop`. Nothing that users see is touched.
[[nodiscard]] Prepared prepare(const BuildSpec& spec, Listener& listener, const std::stop_token& stop);

/// How switch_over left the node.
enum class SwitchOutcome {
    in_service,
    restored,
    untouched,  ///< it could not begin, and may be tried again; the node serves as before
    failed,     ///< a migration failed before anything was switched; the node serves as before
    stuck,
    left,  ///< in the middle of verify, since the agent is ending: its next start takes it up (SwitchOptions::leave)
};
struct SwitchResult {
    SwitchOutcome outcome = SwitchOutcome::untouched;
    std::string reason;                             ///< empty when in_service
    std::optional<SwitchCost> cost = std::nullopt;  ///< none where the pipeline has no switch
};
struct SwitchOptions {
    bool run_once = false;      ///< run the `once` steps of migrate
    bool redo = false;          ///< an earlier try was cut off; begin from an unknown state
    bool restore_only = false;  ///< do not try the new release (again): put the previous one back
    std::string reason;         ///< restore_only: why, for the log
    /// The agent is ending. Where the health check names the release, so that the next start can tell whether it is
    /// the one that runs, verify is left at once: the agent may be the very app that is to be restarted.
    std::stop_token leave = {};
};
/// drain, migrate, switch, verify, rejoin; undoes itself on failure. `stop` is obeyed before `switch` begins only:
/// what has begun is finished or undone. Does not throw but for std::bad_alloc and what `listener` throws.
[[nodiscard]] SwitchResult switch_over(const BuildSpec& spec, const config::Pipeline& pipeline,
                                       const std::filesystem::path& release, const SwitchOptions& options,
                                       Listener& listener, const std::stop_token& stop);

/// One health check of what is current: true when the app answers as the pipeline expects.
[[nodiscard]] bool healthy_now(const BuildSpec& spec, const config::Pipeline& pipeline, const std::stop_token& stop);

}  // namespace baton::build
