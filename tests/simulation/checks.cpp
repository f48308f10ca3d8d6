// SPDX-License-Identifier: MIT
// The invariants I1 to I7, watched while the history happens.
#include <algorithm>
#include <fmt/format.h>

#include "tests/simulation/world.h"

namespace baton::simulation {

/// I1: a killed agent's app counts as still out; a machine that a person has declared gone does not.
void World::check_out() {
    unsigned out = 0;
    std::string who;
    for (const auto& host : hosts_) {
        if (!host.out || forgotten_.contains(host.name)) continue;
        ++out;
        who += fmt::format(" {}", host.name);
    }
    outcome_.most_out = std::max(outcome_.most_out, out);
    if (out > s_.lanes) violation(fmt::format("I1: {} nodes out of service with {} lanes:{}", out, s_.lanes, who));
}

void World::check_switch(const Host& host, const chain::Switch& action) {
    const auto target = action.rollout.target();
    if (quiet_) violation(fmt::format("I6: {} switches after convergence", host.name));
    if (!host.built.contains(target) && action.rollout.kind == wire::RolloutKind::deploy) {
        violation(fmt::format("rule 2: {} switches to {}, which it has not built", host.name, target.key.id));
    }
    if (host.release && host.release->key > target.key) {
        violation(fmt::format("I3: {} goes back from {} to {}", host.name, host.release->key.id, target.key.id));
    }
    const auto failed = host.disk.failed.find(target.key);
    if (failed != host.disk.failed.end() && failed->second.attempt >= target.attempt) {
        violation(fmt::format("I3: {} takes {}, which it knows to be bad", host.name, target.key.id));
    }
    // A redo is a request made at the restart.
    const auto asked = host.asked_at.find(action.ticket);
    const auto requested = action.redo ? host.restarted_ms : asked == host.asked_at.end() ? now_ : asked->second;
    if (s_.policy.on_new_commit == config::OnNewCommit::supersede) {
        for (auto it = majority_known_at_.upper_bound(target.key); it != majority_known_at_.end(); ++it) {
            // Not one that has failed, nor one that all have left behind and dropped: a lost database may begin anew
            // with a key below it.
            const auto knowing =
                std::ranges::count_if(hosts_, [&](const Host& other) { return other.disk.known.contains(it->first); });
            const bool good =
                static_cast<std::size_t>(knowing) >= hosts_.size() / 2 + 1 &&
                std::ranges::none_of(hosts_, [&](const Host& other) { return other.disk.failed.contains(it->first); });
            if (good && requested > it->second) {
                violation(fmt::format("I3: {} asked at {} ms for {}, when a majority had known {} since {} ms",
                                      host.name, requested, target.key.id, it->first.id, it->second));
            }
        }
    }
    // I2
    if (const auto it = switch_failed_at_.find(target); s_.lanes == 1 && it != switch_failed_at_.end()) {
        violation(
            fmt::format("I2: {} switches to {}, which had failed at {} ms", host.name, target.key.id, it->second));
    }
    if (const auto it = majority_failed_at_.find(target); it != majority_failed_at_.end() && requested > it->second) {
        violation(fmt::format("I2: {} asked at {} ms for {}, whose failure a majority had recorded at {} ms", host.name,
                              requested, target.key.id, it->second));
    }
    if (const auto it = forgotten_with_.find(target); it != forgotten_with_.end() && requested > it->second) {
        violation(fmt::format("I2: {} asked at {} ms for {}, with which a machine had died, as was known at {} ms",
                              host.name, requested, target.key.id, it->second));
    }
    if (!commit_of(action.rollout).once_steps || action.rollout.kind != wire::RolloutKind::deploy) return;
    const auto successes = once_successes_[target.key];
    if (!action.run_once && successes == 0) {
        violation(fmt::format("I7: {} switches to {} before its once steps", host.name, target.key.id));
    }
    if (action.run_once && successes > 0) {
        violation(fmt::format("I7: {} runs the once steps of {} again", host.name, target.key.id));
    }
}

void World::note_known(const Host& host) {
    for (const auto& [key, known] : host.disk.known) {
        if (majority_known_at_.contains(key)) continue;
        const auto knowing =
            std::ranges::count_if(hosts_, [&](const Host& other) { return other.disk.known.contains(key); });
        if (static_cast<std::size_t>(knowing) >= hosts_.size() / 2 + 1) majority_known_at_[key] = now_;
    }
}

void World::note_failures(const Host& host) {
    for (const auto& [key, failure] : host.disk.failed) {
        const wire::Target target{key, failure.attempt};
        if (failing_.contains({target, host.index})) switch_failed_at_.try_emplace(target, now_);
        if (majority_failed_at_.contains(target)) continue;
        const auto recorded = std::ranges::count_if(hosts_, [&](const Host& other) {
            const auto it = other.disk.failed.find(key);
            return it != other.disk.failed.end() && it->second.attempt >= target.attempt;
        });
        if (static_cast<std::size_t>(recorded) >= hosts_.size() / 2 + 1) majority_failed_at_[target] = now_;
    }
}

/// Empty when every live node runs the newest good rollout, is in service, and nothing is held or under way.
std::string World::not_converged() const {
    std::map<wire::RolloutKey, unsigned> attempts;
    std::map<wire::RolloutKey, unsigned> failed;
    for (const auto& host : hosts_) {
        if (host.dead) continue;
        for (const auto& [key, known] : host.disk.known) {
            attempts[key] = std::max(attempts[key], known.rollout.attempt);
        }
        for (const auto& [key, failure] : host.disk.failed) failed[key] = std::max(failed[key], failure.attempt);
    }
    wire::RolloutKey good;
    for (const auto& [key, attempt] : attempts) {
        if (!failed.contains(key) || failed[key] < attempt) good = key;
    }
    for (const auto& host : hosts_) {
        if (host.dead) continue;
        if (!host.machine) return fmt::format("I4: {} is not running", host.name);
        const auto& disk = host.disk;
        const auto current = disk.current ? disk.current->key : wire::RolloutKey{};
        if (host.member && current < good) {
            return fmt::format("I4: {} runs {} and not {}; it waits for: {}", host.name, current.id, good.id,
                               host.machine->view(instant()).waits_for);
        }
        if (host.member && current > good && !failed.contains(current)) {
            return fmt::format("I4: {} runs {}, newer than {}", host.name, current.id, good.id);
        }
        if (disk.phase != chain::Phase::idle) {
            return fmt::format("I4: {} is {}; it waits for: {}", host.name, to_text(disk.phase),
                               host.machine->view(instant()).waits_for);
        }
        const auto known = disk.known.find(good);
        if (known != disk.known.end() && !known->second.proven && current == good) {
            return fmt::format("I4: {} does not know that {} is proven", host.name, good.id);
        }
        if (host.out || !host.up) return fmt::format("I4: {} is out of service", host.name);
        if (!disk.grants.empty()) {
            const auto& grant = disk.grants.front();
            return fmt::format("I5: {} still grants lane {} to {} (ticket {})", host.name, grant.lane, grant.node,
                               grant.ticket.seq);
        }
        if (disk.duty) {
            return fmt::format("I4: {} still hands off: {}", host.name, host.machine->view(instant()).waits_for);
        }
        if (!disk.spreads.empty()) return fmt::format("I4: {} still spreads an order", host.name);
        if (!disk.may_grant) return fmt::format("I4: {} may not grant yet", host.name);
        if (disk.freeze.note) return fmt::format("I4: {} is frozen", host.name);
    }
    return "";
}

}  // namespace baton::simulation
