// SPDX-License-Identifier: MIT
// What one node does for one rollout: the stages of a build, as plain blocking functions that a worker thread calls.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/build/junit.h"
#include "agent/build/service_state.h"
#include "common/config/agent_config.h"
#include "common/config/pipeline_config.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::build {

/// One step as it ran, for the record.
struct StepRecord {
    wire::Stage stage = wire::Stage::prepare;
    std::string name;
    std::int64_t started_ms = 0;
    std::int64_t finished_ms = 0;
    std::string outcome;  ///< `ok`, or Result::describe()
};

/// What a build tells while it runs. Called on the worker thread; must not block for long.
class Listener {
  public:
    Listener() = default;
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    virtual ~Listener() = default;
    virtual void stage_began(wire::Stage stage) = 0;
    virtual void waits_for(const std::string& what) = 0;  ///< empty: no longer waiting
    virtual void step_ended(const StepRecord& step) = 0;
    virtual void tests_read(const TestReport& report) = 0;
    /// The release directory exists; `current` does not yet point to it.
    virtual void release_made(const std::filesystem::path& release) = 0;
    /// A `once` step is about to run (to be stored before this returns) and has succeeded.
    virtual void once_started() = 0;
    virtual void once_done() = 0;
};

/// Everything that names a build. Paths are absolute.
struct BuildSpec {
    const config::AgentConfig* agent = nullptr;
    const config::App* app = nullptr;
    wire::Rollout rollout;
    unsigned number = 0;
    std::filesystem::path mirror;              ///< bare repository of the app
    std::filesystem::path workspace;           ///< of this build, made and removed by the stages
    std::filesystem::path cache;               ///< virtualenvs and the like, shared by the app's builds
    std::filesystem::path log_file;            ///< appended to
    std::filesystem::path artifacts;           ///< where kept files go
    std::string agent_url;                     ///< `http://web1:7070/`, ends in a slash: JENKINS_URL and BUILD_URL
    CommitId previous_commit;                  ///< of the build before; may be empty
    CommitId previous_good_commit;             ///< of the last that succeeded here; may be empty
    std::optional<unsigned> last_green_tests;  ///< number of tests in the last green run
    std::vector<std::string> secrets;          ///< masked in the log
    bool ahead = false;                        ///< not its turn yet
    /// How the node stands towards the load balancers: one object an app that outlives its builds. Needed by
    /// switch_over where the app's traffic method is readiness or haproxy_agent; else may be null.
    ServiceState* service = nullptr;
    /// Takes the objects of a commit over from peers into `mirror`, when the git host is away; false when no peer has
    /// it. May be empty.
    std::function<bool(const CommitId& commit)> fetch_from_peers;
};

/// What prepare() found and made, needed by the switch; stored by the caller so that a restarted agent has it.
struct Prepared {
    config::Pipeline pipeline;
    std::filesystem::path release;  ///< `deploy_to/releases/…`, complete but not current; empty for a CI job
    std::optional<TestReport> tests;
};

/// What BATON_STEP_OWNER holds in the environment of every step of this agent: for process::end_leftovers.
[[nodiscard]] std::string step_owner(const config::AgentConfig& agent);

/// fetch, prepare, test. Error(step_failed) when the commit is at fault, another kind when the node or git is;
/// Error(cancelled) after `stop`. Nothing that users see is touched.
[[nodiscard]] Prepared prepare(const BuildSpec& spec, Listener& listener, const std::stop_token& stop);

/// What one switch cost users, as far as this node can tell. Times in milliseconds.
struct SwitchCost {
    enum class Kind {
        measured,  ///< the app was asked all along
        assumed,   ///< it has no health check: dark for as long as its stop and restart steps took
        unknown,   ///< cut off, not watched throughout, or not over: the figures are a lower bound
    };
    Kind kind = Kind::unknown;
    std::int64_t dark_ms = 0;     ///< the app did not answer
    std::int64_t exposed_ms = 0;  ///< of that, while the load balancer could send requests
    std::int64_t out_ms = 0;      ///< from the load balancer's letting go until it had the node back
    std::int64_t drain_ms = 0;    ///< until it had let go and no request was in flight
    std::int64_t restart_ms = 0;  ///< from the stop until the first healthy answer of what stayed
    std::int64_t rejoin_ms = 0;   ///< from asking for requests until the load balancer had the node back
    std::uint64_t cut = 0;        ///< requests in flight at the stop
};

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
