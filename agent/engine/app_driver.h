// SPDX-License-Identifier: MIT
// One app on this node: feeds its protocol machine, stores what that must not forget, and carries out what it says.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/chain/machine.h"
#include "agent/engine/outbox.h"
#include "agent/engine/peer_reader.h"
#include "agent/engine/progress.h"
#include "agent/engine/rotation.h"
#include "agent/engine/runner.h"
#include "agent/engine/steward.h"
#include "agent/engine/waiting.h"
#include "agent/store/store.h"

namespace baton::engine {

/// An app as the outside sees it, taken in one moment.
struct Snapshot {
    chain::View view;
    bool in_service = true;  ///< what GET /health/APP answers
    bool app_up = true;
    bool newest_ended = false;  ///< every node that can be reached runs the newest rollout
    bool listening = false;     ///< just started: its peers may know of a newer rollout
};

struct DriverContext {
    const config::AgentConfig& config;
    const config::App& app;
    store::Store& store;
    const Clock& clock;
    Outbox& outbox;
    PeerReader& reader;
    Slots& slots;
    build::ServiceState& service;
    std::function<void(std::function<void()>)> post;                  ///< onto the engine's thread
    std::function<void(const std::function<void()>&)> post_and_wait;  ///< the same, returns when done
    const ParameterSeal& seal;
    bool fresh_start = true;  ///< the machine booted, or the state is new
};

/// Every function but the RunnerEvents: the engine's thread only.
class AppDriver final : private RunnerEvents {
  public:
    explicit AppDriver(DriverContext context);

    void start(bool app_up);
    void tick();
    [[nodiscard]] Instant next_tick() const;
    /// Messages from one peer; those for the same peer that they cause are the answer.
    std::vector<chain::Message> receive(const NodeName& from, const std::string& address,
                                        const std::vector<chain::Message>& messages);
    /// What every node shows of every node.
    [[nodiscard]] Progress& progress() { return progress_; }
    void offer(const wire::Rollout& rollout);
    [[nodiscard]] wire::RolloutKey next_key(const RolloutId& id) const { return machine_.next_key(id); }
    chain::OrderId order(const chain::Order& order, const std::string& who);
    [[nodiscard]] bool order_known(chain::OrderId id) const { return machine_.order_known(id); }
    bool cancel(const wire::Target& target, const std::string& reason);
    void health(bool app_up);
    /// Nothing: a person puts the node back.
    void set_drained(const std::optional<chain::OrderNote>& drained);
    [[nodiscard]] Snapshot snapshot() const;
    /// Why a commit must not be deployed but by name, as the fleet knows it; empty when it may.
    [[nodiscard]] std::string why_bad(const CommitId& commit) const;
    /// What this node runs; empty when nothing.
    [[nodiscard]] CommitId current_commit() const;
    [[nodiscard]] Runner& runner() { return runner_; }
    /// A switch or a restoration is under way: its own stages judge the app. Not so while the new release bakes, while
    /// neighbours are brought on, nor on a node that could not be put back and waits for its app to answer again.
    [[nodiscard]] bool switching() const;
    /// Any thread. Ends the threads that work for the app; what they had begun is taken up at the next start.
    void stop_work();

  private:
    void build_changed(const store::BuildRecord& record) override;
    void build_ready(const wire::Target& target, bool deploys, bool has_once_steps) override;
    void build_failed(const wire::Target& target, const std::string& reason) override;
    void once_started(const chain::Ticket& ticket) override;
    void once_done(const chain::Ticket& ticket) override;
    void switched(const chain::Ticket& ticket, const wire::Rollout& rollout, chain::SwitchEnd end,
                  const std::string& reason) override;

    /// What a peer answered, given to `take` on the engine's thread; nothing when it did not answer, or nothing that is
    /// understood.
    void hear(const NodeName& from, const PeerAnswer& answer, std::function<void(const PeerExchange&)> take);
    void apply(chain::Effects effects);
    bool store_state();
    void flush();
    void carry_out(const chain::Send& send);
    void carry_out(const chain::StartBuild& start);
    void carry_out(const chain::CancelBuild& cancel);
    void carry_out(const chain::Switch& action);
    void carry_out(const chain::Restore& restore);
    void carry_out(const chain::Neighbours& action);
    void carry_out(const chain::BringUp&);
    void carry_out(const chain::Note& note);
    void note_waiting();
    /// As the machine has it, and of the neighbours what the steward knows.
    [[nodiscard]] chain::View view() const;
    /// Ends the records of builds that nobody works on or wants any more: what a crash or a late cancel left behind.
    void settle_records();
    [[nodiscard]] bool listening() const;
    [[nodiscard]] bool bringing_on() const;
    [[nodiscard]] StewardEvents steward_events();
    void judge_service();
    /// Tells the protocol whether the node is kept from serving, besides its switches.
    void note_held_out();
    [[nodiscard]] bool out_of_service() const;
    [[nodiscard]] bool behind() const;
    [[nodiscard]] Instant now() const { return context_.clock.now(); }

    DriverContext context_;
    chain::Machine machine_;
    Progress progress_;
    Waiting waiting_;
    std::deque<chain::Action> pending_;  ///< not carried out yet: the durable state could not be stored
    bool unstored_ = false;
    Instant next_store_{};
    std::optional<NodeName> answering_;  ///< a peer whose messages are being received
    std::vector<chain::Message> answer_;
    std::string waits_for_;         ///< as last noted in the build's record
    bool app_up_ = true;
    bool held_out_ = false;  ///< as the protocol was told last; so is the next
    std::optional<chain::OrderNote> drained_;
    bool begun_ = false;     ///< start() was called
    Instant next_settle_{};
    Instant started_{};
    std::string neighbour_waits_;  ///< which neighbour is at work, and what it waits for
    std::string silent_;           ///< which neighbours do not answer that are owed something
    Steward steward_;              ///< this and the next late: their threads call the functions above
    Runner runner_;
    Rotation rotation_;
};

}  // namespace baton::engine
