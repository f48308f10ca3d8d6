// SPDX-License-Identifier: MIT
// The chain protocol of one app on one node, sans I/O: what comes in are messages, ticks and the results of work;
// what comes out is what to store, whom to tell and what to do. Clock, network, disk and chance are given to it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "agent/chain/durable.h"
#include "agent/chain/message.h"
#include "agent/chain/settings.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::chain {

/// --- what the machine asks its driver to do, in order, once the durable state has been stored ---

/// Deliver at least once in spirit, lose at will in practice: the machine repeats what matters.
struct Send {
    NodeName to;
    Message message;
};
/// Fetch, prepare and test this rollout here; answer with build_ready or build_failed. `ahead`: its turn has not come.
/// It may come again for a target that is being built (then with ahead = false: its turn has come now), and for one
/// that was built before a restart or a cancel: answer at once with what is there.
struct StartBuild {
    wire::Rollout rollout;
    bool ahead = false;
    bool again = false;  ///< it failed here, and only here: build it anew instead of telling that once more
};
/// Stop a build, under way or ready, that has not been given to Switch; no answer is expected, a late one is ignored.
struct CancelBuild {
    wire::Target target;
    wire::BuildState as = wire::BuildState::superseded;
    std::string reason;
};
/// The permit is here: drain, migrate, switch, verify, rejoin; answer with switched(). On a failure the driver puts
/// the previous release back and proves it before it answers.
struct Switch {
    Ticket ticket;
    wire::Rollout rollout;
    unsigned lane = 0;
    bool run_once = false;  ///< this node runs the `once` steps of migrate
    bool redo = false;      ///< an earlier try was cut off by the agent's death: begin from an unknown state
};
/// Put the previous release back and prove it, without trying the new one (again); answer with switched().
struct Restore {
    Ticket ticket;
    wire::Rollout rollout;
    std::string reason;
};
/// This node serves the new release. Bring it on to the neighbours that have no agent, one after the other, in the lane
/// that the node holds; answer with neighbours_done(). Comes again after a restart: what was begun is followed, not
/// begun twice.
struct Neighbours {
    Ticket ticket;
    wire::Rollout rollout;
};
/// The node's app is down though nothing was under way (machine rebooted, database lost): bring up whatever release is
/// current, if there is one, and tell health() when it answers.
struct BringUp {};
/// Something that a person should be able to read in the log.
struct Note {
    enum class Level { info, warning, error };
    Level level = Level::info;
    std::string text;
};
using Action = std::variant<Send, StartBuild, CancelBuild, Switch, Restore, Neighbours, BringUp, Note>;

/// The outcome of one input. If `store` is set, Machine::durable() has to be on disk before any action is carried out.
struct [[nodiscard]] Effects {
    bool store = false;
    std::vector<Action> actions;
};

/// Whence a message came.
struct Origin {
    std::string address;   ///< for people; empty: not known
    bool answers = false;  ///< it was the answer of whoever listens at the sender's address in the configuration
};

/// How a switch ended.
enum class SwitchEnd {
    in_service,  ///< the new release is current, healthy, and the load balancer has the node back
    restored,    ///< failed; the previous release is current, healthy and back
    untouched,   ///< given up before anything changed (drain_timeout, a cancelled wait): in service as before
    failed,      ///< the same, and there is no sense in trying again: a migration failed
    stuck,       ///< failed, and the previous release could not be proved: the node is out
};

/// How bringing a rollout on to the neighbours ended.
struct NeighboursEnd {
    enum class Outcome {
        done,      ///< each has it, or was passed over
        failed,    ///< one said no: the rollout has failed; this node keeps the release
        given_up,  ///< not gone through with, since something newer came or the rollout was halted
    };
    Outcome outcome = Outcome::done;
    std::string reason;              ///< failed: which one, and why
    std::set<NodeName> passed_over;  ///< out of reach: they are owed the rollout
};

/// Whether neighbours may be brought to a rollout.
enum class GoesOn {
    yes,
    no,       ///< something newer has come, or it has failed
    unclear,  ///< this agent was restarted: no majority has said yet that it still stands
};

/// What a person or program may order; `who` is recorded. Each is known fleet-wide, and survives restarts.
struct Halt {
    wire::Target target;
    std::string reason;
};
struct Retry {
    wire::Target target;
    std::string reason{};
};  ///< a halted or failed rollout once more, attempt + 1
struct Promote {
    wire::Target target;
    std::string reason{};
};  ///< end the bake time now
struct Freeze {
    std::string reason;
    std::int64_t until_ms = 0;
};  ///< 0: until unfreeze
struct Unfreeze {};
struct Forget {
    NodeName node;
    std::string reason{};
};  ///< the machine is gone: drop its grants, bar its incarnation
struct Accept {
    NodeName node;
    std::string reason{};
};  ///< a re-installed agent may grant and deploy
struct Force {
    wire::Target target;
};  ///< go out of service without a majority, once
using Order = std::variant<Halt, Retry, Promote, Freeze, Unfreeze, Forget, Accept, Force>;

/// Whether an order is known to a majority yet; see Machine::order_known.
using OrderId = std::uint64_t;

/// What `status` shows.
struct PeerView {
    NodeName node;
    std::int64_t silent_ms = -1;  ///< since its last message; -1: never heard
    std::string config_hash;      ///< empty: not heard
    bool serving = false;         ///< as it said last: its app answers, and nothing keeps the node out
    std::optional<OrderNote> drained{};
    std::optional<OrderNote> forgotten{};  ///< its machine is gone, as a person said; `who` may be empty: not known
};
struct HaltedView {
    wire::Rollout rollout;
    std::string because;  ///< for people: who or where, and why
    std::int64_t since_ms = 0;
};
struct Holder {
    unsigned lane = 0;
    NodeName node;
    wire::Target target;
};
struct View {
    Phase phase = Phase::idle;
    std::optional<unsigned> lane;
    std::optional<wire::Rollout> wanted;  ///< what this node is bringing itself to
    std::optional<wire::Rollout> newest;  ///< newest rollout heard of
    std::optional<wire::Rollout>
        proven;  ///< newest that has succeeded somewhere and did not fail: what to catch up with
    std::optional<wire::Rollout> leading;  ///< what everybody should go for now, unless it has ended
    std::vector<wire::Rollout> queued;     ///< on_new_commit: queue: what follows it, in that order
    std::optional<wire::Rollout> current;  ///< what this node runs
    bool newest_halted = false;
    std::string halted_because;       ///< the newest
    std::map<wire::RolloutKey, OrderNote> promoted;
    std::vector<HaltedView> halted;   ///< every halted one that may still matter
    std::string waits_for;        ///< for people: "permit: 1 of 2 granted; web2 is out of service with 01J…"
    std::string waits_kind;       ///< changes with what is waited for, not with how it is said
    Milliseconds waiting{0};      ///< for how long
    bool turn_to_come = false;    ///< it waits for its turn in the rollout, and for nothing else
    bool baking = false;          ///< in service on the new release, and watched
    std::vector<Holder> holders;  ///< as this node granted
    std::vector<PeerView> peers;
    std::optional<FreezeNote> frozen;
    std::optional<OrderNote> drained;  ///< a person has taken this node out
    bool may_grant = true;  ///< false: a fresh database that nobody accepted yet
    bool disowned = false;  ///< the peers take another database for this node's
    bool doubled = false;   ///< another agent that is alive says that it is this node

    /// The rollout that `status` is about and that orders mean: the newest, or the one that others are queued behind.
    [[nodiscard]] const std::optional<wire::Rollout>& shown() const { return queued.empty() ? newest : leading; }
};

class Core;

/// One thread at a time. If the durable state could not be stored, the machine is ahead of the disk: throw it away and
/// make a new one from what is stored. Never blocks, never throws but for a broken precondition (std::logic_error).
class Machine {
  public:
    /// `durable` is as stored (or fresh_durable()); `seed` feeds the back-off. `rules` is for the simulation alone.
    Machine(Settings settings, Durable durable, std::uint64_t seed, Rules rules = {});
    Machine(Machine&&) noexcept;
    Machine& operator=(Machine&&) noexcept;
    ~Machine();

    /// First input after construction. `app_up`: the app answers its health check now.
    Effects start(Instant now, bool app_up);
    Effects receive(Instant now, const NodeName& from, const Message& message, const Origin& origin = {});
    /// To be called at next_tick() or later.
    Effects tick(Instant now);
    [[nodiscard]] Instant next_tick() const;

    /// A rollout that begins here (poll, webhook, trigger, roll-back). Its key must come from next_key().
    Effects offer(Instant now, const wire::Rollout& rollout);
    /// A key newer than everything this node has heard of.
    [[nodiscard]] wire::RolloutKey next_key(RolloutId id) const;

    /// `deploys`: the pipeline has a switch; without one the rollout ends here, well.
    Effects build_ready(Instant now, const wire::Target& target, bool deploys, bool has_once_steps);
    Effects build_failed(Instant now, const wire::Target& target, const std::string& reason);
    /// A `once` step is about to run / has succeeded; to be stored before it runs / before going on.
    Effects once_started(Instant now, const Ticket& ticket);
    Effects once_done(Instant now, const Ticket& ticket);
    Effects switched(Instant now, const Ticket& ticket, SwitchEnd end, const std::string& reason);
    Effects neighbours_done(Instant now, const Ticket& ticket, const NeighboursEnd& end);
    /// May one more neighbour be brought to this rollout: is it still what everybody should go for?
    [[nodiscard]] GoesOn goes_on(const wire::Target& target) const;
    /// May one more node that is out of reach be passed over in this rollout?
    /// `besides`: who was passed over in this very turn.
    [[nodiscard]] bool may_pass_over(const wire::Target& target, const NodeName& node,
                                     const std::set<NodeName>& besides) const;
    /// What neighbours are owed that were passed over, while all that it waits for is their answer. It changes with any
    /// input: as long as there is something, they are to be looked at, and neighbours_answer() tells of one that does.
    [[nodiscard]] std::optional<wire::Rollout> debt() const;
    Effects neighbours_answer(Instant now, const wire::Target& target);
    /// The app's own health as the driver sees it between switches: bake time, min_healthy.
    Effects health(Instant now, bool app_up);
    /// The node does not serve, whatever its app answers: a person has drained it (`drained` says who), or it catches
    /// up first.
    Effects held_out(Instant now, bool held_out, const std::optional<OrderNote>& drained = {});

    /// Carries out or spreads an order; throws Error(conflict/invalid) when it makes no sense here.
    Effects order(Instant now, const Order& order, const std::string& who, OrderId& id);
    /// True once a majority has stored it.
    [[nodiscard]] bool order_known(OrderId id) const;

    [[nodiscard]] const Durable& durable() const;
    [[nodiscard]] View view(Instant now) const;

  private:
    std::unique_ptr<Core> core_;
};

}  // namespace baton::chain
