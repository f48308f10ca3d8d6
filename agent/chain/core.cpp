// SPDX-License-Identifier: MIT
// The machine's inputs: each changes the state, then the node decides what follows, and all of it leaves as effects.
#include "agent/chain/core.h"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>

#include "common/clock.h"

namespace baton::chain {

Core::Core(Settings settings, Durable durable, std::uint64_t seed, Rules rules)
    : s_(std::move(settings)), d_(std::move(durable)), rules_(rules), random_(seed) {
    if (s_.self.empty() || s_.voters.empty()) throw std::logic_error("a machine needs its name and voters");
    if (d_.incarnation == 0) throw std::logic_error("a database needs an incarnation that is not 0");
    s_.lanes = std::max(1U, s_.lanes);
    nonce_ = random_();
}

void Core::begin(Instant now) {
    now_ = now;
    dirty_ = false;
    tell_all_ = false;
    actions_.clear();
}

Effects Core::finish() {
    if (started_) decide();
    if (tell_all_) tell_all();
    Effects effects;
    effects.store = dirty_;
    effects.actions = std::move(actions_);
    actions_.clear();
    std::optional<Header> header;
    for (auto& action : effects.actions) {
        if (auto* sent = std::get_if<Send>(&action)) {
            // As of now, not as of the moment of send(): what this input taught must travel with every answer to it.
            if (!header) header = make_header();
            sent->message.header = *header;
        }
    }
    return effects;
}

void Core::decide() {
    establish();
    drop_echoes();
    if (rival_ || !several_.empty()) watch_voices();
    pass_on();
    watch_trouble();
    watch_leading();
    if (const auto* known = wanted(); known && d_.phase == Phase::idle) adopt_same_commit(*known);
    walk();
    if (d_.phase == Phase::asking && rules_.second_look) {
        const auto* known = wanted();
        if (!known || known->rollout.target() != d_.claim->rollout.target()) give_up("what is wanted has changed");
    }
    watch_bake();
    watch_stuck();
    steer_build();
    if (d_.phase == Phase::idle && hold() == Hold::none) ask();
    note_waiting();
}

void Core::send(const NodeName& to, Body body) { actions_.emplace_back(Send{to, Message{{}, std::move(body)}}); }

void Core::send_to_voters(const Body& body) {
    for (const auto& voter : s_.voters) {
        if (voter != s_.self) send(voter, body);
    }
}

void Core::tell_all() {
    std::set<NodeName> peers(s_.order.begin(), s_.order.end());
    peers.insert(s_.voters.begin(), s_.voters.end());
    peers.erase(s_.self);
    for (const auto& action : actions_) {
        if (const auto* sent = std::get_if<Send>(&action)) peers.erase(sent->to);
    }
    // A word that asks for no answer, and that every version understands.
    for (const auto& peer : peers) send(peer, Told{});
}

void Core::note(Note::Level level, std::string text) { actions_.emplace_back(Note{level, std::move(text)}); }

std::int64_t Core::wall_ms() const { return s_.wall_ms ? s_.wall_ms() : to_epoch_ms(SystemClock().wall()); }

Milliseconds Core::random_between(Milliseconds least, Milliseconds most) {
    if (most <= least) return least;
    // Not std::uniform_int_distribution: a seed must replay alike with every standard library.
    return least +
           Milliseconds(static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>((most - least).count() + 1)));
}

Effects Core::start(Instant now, bool app_up) {
    begin(now);
    started_ = true;
    started_at_ = now;
    app_up_ = app_up;
    lead_since_ = now;
    next_inquire_ = now + s_.timing.inquire_every;
    if (!s_.neighbours && !d_.owed.empty()) {  // they have become agents, or another node's
        d_.owed = {};
        changed();
    }
    if (!rules_.durable_grants) {
        d_.grants.clear();
        d_.done.clear();
        changed();
    }
    resume_after_restart();
    send_syncs(true);
    return finish();
}

Effects Core::receive(Instant now, const NodeName& from, const Message& message, const Origin& origin) {
    begin(now);
    if (from == s_.self) {
        // An echo of the network's, or another agent that takes itself for this node.
        hear_of_voices(from, {Voice{message.header.incarnation, message.header.run, origin.address, false, 0}});
        return finish();
    }
    hear_voice(from, message.header, origin);
    merge_header(from, message.header);
    const bool known_database = accepted(from, message.header.incarnation);
    struct Dispatch {
        Core& core;
        const NodeName& from;
        const Header& header;
        bool known_database;
        void operator()(const Unknown&) const {}
        void operator()(const Ask& ask) const { core.receive_ask(from, header, ask); }
        void operator()(const Granted& granted) const { core.receive_granted(from, granted, known_database); }
        void operator()(const Denied& denied) const { core.receive_denied(from, denied); }
        void operator()(const Release& release) const {
            if (known_database) core.receive_release(from, release);
        }
        void operator()(const Inquire& inquire) const { core.receive_inquire(from, inquire); }
        void operator()(const Handoff& handoff) const { core.receive_handoff(from, handoff); }
        void operator()(const HandoffAck& ack) const { core.receive_ack(from, ack); }
        void operator()(const HeadsUp& heads_up) const {
            core.merge_known(Known{heads_up.rollout, {}, {}, {}, {}, {}, {}, {}, {}});
            core.ahead_ = heads_up.rollout.target();
        }
        void operator()(const Sync& sync) const { core.receive_sync(from, sync); }
        void operator()(const Tell& tell) const { core.receive_tell(from, tell); }
        void operator()(const Told& told) const { core.receive_told(from, told); }
    };
    std::visit(Dispatch{*this, from, message.header, known_database}, message.body);
    return finish();
}

Effects Core::tick(Instant now) {
    begin(now);
    if (!rules_.grants_never_expire) expire_grants();
    if (now >= next_sync_) {
        prune();
        mark_ended();
        send_syncs(false);
    }
    if (now >= next_inquire_) inquire_holders();
    if (d_.phase == Phase::asking || revalidating_) {
        if (now >= ask_deadline_) {
            refused();
        } else if (now >= ask_again_) {
            send_asks();
        }
    }
    if (now >= next_spread_) spread_orders();
    return finish();
}

Instant Core::next_tick() const {
    Instant next = std::min(next_sync_, next_inquire_);
    if (d_.phase == Phase::asking || revalidating_) next = std::min({next, ask_deadline_, ask_again_});
    if (d_.phase == Phase::idle && next_ask_ > now_ && wanted()) next = std::min(next, next_ask_);
    if (bake_until_) next = std::min(next, *bake_until_);
    if (d_.claim && d_.claim->stage == OutStage::stuck && !revalidating_) {
        next = std::min(next, std::max(next_unstick_, now_ + s_.timing.ask_again));
    }
    if (bring_up_until_) next = std::min(next, std::max(*bring_up_until_, now_));
    if (d_.duty) next = std::min(next, walk_next_);
    if (trouble_) next = std::min(next, std::max(trouble_->again, now_));
    if (!d_.spreads.empty()) next = std::min(next, next_spread_);
    return std::max(next, now_);
}

Effects Core::offer(Instant now, const wire::Rollout& rollout) {
    begin(now);
    merge_known(Known{rollout, {}, {}, {}, {}, {}, {}, {}, {}});
    const auto found = d_.known.find(rollout.key);
    if (found != d_.known.end() && found->second.rollout.target() == rollout.target()) {
        if (is_member()) {
            assign(found->second, true);
        } else {
            d_.duty = Duty{rollout.target(), 1, 0, true};
            changed();
        }
    }
    return finish();
}

wire::RolloutKey Core::next_key(RolloutId id) const {
    wire::RolloutKey most;
    if (!d_.known.empty()) most = d_.known.rbegin()->first;
    if (!d_.failed.empty()) most = std::max(most, d_.failed.rbegin()->first);
    if (d_.current) most = std::max(most, d_.current->key);
    wire::RolloutKey key{most.epoch, std::move(id)};
    if (key <= most) ++key.epoch;
    return key;
}

Effects Core::build_ready(Instant now, const wire::Target& target, bool deploys, bool has_once_steps) {
    begin(now);
    if (!build_ || build_->rollout.target() != target) return finish();  // cancelled meanwhile
    trouble_.reset();
    build_->ready = true;
    build_->deploys = deploys;
    build_->once_steps = has_once_steps;
    const auto found = d_.known.find(target.key);
    if (!deploys && !build_->ahead && found != d_.known.end()) {
        d_.previous = d_.current;
        d_.current = build_->rollout;
        found->second.ended = true;
        found->second.walks = false;
        build_.reset();
        changed();
    }
    return finish();
}

Effects Core::build_failed(Instant now, const wire::Target& target, const std::string& reason) {
    begin(now);
    if (!build_ || build_->rollout.target() != target) return finish();
    const auto rollout = build_->rollout;
    const bool ahead = build_->ahead;
    build_.reset();
    const auto known = d_.known.find(target.key);
    // What the others run already is not at fault: a git host that is out of reach from here, a full disk. A walk that
    // is not over yet is stopped all the same, since the nodes behind this one have not tried it.
    if (known != d_.known.end() && known->second.proven && !ahead && (!known->second.walks || known->second.ended)) {
        build_failed_here(target, reason);
        return finish();
    }
    mark_failed(rollout, FailureKind::failed, "", reason);
    after_failure(rollout);
    return finish();
}

Effects Core::health(Instant now, bool app_up) {
    begin(now);
    app_up_ = app_up;
    if (app_up) bring_up_until_.reset();
    return finish();
}

Effects Core::held_out(Instant now, bool held_out, const std::optional<OrderNote>& drained) {
    begin(now);
    tell_all_ = held_out != held_out_ || drained != drained_;
    held_out_ = held_out;
    drained_ = drained;
    return finish();
}

// --- Machine: the door ---

Machine::Machine(Settings settings, Durable durable, std::uint64_t seed, Rules rules)
    : core_(std::make_unique<Core>(std::move(settings), std::move(durable), seed, rules)) {}
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;
Machine::~Machine() = default;

Effects Machine::start(Instant now, bool app_up) { return core_->start(now, app_up); }
Effects Machine::receive(Instant now, const NodeName& from, const Message& message, const Origin& origin) {
    return core_->receive(now, from, message, origin);
}
Effects Machine::tick(Instant now) { return core_->tick(now); }
Instant Machine::next_tick() const { return core_->next_tick(); }
Effects Machine::offer(Instant now, const wire::Rollout& rollout) { return core_->offer(now, rollout); }
wire::RolloutKey Machine::next_key(RolloutId id) const { return core_->next_key(std::move(id)); }
Effects Machine::build_ready(Instant now, const wire::Target& target, bool deploys, bool has_once_steps) {
    return core_->build_ready(now, target, deploys, has_once_steps);
}
Effects Machine::build_failed(Instant now, const wire::Target& target, const std::string& reason) {
    return core_->build_failed(now, target, reason);
}
Effects Machine::once_started(Instant now, const Ticket& ticket) { return core_->once_started(now, ticket); }
Effects Machine::once_done(Instant now, const Ticket& ticket) { return core_->once_done(now, ticket); }
Effects Machine::switched(Instant now, const Ticket& ticket, SwitchEnd end, const std::string& reason) {
    return core_->switched(now, ticket, end, reason);
}
Effects Machine::neighbours_done(Instant now, const Ticket& ticket, const NeighboursEnd& end) {
    return core_->neighbours_done(now, ticket, end);
}
GoesOn Machine::goes_on(const wire::Target& target) const { return core_->goes_on(target); }
bool Machine::may_pass_over(const wire::Target& target, const NodeName& node, const std::set<NodeName>& besides) const {
    return core_->may_pass_over(target, node, besides);
}
std::optional<wire::Rollout> Machine::debt() const { return core_->debt(); }
Effects Machine::neighbours_answer(Instant now, const wire::Target& target) {
    return core_->neighbours_answer(now, target);
}
Effects Machine::health(Instant now, bool app_up) { return core_->health(now, app_up); }
Effects Machine::held_out(Instant now, bool held_out, const std::optional<OrderNote>& drained) {
    return core_->held_out(now, held_out, drained);
}
Effects Machine::order(Instant now, const Order& order, const std::string& who, OrderId& id) {
    return core_->order(now, order, who, id);
}
bool Machine::order_known(OrderId id) const { return core_->order_known(id); }
const Durable& Machine::durable() const { return core_->durable(); }
View Machine::view(Instant now) const { return core_->view(now); }

}  // namespace baton::chain
