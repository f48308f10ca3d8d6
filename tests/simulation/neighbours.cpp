// SPDX-License-Identifier: MIT
// Nodes of the chain without an agent in the simulated world: machines that are still a Jenkins, and what the agent
// before each does with them. Real counterpart: the engine's Steward and Neighbour, and the Jenkins themselves.
#include <algorithm>
#include <fmt/format.h>

#include "tests/simulation/world.h"

namespace baton::simulation {
namespace {

constexpr std::int64_t look_again_ms = 150;

}  // namespace

void World::arrange_neighbours() {
    for (const auto& [name, steward] : s_.neighbours) {
        hosts_[steward].neighbours.push_back(neighbours_.size());
        neighbours_.emplace_back().name = name;
        neighbours_.back().steward = steward;
    }
    for (const auto& outage : s_.outages) {
        at(outage.at_ms, [this, outage] {
            auto& gone = neighbours_[outage.neighbour];
            trace("{} is away for {} ms", gone.name, outage.for_ms);
            gone.away_until = now_ + outage.for_ms;
        });
    }
}

void World::bring_on(Host& host, const chain::Neighbours& action) {
    const auto target = action.rollout.target();
    trace("{} brings {} attempt {} on to its neighbours", host.name, target.key.id, target.attempt);
    if (quiet_) violation(fmt::format("I6: {} brings on after convergence", host.name));
    if (!host.release || host.release->target().key != target.key) {
        violation(fmt::format("rule 2: {} brings {} on, which it does not run", host.name, target.key.id));
    }
    auto job = std::make_shared<Bringing>();
    job->ticket = action.ticket;
    job->rollout = action.rollout;
    job->order = host.neighbours;
    std::ranges::stable_partition(job->order, [&](std::size_t which) {
        const auto note = host.neighbour_notes.find(which);
        return note != host.neighbour_notes.end() && note->second.target == target &&
               note->second.step == NeighbourStep::asked;
    });
    come_to_neighbour(host, *job);
    bring_on_next(host, job);
}

/// As an agent that reads what it has stored of the neighbour whose turn it is.
void World::come_to_neighbour(Host& host, Bringing& job) {
    job.since = now_;
    job.owed = false;
    job.step = NeighbourStep::none;
    if (job.at == job.order.size()) return;
    const auto which = job.order[job.at];
    const auto stored = host.neighbour_notes.find(which);
    if (stored == host.neighbour_notes.end()) return;
    const auto& note = stored->second;
    if (note.target == job.rollout.target()) {
        job.owed = note.step == NeighbourStep::passed_over;
        job.step = job.owed ? NeighbourStep::none : note.step;
    } else if (note.step == NeighbourStep::done && note.commit == job.rollout.commit &&
               job.rollout.kind == wire::RolloutKind::rollback) {
        note_neighbour(host, job, NeighbourStep::done);
    }
}

void World::note_neighbour(Host& host, Bringing& job, NeighbourStep step) {
    job.step = step;
    host.neighbour_notes[job.order[job.at]] = {job.rollout.target(), job.rollout.commit, step};
}

void World::bring_on_next(Host& host, const std::shared_ptr<Bringing>& job) {
    while (job->at < job->order.size()) {
        auto& neighbour = neighbours_[job->order[job->at]];
        const auto target = job->rollout.target();
        const bool reachable = now_ >= neighbour.away_until;
        const auto goes_on = host.machine->goes_on(target);
        std::optional<chain::NeighboursEnd::Outcome> end;
        if (job->step == NeighbourStep::asked && reachable) {
            follow(host, neighbour, *job);
        } else if (job->step == NeighbourStep::none && goes_on == chain::GoesOn::no) {
            end = chain::NeighboursEnd::Outcome::given_up;
        } else if (goes_on == chain::GoesOn::unclear) {
            // Looks again.
        } else if (job->step == NeighbourStep::none && reachable) {
            const auto run = host.run;
            trigger(host, neighbour, *job);
            if (host.run != run) return;  // died over it
        } else if (job->step == NeighbourStep::none &&
                   (job->owed || now_ - job->since >= s_.policy.handoff_timeout.count()) &&
                   host.machine->may_pass_over(target, neighbour.name, job->passed_over)) {
            trace("{} passes {} over", host.name, neighbour.name);
            ++outcome_.counts.passed_over;
            note_neighbour(host, *job, NeighbourStep::passed_over);
            job->passed_over.insert(neighbour.name);
        }
        if (job->step == NeighbourStep::failed) end = chain::NeighboursEnd::Outcome::failed;
        if (end) {
            end_bringing(host, *job, *end);
            return;
        }
        if (job->step == NeighbourStep::none || job->step == NeighbourStep::asked) {
            later(host, look_again_ms, [this, index = host.index, job] { bring_on_next(hosts_[index], job); });
            return;
        }
        ++job->at;
        come_to_neighbour(host, *job);
    }
    end_bringing(host, *job, chain::NeighboursEnd::Outcome::done);
}

void World::end_bringing(Host& host, const Bringing& job, chain::NeighboursEnd::Outcome outcome) {
    chain::NeighboursEnd end;
    end.outcome = outcome;
    if (outcome == chain::NeighboursEnd::Outcome::failed) end.reason = "its build failed";
    if (outcome == chain::NeighboursEnd::Outcome::done) end.passed_over = job.passed_over;
    trace("{} is {} with its neighbours, {} passed over", host.name,
          outcome == chain::NeighboursEnd::Outcome::done       ? "done"
          : outcome == chain::NeighboursEnd::Outcome::given_up ? "not gone through"
                                                               : "turned down",
          job.passed_over.size());
    // Here the agent can die: everything noted, and the machine not told.
    if (!calm_ && chance_.happens(s_.crash * 10)) {
        crash(host, "before it could say how its neighbours are");
        return;
    }
    input(host, [&](chain::Machine& machine) { return machine.neighbours_done(instant(), job.ticket, end); });
}

/// Noted before it is done: who is killed in between looks whether it was.
void World::trigger(Host& host, Neighbour& neighbour, Bringing& job) {
    note_neighbour(host, job, NeighbourStep::asked);
    if (!calm_ && chance_.happens(s_.crash * 10)) {
        crash(host, "before it could trigger");
        return;
    }
    start_neighbour(host, neighbour, job);
    if (!calm_ && chance_.happens(s_.crash * 10)) crash(host, "after it had triggered");
}

void World::follow(Host& host, Neighbour& neighbour, Bringing& job) {
    const auto triggered = neighbour.triggered.find(job.rollout.target());
    if (triggered == neighbour.triggered.end()) {
        job.step = NeighbourStep::none;  // it never arrived
        return;
    }
    const auto ended = neighbour.ended.find(triggered->second);
    if (ended == neighbour.ended.end()) return;
    if (!ended->second) neighbour_failed_.insert({job.rollout.target(), host.index});
    note_neighbour(host, job, ended->second ? NeighbourStep::done : NeighbourStep::failed);
}

void World::start_neighbour(Host& host, Neighbour& neighbour, const Bringing& job) {
    const auto target = job.rollout.target();
    trace("{} triggers {} with {} attempt {}", host.name, neighbour.name, target.key.id, target.attempt);
    ++outcome_.counts.triggers;
    check_trigger(host, job.ticket, job.rollout);
    if (neighbour.triggered.contains(target)) {
        violation(fmt::format("rule 8: {} is triggered twice with {} attempt {}", neighbour.name, target.key.id,
                              target.attempt));
    }
    const auto build = ++builds_;
    neighbour.triggered[target] = build;
    neighbour.forced = host.disk.claim && host.disk.claim->forced;
    neighbour.queue.emplace_back(build, job.rollout);
    if (!neighbour.building) build_on_neighbour(job.order[job.at]);
}

/// Its machine is out of service while it builds, whatever becomes of the agent that has triggered it.
void World::build_on_neighbour(std::size_t which) {
    auto& neighbour = neighbours_[which];
    neighbour.building = !neighbour.queue.empty();
    if (!neighbour.building) return;
    check_out();
    after(chance_.between(s_.neighbour_ms / 4, s_.neighbour_ms), [this, which] {
        auto& built = neighbours_[which];
        const auto [build, rollout] = built.queue.front();
        built.queue.pop_front();
        const bool back = rollout.kind == wire::RolloutKind::rollback;
        const bool good = back || !commit_of(rollout).fails_on.contains(built.name);
        trace("{}'s build of {} ends {}", built.name, rollout.key.id, good ? "well" : "badly");
        built.ended[build] = good;
        if (good) built.runs = rollout.commit;
        build_on_neighbour(which);
    });
}

/// Neighbours that were passed over are looked at now and then, as long as they are owed something.
void World::watch_debt(Host& host) {
    if (!host.machine || host.watches_debt == host.run || !host.machine->debt()) return;
    host.watches_debt = host.run;
    later(host, chance_.between(200, 1'500), [this, index = host.index] {
        auto& debtor = hosts_[index];
        debtor.watches_debt = 0;
        const auto owed = debtor.machine->debt();
        const auto answers = [&](std::size_t which) {
            const auto note = debtor.neighbour_notes.find(which);
            const bool has_it = note != debtor.neighbour_notes.end() && note->second.target == owed->target() &&
                                note->second.step == NeighbourStep::done;
            return !has_it && now_ >= neighbours_[which].away_until;
        };
        if (owed && std::ranges::any_of(debtor.neighbours, answers)) {
            ++outcome_.counts.debts;
            trace("{} sees that a neighbour answers that is owed {}", debtor.name, owed->key.id);
            input(debtor,
                  [&](chain::Machine& machine) { return machine.neighbours_answer(instant(), owed->target()); });
        }
        watch_debt(debtor);
    });
}

bool World::neighbours_rest(const Host& host) const {
    return std::ranges::none_of(host.neighbours, [&](std::size_t which) { return neighbours_[which].building; });
}

}  // namespace baton::simulation
