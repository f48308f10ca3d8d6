// SPDX-License-Identifier: MIT
// Brings a rollout on to the neighbours that have no agent: nodes of the chain that are still a Jenkins.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "agent/chain/machine.h"
#include "agent/engine/neighbour.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/net/jenkins_job.h"

namespace baton::engine {

/// What the steward asks and tells, on its own thread; each waits for the engine's thread.
struct StewardEvents {
    std::function<chain::GoesOn(const wire::Target&)> goes_on;  ///< is it still what everybody should go for?
    std::function<bool(const wire::Target&, const NodeName&, const std::set<NodeName>& besides)> may_pass_over;
    std::function<void(const wire::NodeProgress&)> progress;
    std::function<void(const chain::Ticket&, const chain::NeighboursEnd&)> done;
    std::function<void(const wire::Target&)> answer;    ///< one that is owed this answers
    std::function<void(const std::string&)> no_answer;  ///< which do not, and why: for people
};

struct StewardContext {
    const config::AgentConfig& config;
    const config::App& app;
    store::Store& store;
    const Clock& clock;
    const ParameterSeal& seal;
    StewardEvents events;
};

/// One thread, which triggers and follows: one neighbour after the other, in the lane that this node holds. What it
/// must not forget is stored before it goes on, so that an agent that was killed follows instead of triggering twice.
/// When there is nothing to bring on, it looks now and then whether those that are owed something answer.
class Steward {
  public:
    explicit Steward(StewardContext context);
    Steward(const Steward&) = delete;
    Steward& operator=(const Steward&) = delete;
    ~Steward() = default;

    /// Any thread. The end comes as events.done, unless the agent ends before.
    void bring_on(const chain::Ticket& ticket, const wire::Rollout& rollout);
    /// Any thread. What neighbours are owed that were passed over; none: nothing. events.answer comes when one answers,
    /// and again later if this is still so then.
    void owe(const std::optional<wire::Rollout>& rollout);
    /// Any thread; ends within the deadline of one request. What was begun is taken up at the next start.
    void stop();

  private:
    struct Job {
        chain::Ticket ticket;
        wire::Rollout rollout;
    };
    void work(const std::stop_token& stop);
    /// What to do next: one of the two is set, or neither when it is time to end.
    void await(std::optional<Job>& job, std::optional<wire::Rollout>& owed, const std::stop_token& stop);
    void look_at_owed(const wire::Rollout& rollout, const std::stop_token& stop);
    void run(const Job& job, const std::stop_token& stop);
    void bring_on_all(const Job& job, chain::NeighboursEnd& end, const std::stop_token& stop);

    StewardContext context_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::optional<Job> job_;
    std::optional<wire::Rollout> owed_;
    wire::Target looked_for_;    ///< what the pace of looking belongs to
    Milliseconds look_after_{};  ///< the wait before the next look …
    Instant next_look_{};        ///< … which is then
    std::jthread thread_;        ///< last: the first to end
};

}  // namespace baton::engine
