// SPDX-License-Identifier: MIT
// The course: which rollout everybody should go for, whether its turn has come here, when to build and when to ask.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "agent/chain/core.h"
#include "common/text.h"

namespace baton::chain {
namespace {

/// After a start, peers have just been asked how they stand: no need to wait as long as usual.
constexpr Milliseconds just_started{30'000};
/// With many peers each is heard less often.
constexpr std::size_t peers_heard_each_time = 8;
/// Looking over hundreds of peers after every message would cost more than it tells.
constexpr std::size_t large_chain = 25;
constexpr Milliseconds large_chain_watch{500};

}  // namespace

const Known* Core::newest() const { return d_.known.empty() ? nullptr : &d_.known.rbegin()->second; }

const Known* Core::leading() const {
    if (d_.known.empty()) return nullptr;
    const bool queue = s_.policy.on_new_commit == config::OnNewCommit::queue;
    const Known* lead = nullptr;
    // Superseded is for good: when the newest fails, the fleet goes back to what had succeeded somewhere before it, or
    // stays as it is. It does not turn to a commit that nobody has tried and that was given up already.
    bool superseded = !d_.failed.empty() && d_.failed.rbegin()->first > d_.known.rbegin()->first;
    for (auto it = d_.known.rbegin(); it != d_.known.rend(); ++it) {
        const auto& known = it->second;
        const bool newer = std::exchange(superseded, true);
        if (is_failed(known)) continue;
        if (!queue && (!newer || known.proven || known.rollout.attempt > 1)) return &known;
        if (!queue) continue;
        // queue: the oldest that has not ended yet; what is older than an ended one is history.
        if (known.ended) return lead ? lead : &known;
        lead = &known;
    }
    return lead;
}

bool Core::behind(const Known& known) const {
    if (!d_.current || known.rollout.key > d_.current->key) return true;
    if (known.rollout.key != d_.owed || known.rollout.key != d_.current->key) return false;
    // A retry is for the neighbours, too. What this node was not through with is taken up at once, and what it owes to
    // those that were out of reach once they answer.
    const auto target = known.rollout.target();
    return target != d_.current->target() || known.walks || answered_ == target;
}

const Known* Core::wanted() const {
    const auto* lead = leading();
    if (!lead || !lead->assigned || !is_member() || !behind(*lead)) return nullptr;
    // Nobody grants anything to a database that is not taken for this node's, nor to one of two that speak in its name:
    // it must not stand in the others' way as one who has the rollout.
    if (stands_aside() && d_.forced != lead->rollout.target()) return nullptr;
    return lead;
}

void Core::assign(Known& known, bool walks) {
    if (known.assigned && (known.walks || !walks)) return;
    known.assigned = true;
    known.walks = known.walks || walks;
    next_ask_ = now_;
    changed();
}

std::size_t Core::position(const NodeName& node) const {
    return static_cast<std::size_t>(std::ranges::find(s_.order, node) - s_.order.begin());
}

std::vector<NodeName> Core::visiting(const wire::Rollout& rollout) const {
    const auto count = s_.order.size();
    const auto first = position(rollout.started_on) % std::max<std::size_t>(1, count);
    std::vector<NodeName> list;
    for (std::size_t step = 0; step < count; ++step) {
        // A roll-back goes the other way: what was switched last is put back first.
        const bool back = rollout.kind == wire::RolloutKind::rollback;
        list.push_back(s_.order[back ? (first + count - step) % count : (first + step) % count]);
    }
    return list;
}

bool Core::is_live(const NodeName& node) const {
    if (node == s_.self) return true;
    const auto peer = peers_.find(node);
    if (peer == peers_.end() || !peer->second.heard) return false;
    const auto rounds = static_cast<std::int64_t>(s_.order.size() / peers_heard_each_time + 2);
    const auto patience = std::max(s_.timing.silent_after, s_.timing.sync_every * rounds);
    return now_ - *peer->second.heard < patience;
}

void Core::watch_leading() {
    const auto* lead = leading();
    if (!lead || !is_member() || doubled()) return;
    const auto key = lead->rollout.key;
    if (key != lead_key_) {
        lead_key_ = key;
        lead_since_ = now_;
        passed_since_.reset();
    }
    if (lead->ended && !lead->proven) return;  // a job without a switch
    const bool has_it = !behind(*lead);
    if (has_it && (lead->proven || d_.duty || d_.phase != Phase::idle || d_.current->key != key)) return;
    if (!has_it && lead->assigned) return;
    if (trouble_) return;  // watch_trouble() takes it up again
    if (now_ < next_watch_) return;
    if (s_.order.size() > large_chain) next_watch_ = now_ + large_chain_watch;
    auto& known = d_.known.at(key);
    if (d_.phase == Phase::out && d_.claim->stage == OutStage::stuck) {
        assign(known, false);  // out already, and it keeps the lane that others may need
        return;
    }
    const auto seen = look_around(known);
    if (seen.carried) lead_since_ = now_;
    if (has_it) {
        // Accepted by a node that was lost before it became the last canary: walk once more.
        if (!seen.carried && !seen.earlier_has && now_ - lead_since_ >= s_.timing.adopt_after) {
            d_.duty = Duty{known.rollout.target(), 1, 0, true};
            lead_since_ = now_;
            walking_ = {};
            changed();
        }
        return;
    }
    if (!seen.passed || !known.proven) {
        passed_since_.reset();
    } else if (!passed_since_) {
        passed_since_ = now_;
    }
    const auto& timing = s_.timing;
    if (known.proven) {
        const auto patience = now_ - started_at_ < just_started ? timing.catch_up_grace : timing.catch_up_after;
        const bool passed_over = passed_since_ && now_ - *passed_since_ >= timing.catch_up_grace;
        const bool forsaken = !seen.carried && now_ - lead_since_ >= patience;
        if (passed_over || forsaken) {
            assign(known, false);
            note(Note::Level::info, fmt::format("catching up with rollout {}", key.id));
        }
    } else if (!seen.carried && !seen.earlier_lacks && now_ - lead_since_ >= timing.adopt_after) {
        assign(known, true);
        note(Note::Level::info, fmt::format("taking over rollout {}, whose carrier is silent", key.id));
    }
}

void Core::build_failed_here(const wire::Target& target, const std::string& reason) {
    auto& known = d_.known.at(target.key);
    known.assigned = known.walks = false;
    changed();
    const unsigned times = trouble_ && trouble_->target == target ? trouble_->times + 1 : 1;
    constexpr unsigned most_doublings = 16;
    const auto wait =
        std::min(s_.timing.build_again_most, s_.timing.build_again_first * (1 << std::min(times - 1, most_doublings)));
    trouble_ = Trouble{target, times, reason, now_ + wait};
    note(Note::Level::error,
         fmt::format("this node cannot build rollout {}, which others run already; it is tried again in {}: {}",
                     target.key.id, human_duration(wait), reason));
}

void Core::watch_trouble() {
    if (!trouble_) return;
    const auto* lead = leading();
    if (!lead || lead->rollout.target() != trouble_->target || !behind(*lead)) {
        trouble_.reset();
    } else if (!lead->assigned && now_ >= trouble_->again && !doubled()) {
        assign(d_.known.at(lead->rollout.key), false);
    }
}

Core::Surroundings Core::look_around(const Known& known) const {
    Surroundings seen;
    const auto key = known.rollout.key;
    const auto list = visiting(known.rollout);
    const auto mine = std::ranges::find(list, s_.self);
    for (auto it = list.begin(); it != list.end(); ++it) {
        if (it == mine || !is_live(*it) || is_forgotten(*it)) continue;
        const auto& status = peers_.at(*it).status;
        const bool has = status.current.key >= key;
        const bool works = status.working.key == key;
        seen.carried = seen.carried || works;
        if (it > mine) seen.passed = seen.passed || has || works;
        if (it < mine) {
            seen.earlier_has = seen.earlier_has || status.current.key == key;
            seen.earlier_lacks = seen.earlier_lacks || !has;
        }
    }
    return seen;
}

void Core::adopt_same_commit(const Known& known) {
    if (!d_.current || d_.current->commit != known.rollout.commit || !d_.owed.empty()) return;
    // A roll-back has reached this node when it runs the commit. So has a commit that a hook and a poll noticed both;
    // a person who triggers a commit again wants it deployed again.
    const auto cause = known.rollout.cause.kind;
    const bool noticed = cause == wire::CauseKind::poll || cause == wire::CauseKind::webhook;
    const bool same = known.rollout.kind == wire::RolloutKind::rollback ||
                      (noticed && d_.current->parameters == known.rollout.parameters);
    if (!same) return;
    if (build_) drop_build(wire::BuildState::superseded, "this node runs that commit already");
    d_.current = known.rollout;
    changed();
    succeed(d_.current->key);
}

void Core::drop_build(wire::BuildState as, const std::string& reason) {
    actions_.emplace_back(CancelBuild{build_->rollout.target(), as, reason});
    build_.reset();
}

void Core::steer_build() {
    if (d_.phase == Phase::out && d_.claim->stage != OutStage::stuck) return;  // one build of an app at a time
    const auto* known = wanted();
    const bool turn = known != nullptr;
    if (!known) {
        const auto* lead = leading();
        // Not where it cannot get its turn: a build that fails there would halt the rollout of those that can.
        if (lead && !stands_aside() && lead->rollout.target() == ahead_ && is_member() && behind(*lead) && !lead->ended)
            known = lead;
    }
    if (build_ && (!known || known->rollout.target() != build_->rollout.target())) {
        const auto failure = d_.failed.find(build_->rollout.key);
        if (failure != d_.failed.end() && failure->second.attempt >= build_->rollout.attempt) {
            drop_build(wire::BuildState::cancelled,
                       fmt::format("{}: {}", to_text(failure->second.kind), failure->second.reason));
        } else {
            const auto* lead = leading();
            const bool same = lead && lead->rollout.target() == build_->rollout.target();
            drop_build(wire::BuildState::superseded, same && doubled() ? "another agent says that it is this node"
                                                     : lead ? fmt::format("superseded by {}", lead->rollout.key.id)
                                                            : "no longer wanted");
        }
    }
    if (!known || lacks_neighbours_only(known->rollout)) return;
    if (!build_) {
        build_ = Build{known->rollout, false, !turn, true, false};
        const bool again = trouble_ && trouble_->target == known->rollout.target();
        actions_.emplace_back(StartBuild{known->rollout, !turn, again});
        if (turn) send_heads_up(*known);
    } else if (turn && build_->ahead) {
        build_->ahead = false;
        if (!build_->ready) {
            actions_.emplace_back(StartBuild{known->rollout, false, false});
        } else if (!build_->deploys) {
            drop_build(wire::BuildState::succeeded, "nothing to switch");
            d_.previous = d_.current;
            d_.current = known->rollout;
            d_.known.at(known->rollout.key).ended = true;
            changed();
            return;
        }
        send_heads_up(*known);
    }
}

Hold Core::hold() const {
    const auto* known = wanted();
    if (!known) {
        const auto* lead = leading();
        if (trouble_) return Hold::trouble;
        const bool elsewhere_only = lead && lead->ended && !lead->proven;  // a job without a switch
        return lead && !elsewhere_only && is_member() && behind(*lead) ? Hold::away : Hold::nothing;
    }
    const bool built = build_ && build_->ready && !build_->ahead;
    if (!built && !lacks_neighbours_only(known->rollout)) return Hold::building;
    if (frozen()) return Hold::frozen;
    if (bring_up_until_ && now_ < *bring_up_until_) return Hold::bring_up;
    if (d_.forced == known->rollout.target()) return Hold::none;
    if (disowned() && rules_.wiped_wait) return Hold::barred;
    unsigned needed = 0;
    if (serving_others(needed) < needed) return Hold::min_healthy;
    if (now_ < next_ask_) return Hold::back_off;
    std::set<unsigned> taken;
    for (const auto& grant : d_.grants) {
        if (grant.node != s_.self) taken.insert(grant.lane);
    }
    if (taken.size() >= s_.lanes && rules_.permits) return Hold::lanes_taken;
    return Hold::none;
}

unsigned Core::serving_others(unsigned& needed) const {
    needed = 0;
    if (s_.policy.min_healthy.count == 0) return 0;
    unsigned serving = 0;
    unsigned deployed = 0;
    for (const auto& node : s_.order) {
        const auto peer = peers_.find(node);
        if (node == s_.self || peer == peers_.end()) continue;
        if (!peer->second.status.current.key.empty()) ++deployed;
        const auto& status = peer->second.status;
        if (is_live(node) && status.serving && !status.held_out) ++serving;
    }
    // A node on which nothing was ever deployed cannot serve; the first rollout must not wait for it.
    needed = std::min(s_.policy.min_healthy.of(s_.order.size()), deployed);
    return serving;
}

void Core::mark_ended() {
    for (auto& [key, known] : d_.known) {
        if (known.ended || !known.proven || is_failed(known)) continue;
        const bool everywhere = std::ranges::all_of(s_.order, [&](const NodeName& node) {
            if (node == s_.self) return d_.current && d_.current->key >= key;
            const auto peer = peers_.find(node);
            // Who is out of reach catches up by himself; a rollout does not stay open for him.
            if (!is_live(node)) return now_ - started_at_ > s_.timing.silent_after;
            return peer->second.status.current.key >= key && peer->second.status.working.key != key;
        });
        if (!everywhere) continue;
        known.ended = true;
        changed();
    }
}

}  // namespace baton::chain
