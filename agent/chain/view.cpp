// SPDX-License-Identifier: MIT
// What is shown of the machine: above all what it waits for, in words that a person can act upon.
#include <algorithm>
#include <fmt/format.h>

#include "agent/chain/core.h"
#include "common/text.h"

namespace baton::chain {

void Core::note_waiting() {
    // The kind of waiting, not its text: a count that changes does not begin it anew.
    std::string kind(to_text(d_.phase));
    if (d_.phase == Phase::out) {
        kind += to_text(d_.claim->stage);
        if (revalidating_) kind += "?";
    } else if (d_.phase == Phase::idle) {
        const auto held = hold();
        kind = "idle" + std::to_string(static_cast<int>(held));
        if (disowned()) {
            kind = "disowned";
        } else if (doubled()) {
            kind = "doubled";
        } else if (d_.duty) {
            kind = "handoff" + std::to_string(walk_at_);
        } else if (held == Hold::back_off || held == Hold::lanes_taken || held == Hold::none) {
            kind = "asking";  // asking, giving up and backing off are one wait for a permit
        } else if (held == Hold::nothing) {
            const auto* lead = leading();
            kind += !d_.may_grant ? "new" : !d_.spreads.empty() ? "order" : lead && owes(*lead) ? "debt" : "";
        }
    }
    if (kind != waiting_for_) {
        waiting_for_ = kind;
        waiting_since_ = now_;
    }
}

std::string Core::asking_text() const {
    std::string text = fmt::format("permit: {} of {} granted", granted_by_.size(), majority());
    std::vector<std::string> silent;
    for (const auto& voter : s_.voters) {
        if (const auto denied = denied_by_.find(voter); denied != denied_by_.end()) {
            if (!denied->second.reason.empty()) text += fmt::format("; {} says: {}", voter, denied->second.reason);
        } else if (!granted_by_.contains(voter)) {
            silent.push_back(voter.str());
        }
    }
    if (!silent.empty()) text += fmt::format("; no answer yet from {}", join(silent, ", "));
    return text;
}

std::string Core::out_text() const {
    const auto& claim = *d_.claim;
    if (revalidating_) {
        const bool switched = claim.stage == OutStage::neighbours;
        return fmt::format("restarted {}: {}",
                           switched ? "before its neighbours were through" : "in the middle of a switch",
                           asking_text());
    }
    switch (claim.stage) {
        case OutStage::switching: return fmt::format("the switch to {}", claim.rollout.key.id);
        case OutStage::restoring: return fmt::format("the previous release to be put back: {}", claim.reason);
        case OutStage::stuck:
            return fmt::format(
                "a person: this node is out of service, the previous release could not be proved: {}; it "
                "is put back once more in {}",
                claim.reason, human_duration(std::max(Milliseconds{0}, next_unstick_ - now_)));
        case OutStage::neighbours: return fmt::format("its neighbours to have {}", claim.rollout.key.id);
        case OutStage::baking:
            return fmt::format("the bake time of {}: in service, and watched for {} more", claim.rollout.key.id,
                               human_duration(std::max(Milliseconds{0}, bake_until_.value_or(now_) - now_)));
    }
    return "";
}

/// Of somebody that is waited for: whether he is there at all.
std::string Core::silence_of(const NodeName& node) const {
    if (node == s_.self || is_live(node)) return "";
    const auto peer = peers_.find(node);
    if (peer == peers_.end() || !peer->second.heard) return ", which has not been heard since this agent started";
    return fmt::format(", silent for {}", human_duration(now_ - *peer->second.heard));
}

std::string Core::frozen_text() const {
    const auto& freeze = *d_.freeze.note;
    const auto left = freeze.until_ms == 0
                          ? std::string()
                          : fmt::format(" ({} left)", human_duration(Milliseconds(freeze.until_ms - wall_ms())));
    return fmt::format("the end of the freeze by {}: {}{}", freeze.who, freeze.reason, left);
}

std::string Core::nothing_text() const {
    if (!d_.may_grant) {
        std::vector<std::string> missing;
        for (const auto& voter : s_.voters) {
            const auto peer = peers_.find(voter);
            if (voter == s_.self || is_forgotten(voter) || (peer != peers_.end() && peer->second.synced)) continue;
            missing.push_back(voter.str());
        }
        return fmt::format("{} to be heard, since this database is new", join(missing, ", "));
    }
    if (!d_.spreads.empty()) {
        const auto& order = d_.spreads.begin()->second;
        return fmt::format("a majority to store an order ({}): {} of {} have", order.what, order.stored_by.size(),
                           majority());
    }
    const auto* lead = leading();
    if (!lead || !owes(*lead)) return "";
    const auto debt = fmt::format("neighbours that were passed over are owed rollout {}", lead->rollout.key.id);
    if (frozen()) return fmt::format("{}; {}", frozen_text(), debt);
    return fmt::format("{}: {}", app_up_ ? "their answer" : "its app to answer", debt);
}

std::string Core::trouble_text() const {
    return fmt::format(
        "its own build of rollout {}, which others run already and which failed here {}: {}; {}",
        trouble_->target.key.id, trouble_->times == 1 ? "once" : fmt::format("{} times in a row", trouble_->times),
        trouble_->reason,
        trouble_->again <= now_ ? "it is tried again" : "tried again in " + human_duration(trouble_->again - now_));
}

std::string Core::disowned_text() const {
    if (is_forgotten(s_.self) || d_.barred.contains(d_.incarnation)) {
        return fmt::format(
            "a person: this node was forgotten, or another database was accepted for it; empty its "
            "state_dir, restart the agent, then `baton accept {}`",
            s_.self);
    }
    return fmt::format(
        "a person: peers know {0} with another database; once its app is in service, "
        "`baton accept {0}`",
        s_.self);
}

std::string Core::idle_text() const {
    if (doubled() && !d_.barred.contains(d_.incarnation)) return doubled_text();
    if (disowned() && rules_.wiped_wait) return disowned_text();
    if (d_.duty) {
        const auto found = d_.known.find(d_.duty->target.key);
        const auto list = found == d_.known.end() ? std::vector<NodeName>{} : walk_list();
        if (walk_at_ < list.size()) {
            return fmt::format("{} to take the rollout{}", list[walk_at_],
                               walk_waits_ ? ": it is out of reach, and no more nodes may be passed over"
                                           : silence_of(list[walk_at_]));
        }
    }
    const auto held = hold();
    const auto* lead = leading();
    switch (held) {
        case Hold::nothing: return nothing_text();
        case Hold::trouble: return trouble_text();
        case Hold::away:
            for (const auto& node : visiting(lead->rollout)) {
                const auto peer = peers_.find(node);
                if (peer == peers_.end() || peer->second.status.working.key != lead->rollout.key) continue;
                if (is_live(node)) return fmt::format("its turn: {} has rollout {}", node, lead->rollout.key.id);
                return fmt::format("{}, which had rollout {} and has been silent for {}", node, lead->rollout.key.id,
                                   human_duration(now_ - *peer->second.heard));
            }
            return fmt::format("its turn in rollout {}", lead->rollout.key.id);
        case Hold::building: return "";  // the build says what it does
        case Hold::frozen: return frozen_text();
        case Hold::bring_up: return "the app, which was down when the agent started";
        case Hold::barred: return disowned_text();
        case Hold::min_healthy: {
            unsigned needed = 0;
            const auto serving = serving_others(needed);
            return fmt::format("other nodes to be in service: {} are, {} must be", serving, needed);
        }
        case Hold::lanes_taken: {
            std::vector<std::string> holders;
            for (const auto& grant : d_.grants) {
                if (grant.node == s_.self) continue;
                holders.push_back(fmt::format("{} is out of service with {}{}", grant.node, grant.target.key.id,
                                              silence_of(grant.node)));
            }
            return "permit: " + join(holders, ", ");
        }
        case Hold::back_off:
        case Hold::none: return last_hold_.empty() ? "permit" : "permit: " + last_hold_;
    }
    return "";
}

std::string Core::waiting_text() const {
    switch (d_.phase) {
        case Phase::idle: return idle_text();
        case Phase::asking: return asking_text();
        case Phase::out: return out_text();
    }
    return "";
}

View Core::view(Instant now) const {
    View view;
    view.phase = d_.phase;
    if (d_.claim && d_.phase == Phase::out) view.lane = d_.claim->lane;
    if (d_.claim) {
        view.wanted = d_.claim->rollout;
    } else if (const auto* known = wanted()) {
        view.wanted = known->rollout;
    }
    if (const auto* last = newest()) {
        view.newest = last->rollout;
        view.newest_halted = is_failed(*last);
    }
    for (const auto& [key, known] : d_.known) {
        if (known.promoted) view.promoted[key] = known.promoted_by;
        if (!is_failed(known)) continue;
        const auto& failure = d_.failed.at(key);
        view.halted.push_back({known.rollout,
                               failure.kind == FailureKind::halted
                                   ? fmt::format("halted by {}: {}", failure.who, failure.reason)
                                   : fmt::format("failed on {}: {}", failure.node, failure.reason),
                               failure.at_ms});
    }
    if (view.newest_halted) view.halted_because = view.halted.back().because;
    for (auto it = d_.known.rbegin(); it != d_.known.rend() && !view.proven; ++it) {
        if (it->second.proven && !is_failed(it->second)) view.proven = it->second.rollout;
    }
    if (const auto* lead = leading(); lead && !lead->ended) {
        view.leading = lead->rollout;
        const bool queue = s_.policy.on_new_commit == config::OnNewCommit::queue;
        for (auto it = d_.known.upper_bound(lead->rollout.key); queue && it != d_.known.end(); ++it) {
            if (!is_failed(it->second)) view.queued.push_back(it->second.rollout);
        }
    }
    view.current = d_.current;
    view.baking = d_.phase == Phase::out && d_.claim->stage == OutStage::baking;
    view.waits_for = waiting_text();
    view.waits_kind = waiting_for_;
    view.disowned = disowned();
    view.doubled = doubled();
    view.turn_to_come = d_.phase == Phase::idle && !d_.duty && !disowned() && !doubled() && hold() == Hold::away;
    if (!view.waits_for.empty()) view.waiting = now - waiting_since_;
    for (const auto& grant : d_.grants) view.holders.push_back(Holder{grant.lane, grant.node, grant.target});
    auto everybody = s_.order;
    for (const auto& voter : s_.voters) {
        if (std::ranges::find(everybody, voter) == everybody.end()) everybody.push_back(voter);
    }
    for (const auto& node : everybody) {
        if (node == s_.self) continue;
        PeerView shown{node, -1, ""};
        if (const auto peer = peers_.find(node); peer != peers_.end() && peer->second.heard) {
            shown.silent_ms = (now - *peer->second.heard).count();
            shown.config_hash = peer->second.config_hash;
            const auto& status = peer->second.status;
            shown.serving = status.serving && !status.held_out;
            shown.drained = status.drained;
        }
        if (is_forgotten(node)) shown.forgotten = d_.identities.at(node).by;
        view.peers.push_back(shown);
    }
    if (frozen()) view.frozen = d_.freeze.note;
    view.drained = drained_;
    view.may_grant = d_.may_grant;
    return view;
}

}  // namespace baton::chain
