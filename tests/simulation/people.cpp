// SPDX-License-Identifier: MIT
// What people do to the chain: pushes, orders, repairs.
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
    arrange_neighbours();
    arrange_impostor();
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
    arrange_faults();
    for (const auto when : s_.freezes_ms) at(when, [this] { freeze(); });
    for (const auto when : s_.halts_ms) at(when, [this] { halt(); });
    for (const auto when : s_.retries_ms) at(when, [this] { retry(); });
    for (const auto when : s_.rollbacks_ms) at(when, [this] { roll_back(); });
    for (const auto when : s_.promotes_ms) at(when, [this] { promote(); });
    for (const auto when : s_.forces_ms) at(when, [this] { force(); });
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
    const bool person = which == 0;
    auto rollout = new_rollout(host, s_.commits[push.commit].id);
    rollout.cause.kind = person ? wire::CauseKind::user : wire::CauseKind::poll;
    const auto bad = host.disk.bad.find(rollout.commit);
    if (bad != host.disk.bad.end() && !bad->second.forgiven) {
        if (!person) {
            trace("{} holds commit {}: {}", host.name, push.commit + 1, bad->second.reason);
            return;
        }
        rollout.by_name = true;
    }
    const auto view = host.machine->view(instant());
    if (!person && view.newest && view.newest->commit == rollout.commit && chance_.happens(0.7)) return;  // joins it
    trace("{} is offered commit {} as {}", host.name, push.commit + 1, rollout.key.id);
    input(host, [&](chain::Machine& machine) { return machine.offer(instant(), rollout); });
}

wire::Rollout World::new_rollout(const Host& host, const CommitId& commit) {
    wire::Rollout rollout;
    rollout.app = AppName("shop");
    const auto wall = 1'700'000'000'000 + now_ + host.clock_offset;
    const auto high = static_cast<std::uint16_t>(chance_.bits() & 0xffffU);
    rollout.key = host.machine->next_key(make_rollout_id(WallTime(Milliseconds(wall)), high, chance_.bits()));
    rollout.commit = commit;
    rollout.started_on = host.name;
    rollout.started_ms = wall;
    return rollout;
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

void World::forget_until_done(std::size_t index) {
    const auto& gone = hosts_[index];
    if (forgotten_done_.contains(gone.name)) return;
    auto* host = some_live_host(gone.name);
    if (host) {
        const auto target = gone.out_for;
        // Whom a person had sent out without a majority nobody has granted anything: no peer knows for what it went.
        const bool installing = gone.out && !gone.forced;
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

void World::accept_until_done(std::size_t index) {
    auto& wiped = hosts_[index];
    if (wiped.dead || wiped.disk.may_grant) return;
    auto* host = some_live_host(wiped.name);
    if (host && wiped.machine && wiped.up && !wiped.out && host->disk.barred.contains(wiped.disk.incarnation)) {
        // Somebody had accepted the database before this one: as he is told, he empties it once more.
        wipe(wiped);
        return;
    }
    // A person looks before he says so: the agent runs, the app is in service, and no Jenkins behind it builds.
    if (host && wiped.machine && wiped.up && !wiped.out && neighbours_rest(wiped)) {
        trace("ann says on {}: accept {}", host->name, wiped.name);
        order(*host, chain::Accept{wiped.name});
    }
    after(people_look_again_ms, [this, index] { accept_until_done(index); });
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

/// As `baton rollback`: back to what this node ran before the newest commit, which is bad from now on.
void World::roll_back() {
    auto* host = some_live_host();
    if (!host || !host->member || quiet_) return;
    const auto view = host->machine->view(instant());
    if (!view.newest) return;
    const auto other = [&](const std::optional<wire::Rollout>& ran) {
        return ran && ran->commit != view.newest->commit ? ran->commit : CommitId{};
    };
    auto back = other(host->disk.current);
    if (back.empty()) back = other(host->disk.previous);
    if (back.empty()) return;
    auto rollout = new_rollout(*host, back);
    rollout.kind = wire::RolloutKind::rollback;
    rollout.undoes = view.newest->commit;
    rollout.cause = {wire::CauseKind::user, "", "ann", ""};
    rollout.by_name = true;
    trace("ann rolls {} back on {} as {}", view.newest->key.id, host->name, rollout.key.id);
    input(*host, [&](chain::Machine& machine) { return machine.offer(instant(), rollout); });
}

void World::promote() {
    auto* host = some_live_host();
    if (!host || host->disk.known.empty()) return;
    trace("ann promotes on {}", host->name);
    order(*host, chain::Promote{host->disk.known.rbegin()->second.rollout.target()});
}

/// A person who takes it on himself looks first: nobody is out, and no migration is at stake.
void World::force() {
    auto* host = some_live_host();
    if (!host || !host->member || host->disk.known.empty()) return;
    if (std::ranges::any_of(hosts_, [](const Host& other) { return other.out; })) return;
    if (std::ranges::any_of(neighbours_, &Neighbour::building)) return;
    const auto& rollout = host->disk.known.rbegin()->second.rollout;
    if (commit_of(rollout).once_steps) return;
    trace("ann forces {} on {}", rollout.key.id, host->name);
    order(*host, chain::Force{rollout.target()});
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
