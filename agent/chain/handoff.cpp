// SPDX-License-Identifier: MIT
// The walk along the chain: after its own success a node hands the rollout to the next, until one takes it.
#include <algorithm>
#include <fmt/format.h>

#include "agent/chain/core.h"

namespace baton::chain {

void Core::owe_handoff(const Known& known) {
    if (!known.walks) return;
    auto& mine = d_.known.at(known.rollout.key);
    mine.walks = false;
    Duty duty{mine.rollout.target(), 1, d_.claim ? d_.claim->lane : 0, false};
    if (mine.rollout.kind == wire::RolloutKind::deploy) {
        ++mine.canaries;  // this node has it now
        const auto canaries = std::min<std::size_t>(s_.policy.canary, s_.order.size());
        // The canaries are behind: from here as many walks as there are lanes.
        if (mine.canaries == std::max<std::size_t>(1, canaries)) duty.walks = s_.lanes;
    }
    d_.duty = duty;
    walking_ = {};
    changed();
}

std::vector<NodeName> Core::walk_list() const {
    auto list = visiting(d_.known.at(d_.duty->target.key).rollout);
    if (!d_.duty->from_start) {
        const auto mine = std::ranges::find(list, s_.self);
        if (mine != list.end()) list.erase(list.begin(), mine + 1);
    }
    return list;
}

void Core::walk() {
    if (!d_.duty) return;
    const auto end = [&] {
        d_.duty.reset();
        walking_ = {};
        walk_waits_ = false;
        changed();
    };
    const auto found = d_.known.find(d_.duty->target.key);
    if (found == d_.known.end() || found->second.rollout.target() != d_.duty->target || leading() != &found->second) {
        end();  // halted, or something newer is on its way
        return;
    }
    auto& known = found->second;
    const auto next = [&] { walk_to(walk_at_ + 1); };
    if (walking_ != d_.duty->target) {
        walking_ = d_.duty->target;
        walk_to(0);
    }
    const auto list = walk_list();
    while (walk_at_ < list.size()) {
        const auto& node = list[walk_at_];
        if (node == s_.self) {
            if (behind(known) && !known.assigned && !doubled()) {
                assign(known, true);
                if (--d_.duty->walks == 0) {
                    end();
                    return;
                }
            }
            next();
            continue;
        }
        if (is_forgotten(node)) {
            next();
            continue;
        }
        // Rather than on one who is away it waits on one who was, and is heard again.
        if (const auto late = walk_waits_ ? heard_again(known, list) : std::nullopt) {
            known.skipped.erase(list[*late]);
            changed();
            walk_to(*late);
            continue;
        }
        if (now_ - walk_since_ >= s_.policy.handoff_timeout) {
            if (may_pass_over(walking_, node, {})) {
                known.skipped.insert(node);
                changed();
                note(Note::Level::warning,
                     fmt::format("{} is out of reach: rollout {} passes it over", node, walking_.key.id));
                next();
                continue;
            }
            if (!walk_waits_) {
                walk_waits_ = true;
                note(Note::Level::warning,
                     fmt::format("{} is out of reach, and {} nodes were passed over already: rollout {} waits for it",
                                 node, left_behind(known).size(), walking_.key.id));
            }
        }
        if (now_ >= walk_next_) {
            walk_next_ = now_ + s_.timing.handoff_again;
            // Each of several walks is sent on with another lane.
            const auto lane = (d_.duty->lane + d_.duty->walks - 1) % s_.lanes;
            send(node, Handoff{known.rollout, known.canaries, lane, known.skipped});
        }
        return;
    }
    // Nobody is left to be won, so that no further canary can come either.
    if (!behind(known)) set_proven(known.rollout.key);
    end();
}

void Core::walk_to(std::size_t at) {
    walk_at_ = at;
    walk_since_ = walk_next_ = now_;
    walk_waits_ = false;
}

std::optional<std::size_t> Core::heard_again(const Known& known, const std::vector<NodeName>& list) const {
    for (std::size_t at = 0; at < walk_at_; ++at) {
        const auto& passed = list[at];
        if (known.skipped.contains(passed) && is_live(passed) && peers_.at(passed).heard > walk_since_) return at;
    }
    return std::nullopt;
}

std::set<NodeName> Core::left_behind(const Known& known) const {
    auto nodes = known.skipped;
    std::erase_if(nodes, [&](const NodeName& node) {
        const auto peer = peers_.find(node);
        return peer != peers_.end() && peer->second.status.current.key >= known.rollout.key;
    });
    return nodes;
}

bool Core::may_pass_over(const wire::Target& target, const NodeName& node, const std::set<NodeName>& besides) const {
    const auto it = d_.known.find(target.key);
    if (it == d_.known.end()) return false;
    auto skipped = left_behind(it->second);
    skipped.insert(besides.begin(), besides.end());
    return skipped.contains(node) || skipped.size() < s_.policy.max_unreachable;
}

void Core::receive_ack(const NodeName& from, const HandoffAck& ack) {
    if (!d_.duty || d_.duty->target != ack.target || walking_ != ack.target) return;
    const auto found = d_.known.find(ack.target.key);
    if (found == d_.known.end()) return;
    const auto list = walk_list();
    if (walk_at_ >= list.size() || list[walk_at_] != from) return;
    if (found->second.skipped.erase(from) > 0) changed();
    walk_to(walk_at_ + 1);
    if (ack.already) return;
    note(Note::Level::info, fmt::format("{} has taken rollout {} over", from, ack.target.key.id));
    changed();
    if (--d_.duty->walks == 0) d_.duty.reset();
}

void Core::receive_handoff(const NodeName& from, const Handoff& handoff) {
    Known news;
    news.rollout = handoff.rollout;
    news.skipped = handoff.skipped;
    merge_known(news);
    const auto target = handoff.rollout.target();
    auto& known = d_.known.at(target.key);
    bool already = true;
    if (known.rollout.target() == target && !is_failed(known) && is_member() && !stands_aside()) {
        if (!known.assigned && behind(known)) {
            known.canaries = handoff.canaries;
            known.handed_by = from;
            lane_hint_ = handoff.lane;
            assign(known, true);
            already = false;
            note(Note::Level::info, fmt::format("{} has handed rollout {} to this node", from, target.key.id));
        } else if (known.assigned && known.handed_by == from &&
                   (behind(known) || (d_.duty && d_.duty->target == target))) {
            already = false;  // the first answer was lost; it is still this node's to bring on
        }
    }
    send(from, HandoffAck{target, already});
}

void Core::send_heads_up(const Known& known) {
    if (known.rollout.kind != wire::RolloutKind::deploy) return;
    const auto& ahead = s_.policy.prepare_ahead;
    auto list = visiting(known.rollout);
    const auto mine = std::ranges::find(list, s_.self);
    if (mine != list.end()) list.erase(list.begin(), mine + 1);
    std::size_t count = ahead ? std::min<std::size_t>(*ahead, list.size()) : list.size();
    for (const auto& node : list) {
        if (count == 0) return;
        const auto peer = peers_.find(node);
        if (peer != peers_.end() && peer->second.status.current.key >= known.rollout.key) continue;
        send(node, HeadsUp{known.rollout});
        --count;
    }
}

}  // namespace baton::chain
