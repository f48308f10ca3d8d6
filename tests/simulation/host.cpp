// SPDX-License-Identifier: MIT
// Agents in the simulated world: effects are carried out in the order promised, and the agent may be killed between
// any two of them; builds, switches and restores take their time and have their ways to fail.
#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/json.h"
#include "tests/simulation/world.h"

namespace baton::simulation {

void World::start_agent(Host& host) {
    if (host.dead || host.machine || now_ < host.away_until) return;
    ++host.run;
    host.restarted_ms = now_;
    host.tick_at = -1;
    // What a restarted agent knows is what can be read back.
    const auto read_back = chain::parse_durable(json::parse(json::dump(chain::to_json(host.disk))));
    if (read_back != host.disk) violation("codec: a durable state reads back differently");
    host.machine = std::make_unique<chain::Machine>(settings_of(host), read_back, chance_.bits(), rules_);
    trace("{} starts ({}, app {})", host.name, to_text(read_back.phase), host.up ? "up" : "down");
    input(host, [&](chain::Machine& machine) { return machine.start(instant(), host.up); });
}

chain::Settings World::settings_of(const Host& host) {
    chain::Settings settings;
    settings.self = host.name;
    settings.order = s_.members;
    settings.voters = s_.members;
    settings.voters.insert(settings.voters.end(), s_.witnesses.begin(), s_.witnesses.end());
    if (!s_.voters.empty()) settings.voters = s_.voters;
    settings.policy = s_.policy;
    settings.lanes = s_.lanes;
    settings.neighbours = !host.neighbours.empty();
    settings.config_hash = "c";
    settings.timing = s_.timing;
    settings.wall_ms = [this, index = host.index] { return 1'700'000'000'000 + now_ + hosts_[index].clock_offset; };
    return settings;
}

void World::crash(Host& host, const char* why) {
    if (!host.machine) return;
    trace("{} KILLED {}", host.name, why);
    ++outcome_.counts.crashes;
    host.machine.reset();
    ++host.run;
    host.tick_at = -1;
    if (chance_.happens(s_.reboot)) host.up = false;  // the machine went with it
    if (!host.dead) {
        after(chance_.between(30, s_.restart_ms), [this, index = host.index] { start_agent(hosts_[index]); });
    }
}

void World::input(Host& host, const std::function<chain::Effects(chain::Machine&)>& give) {
    if (!host.machine) return;
    apply(host, give(*host.machine));
    schedule_tick(host);
    watch_debt(host);
}

void World::apply(Host& host, chain::Effects effects) {
    const std::size_t moments = effects.actions.size() + (effects.store ? 1U : 0U);
    std::size_t last = effects.actions.size();
    bool dies = false;
    if (!calm_ && moments > 0 && s_.crash > 0 && chance_.happens(s_.crash)) {
        dies = true;
        // Before the write, or after it with some of the actions carried out.
        const auto moment = chance_.below_or(effects.actions.size() + 1);
        if (moment == 0) {
            crash(host, "before it could store");
            return;
        }
        last = moment - 1;
    }
    if (effects.store) {
        host.disk = host.machine->durable();
        stored(host);
    }
    const auto run = host.run;
    for (std::size_t i = 0; i < last; ++i) {
        perform(host, effects.actions[i]);
        if (host.run != run || !host.machine) return;
    }
    if (dies) crash(host, "after it had stored");
}

void World::stored(Host& host) {
    const auto& disk = host.disk;
    if (disk.phase == chain::Phase::asking) host.asked_at.try_emplace(disk.claim->ticket, now_);
    note_failures(host);
    note_known(host);
}

void World::schedule_tick(Host& host) {
    if (!host.machine) return;
    const auto due = std::max(now_ + 1, host.machine->next_tick().time_since_epoch().count());
    if (host.tick_at >= 0 && host.tick_at <= due) return;
    host.tick_at = due;
    at(due, [this, index = host.index, run = host.run, due] {
        auto& ticking = hosts_[index];
        if (ticking.run != run || ticking.tick_at != due) return;
        ticking.tick_at = -1;
        input(ticking, [&](chain::Machine& machine) { return machine.tick(instant()); });
    });
}

void World::later(Host& host, std::int64_t delay_ms, Step step) {
    after(delay_ms, [this, index = host.index, run = host.run, step = std::move(step)] {
        if (hosts_[index].run == run && hosts_[index].machine) step();
    });
}

void World::perform(Host& host, const chain::Action& action) {
    if (const auto* sent = std::get_if<chain::Send>(&action)) {
        send(host, *sent);
    } else if (const auto* start = std::get_if<chain::StartBuild>(&action)) {
        build(host, *start);
    } else if (const auto* cancel = std::get_if<chain::CancelBuild>(&action)) {
        trace("{} cancels the build of {}: {}", host.name, cancel->target.key.id, cancel->reason);
    } else if (const auto* change = std::get_if<chain::Switch>(&action)) {
        switch_over(host, *change);
    } else if (const auto* back = std::get_if<chain::Restore>(&action)) {
        trace("{} RESTORES instead of {}: {}", host.name, back->rollout.key.id, back->reason);
        if (quiet_) violation(fmt::format("I6: {} restores after convergence", host.name));
        host.forced = host.disk.claim && host.disk.claim->forced;
        host.out = true;
        host.up = false;
        check_out();
        restore(host, back->ticket, back->rollout, false, back->reason);
    } else if (const auto* more = std::get_if<chain::Neighbours>(&action)) {
        bring_on(host, *more);
    } else if (std::holds_alternative<chain::BringUp>(action)) {
        trace("{} brings its app up", host.name);
        later(host, chance_.between(200, 1'200), [this, index = host.index] { bring_up(hosts_[index]); });
    } else if (const auto* note = std::get_if<chain::Note>(&action)) {
        trace("{} says: {}", host.name, note->text);
    }
}

const Commit& World::commit_of(const wire::Rollout& rollout) const {
    const auto it = std::ranges::find(s_.commits, rollout.commit, &Commit::id);
    return it == s_.commits.end() ? s_.commits.front() : *it;
}

void World::build(Host& host, const chain::StartBuild& action) {
    const auto target = action.rollout.target();
    trace("{} builds {} attempt {}{}", host.name, target.key.id, target.attempt, action.ahead ? " ahead" : "");
    const auto& commit = commit_of(action.rollout);
    const bool at_once = host.built.contains(target) || action.rollout.kind == wire::RolloutKind::rollback;
    later(
        host, at_once ? 1 : chance_.between(s_.build_ms / 4, s_.build_ms), [this, index = host.index, target, &commit] {
            auto& builder = hosts_[index];
            if (now_ < builder.trouble_until) {
                fail_to_build(builder, target);
                return;
            }
            if (commit.build_fails) {
                input(builder,
                      [&](chain::Machine& machine) { return machine.build_failed(instant(), target, "tests failed"); });
                return;
            }
            builder.built.insert(target);
            input(builder, [&](chain::Machine& machine) {
                return machine.build_ready(instant(), target, true, commit.once_steps);
            });
        });
}

/// Nothing is wrong with the commit: where others run it, that is this node's affair alone.
void World::fail_to_build(Host& host, const wire::Target& target) {
    const auto known = host.disk.known.find(target.key);
    const bool failed = host.disk.failed.contains(target.key);
    const bool catches_up =
        known != host.disk.known.end() && known->second.proven && known->second.assigned && !known->second.walks;
    input(host, [&](chain::Machine& machine) {
        return machine.build_failed(instant(), target, "the git host cannot be reached");
    });
    if (catches_up && !failed && host.machine && host.disk.failed.contains(target.key)) {
        violation(fmt::format("I4: {} could not build {}, which others run, and halts it", host.name, target.key.id));
    }
}

void World::switch_over(Host& host, const chain::Switch& action) {
    ++outcome_.counts.switches;
    trace("{} SWITCHES to {} attempt {} in lane {}{}{}", host.name, action.rollout.key.id, action.rollout.attempt,
          action.lane, action.redo ? ", again" : "", action.run_once ? ", with once steps" : "");
    check_switch(host, action);
    host.forced = host.disk.claim && host.disk.claim->forced;
    host.out = true;
    host.out_for = action.rollout.target();
    host.up = false;
    check_out();
    const auto index = host.index;
    const auto takes = s_.exact_switch ? s_.switch_ms : chance_.between(s_.switch_ms / 10, s_.switch_ms);
    if (!action.redo && chance_.happens(calm_ ? 0 : s_.untouched)) {
        later(host, takes / 4, [this, index, action] {
            auto& unharmed = hosts_[index];
            unharmed.up = true;
            unharmed.out = false;
            input(unharmed, [&](chain::Machine& machine) {
                return machine.switched(instant(), action.ticket, chain::SwitchEnd::untouched, "the drain did not end");
            });
        });
        return;
    }
    if (!action.run_once) {
        later(host, takes, [this, index, action] { end_switch(hosts_[index], action); });
        return;
    }
    const auto key = action.rollout.key;
    const bool fails = commit_of(action.rollout).once_fails;
    later(host, takes / 4, [this, index, action, key, fails, takes] {
        input(hosts_[index], [&](chain::Machine& machine) { return machine.once_started(instant(), action.ticket); });
        later(hosts_[index], takes / 4, [this, index, action, key, fails, takes] {
            if (fails) {
                fail_migration(hosts_[index], action);
                return;
            }
            if (++once_successes_[key] > 1) violation(fmt::format("I7: once steps of {} succeeded twice", key.id));
            // Here the agent can die: succeeded, and nobody knows.
            if (!calm_ && chance_.happens(s_.crash * 10)) {
                crash(hosts_[index], "after once steps, before it could store");
                return;
            }
            input(hosts_[index], [&](chain::Machine& machine) { return machine.once_done(instant(), action.ticket); });
            later(hosts_[index], takes / 2, [this, index, action] { end_switch(hosts_[index], action); });
        });
    });
}

/// Before anything was switched: the node serves as before.
void World::fail_migration(Host& host, const chain::Switch& action) {
    host.up = true;
    host.out = false;
    failing_.insert({action.rollout.target(), host.index});
    trace("{}: a migration fails", host.name);
    input(host, [&](chain::Machine& machine) {
        return machine.switched(instant(), action.ticket, chain::SwitchEnd::failed, "a migration failed");
    });
}

void World::end_switch(Host& host, const chain::Switch& action) {
    const auto& commit = commit_of(action.rollout);
    const bool back = action.rollout.kind == wire::RolloutKind::rollback;
    if (!back && (commit.switch_fails || commit.fails_on.contains(host.name))) {
        restore(host, action.ticket, action.rollout, true, "it never became healthy");
        return;
    }
    host.up = true;
    host.out = false;
    if (!host.release || host.release->target() != action.rollout.target()) host.before = host.release;
    host.release = action.rollout;
    trace("{} is in service with {}", host.name, action.rollout.key.id);
    input(host, [&](chain::Machine& machine) {
        return machine.switched(instant(), action.ticket, chain::SwitchEnd::in_service, "");
    });
    if (commit.sick_later && !back && !calm_ && s_.policy.bake_time.count() > 0) {
        later(host, 200, [this, index = host.index] {
            auto& sick = hosts_[index];
            if (sick.out || !sick.machine) return;
            sick.up = false;
            trace("{} falls ill", sick.name);
            const auto& claim = sick.disk.claim;
            if (claim && claim->stage == chain::OutStage::baking) failing_.insert({claim->rollout.target(), index});
            input(sick, [&](chain::Machine& machine) { return machine.health(instant(), false); });
            later(sick, 3'000, [this, index] { bring_up(hosts_[index]); });
        });
    }
}

void World::restore(Host& host, const chain::Ticket& ticket, const wire::Rollout& failed, bool after_switch,
                    const std::string& reason) {
    const auto index = host.index;
    later(host, chance_.between(s_.switch_ms / 20, s_.switch_ms / 2),
          [this, index, ticket, failed, after_switch, reason] {
              auto& restored = hosts_[index];
              const bool stays_down = !calm_ && chance_.happens(s_.restore_fails);
              if (!stays_down) {
                  restored.up = true;
                  restored.out = false;
                  // Published already while it baked, or never proved.
                  if (restored.release && restored.release->target() == failed.target()) {
                      restored.release = restored.before;
                      restored.before.reset();
                  }
              }
              trace("{} {} ({})", restored.name, stays_down ? "is STUCK" : "is in service as before", reason);
              if (after_switch) failing_.insert({failed.target(), index});
              input(restored, [&](chain::Machine& machine) {
                  return machine.switched(instant(), ticket,
                                          stays_down ? chain::SwitchEnd::stuck : chain::SwitchEnd::restored, reason);
              });
          });
}

void World::bring_up(Host& host) {
    if (!host.machine) return;
    if (host.disk.phase == chain::Phase::idle) {
        host.up = true;
        host.out = false;
        trace("{}'s app is up", host.name);
        input(host, [&](chain::Machine& machine) { return machine.health(instant(), true); });
    } else if (host.disk.claim->stage == chain::OutStage::neighbours) {
        host.up = true;  // it serves while its neighbours are brought on
        input(host, [&](chain::Machine& machine) { return machine.health(instant(), true); });
    } else if (host.disk.claim->stage == chain::OutStage::stuck) {
        host.up = true;  // answers, but nobody has proved it yet
        input(host, [&](chain::Machine& machine) { return machine.health(instant(), true); });
    }
}

}  // namespace baton::simulation
