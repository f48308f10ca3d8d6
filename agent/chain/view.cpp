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
        kind = d_.duty ? "handoff" + std::to_string(walk_at_) : "idle" + std::to_string(static_cast<int>(hold()));
        // Asking, giving up and backing off are one wait for a permit.
        const auto held = hold();
        if (!d_.duty && (held == Hold::back_off || held == Hold::lanes_taken || held == Hold::none)) kind = "asking";
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
    if (revalidating_) return "restarted in the middle of a switch: " + asking_text();
    switch (claim.stage) {
        case OutStage::switching: return fmt::format("the switch to {}", claim.rollout.key.id);
        case OutStage::restoring: return fmt::format("the previous release to be put back: {}", claim.reason);
        case OutStage::stuck:
            return fmt::format("a person: this node is out of service, the previous release could not be proved: {}",
                               claim.reason);
        case OutStage::neighbours: return fmt::format("its neighbours to have {}", claim.rollout.key.id);
        case OutStage::baking:
            return fmt::format("the bake time of {}: {} left", claim.rollout.key.id,
                               human_duration(std::max(Milliseconds{0}, bake_until_.value_or(now_) - now_)));
    }
    return "";
}

std::string Core::disowned_text() const {
    if (!is_forgotten(s_.self)) {
        return fmt::format(
            "a person: peers know {0} with another database; once its app is in service, "
            "`baton accept {0}`",
            s_.self);
    }
    return fmt::format(
        "a person: this node was forgotten; remove its database, restart the agent, then "
        "`baton accept {}`",
        s_.self);
}

std::string Core::idle_text() const {
    if (disowned() && rules_.wiped_wait) return disowned_text();
    if (d_.duty) {
        const auto found = d_.known.find(d_.duty->target.key);
        const auto list = found == d_.known.end() ? std::vector<NodeName>{} : walk_list();
        if (walk_at_ < list.size()) {
            return fmt::format("{} to take the rollout{}", list[walk_at_],
                               walk_waits_ ? ": it is out of reach, and no more nodes may be passed over" : "");
        }
    }
    const auto held = hold();
    const auto* lead = leading();
    switch (held) {
        case Hold::nothing:
            if (!d_.may_grant) return "every peer to be heard, since this database is new";
            return "";
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
        case Hold::frozen:
            return fmt::format("the end of the freeze by {}: {}", d_.freeze.note->who, d_.freeze.note->reason);
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
                holders.push_back(fmt::format("{} is out of service with {}", grant.node, grant.target.key.id));
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
        if (view.newest_halted) {
            const auto& failure = d_.failed.at(last->rollout.key);
            view.halted_because = failure.kind == FailureKind::halted
                                      ? fmt::format("halted by {}: {}", failure.who, failure.reason)
                                      : fmt::format("failed on {}: {}", failure.node, failure.reason);
        }
    }
    view.current = d_.current;
    view.waits_for = waiting_text();
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
        }
        view.peers.push_back(shown);
    }
    if (frozen()) view.frozen = d_.freeze.note;
    view.may_grant = d_.may_grant;
    return view;
}

}  // namespace baton::chain
