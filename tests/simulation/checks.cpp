// SPDX-License-Identifier: MIT
// The invariants I1 to I7, watched while the history happens.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "tests/simulation/world.h"

namespace baton::simulation {

/// I1: a killed agent's app counts as still out; a machine that a person has declared gone does not, nor one that a
/// person has sent out without a majority.
void World::check_out() {
    unsigned out = 0;
    std::string who;
    for (const auto& host : hosts_) {
        if (!host.out || host.forced || forgotten_.contains(host.name)) continue;
        ++out;
        who += fmt::format(" {}", host.name);
    }
    for (const auto& neighbour : neighbours_) {
        // While it is brought on, its steward serves.
        const auto& steward = hosts_[neighbour.steward];
        if (!neighbour.building || neighbour.forced || forgotten_.contains(steward.name)) continue;
        ++out;
        who += fmt::format(" {}", neighbour.name);
        if (steward.out) violation(fmt::format("I1: {} is out while {} is", steward.name, neighbour.name));
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
    // A redo is a request made at the restart.
    const auto asked = host.asked_at.find(action.ticket);
    const auto requested = action.redo ? host.restarted_ms : asked == host.asked_at.end() ? now_ : asked->second;
    check_older(host, action, requested);
    check_failed(host, action, requested);
    check_taken_back(host, action, requested);
    check_once(host, action);
}

/// A neighbour goes out in the lane of its steward, which runs the rollout and is asked as any node that switches.
void World::check_trigger(const Host& host, const chain::Ticket& ticket, const wire::Rollout& rollout) {
    chain::Switch action;
    action.ticket = ticket;
    action.rollout = rollout;
    const auto asked = host.asked_at.find(ticket);
    const auto requested = asked == host.asked_at.end() ? now_ : std::max(asked->second, host.restarted_ms);
    if (!host.disk.claim || host.disk.claim->ticket != ticket || host.disk.phase != chain::Phase::out) {
        violation(fmt::format("I1: {} triggers a neighbour without a permit", host.name));
        return;
    }
    check_older(host, action, requested);
    check_failed(host, action, requested);
    check_taken_back(host, action, requested);
}

/// I3: never an older one than the node runs or knows of, or than a majority knew of when it asked.
void World::check_older(const Host& host, const chain::Switch& action, std::int64_t requested) {
    const auto target = action.rollout.target();
    // From a release that failed here and could not be put back, the way out may well lead to an older one.
    const bool stays_failed = host.release && host.disk.failed.contains(host.release->key);
    if (host.release && !stays_failed && host.release->key > target.key) {
        violation(fmt::format("I3: {} goes back from {} to {}", host.name, host.release->key.id, target.key.id));
    }
    if (s_.policy.on_new_commit != config::OnNewCommit::supersede) return;
    const auto& disk = host.disk;
    bool newest =
        disk.failed.empty() || disk.known.empty() || disk.failed.rbegin()->first <= disk.known.rbegin()->first;
    for (auto it = disk.known.rbegin(); it != disk.known.rend() && it->first > target.key; ++it) {
        const auto& known = it->second;
        const auto failed = disk.failed.find(it->first);
        const bool good = failed == disk.failed.end() || failed->second.attempt < known.rollout.attempt;
        if (good && (std::exchange(newest, false) || known.proven || known.rollout.attempt > 1)) {
            violation(fmt::format("I3: {} takes {} and knows of {}", host.name, target.key.id, it->first.id));
            return;
        }
        newest = false;
    }
    if (host.disk.claim && host.disk.claim->forced) return;  // that it asked nobody was a person's order
    for (auto it = majority_known_at_.upper_bound(target.key); it != majority_known_at_.end(); ++it) {
        // Not one that failed, or was superseded by one that did; nor one that all have left behind and dropped: a lost
        // database may begin anew with a key below it.
        const bool known = majority_of_hosts([&](const Host& other) { return other.disk.known.contains(it->first); });
        const bool failed = std::ranges::any_of(hosts_, [&](const Host& other) {
            return other.disk.failed.lower_bound(it->first) != other.disk.failed.end();
        });
        if (known && !failed && requested > it->second) {
            violation(fmt::format("I3: {} asked at {} ms for {}, when a majority had known {} since {} ms", host.name,
                                  requested, target.key.id, it->first.id, it->second));
        }
    }
}

/// I2, and that a node never takes what it knows to be bad.
void World::check_failed(const Host& host, const chain::Switch& action, std::int64_t requested) {
    const auto target = action.rollout.target();
    const auto failed = host.disk.failed.find(target.key);
    if (failed != host.disk.failed.end() && failed->second.attempt >= target.attempt) {
        violation(fmt::format("I3: {} takes {}, which it knows to be bad", host.name, target.key.id));
    }
    if (host.disk.claim && host.disk.claim->forced) return;
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
}

/// DESIGN.md, rule 7: what failed, was halted or rolled back is not deployed again but by a person. `baton` holds such
/// a commit where it is noticed; here it is the protocol's part, for one that was noticed before that was known.
void World::check_taken_back(const Host& host, const chain::Switch& action, std::int64_t requested) {
    const auto& rollout = action.rollout;
    if (rollout.kind != wire::RolloutKind::deploy || rollout.by_name || rollout.attempt > 1) return;
    if (host.disk.claim && host.disk.claim->forced) return;
    const bool proven = std::ranges::any_of(hosts_, [&](const Host& other) {
        const auto known = other.disk.known.find(rollout.key);
        return known != other.disk.known.end() && known->second.proven;
    });
    if (proven) return;
    for (const auto& [what, since] : majority_bad_at_) {
        if (what.first != rollout.commit || what.second == rollout.key || requested <= since) continue;
        violation(
            fmt::format("rule 7: {} asked at {} ms for {}, whose commit had failed or was undone as {}; a "
                        "majority knew that at {} ms",
                        host.name, requested, rollout.key.id, what.second.id, since));
        return;
    }
}

/// I7
void World::check_once(const Host& host, const chain::Switch& action) {
    const auto key = action.rollout.key;
    if (!commit_of(action.rollout).once_steps || action.rollout.kind != wire::RolloutKind::deploy) return;
    const auto successes = once_successes_[key];
    if (!action.run_once && successes == 0) {
        violation(fmt::format("I7: {} switches to {} before its once steps", host.name, key.id));
    }
    if (action.run_once && successes > 0) {
        violation(fmt::format("I7: {} runs the once steps of {} again", host.name, key.id));
    }
}

bool World::majority_of_hosts(const std::function<bool(const Host&)>& holds) const {
    const auto count = std::ranges::count_if(hosts_, holds);
    return static_cast<std::size_t>(count) >= hosts_.size() / 2 + 1;
}

void World::note_known(const Host& host) {
    for (const auto& [key, known] : host.disk.known) {
        if (majority_known_at_.contains(key)) continue;
        if (majority_of_hosts([&](const Host& other) { return other.disk.known.contains(key); })) {
            majority_known_at_[key] = now_;
        }
    }
    for (const auto& [commit, why] : host.disk.bad) {
        const std::pair what{commit, why.by.key};
        if (why.forgiven || majority_bad_at_.contains(what)) continue;
        const auto knows = [&](const Host& other) {
            const auto bad = other.disk.bad.find(commit);
            return bad != other.disk.bad.end() && !bad->second.forgiven && bad->second.by.key == what.second;
        };
        if (majority_of_hosts(knows)) majority_bad_at_[what] = now_;
    }
}

void World::note_failures(const Host& host) {
    for (const auto& [key, failure] : host.disk.failed) {
        const wire::Target target{key, failure.attempt};
        const std::pair which{target, host.index};
        if (failing_.contains(which) || neighbour_failed_.contains(which)) switch_failed_at_.try_emplace(target, now_);
        if (majority_failed_at_.contains(target)) continue;
        const auto recorded = [&](const Host& other) {
            const auto it = other.disk.failed.find(key);
            return it != other.disk.failed.end() && it->second.attempt >= target.attempt;
        };
        if (majority_of_hosts(recorded)) majority_failed_at_[target] = now_;
    }
}

/// The newest rollout, unless it has failed; then the newest before it that had succeeded somewhere. One that was
/// superseded before that is not taken up again; but a person may have had it tried once more.
wire::RolloutKey World::newest_good() const {
    struct Fate {
        unsigned attempt = 0;
        unsigned failed = 0;
        bool proven = false;
    };
    std::map<wire::RolloutKey, Fate> fates;
    for (const auto& host : hosts_) {
        if (host.dead) continue;
        for (const auto& [key, known] : host.disk.known) {
            fates[key].attempt = std::max(fates[key].attempt, known.rollout.attempt);
            fates[key].proven = fates[key].proven || known.proven;
        }
        for (const auto& [key, failure] : host.disk.failed) {
            fates[key].failed = std::max(fates[key].failed, failure.attempt);
        }
    }
    const bool supersede = s_.policy.on_new_commit == config::OnNewCommit::supersede;
    for (auto it = fates.rbegin(); it != fates.rend(); ++it) {
        const auto& fate = it->second;
        if (fate.attempt <= fate.failed) continue;
        if (!supersede || it == fates.rbegin() || fate.proven || fate.attempt > 1) return it->first;
    }
    return {};
}

/// What a node runs that failed elsewhere, or that was superseded before it had succeeded, its neighbours need not
/// have.
std::string World::neighbours_not_converged(const Host& host, const wire::RolloutKey& good) const {
    for (const auto which : host.neighbours) {
        const auto& neighbour = neighbours_[which];
        if (neighbour.building) return fmt::format("I4: {} still builds", neighbour.name);
        if (good.empty() || !host.disk.current || host.disk.current->key != good) continue;
        if (neighbour.runs != host.disk.current->commit) {
            return fmt::format("I4: {} runs {} and not {} as {} does; that waits for: {}", neighbour.name,
                               neighbour.runs, host.disk.current->commit, host.name,
                               host.machine->view(instant()).waits_for);
        }
        if (host.disk.owed == good) return fmt::format("I4: {} still owes {}", host.name, good.id);
    }
    return "";
}

/// Empty when every live node runs the newest good rollout, is in service, and nothing is held or under way.
std::string World::not_converged() const {
    const auto good = newest_good();
    std::map<wire::RolloutKey, unsigned> failed_since;
    for (const auto& host : hosts_) {
        if (host.dead) continue;
        for (auto it = host.disk.failed.upper_bound(good); it != host.disk.failed.end(); ++it) {
            failed_since[it->first] = std::max(failed_since[it->first], it->second.attempt);
        }
    }
    for (const auto& host : hosts_) {
        if (host.dead) continue;
        if (!host.machine) return fmt::format("I4: {} is not running", host.name);
        const auto& disk = host.disk;
        for (const auto& [key, attempt] : failed_since) {
            const auto failed = disk.failed.find(key);
            if (failed == disk.failed.end() || failed->second.attempt < attempt) {
                return fmt::format("I4: {} does not know that {} failed", host.name, key.id);
            }
        }
        const auto current = disk.current ? disk.current->key : wire::RolloutKey{};
        const auto commit_of_release = host.release ? host.release->commit : CommitId{};
        if (commit_of_release != (disk.current ? disk.current->commit : CommitId{})) {
            return fmt::format("I4: {} runs {} and takes it for another", host.name, commit_of_release);
        }
        if (host.release && failing_.contains({host.release->target(), host.index})) {
            return fmt::format("rule 3: {} stays on {}, which failed there", host.name, host.release->key.id);
        }
        if (host.member && current < good) {
            return fmt::format("I4: {} runs {} and not {}; it waits for: {}", host.name, current.id, good.id,
                               host.machine->view(instant()).waits_for);
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
        if (auto missing = neighbours_not_converged(host, good); !missing.empty()) return missing;
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
