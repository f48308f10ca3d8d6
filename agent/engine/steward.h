// SPDX-License-Identifier: MIT
// Brings a rollout on to the neighbours that have no agent: nodes of the chain that are still a Jenkins.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
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
    std::function<bool(const wire::Target&)> goes_on;  ///< is the rollout still what everybody should go for?
    std::function<bool(const wire::Target&, std::size_t already)> may_pass_over;
    std::function<void(const wire::NodeProgress&)> progress;
    std::function<void(const chain::Ticket&, const chain::NeighboursEnd&)> done;
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
class Steward {
  public:
    explicit Steward(StewardContext context);
    Steward(const Steward&) = delete;
    Steward& operator=(const Steward&) = delete;
    ~Steward() = default;

    /// Any thread. The end comes as events.done, unless the agent ends before.
    void bring_on(const chain::Ticket& ticket, const wire::Rollout& rollout);
    /// Any thread; ends within the deadline of one request. What was begun is taken up at the next start.
    void stop();

  private:
    struct Job {
        chain::Ticket ticket;
        wire::Rollout rollout;
    };
    void work(const std::stop_token& stop);
    void run(const Job& job, const std::stop_token& stop);
    void bring_on_all(const Job& job, chain::NeighboursEnd& end, const std::stop_token& stop);

    StewardContext context_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::optional<Job> job_;
    std::jthread thread_;  ///< last: the first to end
};

}  // namespace baton::engine
