// SPDX-License-Identifier: MIT
// What goes wrong of itself: deaths, wiped disks, partitions, patchy links, clock jumps, nodes that cannot build, and
// ambushes on the majority that a holder's permit hangs on.
#include <algorithm>
#include <fmt/format.h>

#include "tests/simulation/world.h"

namespace baton::simulation {
namespace {

constexpr std::int64_t ambush_looks_again_ms = 60;

}  // namespace

void World::arrange_faults() {
    for (const auto& [when, who] : s_.deaths) at(when, [this, i = who] { kill_for_good(hosts_[i]); });
    for (const auto& [when, who] : s_.wipes) at(when, [this, i = who] { wipe(hosts_[i]); });
    for (const auto when : s_.partitions_ms) at(when, [this] { partition(chance_.between(300, 5'000)); });
    for (const auto& [when, what] : s_.ambushes) at(when, [this, what = what] { ambush(what); });
    for (const auto& trouble : s_.troubles) {
        at(trouble.at_ms, [this, trouble] {
            trace("{} can build nothing for {} ms", hosts_[trouble.node].name, trouble.for_ms);
            hosts_[trouble.node].trouble_until = now_ + trouble.for_ms;
        });
    }
    if (s_.patchy > 0) at(0, [this] { patch_links(); });
    if (!s_.clock_jumps) return;
    for (std::int64_t when = 1'000; when < s_.chaos_ms; when += 1'500) {
        at(when, [this] {
            hosts_[chance_.below_or(hosts_.size() - 1)].clock_offset = chance_.between(-3'600'000, 3'600'000);
        });
    }
}

bool World::cut(std::size_t from, std::size_t to) const {
    return side_[from] != side_[to] || cut_links_.contains(std::minmax(from, to));
}

void World::partition(std::int64_t for_ms) {
    if (calm_) return;
    for (auto& side : side_) side = chance_.happens(0.5) ? 1 : 0;
    trace("--- the network is cut for {} ms", for_ms);
    after(for_ms, [this] {
        std::ranges::fill(side_, 0);
        trace("--- the network is whole");
    });
}

/// Not a clean cut: some pairs do not reach each other, while others reach both.
void World::patch_links() {
    cut_links_.clear();
    if (calm_) return;
    if (chance_.happens(0.7)) {
        for (std::size_t one = 0; one < hosts_.size(); ++one) {
            for (std::size_t other = one + 1; other < hosts_.size(); ++other) {
                if (chance_.happens(s_.patchy)) cut_links_.emplace(one, other);
            }
        }
    }
    trace("--- {} links are cut", cut_links_.size());
    after(chance_.between(1'500, 6'000), [this] { patch_links(); });
}

void World::kill_for_good(Host& host) {
    if (host.dead) return;
    trace("{} DIES for good{}", host.name, host.out ? ", out of service" : "");
    host.dead = true;
    crash(host, "for good");
    after(chance_.between(500, 4'000), [this, index = host.index] { forget_until_done(index); });
}

void World::wipe(Host& host) {
    if (host.dead) return;
    crash(host, "and its disk is wiped");
    host.disk = chain::fresh_durable(chance_.bits() | 1U);
    host.built.clear();
    host.release.reset();  // the app goes on, but nobody knows what it is
    host.before.reset();
    host.asked_at.clear();
    host.neighbour_notes.clear();
    for (const auto which : host.neighbours) neighbours_[which].triggered.clear();
    majority_failed_at_.clear();  // what it had recorded no longer counts
    majority_known_at_.clear();
    majority_bad_at_.clear();
    for (auto& other : hosts_) {
        note_failures(other);
        note_known(other);
    }
    trace("{} WIPED", host.name);
    after(chance_.between(100, 3'000), [this, index = host.index] { accept_until_done(index); });
}

void World::ambush(Ambush what) {
    if (calm_) return;
    const auto holder = std::ranges::find_if(
        hosts_, [&](const Host& host) { return (host.out || !neighbours_rest(host)) && host.machine; });
    if (holder == hosts_.end() || holder->disk.phase != chain::Phase::out) {
        after(ambush_looks_again_ms, [this, what] { ambush(what); });
        return;
    }
    const auto granted = [&](const Host& host) {
        return std::ranges::any_of(host.disk.grants, [&](const chain::Grant& grant) {
            return grant.node == holder->name && grant.ticket == holder->disk.claim->ticket;
        });
    };
    switch (what) {
        case Ambush::restart_others:
            for (auto& host : hosts_) {
                if (host.index == holder->index || host.out) continue;
                crash(host, "while another is out");
                after(chance_.between(20, 400), [this, index = host.index] { start_agent(hosts_[index]); });
            }
            return;
        case Ambush::wipe_granter: {
            const auto granter = std::ranges::find_if(hosts_, [&](const Host& host) {
                return host.index != holder->index && host.machine && !host.out && granted(host);
            });
            // It hurts where the permit hangs on this very one; after a while any will do.
            const auto givers = static_cast<std::size_t>(std::ranges::count_if(hosts_, granted));
            const bool slack = s_.lonely_wipes && givers > hosts_.size() / 2 + 1 && now_ < s_.chaos_ms * 3 / 4;
            if (granter == hosts_.end() || slack) {
                after(ambush_looks_again_ms, [this, what] { ambush(what); });
                return;
            }
            if (s_.lonely_wipes) {
                for (const auto& host : hosts_) {
                    const bool knows = host.index == holder->index || granted(host);
                    if (knows && host.index != granter->index) {
                        cut_links_.emplace(std::minmax(granter->index, host.index));
                    }
                }
            }
            wipe(*granter);
            after(chance_.between(20, 400), [this, index = granter->index] { start_agent(hosts_[index]); });
            return;
        }
        case Ambush::holder_away: {
            // Down for longer than any time-out of those that wait.
            holder->away_until = now_ + chance_.between(2'000, 9'000);
            crash(*holder, "while it is out");
            after(holder->away_until - now_, [this, index = holder->index] { start_agent(hosts_[index]); });
            return;
        }
        case Ambush::holder_dies:
            if (holder->member) kill_for_good(*holder);
            return;
    }
}

void World::end_faults() {
    trace("--- the faults end");
    calm_ = true;
    end_impostor();
    std::ranges::fill(side_, 0);
    cut_links_.clear();
    for (auto& neighbour : neighbours_) neighbour.away_until = -1;
    for (auto& host : hosts_) {
        host.away_until = -1;
        start_agent(host);
    }
    repair();
}

}  // namespace baton::simulation
