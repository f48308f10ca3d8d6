// SPDX-License-Identifier: MIT
// Drawing a history from a seed: calm ones and wild ones, small chains and larger.
#include "tests/simulation/scenario.h"

#include <algorithm>
#include <fmt/format.h>

namespace baton::simulation {
namespace {

chain::Timing quick_timing() {
    using std::chrono::milliseconds;
    chain::Timing timing;
    timing.ask_for = milliseconds(1'000);
    timing.ask_again = milliseconds(300);
    timing.back_off_first = milliseconds(100);
    timing.back_off_most = milliseconds(1'500);
    timing.courtesy_least = milliseconds(100);
    timing.courtesy_most = milliseconds(600);
    timing.revalidate_for = milliseconds(4'000);
    timing.inquire_every = milliseconds(1'500);
    timing.sync_every = milliseconds(1'500);
    timing.handoff_again = milliseconds(400);
    timing.catch_up_after = milliseconds(4'000);
    timing.catch_up_grace = milliseconds(1'000);
    timing.adopt_after = milliseconds(6'000);
    timing.silent_after = milliseconds(5'000);
    timing.overlap = milliseconds(6'500);  // longer than what a dead agent has said is under way here
    timing.bring_up_for = milliseconds(3'000);
    timing.restore_again = milliseconds(1'000);
    timing.unstick_first = milliseconds(2'000);
    timing.unstick_most = milliseconds(8'000);
    timing.build_again_first = milliseconds(500);
    timing.build_again_most = milliseconds(4'000);
    return timing;
}

/// Everybody goes for everything at once: what keeps them apart are permits alone.
void make_eager(Chance& chance, Scenario& s) {
    s.timing.catch_up_after = Milliseconds(chance.between(50, 600));
    s.timing.catch_up_grace = Milliseconds(chance.between(10, 200));
    s.timing.sync_every = Milliseconds(chance.between(300, 1'500));
    s.policy.canary = 0;
    s.policy.prepare_ahead = std::nullopt;
    s.restart_ms = 400;
    for (auto& push : s.pushes) {
        for (std::size_t node = 0; node < s.members.size(); ++node) {
            if (chance.happens(0.5)) push.nodes.push_back(node);
        }
    }
}

/// Few nodes, long switches and patchy links, so that a permit hangs on the very majority that granted it; and then
/// that majority is attacked while the holder is out.
void make_ambushes(Chance& chance, Scenario& s) {
    make_eager(chance, s);
    s.switch_ms = chance.between(4'000, 9'000);
    s.build_ms = 200;
    s.patchy = chance.happens(0.8) ? 0.2 + chance.share() * 0.4 : 0;
    s.crash *= 0.3;
    s.reboot *= 0.3;
    s.policy.bake_time = Milliseconds(0);
    s.policy.on_new_commit = config::OnNewCommit::supersede;
    if (chance.happens(0.5)) {
        s.replay = 0.1 + chance.share() * 0.3;
        s.duplicate = 0.1 + chance.share() * 0.2;
        s.tail = 0.1 + chance.share() * 0.2;
    }
    for (auto& commit : s.commits) {
        commit.build_fails = false;
        if (commit.switch_fails) commit.switch_fails = chance.happens(0.3);
    }
    s.deaths.clear();
    s.wipes.clear();
    const auto voters = s.members.size() + s.witnesses.size();
    auto spare = (voters - 1) / 2;
    s.chaos_ms += chance.between(6'000, 14'000);
    for (std::size_t i = 1 + chance.below_or(2); i > 0; --i) {
        auto what = static_cast<Ambush>(chance.below_or(3));
        if (what == Ambush::wipe_granter || what == Ambush::holder_dies) {
            if (spare == 0) what = chance.happens(0.5) ? Ambush::restart_others : Ambush::holder_away;
            if (spare > 0) --spare;
        }
        s.ambushes.emplace_back(chance.between(1'000, s.chaos_ms * 2 / 3), what);
    }
}

/// Several lanes, long switches and more takers than lanes, who reach each other badly: each of the lanes hangs on
/// another majority, and a peer that only counted what it has given away would give one too many.
void make_contest(Chance& chance, Scenario& s) {
    make_eager(chance, s);
    s.lanes = static_cast<unsigned>(chance.between(2, 3));
    s.switch_ms = chance.between(5'000, 10'000);
    s.build_ms = 200;
    s.patchy = 0.3 + chance.share() * 0.25;
    s.loss *= 0.3;
    s.crash *= 0.2;
    s.policy.bake_time = Milliseconds(0);
    s.policy.on_new_commit = config::OnNewCommit::supersede;
    s.policy.min_healthy = {};
    for (auto& commit : s.commits) {
        commit.build_fails = commit.switch_fails = commit.once_steps = commit.once_fails = false;
        commit.fails_on.clear();
    }
    s.halts_ms.clear();
    s.freezes_ms.clear();
    s.chaos_ms += chance.between(8'000, 16'000);
}

/// One of the very few that granted a holder's permit loses its database while the holder is out, hears of nobody who
/// knows of that permit, and is asked by others who want to go, too.
void make_wipes(Chance& chance, Scenario& s) {
    for (auto& [when, what] : s.ambushes) what = Ambush::wipe_granter;
    s.ambushes.resize(1);
    s.lonely_wipes = true;
    s.ambushes.front().first = chance.between(1'500, s.chaos_ms / 2);
    s.patchy = 0.3 + chance.share() * 0.3;
    s.switch_ms = chance.between(6'000, 10'000);
    s.crash = 0;
    for (auto& commit : s.commits) {
        commit.switch_fails = false;
        commit.fails_on.clear();
    }
}

void draw_policy(Chance& chance, Scenario& s) {
    auto& policy = s.policy;
    policy.canary = static_cast<unsigned>(chance.below_or(2));
    policy.bake_time = Milliseconds(chance.happens(0.3) ? chance.between(300, 1'500) : 0);
    policy.handoff_timeout = Milliseconds(2'000);
    policy.max_unreachable = static_cast<unsigned>(s.members.size());
    policy.on_failure = chance.happens(0.3) ? config::OnFailure::rollback : config::OnFailure::halt;
    policy.on_new_commit = chance.happens(0.2) ? config::OnNewCommit::queue : config::OnNewCommit::supersede;
    const auto ahead = chance.below_or(3);
    if (chance.happens(0.2)) {
        // Never more than are left when as many have died as may.
        policy.min_healthy = {
            static_cast<unsigned>(chance.between(0, static_cast<std::int64_t>(s.members.size() - 1) / 2)), false};
    }
    policy.prepare_ahead = ahead == 3 ? std::nullopt : std::optional<unsigned>(static_cast<unsigned>(ahead) % 2);
}

void draw_commits(Chance& chance, Scenario& s) {
    const auto count = 1 + chance.below_or(4);
    std::int64_t at = 500;
    for (std::size_t i = 0; i < count; ++i) {
        Commit commit;
        commit.id = CommitId(fmt::format("{:040x}", i + 1));
        const auto kind = chance.share();
        if (kind < 0.06) {
            commit.build_fails = true;
        } else if (kind < 0.22) {
            commit.switch_fails = true;
        } else if (kind < 0.36) {
            commit.fails_on.insert(s.members[chance.below_or(s.members.size() - 1)]);
        } else if (kind < 0.40) {
            commit.sick_later = true;
        }
        commit.once_steps = chance.happens(0.25);
        commit.once_fails = commit.once_steps && chance.happens(0.15);
        s.commits.push_back(commit);
        Push push;
        push.at_ms = at;
        push.commit = i;
        push.nodes.push_back(chance.below_or(s.members.size() - 1));
        if (chance.happens(0.4)) push.nodes.push_back(chance.below_or(s.members.size() - 1));  // hook and poll
        s.pushes.push_back(push);
        at += chance.happens(0.4) ? chance.between(50, 1'200) : chance.between(1'000, 8'000);
    }
    s.chaos_ms = at + chance.between(1'000, 6'000);
}

void draw_faults(Chance& chance, Scenario& s) {
    s.loss = chance.happens(0.7) ? chance.share() * 0.3 : 0;
    s.duplicate = chance.happens(0.5) ? chance.share() * 0.2 : 0;
    s.replay = chance.happens(0.4) ? chance.share() * 0.1 : 0;
    s.tail = chance.happens(0.6) ? chance.share() * 0.15 : 0;
    s.crash = chance.happens(0.75) ? chance.share() * 0.012 : 0;
    s.restore_fails = chance.happens(0.3) ? 0.3 : 0;
    s.untouched = chance.happens(0.3) ? 0.05 : 0;
    s.reboot = chance.share() * 0.6;
    s.clock_jumps = chance.happens(0.3);
    for (std::size_t i = chance.below_or(2); i > 0; --i) s.partitions_ms.push_back(chance.between(500, s.chaos_ms));
    const auto voters = s.members.size() + s.witnesses.size();
    auto spare = (voters - 1) / 2;  // how many may be lost for good, or come back empty, with a majority left
    if (spare > 0 && chance.happens(0.3)) {
        const auto deaths = 1 + chance.below_or(spare - 1);
        for (std::size_t i = 0; i < deaths; ++i) {
            s.deaths.emplace_back(chance.between(500, s.chaos_ms), chance.below_or(s.members.size() - 1));
        }
        spare -= deaths;
    }
    if (spare > 0 && chance.happens(0.35)) {
        s.wipes.emplace_back(chance.between(500, s.chaos_ms), chance.below_or(s.members.size() - 1));
    }
    if (chance.happens(0.12)) s.freezes_ms.push_back(chance.between(500, s.chaos_ms));
    if (chance.happens(0.15)) s.halts_ms.push_back(chance.between(800, s.chaos_ms));
    if (chance.happens(0.15)) s.rollbacks_ms.push_back(chance.between(2'000, s.chaos_ms));
    if (chance.happens(0.10)) s.promotes_ms.push_back(chance.between(800, s.chaos_ms));
    if (chance.happens(0.05)) s.forces_ms.push_back(chance.between(800, s.chaos_ms));
    if (chance.happens(0.25)) {
        s.troubles.push_back(
            {chance.between(500, s.chaos_ms), chance.between(500, 9'000), chance.below_or(s.members.size() - 1)});
    }
    for (std::size_t i = chance.below_or(2); i > 0; --i)
        s.retries_ms.push_back(chance.between(1'500, s.chaos_ms + 4'000));
}

/// Some members have one or two machines behind them that are still a Jenkins; those come and go, and now and then a
/// commit is not to the taste of one of them.
void add_neighbours(Chance& chance, Scenario& s) {
    s.neighbour_ms = chance.between(500, 4'000);
    const double share = 0.2 + chance.share() * 0.6;
    for (std::size_t steward = 0; steward < s.members.size(); ++steward) {
        if (!chance.happens(share)) continue;
        for (std::size_t i = 1 + chance.below_or(1); i > 0; --i) {
            s.neighbours.push_back({NodeName(fmt::format("old{}", s.neighbours.size() + 1)), steward});
        }
    }
    for (std::size_t which = 0; which < s.neighbours.size(); ++which) {
        for (std::size_t i = chance.below_or(3); i > 0; --i) {
            s.outages.push_back({chance.between(0, s.chaos_ms * 2 / 3), chance.between(1'000, 20'000), which});
        }
        auto& commit = s.commits[chance.below_or(s.commits.size() - 1)];
        if (chance.happens(0.1)) commit.fails_on.insert(s.neighbours[which].name);
    }
}

/// Not where machines are lost or come back empty: people who say `baton accept` there may take the wrong one.
void add_impostor(Chance& chance, Scenario& s) {
    const auto loses = [](const auto& ambush) {
        return ambush.second == Ambush::wipe_granter || ambush.second == Ambush::holder_dies;
    };
    if (!s.wipes.empty() || !s.deaths.empty() || std::ranges::any_of(s.ambushes, loses)) return;
    s.impostor = ImpostorToBe{chance.between(1'500, std::max<std::int64_t>(3'000, s.chaos_ms * 2 / 3)),
                              chance.between(2'000, 16'000), chance.below_or(s.members.size() - 1)};
    // To its end there is something to be done.
    s.chaos_ms = std::max(s.chaos_ms, s.impostor->at_ms + s.impostor->for_ms);
    Push push;
    push.at_ms = chance.between(s.impostor->at_ms, s.chaos_ms);
    push.commit = s.commits.size();
    s.commits.emplace_back().id = CommitId(fmt::format("{:040x}", push.commit + 1));
    push.nodes.push_back(chance.below_or(s.members.size() - 1));
    s.pushes.push_back(push);
}

}  // namespace

const std::vector<std::string>& rare_rules() {
    static const std::vector<std::string> rules{"no-sync", "no-done", "no-target", "wiped-keep-granting",
                                                "forget-without-bar"};
    return rules;
}

Scenario draw_scenario(std::uint64_t seed) {
    // Neighbouring seeds must not look alike.
    Chance chance(seed * 0x9E3779B97F4A7C15ULL + 0x5851F42D4C957F2DULL);
    Scenario s;
    s.seed = seed;
    const bool ambushes = chance.happens(0.35);
    const auto members = static_cast<std::size_t>(!ambushes ? chance.between(2, 7) : chance.happens(0.6) ? 3 : 5);
    for (std::size_t i = 1; i <= members; ++i) s.members.emplace_back(fmt::format("web{}", i));
    if (members == 2 && chance.happens(0.6)) s.witnesses.emplace_back("witness");
    s.lanes = static_cast<unsigned>(chance.happens(0.5) ? 1 : chance.between(1, 3));
    s.lanes = std::min(s.lanes, static_cast<unsigned>(members));
    s.timing = quick_timing();
    s.round_trips = seed % 25 == 0;
    draw_policy(chance, s);
    draw_commits(chance, s);
    draw_faults(chance, s);
    if (ambushes) {
        make_ambushes(chance, s);
    } else if (chance.happens(0.4)) {
        make_eager(chance, s);
    }
    // By a chance of their own: every other history stays what it was.
    Chance more(seed * 0xD6E8FEB86659FD93ULL + 0x2545F4914F6CDD1DULL);
    if (!ambushes && members >= 5 && more.happens(0.35)) make_contest(more, s);
    if (ambushes && more.happens(0.3)) make_wipes(more, s);
    Chance others(seed * 0xA24BAED4963EE407ULL + 0x9FB21C651E98DF25ULL);
    if (others.happens(0.4)) add_neighbours(others, s);
    Chance twins(seed * 0xE7037ED1A0B428DBULL + 0x8EBC6AF09C88C6E3ULL);
    if (twins.happens(0.4)) add_impostor(twins, s);
    return s;
}

}  // namespace baton::simulation
