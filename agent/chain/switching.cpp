// SPDX-License-Identifier: MIT
// Being out of service: the switch, the revalidation after a restart, putting back, baking, being stuck.
#include <algorithm>
#include <fmt/format.h>

#include "agent/chain/core.h"
#include "common/clock.h"
#include "common/ulid.h"

namespace baton::chain {
namespace {

/// A switch that was cut off twice by the agent's death is taken for the cause of it.
constexpr unsigned most_interruptions = 2;
/// A node that cannot even begin (its drain never ends) says so instead of trying for ever.
constexpr unsigned most_untouched = 5;

}  // namespace

bool Core::once_unclear(const wire::Target& target) const {
    const auto it = d_.once.find(target.key);
    return it != d_.once.end() && !it->second.done && it->second.attempt >= target.attempt;
}

void Core::go_out() {
    const auto target = d_.claim->rollout.target();
    if (rules_.second_look) {
        // Look again now that a majority has answered: its answers may have told of something newer, or of a failure.
        const auto* known = wanted();
        unsigned needed = 0;
        if (!known || known->rollout.target() != target) {
            give_up("what is wanted has changed");
            return;
        }
        if (!d_.claim->forced && (frozen() || serving_others(needed) < needed)) {
            give_up(frozen() ? "the app was frozen" : "too few other nodes are in service");
            return;
        }
    }
    if (d_.claim->once_steps && once_unclear(target)) {
        const auto& once = d_.once.at(target.key);
        mark_failed(d_.claim->rollout, FailureKind::failed, "",
                    fmt::format("the steps marked `once` were begun on {}, and nobody knows whether they succeeded: "
                                "look, then `baton resume`",
                                once.node));
        give_up("steps marked `once` are in an unknown state");
        return;
    }
    if (!d_.claim->forced && rules_.permits) {
        note(Note::Level::info, fmt::format("permit: {} of {} granted, this node goes out of service for rollout {}",
                                            granted_by_.size(), s_.voters.size(), target.key.id));
    }
    d_.phase = Phase::out;
    failed_asks_ = 0;
    d_.forced = {};
    d_.forced_by.clear();
    if (d_.current && d_.current->key == target.key && d_.owed == target.key) {
        // Only the neighbours are missing, in a retry or since they answer again: this node runs the release already.
        d_.current = d_.claim->rollout;
        build_.reset();
        bring_on_neighbours();
        return;
    }
    begin_switch(false);
}

void Core::begin_switch(bool redo) {
    auto& claim = *d_.claim;
    claim.stage = OutStage::switching;
    revalidating_ = false;
    build_.reset();
    changed();
    const auto once = d_.once.find(claim.rollout.key);
    const bool run_once = claim.once_steps && (once == d_.once.end() || !once->second.done);
    actions_.emplace_back(Switch{claim.ticket, claim.rollout, claim.lane, run_once, redo});
}

void Core::begin_restore(const std::string& reason) {
    auto& claim = *d_.claim;
    claim.stage = OutStage::restoring;
    claim.reason = reason;
    revalidating_ = false;
    bake_until_.reset();
    if (d_.current && d_.current->target() == claim.rollout.target()) {
        // It had been in service while it baked.
        d_.current = d_.previous;
        d_.previous.reset();
        d_.owed = {};
    }
    changed();
    note(Note::Level::warning, fmt::format("putting the previous release back: {}", reason));
    actions_.emplace_back(Restore{claim.ticket, claim.rollout, reason});
}

void Core::revalidate() {
    revalidating_ = true;
    ++d_.claim->round;
    changed();
    granted_by_.clear();
    denied_by_.clear();
    ask_deadline_ = now_ + s_.timing.revalidate_for;
    vote_for_oneself();
    send_asks();
    count_votes();
}

void Core::end_revalidation() {
    const auto target = d_.claim->rollout.target();
    const auto* lead = leading();
    revalidating_ = false;
    if (d_.claim->stage == OutStage::neighbours) return;
    if (d_.claim->stage == OutStage::stuck) {
        const auto* known = wanted();
        if (known && known->rollout.target() == target && !once_unclear(target)) begin_switch(true);
        return;
    }
    if (is_failed(target)) {
        begin_restore(fmt::format("the rollout failed on {} while this agent was away", d_.failed.at(target.key).node));
    } else if (lead && lead->rollout.target() > target) {
        begin_restore("a newer rollout has come while this agent was away");
    } else {
        note(Note::Level::info, fmt::format("the switch to rollout {} is taken up again", target.key.id));
        begin_switch(true);
    }
}

void Core::resume_after_restart() {
    if (d_.phase == Phase::asking) {
        end_claim();
        return;
    }
    if (d_.phase == Phase::idle) {
        if (!app_up_) {
            // Also for a database that knows of no release: it may have been lost together with the app's state.
            if (d_.current) bring_up_until_ = now_ + s_.timing.bring_up_for;
            actions_.emplace_back(BringUp{});
        }
        return;
    }
    if (!rules_.hold_over_restart) {
        end_claim();
        return;
    }
    auto& claim = *d_.claim;
    if (claim.stage == OutStage::baking) {
        if (app_up_) {
            bake_until_ = now_ + s_.policy.bake_time;
        } else {
            const auto rollout = claim.rollout;
            mark_failed(rollout, FailureKind::failed, "", "the app was down during its bake time");
            begin_restore("the app was down during its bake time");
            after_failure(rollout);
        }
        return;
    }
    if (claim.stage == OutStage::neighbours) {
        if (!app_up_) actions_.emplace_back(BringUp{});  // the machine was booted; its release was proved before
        // What was begun is followed at once; before another one goes out a majority says that the rollout still
        // stands.
        bring_on_neighbours();
        if (!claim.forced && rules_.revalidate) revalidate();
        return;
    }
    if (claim.stage != OutStage::switching) {
        begin_restore(claim.reason.empty() ? "the agent was restarted while putting it back" : claim.reason);
        return;
    }
    const auto target = claim.rollout.target();
    d_.interruptions = d_.interrupted == target ? d_.interruptions + 1 : 1;
    d_.interrupted = target;
    changed();
    if (d_.interruptions >= most_interruptions) {
        mark_failed(claim.rollout, FailureKind::failed, "",
                    fmt::format("the agent died {} times in the middle of the switch", d_.interruptions));
        begin_restore("the agent died repeatedly in the middle of the switch");
    } else if (claim.once_steps && once_unclear(target)) {
        mark_failed(claim.rollout, FailureKind::failed, "",
                    "the agent died in the middle of the steps marked `once`: whether they succeeded must be looked "
                    "at by a person, then `baton resume`");
        begin_restore("the steps marked `once` were cut off");
    } else if (!rules_.revalidate) {
        begin_switch(true);
    } else {
        note(Note::Level::warning,
             fmt::format("the agent was restarted in the middle of the switch to rollout {}: it asks "
                         "its peers whether that still stands",
                         target.key.id));
        revalidate();
    }
}

Effects Core::once_started(Instant now, const Ticket& ticket) {
    begin(now);
    if (d_.phase != Phase::out || d_.claim->ticket != ticket) return finish();
    const auto& rollout = d_.claim->rollout;
    d_.once[rollout.key] = OnceState{rollout.attempt, s_.self, false, false, wall_ms()};
    changed();
    return finish();
}

Effects Core::once_done(Instant now, const Ticket& ticket) {
    begin(now);
    if (d_.phase != Phase::out || d_.claim->ticket != ticket) return finish();
    const auto& rollout = d_.claim->rollout;
    d_.once[rollout.key] = OnceState{rollout.attempt, s_.self, true, false, wall_ms()};
    changed();
    return finish();
}

Effects Core::switched(Instant now, const Ticket& ticket, SwitchEnd end, const std::string& reason) {
    begin(now);
    if (d_.phase != Phase::out || d_.claim->ticket != ticket) return finish();
    auto& claim = *d_.claim;
    const bool answered = claim.stage == OutStage::baking || claim.stage == OutStage::neighbours;
    if (answered || revalidating_) return finish();  // an answer that comes twice
    const auto rollout = claim.rollout;
    const bool restoring = claim.stage == OutStage::restoring;
    if (end == SwitchEnd::stuck) {
        if (!restoring) mark_failed(rollout, FailureKind::failed, "", reason);
        claim.stage = OutStage::stuck;
        claim.reason = reason;
        next_restore_ = now_ + s_.timing.restore_again;
        constexpr unsigned most_doublings = 16;
        next_unstick_ = now_ + std::min(s_.timing.unstick_most,
                                        s_.timing.unstick_first * (1 << std::min(unstuck_tries_++, most_doublings)));
        app_up_ = false;
        changed();
        note(Note::Level::error, fmt::format("this node is out of service, and the previous release could not be "
                                             "proved healthy: {}. It keeps its lane until it is repaired, a newer "
                                             "rollout succeeds here, or `baton forget`",
                                             reason));
        if (!restoring) after_failure(rollout);
        return finish();
    }
    app_up_ = true;
    unstuck_tries_ = 0;
    if (restoring) {
        end_claim();
        return finish();
    }
    if (end == SwitchEnd::in_service) {
        untouched_ = 0;
        d_.previous = d_.current;
        d_.current = rollout;
        d_.owed = s_.neighbours ? rollout.key : wire::RolloutKey{};
        d_.interrupted = {};
        d_.interruptions = 0;
        if (const auto once = d_.once.find(rollout.key); once != d_.once.end() && once->second.done) {
            once->second.settled = true;
        }
        changed();
        bake_or_finish();
        return finish();
    }
    const bool unclear = claim.once_steps && once_unclear(rollout.target());
    if (end == SwitchEnd::untouched && !unclear && ++untouched_ < most_untouched) {
        give_up(reason);
        next_ask_ = now_ + s_.timing.back_off_most * (1 << untouched_);
        return finish();
    }
    untouched_ = 0;
    mark_failed(
        rollout, FailureKind::failed, "",
        unclear ? fmt::format("{}; a step marked `once` had begun: see how far it came, then `baton resume`", reason)
                : reason);
    end_claim();
    after_failure(rollout);
    return finish();
}

void Core::bake_or_finish() {
    const auto& rollout = d_.claim->rollout;
    const auto it = d_.known.find(rollout.key);
    const auto canaries = std::min<std::size_t>(s_.policy.canary, s_.order.size());
    const bool last_canary = it != d_.known.end() && it->second.walks && it->second.canaries + 1 == canaries;
    if (rollout.kind == wire::RolloutKind::deploy && last_canary && s_.policy.bake_time.count() > 0 &&
        !it->second.promoted) {
        d_.claim->stage = OutStage::baking;
        bake_until_ = now_ + s_.policy.bake_time;
        changed();
        return;
    }
    finish_switch();
}

void Core::finish_switch() {
    if (s_.neighbours) {
        bring_on_neighbours();
        return;
    }
    succeed(d_.claim->rollout.key);
    end_claim();
}

void Core::bring_on_neighbours() {
    d_.claim->stage = OutStage::neighbours;
    bake_until_.reset();
    // Until they have it: whatever ends this early leaves a debt.
    d_.owed = d_.claim->rollout.key;
    answered_ = {};
    changed();
    actions_.emplace_back(Neighbours{d_.claim->ticket, d_.claim->rollout});
}

Effects Core::neighbours_done(Instant now, const Ticket& ticket, const NeighboursEnd& end) {
    begin(now);
    if (d_.phase != Phase::out || d_.claim->ticket != ticket || d_.claim->stage != OutStage::neighbours)
        return finish();
    const auto rollout = d_.claim->rollout;
    changed();
    switch (end.outcome) {
        case NeighboursEnd::Outcome::done:
            // Those that were out of reach are owed it; the rollout goes on meanwhile.
            if (end.passed_over.empty()) d_.owed = {};
            if (const auto it = d_.known.find(rollout.key); it != d_.known.end()) {
                it->second.skipped.insert(end.passed_over.begin(), end.passed_over.end());
            }
            succeed(rollout.key);
            end_claim();
            break;
        case NeighboursEnd::Outcome::failed:
            mark_failed(rollout, FailureKind::failed, "", end.reason);
            end_claim();
            after_failure(rollout);
            break;
        case NeighboursEnd::Outcome::given_up: end_claim(); break;
    }
    return finish();
}

GoesOn Core::goes_on(const wire::Target& target) const {
    const auto* lead = leading();
    if (!lead || lead->rollout.target() != target) return GoesOn::no;
    return revalidating_ ? GoesOn::unclear : GoesOn::yes;
}

bool Core::lacks_neighbours_only(const wire::Rollout& rollout) const {
    return d_.current && d_.current->target() == rollout.target() && d_.owed == rollout.key;
}

bool Core::owes(const Known& known) const {
    // As any node catches up: with what has succeeded somewhere. While the walk is still to go on from here, its turn
    // is not over.
    return s_.neighbours && lacks_neighbours_only(known.rollout) && known.proven && !known.walks;
}

std::optional<wire::Rollout> Core::debt() const {
    const auto* lead = leading();
    if (!lead || !owes(*lead) || d_.phase != Phase::idle || answered_ == lead->rollout.target()) return std::nullopt;
    // A node that is itself down, or not taken for itself, sends nobody else out.
    if (frozen() || stands_aside() || !app_up_) return std::nullopt;
    return lead->rollout;
}

Effects Core::neighbours_answer(Instant now, const wire::Target& target) {
    begin(now);
    const auto owed = debt();
    if (!owed || owed->target() != target) return finish();  // overtaken meanwhile
    answered_ = target;
    note(Note::Level::info,
         fmt::format("a neighbour that was passed over answers: it is owed rollout {}", target.key.id));
    return finish();
}

void Core::succeed(const wire::RolloutKey& key) {
    const auto it = d_.known.find(key);
    if (it == d_.known.end()) return;
    const auto& known = it->second;
    const auto canaries = std::min<std::size_t>(s_.policy.canary, s_.order.size());
    if (!known.walks || known.rollout.kind == wire::RolloutKind::rollback || known.canaries + 1 >= canaries) {
        set_proven(key);
        if (d_.bad.contains(known.rollout.commit)) {
            mark_bad(known.rollout.commit, BadCommit{"", wall_ms(), known.rollout.target(), true});
        }
    }
    owe_handoff(known);
}

void Core::watch_bake() {
    if (d_.phase != Phase::out || d_.claim->stage != OutStage::baking) return;
    const auto rollout = d_.claim->rollout;
    if (!app_up_) {
        mark_failed(rollout, FailureKind::failed, "", "the app became unhealthy during its bake time");
        begin_restore("the app became unhealthy during its bake time");
        after_failure(rollout);
        return;
    }
    const auto it = d_.known.find(rollout.key);
    const auto* lead = leading();
    const bool promoted = it != d_.known.end() && it->second.promoted;
    const bool superseded = lead && lead->rollout.key > rollout.key;
    if (superseded || is_failed(rollout.target())) {
        end_claim();  // it stays where it is; nobody follows
    } else if (promoted || (bake_until_ && now_ >= *bake_until_)) {
        finish_switch();
    }
}

void Core::watch_stuck() {
    if (d_.phase != Phase::out || d_.claim->stage != OutStage::stuck || revalidating_) return;
    if (app_up_ && now_ >= next_restore_) {
        next_restore_ = now_ + s_.timing.restore_again;
        begin_restore("the app answers again");
        return;
    }
    // Something newer may cure it: it is tried in the lane that the node holds.
    const auto* known = wanted();
    const bool cure = known && build_ && build_->ready && build_->rollout.target() == known->rollout.target();
    if (!cure && now_ >= next_unstick_) {
        // A full disk, a database that was away: what stood in the way may be over.
        const auto reason = d_.claim->reason;
        begin_restore(reason);
        return;
    }
    if (!cure || now_ < next_ask_ || frozen()) return;
    d_.claim->rollout = known->rollout;
    d_.claim->once_steps = build_->once_steps;
    revalidate();
}

void Core::after_failure(const wire::Rollout& rollout) {
    drop_echoes();
    if (s_.policy.on_failure != config::OnFailure::rollback || rollout.kind != wire::RolloutKind::deploy) return;
    const auto* lead = leading();
    if (lead && lead->rollout.key > rollout.key) return;  // something newer is on its way already
    // Everybody else runs it well: a node that came late does not take the fleet back.
    if (const auto it = d_.known.find(rollout.key); it != d_.known.end() && it->second.ended) return;
    bool elsewhere = false;
    CommitId back;
    for (const auto& [node, peer] : peers_) {
        if (peer.status.current.key == rollout.key) elsewhere = true;
        if (peer.status.current.key < rollout.key && !peer.status.current_commit.empty())
            back = peer.status.current_commit;
    }
    if (d_.current && d_.current->key < rollout.key) back = d_.current->commit;
    if (d_.current && d_.current->key == rollout.key && d_.previous) back = d_.previous->commit;
    if (d_.current && d_.current->key == rollout.key) elsewhere = true;
    if (!elsewhere) return;
    if (back.empty()) {
        note(Note::Level::error, "cannot roll back: nobody knows of an earlier release");
        return;
    }
    wire::Rollout undo;
    undo.app = rollout.app;
    const auto high = static_cast<std::uint16_t>(random_() & 0xffffU);
    undo.key = next_key(make_rollout_id(from_epoch_ms(wall_ms()), high, random_()));
    undo.commit = back;
    undo.kind = wire::RolloutKind::rollback;
    undo.started_on = s_.self;
    undo.started_ms = wall_ms();
    undo.cause = {wire::CauseKind::failure, fmt::format("Rolled back because {} failed on {}", rollout.key.id, s_.self),
                  "", ""};
    undo.undoes = rollout.commit;
    note(Note::Level::warning, fmt::format("rolling back to {} everywhere", back));
    merge_known(Known{undo, {}, {}, {}, {}, {}, {}, {}, {}});
    assign(d_.known.at(undo.key), true);
}

}  // namespace baton::chain
