// SPDX-License-Identifier: MIT
// What every message teaches and carries: rollouts, failures, `once` steps, the freeze. All of it only grows, so that
// the order in which messages arrive, and how often, does not matter.
#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "agent/chain/core.h"

namespace baton::chain {
namespace {

constexpr std::size_t most_failed = 256;  // a person reads this list; older ones cannot matter any more
constexpr std::size_t most_known = 64;
constexpr std::size_t most_once = 64;
constexpr std::size_t most_bad = 256;

/// What a rollout means to this node alone does not travel.
Known for_peers(const Known& known) {
    Known told = known;
    told.assigned = told.walks = false;
    told.handed_by = {};
    return told;
}

/// In the words of a person who gave the order, his reason among them.
std::string why_undone(const wire::Cause& cause) {
    if (cause.who.empty()) return "rolled back by baton";
    constexpr std::string_view by = "Rolled back by ";
    return cause.text.starts_with(by) ? "rolled back by " + cause.text.substr(by.size())
                                      : fmt::format("rolled back by {}", cause.who);
}

template <class Map>
bool trim_oldest(Map& map, std::size_t most) {
    bool trimmed = false;
    while (map.size() > most) {
        map.erase(map.begin());
        trimmed = true;
    }
    return trimmed;
}

}  // namespace

void Core::merge_header(const NodeName& from, const Header& header) {
    const auto identity = d_.identities.find(from);
    // Of two that speak in one name the one that is known counts, for as long as it is there.
    const bool stranger =
        identity != d_.identities.end() && identity->second.incarnation != header.incarnation && several_speak(from);
    if (d_.barred.contains(header.incarnation)) {
        peers_[from].barred_heard = now_;
    } else if (!stranger) {
        auto& peer = peers_[from];
        peer.heard = now_;
        peer.status = header.status;
        peer.config_hash = header.config_hash;
        peer.incarnation = header.incarnation;
    }
    if (rules_.failed_carried) {
        for (const auto& [key, failure] : header.failed) merge_failure(key, failure);
    }
    for (const auto& [key, state] : header.once) merge_once(key, state);
    merge_freeze(header.freeze);
    for (const auto& known : header.rollouts) merge_known(known);
    drop_echoes();
}

void Core::merge_known(const Known& news) {
    const auto& key = news.rollout.key;
    auto [it, added] = d_.known.try_emplace(key);
    auto& mine = it->second;
    if (added || news.rollout.attempt > mine.rollout.attempt) {
        const bool proven = mine.proven;
        mine = Known{};
        mine.rollout = news.rollout;
        mine.proven = proven;
        changed();
        if (!news.rollout.undoes.empty()) {
            mark_bad(news.rollout.undoes,
                     BadCommit{why_undone(news.rollout.cause), wall_ms(), news.rollout.target(), false});
        }
        echoes_due_ = true;
    }
    if (news.rollout.attempt != mine.rollout.attempt) {
        if (news.proven) set_proven(key);
        return;
    }
    if (news.proven) set_proven(key);
    if (news.ended && !mine.ended) {
        mine.ended = true;
        changed();
    }
    if (news.promoted && !mine.promoted) {
        mine.promoted = true;
        mine.promoted_by = news.promoted_by;
        changed();
    }
    for (const auto& node : news.skipped) {
        const auto peer = peers_.find(node);
        if (node == s_.self || (peer != peers_.end() && peer->second.status.current.key >= key)) continue;
        if (mine.skipped.insert(node).second) changed();
    }
}

void Core::merge_failure(const wire::RolloutKey& key, const Failure& failure) {
    const auto it = d_.failed.find(key);
    if (it != d_.failed.end() && it->second.attempt >= failure.attempt) return;
    d_.failed[key] = failure;
    mark_bad(failure.commit, BadCommit{failure.reason, failure.at_ms, {key, failure.attempt}, false});
    changed();
}

void Core::merge_once(const wire::RolloutKey& key, const OnceState& state) {
    const auto it = d_.once.find(key);
    if (it == d_.once.end()) {
        d_.once[key] = state;
        changed();
        return;
    }
    auto& mine = it->second;
    // Done is never undone; a later attempt counts only while the steps have not succeeded.
    const auto rank = [](const OnceState& s) { return std::tuple(s.done, s.settled, s.attempt); };
    if (rank(state) > rank(mine)) {
        mine = state;
        changed();
    }
}

void Core::merge_freeze(const FreezeRegister& news) {
    const auto rank = [](const FreezeRegister& r) { return std::tuple(r.version, r.note.has_value()); };
    if (rank(news) > rank(d_.freeze)) {
        d_.freeze = news;
        changed();
    }
}

void Core::mark_failed(const wire::Rollout& rollout, FailureKind kind, const std::string& who,
                       const std::string& reason) {
    if (is_failed(rollout.target())) return;
    // A roll-back that fails says nothing against the commit that ran before.
    const auto at_fault = rollout.kind == wire::RolloutKind::deploy ? rollout.commit : CommitId{};
    d_.failed[rollout.key] = Failure{rollout.attempt, kind, s_.self, who, reason, wall_ms(), at_fault};
    mark_bad(at_fault, BadCommit{reason, wall_ms(), rollout.target(), false});
    changed();
    tell_all_ = true;
    note(Note::Level::error, kind == FailureKind::halted
                                 ? fmt::format("rollout {} is halted by {}: {}", rollout.key.id, who, reason)
                                 : fmt::format("rollout {} failed on {}: {}", rollout.key.id, s_.self, reason));
}

void Core::mark_bad(const CommitId& commit, const BadCommit& news) {
    if (commit.empty()) return;
    const auto [it, added] = d_.bad.try_emplace(commit, news);
    const auto rank = [](const BadCommit& entry) { return std::tuple(entry.by, !entry.forgiven); };
    if (!added && rank(news) <= rank(it->second)) return;
    it->second = news;
    echoes_due_ = true;
    changed();
}

/// A commit that a hook and a poll, or two nodes, have noticed becomes two rollouts. When it fails or is taken back as
/// one of them, the other is an echo of the same push and goes no further: only a person may insist.
void Core::drop_echoes() {
    if (!echoes_due_) return;
    echoes_due_ = false;
    for (const auto& [key, known] : d_.known) {
        const auto& rollout = known.rollout;
        const bool chosen = !rollout.parameters.empty() && rollout.parameters != s_.default_parameters;
        const bool insisted = rollout.by_name || rollout.attempt > 1 || chosen;
        if (insisted || known.proven || rollout.kind != wire::RolloutKind::deploy || is_failed(known)) continue;
        const auto bad = d_.bad.find(rollout.commit);
        if (bad == d_.bad.end() || bad->second.forgiven) continue;
        const auto& by = bad->second.by;
        if (by.key.empty() || by.key == key) continue;
        Failure echo{rollout.attempt, FailureKind::failed, s_.self, "", "", wall_ms(), rollout.commit};
        if (const auto first = d_.failed.find(by.key); first != d_.failed.end()) {
            echo.kind = first->second.kind;
            echo.node = first->second.node;
            echo.who = first->second.who;
        }
        echo.reason = fmt::format("rollout {} of the same commit went before it: {}", by.key.id, bad->second.reason);
        note(Note::Level::warning, fmt::format("rollout {} goes no further: {}", key.id, echo.reason));
        d_.failed[key] = std::move(echo);
        changed();
    }
}

void Core::set_proven(const wire::RolloutKey& key) {
    const auto it = d_.known.find(key);
    if (it == d_.known.end() || it->second.proven) return;
    it->second.proven = true;
    changed();
}

Status Core::make_status() const {
    Status status;
    if (d_.current) {
        status.current = d_.current->target();
        status.current_commit = d_.current->commit;
    }
    if (d_.claim) {
        status.working = d_.claim->rollout.target();
    } else if (d_.duty) {
        status.working = d_.duty->target;
    } else if (const auto* known = wanted()) {
        status.working = known->rollout.target();
    }
    status.phase = d_.phase;
    const bool serves_out =
        d_.claim && (d_.claim->stage == OutStage::baking || d_.claim->stage == OutStage::neighbours);
    status.serving = app_up_ && (d_.phase != Phase::out || serves_out);
    status.may_grant = may_grant();
    status.held_out = held_out_;
    status.drained = drained_;
    return status;
}

Header Core::make_header() const {
    Header header;
    header.incarnation = d_.incarnation;
    header.run = nonce_;
    header.config_hash = s_.config_hash;
    header.status = make_status();
    // What every member has left behind for good cannot be wanted again, and need not travel.
    if (rules_.failed_carried) header.failed.insert(d_.failed.lower_bound(settled_), d_.failed.end());
    header.once.insert(d_.once.lower_bound(settled_), d_.once.end());
    header.freeze = d_.freeze;
    const auto* lead = leading();
    const auto* last = newest();
    if (lead) header.rollouts.push_back(for_peers(*lead));
    if (last && last != lead) header.rollouts.push_back(for_peers(*last));
    return header;
}

Whole Core::make_whole() const {
    Whole whole;
    whole.grants = d_.grants;
    if (d_.claim) {
        whole.claim =
            Grant{d_.claim->lane, s_.self, d_.claim->ticket, d_.claim->rollout.target(), d_.claim->once_steps};
    }
    whole.done = d_.done;
    for (const auto& [key, known] : d_.known) whole.known.push_back(for_peers(known));
    if (rules_.failed_carried) whole.failed = d_.failed;
    whole.once = d_.once;
    whole.bad = d_.bad;
    whole.identities = d_.identities;
    whole.barred = d_.barred;
    whole.voices = voices_to_tell();
    return whole;
}

bool Core::is_failed(const wire::Target& target) const {
    const auto it = d_.failed.find(target.key);
    return it != d_.failed.end() && it->second.attempt >= target.attempt;
}

bool Core::frozen() const {
    const auto& note = d_.freeze.note;
    return note && (note->until_ms == 0 || wall_ms() < note->until_ms);
}

void Core::prune() {
    // The oldest rollout that any member still runs: nobody goes back behind it.
    std::optional<wire::RolloutKey> oldest;
    for (const auto& node : s_.order) {
        if (is_forgotten(node)) continue;
        wire::RolloutKey current;
        if (node == s_.self) {
            if (d_.current) current = d_.current->key;
        } else if (const auto peer = peers_.find(node); peer != peers_.end()) {
            current = peer->second.status.current.key;
        }
        if (!oldest || current < *oldest) oldest = current;
    }
    settled_ = oldest.value_or(wire::RolloutKey{});
    if (!settled_.empty()) {
        const auto before = d_.known.size() + d_.once.size();
        d_.known.erase(d_.known.begin(), d_.known.lower_bound(settled_));
        d_.once.erase(d_.once.begin(), d_.once.lower_bound(settled_));
        if (d_.known.size() + d_.once.size() != before) changed();
    }
    if (trim_oldest(d_.known, most_known)) changed();
    if (trim_oldest(d_.failed, most_failed)) changed();
    if (trim_oldest(d_.once, most_once)) changed();
    while (d_.bad.size() > most_bad) {
        d_.bad.erase(std::ranges::min_element(d_.bad, {}, [](const auto& entry) { return entry.second.at_ms; }));
        changed();
    }
}

}  // namespace baton::chain
