// SPDX-License-Identifier: MIT
// The agent's own thread: every app's protocol machine lives on it, and what is to be done is given away from it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/chain/machine.h"
#include "agent/engine/app_driver.h"
#include "agent/engine/outbox.h"
#include "agent/engine/peer_reader.h"
#include "agent/engine/peer_wire.h"
#include "agent/engine/service_states.h"
#include "agent/engine/slots.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/error.h"

namespace baton::engine {

/// Any thread may call any public function; each waits for the engine's thread, at most call_deadline, and gives
/// Error(busy) after it. Error(not_found) for an app that is not configured.
class Engine {
  public:
    /// `fresh_start`: this machine has booted, or the state directory is new: the apps here were not serving.
    Engine(const config::AgentConfig& config, store::Store& store, const Clock& clock, Outbox& outbox,
           ServiceStates& services, const ParameterSeal& seal, bool fresh_start);
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    ~Engine();

    /// Begins work: finds out what was under way when the agent last ended, and takes it up.
    void start();
    /// Ends the threads. A switch that runs is given `grace` to come to its end.
    void stop(Milliseconds grace);

    /// What a peer's request says; see parse_exchange().
    [[nodiscard]] PeerExchange read(const NodeName& from, std::string_view body) { return reader_.read(from, body); }
    /// Everything that a peer's request says, stored before this returns; the answer goes back to it. `address`: whence.
    PeerExchange exchange(const AppName& app, const NodeName& from, const std::string& address,
                          const PeerExchange& said);
    /// A rollout that begins here. Its key is made of `id` in the same moment, so that it is the newest heard of.
    wire::RolloutKey offer(const wire::Rollout& rollout, const RolloutId& id);
    /// Why a commit must not be deployed but by name, as the fleet knows it; empty when it may.
    [[nodiscard]] std::string why_bad(const AppName& app, const CommitId& commit);
    /// What a person means by an id's beginning, a branch or a tag, as this node's mirror has it. Any thread.
    [[nodiscard]] std::optional<CommitId> find_commit(const AppName& app, std::string_view text) const;
    /// Gives an order and waits until a majority has it, at most `within`. False: it is stored here, and being spread.
    bool order(const AppName& app, const chain::Order& order, const std::string& who, Milliseconds within);
    bool cancel_build(const AppName& app, const wire::Target& target, const std::string& reason);
    /// A person takes this node out for an app, or back. Survives restarts.
    void set_drained(const AppName& app, const std::optional<chain::OrderNote>& drained);
    [[nodiscard]] Snapshot snapshot(const AppName& app);
    /// A pack with `want` and what it needs beyond `have`, for a peer; Error(not_found) when it is not here.
    [[nodiscard]] std::string pack(const AppName& app, const CommitId& want, const std::vector<CommitId>& have) const;
    [[nodiscard]] AppPaths paths(const AppName& app) const;

    /// Runs `work` on the engine's thread soon.
    void post(std::function<void()> work);
    /// Runs `work` on the engine's thread and waits for it.
    template <class Work>
    auto call(Work work) -> decltype(work()) {
        auto task = std::make_shared<std::packaged_task<decltype(work())()>>(std::move(work));
        auto result = task->get_future();
        post([task] { (*task)(); });
        if (result.wait_for(call_deadline) != std::future_status::ready) {
            throw Error(ErrorKind::busy, "the agent is busy; nothing was changed that was not answered; try again");
        }
        try {
            return result.get();
        } catch (const std::future_error&) {
            throw Error(ErrorKind::busy, "the agent is ending");
        }
    }

    static constexpr std::chrono::seconds call_deadline{10};

  private:
    void loop(const std::stop_token& stop);
    [[nodiscard]] AppDriver& driver(const AppName& app) const;
    /// A watcher's life: the app's first look, with which it begins, and then one after the other.
    void watch(const AppName& app, AppDriver& driver, const std::stop_token& stop);
    [[nodiscard]] bool begin(const AppName& app, AppDriver& driver, const std::stop_token& stop);
    void look(const AppName& app, AppDriver& driver, const std::stop_token& stop);

    const config::AgentConfig& config_;
    store::Store& store_;
    const Clock& clock_;
    Slots slots_;
    PeerReader reader_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::deque<std::function<void()>> inbox_;  // under mutex_
    bool ended_ = false;                       // under mutex_: the thread has ended, nobody would answer
    std::map<AppName, std::unique_ptr<AppDriver>> drivers_;
    std::jthread thread_;
    /// One an app, since a look lasts as long as the app's health check likes: one that hangs must neither keep the
    /// others from beginning nor hide that they are down.
    std::vector<std::jthread> watchers_;
};

}  // namespace baton::engine
