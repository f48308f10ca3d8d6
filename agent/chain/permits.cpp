// SPDX-License-Identifier: MIT
// Permits: asking a majority for a lane, granting at most one holder a lane, releasing, inquiring.
#include <algorithm>
#include <fmt/format.h>

#include "agent/chain/core.h"

namespace baton::chain {
namespace {

constexpr Milliseconds lease_of_the_mutant{1'500};

}  // namespace

bool Core::is_voter(const NodeName& node) const { return std::ranges::find(s_.voters, node) != s_.voters.end(); }

void Core::ask() {
    const auto* known = wanted();
    std::vector<unsigned> lanes;
    for (unsigned lane = 0; lane < s_.lanes; ++lane) {
        const bool taken = std::ranges::any_of(
            d_.grants, [&](const Grant& grant) { return grant.lane == lane && grant.node != s_.self; });
        if (!taken) lanes.push_back(lane);
    }
    const bool forced = d_.forced == known->rollout.target();
    if (lanes.empty()) lanes.push_back(0);  // only a forced one gets here
    ++d_.seq;
    d_.phase = Phase::asking;
    d_.claim = Claim{};
    d_.claim->ticket = {d_.incarnation, d_.seq};
    const bool hinted = lane_hint_ && std::ranges::find(lanes, *lane_hint_) != lanes.end();
    d_.claim->lane = hinted ? *lane_hint_ : lanes[random_() % lanes.size()];
    lane_hint_.reset();
    d_.claim->rollout = known->rollout;
    d_.claim->once_steps = build_ && build_->once_steps;  // no build: only neighbours are missing
    d_.claim->forced = forced;
    changed();
    granted_by_.clear();
    denied_by_.clear();
    ask_deadline_ = now_ + s_.timing.ask_for;
    if (!rules_.permits) {
        go_out();
        return;
    }
    vote_for_oneself();
    send_asks();
    if (forced) {
        note(Note::Level::warning, fmt::format("going out of service for {} without a majority: forced by {}",
                                               known->rollout.key.id, d_.forced_by));
        go_out();
        return;
    }
    count_votes();
}

void Core::vote_for_oneself() {
    if (!is_voter(s_.self)) return;
    const auto denied = consider(s_.self, s_.config_hash, own_ask());
    if (!denied) {
        granted_by_.insert(s_.self);
    } else {
        denied_by_[s_.self] = *denied;
    }
}

Ask Core::own_ask() const {
    const auto& claim = *d_.claim;
    const auto once = d_.once.find(claim.rollout.key);
    // Until the first node has succeeded, every node with `once` steps asks to be the only one.
    const bool alone = claim.once_steps && (once == d_.once.end() || !once->second.settled);
    return Ask{claim.ticket, claim.lane, claim.round, claim.rollout.target(), alone};
}

void Core::send_asks() {
    ask_again_ = now_ + s_.timing.ask_again;
    const auto body = own_ask();
    for (const auto& voter : s_.voters) {
        if (voter != s_.self && !granted_by_.contains(voter) && !denied_by_.contains(voter)) send(voter, body);
    }
}

std::optional<Denied> Core::consider(const NodeName& from, const std::string& config_hash, const Ask& ask) {
    const auto deny = [&](std::string reason, NodeName holder = {}) {
        return std::optional(Denied{ask.ticket, ask.round, std::move(holder), std::move(reason)});
    };
    const auto over = deny("");
    auto& grants = d_.grants;
    if (rules_.done_numbers) {
        const auto done = d_.done.find(from);
        if (done != d_.done.end() && done->second.incarnation == ask.ticket.incarnation && ask.ticket <= done->second) {
            return over;
        }
        if (std::ranges::any_of(grants, [&](const Grant& g) {
                return g.node == from && g.ticket.incarnation == ask.ticket.incarnation && g.ticket > ask.ticket;
            })) {
            return over;
        }
        const Ticket before{ask.ticket.incarnation, ask.ticket.seq - 1};
        if (done == d_.done.end() || done->second.incarnation != before.incarnation || done->second < before) {
            d_.done[from] = before;
            changed();
        }
    }
    if (std::erase_if(grants, [&](const Grant& g) { return g.node == from && g.ticket != ask.ticket; }) > 0) changed();
    if (!may_grant()) return deny("its database is new, and it has not heard yet what everybody holds");
    // Two agents with one memory could each give away what the other has given.
    const bool copied = doubled() && rival_->voice.incarnation == d_.incarnation;
    if (copied && std::ranges::none_of(grants, [&](const Grant& g) { return g.node == from; })) {
        return deny("another agent runs with a copy of its database");
    }
    if (config_hash != s_.config_hash) return deny("its configuration is another one");
    if (ask.lane >= s_.lanes) return deny("there is no such lane");
    const auto other = [&](const Grant& g) { return g.node != from && (!rules_.lanes_numbered || g.lane == ask.lane); };
    const auto holder = std::ranges::find_if(grants, other);
    if (holder != grants.end() &&
        (rules_.lanes_numbered || std::ranges::count_if(grants, other) >= static_cast<std::ptrdiff_t>(s_.lanes))) {
        return deny(fmt::format("{} is out of service", holder->node), holder->node);
    }
    if (is_failed(ask.target)) return deny("the rollout has failed or is halted");
    const auto* lead = leading();
    if (lead && ask.target < lead->rollout.target()) return deny("there is a newer rollout");
    const auto same = std::ranges::find_if(grants, [&](const Grant& g) { return g.node == from; });
    if (frozen() && same == grants.end()) return deny("the app is frozen");
    if (ask.once) {
        const auto first = std::ranges::find_if(
            grants, [&](const Grant& g) { return g.node != from && g.once && g.target.key == ask.target.key; });
        if (first != grants.end()) return deny("its steps marked `once` come first", first->node);
    }
    Grant grant{ask.lane, from, ask.ticket, ask.target, ask.once};
    if (!rules_.target_in_grants) grant.target = {};
    if (same == grants.end()) {
        grants.push_back(grant);
        if (!rules_.grants_never_expire) grant_ages_[{from, ask.ticket}] = now_;
        changed();
    } else if (*same != grant) {
        *same = grant;
        changed();
    }
    return std::nullopt;
}

void Core::receive_ask(const NodeName& from, const Header& header, const Ask& ask) {
    if (!is_voter(s_.self)) return;
    if (rules_.wiped_wait && (!accepted(from, header.incarnation) || ask.ticket.incarnation != header.incarnation)) {
        send(from, Denied{ask.ticket,
                          ask.round,
                          {},
                          fmt::format("{} is known here with another database; once its app is in service, a person "
                                      "may say `baton accept {}`",
                                      from, from)});
        return;
    }
    const bool has_it = std::ranges::any_of(
        d_.grants, [&](const Grant& grant) { return grant.node == from && grant.ticket == ask.ticket; });
    // What is out already has to come back; nothing new begins in the name of two.
    if (several_speak(from) && !has_it) {
        send(from, Denied{ask.ticket, ask.round, {}, fmt::format("several agents say that they are {}", from)});
        return;
    }
    const auto denied = consider(from, header.config_hash, ask);
    if (!denied) {
        send(from, Granted{ask.ticket, ask.round, ask.target});
    } else if (!denied->reason.empty()) {
        send(from, *denied);
    }
}

void Core::receive_granted(const NodeName& from, const Granted& granted, bool known_database) {
    if (!d_.claim || d_.claim->ticket != granted.ticket) {
        if (granted.ticket.incarnation == d_.incarnation) send(from, Release{granted.ticket});
        return;
    }
    if (d_.phase != Phase::asking && !revalidating_) return;
    // An agent that was forgotten, or another one in its name: what the node's own has granted it does not know, and a
    // voter has one vote.
    if (rules_.wiped_wait && !known_database) return;
    if (granted.round != d_.claim->round || granted.target != d_.claim->rollout.target() || !is_voter(from)) return;
    granted_by_.insert(from);
    denied_by_.erase(from);
    count_votes();
}

void Core::receive_denied(const NodeName& from, const Denied& denied) {
    if (!d_.claim || d_.claim->ticket != denied.ticket || d_.claim->round != denied.round || !is_voter(from)) return;
    if (d_.phase != Phase::asking && !revalidating_) return;
    if (granted_by_.contains(from)) return;
    denied_by_[from] = denied;
    count_votes();
}

void Core::count_votes() {
    if (granted_by_.size() >= majority()) {
        if (d_.phase == Phase::asking) {
            go_out();
        } else {
            end_revalidation();
        }
    } else if (s_.voters.size() - denied_by_.size() < majority()) {
        refused();
    }
}

void Core::refused() {
    std::string why = fmt::format("{} of {} granted", granted_by_.size(), majority());
    for (const auto& [node, denied] : denied_by_) {
        if (!denied.reason.empty()) why += fmt::format("; {} says: {}", node, denied.reason);
    }
    if (d_.phase == Phase::asking) {
        give_up(why);
        return;
    }
    if (d_.claim->stage == OutStage::neighbours) {
        // Denied: by now this node knows what has become of the rollout, and the neighbours are told by goes_on().
        revalidating_ = false;
        const bool silence = s_.voters.size() - denied_by_.size() >= majority();
        if (silence) revalidate();
        return;
    }
    revalidating_ = false;
    if (d_.claim->stage == OutStage::stuck) {
        next_ask_ = now_ + s_.timing.back_off_most;
        return;
    }
    begin_restore(
        fmt::format("the agent was restarted in the middle of it, and no majority confirmed the permit ({})", why));
}

void Core::give_up(const std::string& why) {
    last_hold_ = why;
    end_claim();
    failed_asks_ = std::min(failed_asks_ + 1, 10U);
    const auto most = std::min(s_.timing.back_off_most, s_.timing.back_off_first * (1 << failed_asks_));
    next_ask_ = now_ + random_between(s_.timing.back_off_first / 2, most);
}

void Core::end_claim() {
    const auto ticket = d_.claim->ticket;
    d_.phase = Phase::idle;
    d_.claim.reset();
    revalidating_ = false;
    bake_until_.reset();
    changed();
    granted_by_.clear();
    denied_by_.clear();
    apply_release(s_.self, ticket);
    send_to_voters(Release{ticket});
}

void Core::apply_release(const NodeName& node, const Ticket& ticket) {
    if (rules_.done_numbers) {
        auto& done = d_.done[node];
        if (done.incarnation != ticket.incarnation || done < ticket) {
            done = ticket;
            changed();
        }
    }
    const auto past = [&](const Grant& g) {
        return g.node == node && g.ticket.incarnation == ticket.incarnation && g.ticket <= ticket;
    };
    if (std::erase_if(d_.grants, past) > 0) changed();
}

void Core::receive_release(const NodeName& from, const Release& release) {
    const auto before = d_.grants.size();
    if (release.ticket.incarnation == d_.identities.at(from).incarnation) {
        apply_release(from, release.ticket);
    } else {
        // The accepted database says that a claim of a lost one, adopted from somebody's memory, is over.
        const auto past = [&](const Grant& g) { return g.node == from && g.ticket == release.ticket; };
        if (std::erase_if(d_.grants, past) > 0) changed();
    }
    if (d_.grants.size() == before || d_.phase != Phase::idle) return;
    const auto* known = wanted();
    if (known && known->walks) {
        next_ask_ = now_;
    } else {
        // Courtesy: whoever is handed the rollout now goes first.
        next_ask_ = std::max(next_ask_, now_ + random_between(s_.timing.courtesy_least, s_.timing.courtesy_most));
    }
}

void Core::receive_inquire(const NodeName& from, const Inquire& inquire) {
    if (inquire.ticket.incarnation != d_.incarnation) {
        // Of a database that was lost. Once this one is accepted, the node was in service since: it is over.
        if (d_.may_grant && !disowned()) send(from, Release{inquire.ticket});
        return;
    }
    if (d_.claim && d_.claim->ticket == inquire.ticket) return;
    if (inquire.ticket.seq > d_.seq) {
        note(Note::Level::error, fmt::format("{} holds a permit that this node's database does not know of: it is "
                                             "older than it should be (a restored or cloned disk?)",
                                             from));
        return;
    }
    send(from, Release{inquire.ticket});
}

void Core::inquire_holders() {
    next_inquire_ = now_ + s_.timing.inquire_every;
    if (!rules_.inquire) return;
    const auto grants = d_.grants;
    for (const auto& grant : grants) {
        if (grant.node != s_.self) {
            send(grant.node, Inquire{grant.ticket});
        } else if (!d_.claim || d_.claim->ticket != grant.ticket) {
            apply_release(s_.self, grant.ticket);
        }
    }
}

void Core::expire_grants() {
    const auto old = [&](const Grant& g) {
        const auto at = grant_ages_.find({g.node, g.ticket});
        return at != grant_ages_.end() && now_ - at->second > lease_of_the_mutant;
    };
    if (std::erase_if(d_.grants, old) > 0) changed();
}

}  // namespace baton::chain
