// SPDX-License-Identifier: MIT
// Comparing with peers: heartbeats that carry everything, which database speaks for a node, and how one that is new
// learns what its predecessor had granted.
#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "agent/chain/core.h"

namespace baton::chain {
namespace {

/// Up to this many peers everybody is asked each time; a larger chain gossips.
constexpr std::size_t small_chain = 25;
constexpr std::size_t gossip_with = 8;

}  // namespace

void Core::send_syncs(bool all) {
    next_sync_ = now_ + s_.timing.sync_every;
    const Sync body{nonce_, false, make_whole()};
    const auto is_peer = [&](const NodeName& node) { return node != s_.self; };
    if (s_.order.size() <= small_chain) {
        for (const auto& node : s_.order) {
            if (is_peer(node)) send(node, body);
        }
        for (const auto& node : s_.voters) {
            if (is_peer(node) && position(node) == s_.order.size()) send(node, body);
        }
        return;
    }
    // A large chain gossips, but who was just started, or is new, has to hear those that grant.
    if (all || !d_.may_grant) {
        for (const auto& node : s_.voters) {
            if (is_peer(node)) send(node, body);
        }
    }
    for (std::size_t i = 0; i < gossip_with; ++i) {
        const auto& node = s_.order[random_() % s_.order.size()];
        if (is_peer(node)) send(node, body);
    }
}

void Core::receive_sync(const NodeName& from, const Sync& sync) {
    merge_whole(from, sync.whole);
    if (!sync.reply) {
        send(from, Sync{sync.nonce, true, make_whole()});
    } else if (sync.nonce == nonce_) {
        peers_[from].synced = true;
    }
}

void Core::merge_whole(const NodeName& from, const Whole& whole) {
    for (const auto incarnation : whole.barred) bar(incarnation);
    if (whole.identities != d_.identities) {  // comparing is cheap, and they seldom differ
        for (const auto& [node, identity] : whole.identities) learn_identity(node, identity);
    }
    for (const auto& [node, voices] : whole.voices) hear_of_voices(node, voices);
    for (const auto& known : whole.known) merge_known(known);
    if (rules_.failed_carried) {
        for (const auto& [key, failure] : whole.failed) merge_failure(key, failure);
    }
    for (const auto& [key, state] : whole.once) merge_once(key, state);
    for (const auto& [commit, why] : whole.bad) mark_bad(commit, why);
    if (d_.may_grant || !rules_.sync) return;
    // A new database does not know what its predecessor granted: every claim that anybody knows of is taken over, and
    // each ends as any other: by its release, or by inquiring.
    for (const auto& [node, ticket] : whole.done) {
        const auto identity = d_.identities.find(node);
        if (node != s_.self && identity != d_.identities.end() && identity->second.incarnation == ticket.incarnation) {
            apply_release(node, ticket);
        }
    }
    for (const auto& grant : whole.grants) adopt_claim(grant);
    if (whole.claim && whole.claim->node == from) adopt_claim(*whole.claim);
}

void Core::adopt_claim(const Grant& claim) {
    if (d_.barred.contains(claim.ticket.incarnation)) return;
    if (claim.node == s_.self && claim.ticket.incarnation != d_.incarnation) return;  // its own, before
    const auto done = d_.done.find(claim.node);
    if (done != d_.done.end() && done->second.incarnation == claim.ticket.incarnation && claim.ticket <= done->second) {
        return;
    }
    const auto known = std::ranges::find_if(d_.grants, [&](const Grant& g) {
        return g.node == claim.node && g.ticket == claim.ticket && g.lane == claim.lane;
    });
    if (known != d_.grants.end()) return;
    d_.grants.push_back(claim);
    changed();
}

void Core::learn_identity(const NodeName& node, const Identity& identity) {
    auto& mine = d_.identities[node];
    if (identity.generation < mine.generation) return;
    if (identity.same_database(mine)) {
        // Ordered twice: everybody comes to show the same one.
        const auto rank = [](const OrderNote& note) {
            return std::tuple(note.who.empty(), note.since_ms, note.who, note.reason);
        };
        if (rank(identity.by) < rank(mine.by)) {
            mine.by = identity.by;
            changed();
        }
        return;
    }
    if (identity.generation == mine.generation) {
        // Different peers met different databases first. Neither is taken until somebody accepts one; what either
        // holds stays held.
        if (mine.incarnation != Identity::contested) changed();
        mine.incarnation = Identity::contested;
        return;
    }
    // What an older database has said may still be on its way; it must never be taken for the node again.
    if (rules_.forget_bars && mine.incarnation != 0 && mine.incarnation != Identity::contested &&
        mine.incarnation != identity.incarnation) {
        d_.barred.insert(mine.incarnation);
    }
    mine = identity;
    changed();
    drop_grants([&](const Grant& g) { return g.node == node && g.ticket.incarnation != identity.incarnation; },
                identity.incarnation == 0 ? "was forgotten" : "lost its database");
    if (const auto done = d_.done.find(node);
        done != d_.done.end() && done->second.incarnation != identity.incarnation) {
        d_.done.erase(done);
    }
}

void Core::bar(std::uint64_t incarnation) {
    if (incarnation == 0 || incarnation == Identity::contested || d_.barred.contains(incarnation)) return;
    if (rules_.forget_bars) d_.barred.insert(incarnation);
    changed();
    drop_grants([&](const Grant& g) { return g.ticket.incarnation == incarnation; }, "was forgotten");
}

void Core::drop_grants(const std::function<bool(const Grant&)>& which, std::string_view what) {
    // Nobody can tell any more what came of it there: not whether it was at fault, nor how far its `once` steps went.
    for (const auto& grant : d_.grants) {
        if (!which(grant) || grant.target.key.empty() || is_failed(grant.target)) continue;
        const auto known = d_.known.find(grant.target.key);
        const bool deploys = known != d_.known.end() && known->second.rollout.kind == wire::RolloutKind::deploy;
        merge_failure(grant.target.key,
                      Failure{grant.target.attempt, FailureKind::failed, grant.node, "",
                              fmt::format("{} {} while it had the permit to install this", grant.node, what), wall_ms(),
                              deploys ? known->second.rollout.commit : CommitId{}});
    }
    if (std::erase_if(d_.grants, which) > 0) changed();
}

bool Core::accepted(const NodeName& node, std::uint64_t incarnation) {
    if (rules_.forget_bars && d_.barred.contains(incarnation)) return false;
    auto& identity = d_.identities[node];
    if (identity.generation == 0) {
        identity = Identity{1, incarnation};  // never heard of before
        changed();
    }
    return identity.incarnation == incarnation;
}

bool Core::is_forgotten(const NodeName& node) const {
    const auto it = d_.identities.find(node);
    return it != d_.identities.end() && it->second.generation > 0 && it->second.incarnation == 0;
}

bool Core::disowned() const {
    const auto it = d_.identities.find(s_.self);
    return it != d_.identities.end() && it->second.generation > 0 && it->second.incarnation != d_.incarnation;
}

void Core::establish() {
    if (d_.may_grant || disowned()) return;
    for (const auto& voter : s_.voters) {
        if (voter == s_.self || is_forgotten(voter)) continue;
        const auto peer = peers_.find(voter);
        if (peer == peers_.end() || !peer->second.synced) return;
    }
    auto& identity = d_.identities[s_.self];
    if (identity.generation == 0) identity = Identity{1, d_.incarnation};  // nobody knew another one
    d_.may_grant = true;
    changed();
    note(Note::Level::info, "every peer was heard: this agent may grant permits from now on");
}

}  // namespace baton::chain
