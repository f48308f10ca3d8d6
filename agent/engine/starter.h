// SPDX-License-Identifier: MIT
// From "somebody asked" to a rollout: takes due items off the queue, asks git what they mean, and applies the rules
// about what may be deployed.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include "agent/engine/engine.h"
#include "agent/engine/parameter_seal.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/agent_config.h"

namespace baton::engine {

/// Two threads: one for the queue, one for polls, so that a git host that hangs delays no trigger of another kind.
class Starter {
  public:
    Starter(const config::AgentConfig& config, store::Store& store, const Clock& clock, Engine& engine,
            const ParameterSeal& seal);
    Starter(const Starter&) = delete;
    Starter& operator=(const Starter&) = delete;
    ~Starter() = default;

    void start();
    void stop();
    /// Something was queued. Any thread.
    void wake();

  private:
    void work(const std::stop_token& stop);
    /// What a freeze held is looked at once it has ended.
    void queue_thawed();
    /// Git is to be looked at.
    void queue_look(const config::App& app, const std::string& cause);
    void hold(const store::QueueItem& item);
    void poll(const std::stop_token& stop);
    void take(const store::QueueItem& item, const std::stop_token& stop);
    [[nodiscard]] store::QueueOutcome decide(const config::App& app, const store::QueueItem& item,
                                             const std::stop_token& stop);
    [[nodiscard]] bool first_alive(const AppName& app);
    void poll_app(const config::App& app, const std::stop_token& stop);
    void maintain_mirrors(const std::stop_token& stop);
    /// Sleeps until `until`, a wake-up or the stop.
    void nap(const std::stop_token& stop, Milliseconds longest);

    const config::AgentConfig& config_;
    store::Store& store_;
    const Clock& clock_;
    Engine& engine_;
    const ParameterSeal& seal_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    bool woken_ = false;                    // under mutex_
    std::map<AppName, Instant> next_poll_;  // the poller's own
    Instant started_;
    Instant next_maintenance_;                   // the poller's own; first a while after the start
    std::map<std::uint64_t, Instant> next_try_;  // the queue thread's own: items whose git host was away
    std::jthread thread_;
    std::jthread poll_thread_;
};

}  // namespace baton::engine
