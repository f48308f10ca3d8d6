// SPDX-License-Identifier: MIT
// The hands of one app: a thread that runs its builds, one after the other, and keeps their records.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <semaphore>
#include <stop_token>
#include <string>
#include <thread>
#include <variant>

#include "agent/build/build.h"
#include "agent/chain/machine.h"
#include "agent/engine/build_records.h"
#include "agent/engine/doorman.h"
#include "agent/engine/parameter_seal.h"
#include "agent/engine/slots.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/agent_config.h"

namespace baton::engine {

/// Fetches objects of a commit from peers when the git host is away; false when no peer has it.
using PeerFetch = std::function<bool(const CommitId& commit)>;

struct RunnerContext {
    const config::AgentConfig& config;
    const config::App& app;
    store::Store& store;
    const Clock& clock;
    Slots& slots;  ///< how many builds of different apps may run side by side
    RunnerEvents& events;
    build::ServiceState& service;  ///< whether this node serves the app, as the load balancer is told
    PeerFetch fetch_from_peers;
    const ParameterSeal& seal;  ///< opens what the steps are to know
};

/// Public functions: any thread. A job that was accepted ends in exactly one event, unless it is cancelled.
class Runner {
  public:
    explicit Runner(RunnerContext context);
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;
    ~Runner() = default;

    /// Fetch, prepare, test. A target that is ready already is told so at once, and so is one that has failed, unless
    /// it is to be tried `again`.
    void prepare(const wire::Rollout& rollout, bool ahead, bool again = false);
    void switch_over(const chain::Ticket& ticket, const wire::Rollout& rollout, const build::SwitchOptions& options);
    /// The app is down though nothing was under way: restarts the release that is current on disk, without a record.
    /// `current`: what the database knows of it; may be empty when that was lost.
    void bring_up(const wire::Rollout& current);
    /// A switch or a restoration runs now.
    [[nodiscard]] bool switching() const;
    /// This rollout is worked on now, or queued to be: its record is the runner's.
    [[nodiscard]] bool has(const wire::Target& target) const;
    /// The agent is about to end: nothing new is begun, and a switch that the next start can take up without harm is
    /// left as it stands.
    void leave();
    /// Ends the thread: at once in fetch, prepare, test; a switch that runs comes to its end first.
    void stop();
    /// Ends a build that is queued, in fetch, prepare or test, or that waits for its permit. False when it is
    /// switching.
    bool cancel(const wire::Target& target, wire::BuildState as, const std::string& reason);
    /// Is the release that is current on disk healthy now? Blocks for at most its health check's time-out. True when
    /// nothing was ever deployed here or the app has no health check. Changes nothing; does not throw.
    [[nodiscard]] bool healthy_now(const CommitId& current, const std::stop_token& stop);
    [[nodiscard]] const AppPaths& paths() const { return paths_; }
    /// Who tells the load balancer that this node is kept out, or serves again, between switches.
    [[nodiscard]] Doorman& doorman() { return doorman_; }
    /// The records of the app's builds, for who knows how one ended without the runner.
    [[nodiscard]] BuildRecords& records() { return records_; }
    [[nodiscard]] build::BuildSpec spec_for(const store::BuildRecord& record, const wire::Rollout& rollout) const;

  private:
    struct PrepareJob {
        wire::Rollout rollout;
        bool ahead = false;
        bool again = false;
    };
    struct SwitchJob {
        chain::Ticket ticket;
        wire::Rollout rollout;
        build::SwitchOptions options;
    };
    struct BringUpJob {
        wire::Rollout current;
    };
    using Job = std::variant<PrepareJob, SwitchJob, BringUpJob>;

    /// The release that is current on disk, with its own pipeline.
    struct Live {
        std::filesystem::path release;
        CommitId commit;
        unsigned build = 0;
        config::Pipeline pipeline;
    };

    void work(const std::stop_token& stop);
    [[nodiscard]] static wire::Target target_of(const Job& job);
    void begin_cancellable(const wire::Target& target);  // under mutex_
    /// The outcome of an earlier build of the same target is told again, if it is known.
    bool answered_before(const wire::Rollout& rollout, bool again);
    [[nodiscard]] std::optional<Live> live() const;
    void clear_workspaces() const;
    [[nodiscard]] build::BuildSpec spec_of_current() const;
    void give_up(const Job& job, const std::string& reason);
    void run(const PrepareJob& job, const std::stop_token& stop);
    void run(const SwitchJob& job, const std::stop_token& stop);
    void run(const BringUpJob& job, const std::stop_token& stop);
    [[nodiscard]] config::Pipeline pipeline_at(const CommitId& commit) const;

    RunnerContext context_;
    AppPaths paths_;
    BuildRecords records_;
    Doorman doorman_;
    mutable std::mutex mutex_;
    std::condition_variable_any wake_;
    std::deque<Job> jobs_;
    bool switching_ = false;
    std::optional<wire::Target> busy_;     ///< of the job that runs now
    std::optional<wire::Target> running_;  ///< the build that fetches, prepares or tests now
    std::stop_source running_stop_;
    std::stop_source leaving_;
    wire::BuildState cancelled_as_ = wire::BuildState::cancelled;
    std::string cancelled_because_;
    std::jthread thread_;  ///< last: the first to end
};

}  // namespace baton::engine
