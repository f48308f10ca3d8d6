// SPDX-License-Identifier: MIT
// The inside of Machine: the protocol's state and its parts, one source file a part. Nothing outside includes this.
//   core.cpp        inputs, effects, the decision after each input      knowledge.cpp  what messages teach, what they
//   carry permits.cpp     asking, granting, releasing, inquiring              course.cpp     which rollout, when to
//   build and ask switching.cpp   being out: switch, revalidate, restore, bake        handoff.cpp    the walk along the
//   chain orders.cpp      what a person orders                                sync.cpp       comparing with peers,
//   identities voices.cpp      several agents in one node's name              view.cpp        what is shown
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agent/chain/machine.h"

namespace baton::chain {

/// What was last heard of a peer. Volatile.
struct Peer {
    std::optional<Instant> heard;
    std::optional<Instant> barred_heard;  ///< a database of its that may never come back has spoken
    Status status;
    std::string config_hash;
    std::uint64_t incarnation = 0;
    bool synced = false;  ///< answered a sync of this run
    /// Who was heard lately in its name, but for databases that may never come back; the longest known first.
    struct Heard {
        Voice voice;
        Instant first{};
        Instant last{};
        bool serving = false;
    };
    std::vector<Heard> voices;
};

/// Another agent that says that it is this node, as the peers tell. Volatile.
struct Rival {
    Voice voice;
    std::string own_address;  ///< whence the peers hear this agent
    Instant heard{};
};

/// The one build of this app that is under way or ready.
struct Build {
    wire::Rollout rollout;
    bool ready = false;
    bool ahead = false;
    bool deploys = true;
    bool once_steps = false;
};

/// This node alone cannot build a rollout that has succeeded elsewhere. Volatile: a restart tries at once.
struct Trouble {
    wire::Target target;
    unsigned times = 0;
    std::string reason;
    Instant again{};  ///< when it is tried once more
};

/// Why the node does not ask for a permit now.
enum class Hold {
    none,     ///< nothing holds it
    nothing,  ///< it wants nothing
    away,     ///< wanted, but its turn has not come
    trouble,  ///< wanted, but this node failed to build it, and waits before it tries again
    building,
    frozen,
    bring_up,  ///< the app was down at the start and gets its time
    barred,    ///< peers do not take this database for the node's
    min_healthy,
    lanes_taken,
    back_off,
};

class Core {
  public:
    Core(Settings settings, Durable durable, std::uint64_t seed, Rules rules);

    Effects start(Instant now, bool app_up);
    Effects receive(Instant now, const NodeName& from, const Message& message, const Origin& origin);
    Effects tick(Instant now);
    [[nodiscard]] Instant next_tick() const;
    Effects offer(Instant now, const wire::Rollout& rollout);
    [[nodiscard]] wire::RolloutKey next_key(RolloutId id) const;
    Effects build_ready(Instant now, const wire::Target& target, bool deploys, bool has_once_steps);
    Effects build_failed(Instant now, const wire::Target& target, const std::string& reason);
    Effects once_started(Instant now, const Ticket& ticket);
    Effects once_done(Instant now, const Ticket& ticket);
    Effects switched(Instant now, const Ticket& ticket, SwitchEnd end, const std::string& reason);
    Effects neighbours_done(Instant now, const Ticket& ticket, const NeighboursEnd& end);
    [[nodiscard]] GoesOn goes_on(const wire::Target& target) const;
    [[nodiscard]] bool may_pass_over(const wire::Target& target, const NodeName& node,
                                     const std::set<NodeName>& besides) const;
    [[nodiscard]] std::optional<wire::Rollout> debt() const;
    Effects neighbours_answer(Instant now, const wire::Target& target);
    Effects health(Instant now, bool app_up);
    Effects held_out(Instant now, bool held_out, const std::optional<OrderNote>& drained);
    Effects order(Instant now, const Order& order, const std::string& who, OrderId& id);
    [[nodiscard]] bool order_known(OrderId id) const;
    [[nodiscard]] const Durable& durable() const { return d_; }
    [[nodiscard]] View view(Instant now) const;

  private:
    // --- core.cpp: effects ---
    void begin(Instant now);
    Effects finish();  ///< decides what follows, stamps the messages
    void decide();
    void changed() { dirty_ = true; }  ///< the durable state was written to
    void send(const NodeName& to, Body body);
    void send_to_voters(const Body& body);  ///< all but this node
    void tell_all();                        ///< a message, which carries the header, to each peer that gets none
    void note(Note::Level level, std::string text);
    [[nodiscard]] std::int64_t wall_ms() const;
    [[nodiscard]] Milliseconds random_between(Milliseconds least, Milliseconds most);

    // --- knowledge.cpp ---
    void merge_header(const NodeName& from, const Header& header);
    void merge_known(const Known& news);
    void merge_failure(const wire::RolloutKey& key, const Failure& failure);
    void merge_once(const wire::RolloutKey& key, const OnceState& state);
    void merge_freeze(const FreezeRegister& news);
    void mark_failed(const wire::Rollout& rollout, FailureKind kind, const std::string& who, const std::string& reason);
    void mark_bad(const CommitId& commit, const BadCommit& news);
    void drop_echoes();
    void set_proven(const wire::RolloutKey& key);
    [[nodiscard]] Header make_header() const;
    [[nodiscard]] Status make_status() const;
    [[nodiscard]] Whole make_whole() const;
    void prune();
    [[nodiscard]] bool is_failed(const wire::Target& target) const;
    [[nodiscard]] bool is_failed(const Known& known) const { return is_failed(known.rollout.target()); }
    [[nodiscard]] bool frozen() const;

    // --- sync.cpp ---
    void send_syncs(bool all);
    void receive_sync(const NodeName& from, const Sync& sync);
    void merge_whole(const NodeName& from, const Whole& whole);
    void adopt_claim(const Grant& claim);
    void learn_identity(const NodeName& node, const Identity& identity);
    void bar(std::uint64_t incarnation);
    /// Of a database that is gone: what it was installing counts as failed.
    void drop_grants(const std::function<bool(const Grant&)>& which, std::string_view what);
    [[nodiscard]] bool accepted(const NodeName& node, std::uint64_t incarnation);
    void establish();  ///< a fresh database may grant once everybody was heard
    [[nodiscard]] bool is_forgotten(const NodeName& node) const;
    [[nodiscard]] bool disowned() const;  ///< peers take another database for this node's
    [[nodiscard]] bool may_grant() const { return d_.may_grant || !rules_.wiped_wait; }

    // --- voices.cpp ---
    void hear_voice(const NodeName& from, const Header& header, const Origin& origin);
    void hear_of_voices(const NodeName& node, const std::vector<Voice>& voices);
    void watch_voices();
    /// Who was heard lately in a peer's name beside another one; empty when one agent alone speaks.
    [[nodiscard]] std::vector<const Peer::Heard*> speakers(const NodeName& node) const;
    [[nodiscard]] bool several_speak(const NodeName& node) const { return !speakers(node).empty(); }
    /// Another agent speaks in this node's name: neither deploys while that is so.
    [[nodiscard]] bool doubled() const { return rival_.has_value(); }
    [[nodiscard]] bool stands_aside() const;  ///< disowned or doubled: it takes no part in rollouts
    [[nodiscard]] std::map<NodeName, std::vector<Voice>> voices_to_tell() const;
    [[nodiscard]] std::string accept_one_of(const NodeName& node, const std::string& who);
    [[nodiscard]] std::string doubled_text() const;
    void pass_on();  ///< what this node may not bring on others do

    // --- permits.cpp ---
    void ask();
    void send_asks();
    [[nodiscard]] Ask own_ask() const;
    void receive_ask(const NodeName& from, const Header& header, const Ask& ask);
    void vote_for_oneself();
    /// None: granted and stored; else why not. An empty reason: the ask is over, no answer.
    [[nodiscard]] std::optional<Denied> consider(const NodeName& from, const std::string& config_hash, const Ask& ask);
    void receive_granted(const NodeName& from, const Granted& granted, bool known_database);
    void receive_denied(const NodeName& from, const Denied& denied);
    void count_votes();
    void refused();  ///< a majority has become impossible, or the time is over
    void give_up(const std::string& why);
    void end_claim();  ///< idle, and everybody told
    void apply_release(const NodeName& node, const Ticket& ticket);
    void receive_release(const NodeName& from, const Release& release);
    void receive_inquire(const NodeName& from, const Inquire& inquire);
    void inquire_holders();
    void expire_grants();
    [[nodiscard]] std::size_t majority() const { return s_.voters.size() / 2 + 1; }
    [[nodiscard]] bool is_voter(const NodeName& node) const;

    // --- course.cpp ---
    [[nodiscard]] const Known* leading() const;  ///< the rollout that everybody should go for
    [[nodiscard]] const Known* newest() const;
    [[nodiscard]] const Known* wanted() const;            ///< the leading one, if its turn has come here
    [[nodiscard]] bool behind(const Known& known) const;  ///< this node does not run it yet, nor a newer one
    void watch_leading();                                 ///< catch up, adopt
    /// What the live peers do about a rollout, seen from this node's place in it.
    struct Surroundings {
        bool carried = false;  ///< somebody is at it
        bool passed = false;   ///< it has gone by: a later node has it or is at it
        bool earlier_has = false;
        bool earlier_lacks = false;
    };
    [[nodiscard]] Surroundings look_around(const Known& known) const;
    void assign(Known& known, bool walks);
    void adopt_same_commit(const Known& known);  ///< nothing to do where that commit runs already
    void build_failed_here(const wire::Target& target, const std::string& reason);
    void watch_trouble();
    void steer_build();
    void drop_build(wire::BuildState as, const std::string& reason);
    [[nodiscard]] Hold hold() const;
    [[nodiscard]] unsigned serving_others(unsigned& needed) const;
    void mark_ended();
    [[nodiscard]] bool is_live(const NodeName& node) const;
    [[nodiscard]] bool is_member() const { return position(s_.self) < s_.order.size(); }
    [[nodiscard]] std::size_t position(const NodeName& node) const;
    [[nodiscard]] std::vector<NodeName> visiting(const wire::Rollout& rollout) const;

    // --- switching.cpp ---
    void go_out();
    [[nodiscard]] bool once_unclear(const wire::Target& target) const;
    void begin_switch(bool redo);
    void begin_restore(const std::string& reason);
    void revalidate();
    void end_revalidation();
    void resume_after_restart();
    void bake_or_finish();
    void finish_switch();
    void bring_on_neighbours();
    /// This node runs that very rollout, and not all of its neighbours do.
    [[nodiscard]] bool lacks_neighbours_only(const wire::Rollout& rollout) const;
    /// … since they were out of reach when it was their turn: they get it when they answer.
    [[nodiscard]] bool owes(const Known& known) const;
    void succeed(const wire::RolloutKey& key);  ///< what follows from having it: proof, and the handoff
    void watch_bake();
    void watch_stuck();
    void after_failure(const wire::Rollout& rollout);  ///< policy on_failure

    // --- handoff.cpp ---
    void owe_handoff(const Known& known);
    void walk();
    void receive_handoff(const NodeName& from, const Handoff& handoff);
    void receive_ack(const NodeName& from, const HandoffAck& ack);
    void send_heads_up(const Known& known);
    [[nodiscard]] std::vector<NodeName> walk_list() const;
    /// The walk turns to that node of its list, from now on.
    void walk_to(std::size_t at);
    /// Of the list, the first that was passed over and was heard since the walk waits.
    [[nodiscard]] std::optional<std::size_t> heard_again(const Known& known, const std::vector<NodeName>& list) const;
    /// The nodes that were passed over and do not run it yet: one that was late has it after all.
    [[nodiscard]] std::set<NodeName> left_behind(const Known& known) const;

    // --- orders.cpp ---
    std::string carry_out(const Order& order, const std::string& who);
    std::string carry_out_halt(const Halt& halt, const std::string& who);
    std::string carry_out_retry(const Retry& retry, const std::string& who);
    std::string carry_out_forget(const Forget& forget, const std::string& who);
    std::string carry_out_accept(const Accept& accept, const std::string& who);
    void spread_orders();
    void count_stored(OrderId id);
    void receive_tell(const NodeName& from, const Tell& tell);
    void receive_told(const NodeName& from, const Told& told);

    // --- view.cpp ---
    [[nodiscard]] std::string waiting_text() const;
    [[nodiscard]] std::string asking_text() const;
    [[nodiscard]] std::string out_text() const;
    [[nodiscard]] std::string idle_text() const;
    [[nodiscard]] std::string nothing_text() const;
    [[nodiscard]] std::string frozen_text() const;
    [[nodiscard]] std::string trouble_text() const;
    [[nodiscard]] std::string silence_of(const NodeName& node) const;
    [[nodiscard]] std::string disowned_text() const;
    void note_waiting();

    Settings s_;
    Durable d_;
    Rules rules_;
    std::mt19937_64 random_;
    Instant now_{};

    // Effects under construction.
    bool dirty_ = false;
    bool tell_all_ = false;  ///< something of which every peer is told at once, not with the next message only
    std::vector<Action> actions_;

    // Volatile state.
    bool started_ = false;
    Instant started_at_{};
    bool app_up_ = false;
    bool held_out_ = false;
    std::optional<OrderNote> drained_;
    std::optional<Instant> bring_up_until_;
    std::map<NodeName, Peer> peers_;
    std::uint64_t nonce_ = 0;
    Instant next_sync_{};
    Instant next_inquire_{};
    std::optional<Build> build_;
    wire::Target ahead_;  ///< heads-up: build this before its turn
    std::optional<Trouble> trouble_;
    std::optional<Rival> rival_;
    std::set<NodeName> several_;  ///< several_speak() of them, as noted last
    bool echoes_due_ = true;  ///< rollouts or bad commits have become known

    std::set<NodeName> granted_by_;
    std::map<NodeName, Denied> denied_by_;
    bool revalidating_ = false;
    Instant ask_deadline_{};
    Instant ask_again_{};
    Instant next_ask_{};                 ///< back-off and courtesy
    std::optional<unsigned> lane_hint_;  ///< from the handoff, for the first try
    unsigned failed_asks_ = 0;
    unsigned untouched_ = 0;  ///< switches in a row that could not begin
    std::string last_hold_;   ///< why the last ask was given up
    std::optional<Instant> bake_until_;
    wire::Target answered_;  ///< neighbours that are owed this have answered; empty key: none
    Instant next_restore_{};
    Instant next_unstick_{};
    unsigned unstuck_tries_ = 0;  ///< in a row, none of which has brought the node back

    wire::RolloutKey lead_key_;  ///< the leading rollout as last seen …
    Instant lead_since_{};       ///< … and since when nobody is seen to carry it
    std::optional<Instant> passed_since_;
    Instant next_watch_{};

    wire::Target walking_;  ///< the duty that the next four belong to
    std::size_t walk_at_ = 0;
    Instant walk_since_{};
    Instant walk_next_{};
    bool walk_waits_ = false;  ///< max_unreachable is used up
    Instant next_spread_{};
    std::map<std::pair<NodeName, Ticket>, Instant> grant_ages_;  ///< lease only: when each grant was given
    wire::RolloutKey settled_;                                   ///< every member runs this or a newer one

    std::string waiting_for_;
    Instant waiting_since_{};
};

}  // namespace baton::chain
