// SPDX-License-Identifier: MIT
// Several agents that speak in one node's name: a cloned machine, a second agent with the wrong --node. Both refuse to
// deploy for as long as both are heard. What one of them has begun it finishes or undoes, and what it has granted stays
// granted: that memory is what majorities stand on.
#include <algorithm>
#include <fmt/format.h>

#include "agent/chain/core.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::chain {
namespace {

constexpr std::size_t most_voices = 4;

std::string name_of(const Voice& voice) {
    return fmt::format("database {:016x}{}{}", voice.incarnation, voice.address.empty() ? "" : ", heard from ",
                       voice.address);
}

}  // namespace

void Core::hear_voice(const NodeName& from, const Header& header, const Origin& origin) {
    if (d_.barred.contains(header.incarnation)) return;
    auto& voices = peers_[from].voices;
    std::erase_if(voices, [&](const Peer::Heard& heard) {
        return now_ - heard.last >= s_.timing.silent_after || d_.barred.contains(heard.voice.incarnation);
    });
    auto it = std::ranges::find_if(voices, [&](const Peer::Heard& heard) {
        return heard.voice.incarnation == header.incarnation && heard.voice.run == header.run;
    });
    if (it == voices.end()) {
        if (voices.size() >= most_voices) voices.pop_back();
        voices.push_back({Voice{header.incarnation, header.run, {}, false, 0}, now_, now_, false});
        it = voices.end() - 1;
    }
    it->last = now_;
    it->serving = header.status.serving;
    // Where it can be reached says more than whence it calls.
    if (!origin.address.empty() && (origin.answers || !it->voice.answers)) it->voice.address = origin.address;
    it->voice.answers = it->voice.answers || origin.answers;
    if (voices.size() > 1) watch_voices();
}

std::vector<const Peer::Heard*> Core::speakers(const NodeName& node) const {
    std::vector<const Peer::Heard*> found;
    const auto peer = peers_.find(node);
    if (peer == peers_.end() || peer->second.voices.size() < 2) return found;
    const auto& voices = peer->second.voices;
    const auto lately = [&](const Peer::Heard& heard) {
        return now_ - heard.last < s_.timing.silent_after && !d_.barred.contains(heard.voice.incarnation);
    };
    // One after the other is a restart; what a dead agent had said may still arrive a moment later.
    const auto beside = [&](const Peer::Heard& one, const Peer::Heard& other) {
        return &one != &other && lately(one) && lately(other) &&
               std::min(one.last, other.last) - std::max(one.first, other.first) >= s_.timing.overlap;
    };
    for (const auto& one : voices) {
        if (std::ranges::any_of(voices, [&](const Peer::Heard& other) { return beside(one, other); }))
            found.push_back(&one);
    }
    return found;
}

void Core::watch_voices() {
    for (const auto& [node, peer] : peers_) {
        if (peer.voices.size() < 2 || several_.contains(node) || !several_speak(node)) continue;
        several_.insert(node);
        std::vector<std::string> who;
        for (const auto* heard : speakers(node)) who.push_back(name_of(heard->voice));
        note(Note::Level::error,
             fmt::format("{} agents say that they are {}: {}. Neither is granted anything while both are heard: stop "
                         "the wrong one, or `baton accept {}`, which takes the one that answers at {}'s address",
                         who.size(), node, join(who, "; "), node, node));
    }
    std::erase_if(several_, [&](const NodeName& node) {
        if (several_speak(node)) return false;
        note(Note::Level::info, fmt::format("only one agent says any more that it is {}", node));
        return true;
    });
    const bool over =
        rival_ && (now_ - rival_->heard >= s_.timing.silent_after || d_.barred.contains(rival_->voice.incarnation));
    if (!over) return;
    note(Note::Level::info, "no other agent is heard any more that says that it is this node");
    rival_.reset();
}

std::map<NodeName, std::vector<Voice>> Core::voices_to_tell() const {
    std::map<NodeName, std::vector<Voice>> told;
    for (const auto& node : several_) {
        for (const auto* heard : speakers(node)) {
            auto voice = heard->voice;
            voice.ago_ms = static_cast<std::uint64_t>((now_ - heard->last).count());
            told[node].push_back(std::move(voice));
        }
    }
    return told;
}

void Core::hear_of_voices(const NodeName& node, const std::vector<Voice>& voices) {
    if (node != s_.self) return;
    for (const auto& voice : voices) {
        const bool own = voice.incarnation == d_.incarnation && voice.run == nonce_;
        if (own || d_.barred.contains(voice.incarnation)) continue;
        const auto silent = static_cast<std::uint64_t>(s_.timing.silent_after.count());
        if (voice.ago_ms >= silent) continue;
        const auto heard = now_ - Milliseconds(static_cast<std::int64_t>(voice.ago_ms));
        // What ran here before this agent did, and was heard to its end, is no rival.
        if (heard < started_at_ + s_.timing.overlap) continue;
        const bool fresh = !rival_;
        if (rival_ && rival_->heard > heard) continue;
        const auto mine = std::ranges::find_if(
            voices, [&](const Voice& each) { return each.incarnation == d_.incarnation && each.run == nonce_; });
        rival_ = Rival{voice, mine == voices.end() ? std::string() : mine->address, heard};
        if (fresh) note(Note::Level::error, "this node waits for " + doubled_text());
    }
}

bool Core::stands_aside() const { return (disowned() && rules_.wiped_wait) || doubled(); }

void Core::pass_on() {
    if (!doubled() || !is_member() || d_.phase == Phase::out) return;
    const auto* lead = leading();
    if (!lead || !lead->assigned || !behind(*lead) || d_.forced == lead->rollout.target()) return;
    // As if it had been offered at a node that deploys nothing itself; this one catches up later.
    auto& known = d_.known.at(lead->rollout.key);
    if (known.walks && (!d_.duty || d_.duty->target != known.rollout.target())) {
        d_.duty = Duty{known.rollout.target(), 1, 0, true};
        walking_ = {};
    }
    known.assigned = known.walks = false;
    changed();
}

std::string Core::accept_one_of(const NodeName& node, const std::string& who) {
    std::uint64_t chosen = 0;
    bool serving = app_up_;
    std::set<std::uint64_t> others;
    if (node == s_.self) {
        chosen = d_.incarnation;
        others.insert(rival_->voice.incarnation);
    } else {
        const auto voices = speakers(node);
        const auto answers = [](const Peer::Heard* heard) { return heard->voice.answers; };
        if (std::ranges::count_if(voices, answers) != 1) {
            throw Error(ErrorKind::conflict,
                        fmt::format("several agents say that they are {0}, and it is not clear which of them is meant: "
                                    "stop the wrong one, or give the order at the one that is to stay: baton --agent "
                                    "URL accept {0}",
                                    node));
        }
        const auto* voice = *std::ranges::find_if(voices, answers);
        chosen = voice->voice.incarnation;
        serving = voice->serving;
        for (const auto* heard : voices) {
            if (heard != voice) others.insert(heard->voice.incarnation);
        }
    }
    if (others.contains(chosen)) {
        throw Error(ErrorKind::conflict,
                    fmt::format("both agents that say that they are {} have the same database: stop the copy, and "
                                "empty its state_dir before it starts again",
                                node));
    }
    const auto identity = d_.identities[node];
    if (identity.incarnation != chosen && !serving && !d_.known.empty()) {
        throw Error(ErrorKind::conflict,
                    fmt::format("the app of the agent at {}'s address does not answer, and may be out of service with "
                                "a permit: bring the app up first",
                                node));
    }
    for (const auto incarnation : others) bar(incarnation);
    learn_identity(node, Identity{std::max<std::uint64_t>(1, identity.generation) + 1, chosen});
    watch_voices();
    return fmt::format("{} is the agent with database {:016x}, and no other (ordered by {})", node, chosen, who);
}

std::string Core::doubled_text() const {
    const bool copy = rival_->voice.incarnation == d_.incarnation;
    const auto cure = copy ? std::string("stop the copy, and empty its state_dir before it starts again")
                           : fmt::format(
                                 "stop the wrong one, or `baton accept {0}`, which takes the one that answers "
                                 "at {0}'s address",
                                 s_.self);
    return fmt::format(
        "a person: two agents say that they are {}, and neither deploys while both are heard: this one "
        "({}) and another ({}{}); {}",
        s_.self, name_of(Voice{d_.incarnation, 0, rival_->own_address, false, 0}), name_of(rival_->voice),
        copy ? ", a copy of this one" : "", cure);
}

}  // namespace baton::chain
