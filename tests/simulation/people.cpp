// SPDX-License-Identifier: MIT
// What happens to the chain: pushes, deaths, wiped disks, partitions, clock jumps, and what people order.
#include <algorithm>
#include <fmt/format.h>

#include "common/error.h"
#include "common/ulid.h"
#include "tests/simulation/world.h"

namespace baton::simulation {
namespace {

constexpr std::int64_t people_look_again_ms = 700;

}  // namespace

void World::arrange() {
    for (auto& host : hosts_) {
        if (s_.clock_jumps) host.clock_offset = chance_.between(-3'600'000, 3'600'000);
        start_agent(host);
    }
    for (std::size_t i = 0; i < s_.pushes.size(); ++i) {
        for (std::size_t which = 0; which < s_.pushes[i].nodes.size(); ++which) {
            const auto lag = which == 0 ? 0 : chance_.between(0, 400);
            at(s_.pushes[i].at_ms + lag, [this, i, which] { push(s_.pushes[i], which, 0); });
        }
    }
    for (const auto& [when, who] : s_.deaths) at(when, [this, i = who] { kill_for_good(hosts_[i]); });
    for (const auto& [when, who] : s_.wipes) at(when, [this, i = who] { wipe(hosts_[i]); });
    for (const auto when : s_.partitions_ms) at(when, [this] { partition(chance_.between(300, 5'000)); });
    for (const auto when : s_.freezes_ms) at(when, [this] { freeze(); });
    for (const auto when : s_.halts_ms) at(when, [this] { halt(); });
    for (const auto when : s_.retries_ms) at(when, [this] { retry(); });
    if (s_.clock_jumps) {
        for (std::int64_t when = 1'000; when < s_.chaos_ms; when += 1'500) {
            at(when, [this] {
                hosts_[chance_.below_or(hosts_.size() - 1)].clock_offset = chance_.between(-3'600'000, 3'600'000);
            });
        }
    }
}

void World::push(const Push& push, std::size_t which, int tries) {
    constexpr int most_tries = 40;
    auto& host = hosts_[push.nodes[which]];
    if (!host.machine) {
        if (tries >= most_tries) return;
        if (host.dead) {  // the next poll is another node's
            auto moved = push;
            moved.nodes[which] = (push.nodes[which] + 1) % s_.members.size();
            after(100, [this, moved, which, tries] { this->push(moved, which, tries + 1); });
        } else {
            after(200, [this, push, which, tries] { this->push(push, which, tries + 1); });
        }
        return;
    }
    wire::Rollout rollout;
    rollout.app = AppName("shop");
    const auto wall = 1'700'000'000'000 + now_ + host.clock_offset;
    const auto high = static_cast<std::uint16_t>(chance_.bits() & 0xffffU);
    rollout.key = host.machine->next_key(make_rollout_id(WallTime(Milliseconds(wall)), high, chance_.bits()));
    rollout.commit = s_.commits[push.commit].id;
    rollout.started_on = host.name;
    rollout.started_ms = wall;
    rollout.cause.kind = which == 0 ? wire::CauseKind::user : wire::CauseKind::poll;
    trace("{} is offered commit {} as {}", host.name, push.commit + 1, rollout.key.id);
    input(host, [&](chain::Machine& machine) { return machine.offer(instant(), rollout); });
}

Host* World::some_live_host(const NodeName& but) {
    std::vector<Host*> live;
    for (auto& host : hosts_) {
        if (host.machine && host.name != but) live.push_back(&host);
    }
    return live.empty() ? nullptr : live[chance_.below_or(live.size() - 1)];
}

bool World::order(Host& host, const chain::Order& order, const std::function<void()>& when_known) {
    if (!host.machine) return false;
    chain::OrderId id = 0;
    bool taken = true;
    const auto run = host.run;
    input(host, [&](chain::Machine& machine) {
        try {
            return machine.order(instant(), order, "ann", id);
        } catch (const Error& error) {
            trace("{} refuses an order: {}", host.name, error.text());
            taken = false;
            return chain::Effects{};
        }
    });
    if (taken && when_known) wait_until_known(host.index, run, id, when_known);
    return taken;
}

void World::wait_until_known(std::size_t index, std::uint64_t run, chain::OrderId id,
                             const std::function<void()>& then) {
    const auto& host = hosts_[index];
    if (host.run != run || !host.machine) return;  // the person sees an error and looks again
    if (host.machine->order_known(id) && !host.disk.spreads.contains(id)) {
        then();
        return;
    }
    after(50, [this, index, run, id, then] { wait_until_known(index, run, id, then); });
}

void World::kill_for_good(Host& host) {
    if (host.dead) return;
    trace("{} DIES for good{}", host.name, host.out ? ", out of service" : "");
    host.dead = true;
    crash(host, "for good");
    after(chance_.between(500, 4'000), [this, index = host.index] { forget_until_done(index); });
}

void World::forget_until_done(std::size_t index) {
    const auto& gone = hosts_[index];
    if (forgotten_done_.contains(gone.name)) return;
    auto* host = some_live_host(gone.name);
    if (host) {
        const auto target = gone.out_for;
        const bool installing = gone.out;
        const auto known = [this, index, target, installing] {
            trace("a majority knows that {} is forgotten", hosts_[index].name);
            // A target that was tried again since is another one.
            if (installing) forgotten_with_.try_emplace(target, now_);
            forgotten_done_.insert(hosts_[index].name);
        };
        trace("ann says on {}: forget {}", host->name, gone.name);
        // From now on its lane may be given away.
        if (order(*host, chain::Forget{gone.name}, known)) forgotten_.insert(gone.name);
    }
    after(people_look_again_ms, [this, index] { forget_until_done(index); });
}

void World::wipe(Host& host) {
    if (host.dead) return;
    crash(host, "and its disk is wiped");
    host.disk = chain::fresh_durable(chance_.bits() | 1U);
    host.built.clear();
    host.release.reset();  // the app goes on, but nobody knows what it is
    host.asked_at.clear();
    majority_failed_at_.clear();  // what it had recorded no longer counts
    majority_known_at_.clear();
    for (auto& other : hosts_) {
        note_failures(other);
        note_known(other);
    }
    trace("{} WIPED", host.name);
    after(chance_.between(500, 3'000), [this, index = host.index] { accept_until_done(index); });
}

void World::accept_until_done(std::size_t index) {
    auto& wiped = hosts_[index];
    if (wiped.dead || wiped.disk.may_grant) return;
    auto* host = some_live_host(wiped.name);
    // A person looks before he says so: the agent runs, the app is in service.
    if (host && wiped.machine && wiped.up && !wiped.out) {
        trace("ann says on {}: accept {}", host->name, wiped.name);
        order(*host, chain::Accept{wiped.name});
    }
    after(people_look_again_ms, [this, index] { accept_until_done(index); });
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

void World::freeze() {
    if (auto* host = some_live_host()) {
        trace("ann freezes on {}", host->name);
        order(*host, chain::Freeze{"lunch", 0});
    }
}

void World::halt() {
    auto* host = some_live_host();
    if (!host || host->disk.known.empty()) return;
    trace("ann halts on {}", host->name);
    order(*host, chain::Halt{host->disk.known.rbegin()->second.rollout.target(), "looks wrong"});
}

void World::retry() {
    auto* host = some_live_host();
    if (!host || quiet_) return;
    for (auto it = host->disk.known.rbegin(); it != host->disk.known.rend(); ++it) {
        if (!host->disk.failed.contains(it->first)) continue;
        // A person looks first whether steps marked `once` succeeded that nobody has recorded.
        const auto recorded = [&](const Host& other) {
            const auto once = other.disk.once.find(it->first);
            return !other.dead && once != other.disk.once.end() && once->second.done;
        };
        if (once_successes_[it->first] > 0 && std::ranges::none_of(hosts_, recorded)) return;
        trace("ann retries {} on {}", it->first.id, host->name);
        order(*host, chain::Retry{it->second.rollout.target()});
        return;
    }
}

void World::end_faults() {
    trace("--- the faults end");
    calm_ = true;
    std::ranges::fill(side_, 0);
    for (auto& host : hosts_) start_agent(host);
    repair();
}

void World::repair() {
    for (auto& host : hosts_) {
        if (!host.machine) continue;
        if (host.disk.freeze.note) order(host, chain::Unfreeze{});
        const bool stuck =
            host.disk.claim && host.disk.phase == chain::Phase::out && host.disk.claim->stage == chain::OutStage::stuck;
        if (stuck || (host.disk.phase == chain::Phase::idle && !host.up)) bring_up(host);
    }
    if (!quiet_) after(1'000, [this] { repair(); });
}

}  // namespace baton::simulation
