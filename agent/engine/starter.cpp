// SPDX-License-Identifier: MIT
// From "somebody asked" to a rollout.
#include "agent/engine/starter.h"

#include <algorithm>
#include <fmt/format.h>

#include "agent/engine/settings.h"
#include "common/error.h"
#include "common/git/repository.h"
#include "common/log.h"
#include "common/text.h"
#include "common/ulid.h"

namespace baton::engine {
namespace {

using namespace std::chrono_literals;

constexpr auto fetch_deadline = 5min;
constexpr auto poll_deadline = 30s;
constexpr auto longest_nap = 1s;
/// Packs gather with each fetch; git decides itself whether there are enough of them to be worth the work.
constexpr auto maintain_every = 24h;
constexpr auto maintain_deadline = 10min;
/// A peer that was heard of within this time is alive, for the question who polls.
constexpr std::int64_t alive_ms = 15'000;

/// A trigger that was accepted is not lost because a git host is away for a while: it waits in the queue.
constexpr auto retry_after = 5s;
constexpr auto give_up_after = 6h;

/// The queue items that a freeze holds, by their numbers: its end, which may be ordered on any node, lets them go on.
constexpr std::string_view held_by_freeze = "held_by_freeze";

bool passes(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::unreachable:
        case ErrorKind::timeout:
        case ErrorKind::busy:
        case ErrorKind::io:
        case ErrorKind::unauthorized: return true;
        default: return false;
    }
}

bool is_look(const wire::Cause& cause) {
    return cause.kind == wire::CauseKind::poll || cause.kind == wire::CauseKind::webhook;
}

bool only_looks(const store::QueueItem& item) {
    return !item.by_name && std::ranges::all_of(item.causes, is_look);
}

/// Why a program's trigger does not bring a commit back that a person has taken away; empty when none did.
std::string taken_back(const chain::View& view, const CommitId& commit) {
    if (!view.newest) return {};
    if (view.newest->kind == wire::RolloutKind::rollback && view.newest->undoes == commit) return "was rolled back";
    const bool halted =
        view.newest_halted && view.newest->commit == commit && view.halted_because.starts_with("halted by");
    return halted ? "is " + view.halted_because : std::string();
}

store::QueueOutcome held(std::string reason) { return {store::QueueState::held, {}, 0, std::move(reason)}; }

wire::Cause merged_cause(const store::QueueItem& item) {
    if (item.causes.empty()) return {};
    auto causes = item.causes;
    // Whoever wants a build counts for more than whoever wants git to be looked at.
    std::ranges::stable_partition(causes, [](const wire::Cause& cause) { return !is_look(cause); });
    wire::Cause cause = causes.front();
    for (std::size_t i = 1; i < causes.size(); ++i) {
        if (causes[i].text != causes[i - 1].text) cause.text += "; " + causes[i].text;
        // Of several it is nobody's own: see Operations::is_own_build.
        if (causes[i].who != causes[i - 1].who) cause.who += ", " + causes[i].who;
    }
    return cause;
}

}  // namespace

Starter::Starter(const config::AgentConfig& config, store::Store& store, const Clock& clock, Engine& engine,
                 const ParameterSeal& seal)
    : config_(config),
      store_(store),
      clock_(clock),
      engine_(engine),
      seal_(seal),
      started_(clock.now()),
      next_maintenance_(clock.now() + 10min) {}

void Starter::start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
    poll_thread_ = std::jthread([this](const std::stop_token& stop) { poll(stop); });
}

void Starter::stop() {
    thread_ = std::jthread();
    poll_thread_ = std::jthread();
}

void Starter::wake() {
    {
        const std::lock_guard lock(mutex_);
        woken_ = true;
    }
    wake_.notify_all();
}

void Starter::nap(const std::stop_token& stop, Milliseconds longest) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, longest, [&] { return woken_; });
    woken_ = false;
}

void Starter::work(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        try {
            if (!store_.flags.has(AppName(), store::flag::quieting_down)) {
                queue_thawed();
                for (const auto& item : store_.queue.due(to_epoch_ms(clock_.wall()))) {
                    if (stop.stop_requested()) return;
                    const auto retry = next_try_.find(item.id);
                    if (retry == next_try_.end() || clock_.now() >= retry->second) take(item, stop);
                }
            }
        } catch (const Error& error) {
            log::error("starter", "cannot work off the queue", {{"reason", error.text()}});
        }
        nap(stop, longest_nap);
    }
}

void Starter::queue_thawed() {
    for (const auto& [name, app] : config_.apps) {
        if (!store_.flags.has(name, held_by_freeze) || engine_.snapshot(name).view.frozen) continue;
        bool lost = false;
        for (const auto& number : split(store_.flags.get(name, held_by_freeze).value_or(""), ' ')) {
            const auto id = parse_whole(number);
            auto item = id ? store_.queue.get(*id) : std::nullopt;
            lost = lost || !item;
            if (!item) continue;
            item->due_ms = to_epoch_ms(clock_.wall());
            item->created_ms = item->due_ms;
            store_.queue.add_or_coalesce(*item);
        }
        // After a long freeze the oldest items are gone; what was pushed is looked at all the same.
        if (lost) queue_look(app, "Held by a freeze that has ended");
        store_.flags.erase(name, held_by_freeze);
    }
}

void Starter::take(const store::QueueItem& item, const std::stop_token& stop) {
    store::QueueOutcome outcome;
    try {
        outcome = decide(config_.app(item.app), item, stop);
    } catch (const Error& error) {
        if (stop.stop_requested()) return;
        const bool expired = clock_.wall() - from_epoch_ms(item.created_ms) > give_up_after;
        if (passes(error.kind()) && !expired) {
            next_try_[item.id] = clock_.now() + (error.kind() == ErrorKind::busy ? longest_nap : retry_after);
            if (item.reason != error.text()) store_.queue.explain(item.id, error.text());
            log::warning("starter", "trigger waits and will be tried again",
                         {{"app", item.app}, {"queue_id", item.id}, {"reason", error.text()}});
            return;
        }
        outcome = {store::QueueState::refused, {}, 0, error.text()};
    }
    next_try_.erase(item.id);
    if (!store_.queue.finish(item.id, outcome, to_epoch_ms(clock_.wall()))) return;
    log::info("starter", "trigger taken",
              {{"app", item.app},
               {"queue_id", item.id},
               {"state", store::to_text(outcome.state)},
               {"rollout", outcome.rollout},
               {"reason", outcome.reason}});
}

void Starter::queue_look(const config::App& app, const std::string& cause) {
    store::QueueItem item;
    item.app = app.name;
    item.parameters = seal_.seal(app, effective_parameters(app, {}));
    item.causes = {{wire::CauseKind::poll, cause, {}, {}}};
    item.created_ms = item.due_ms = to_epoch_ms(clock_.wall());
    store_.queue.add_or_coalesce(item);
}

void Starter::hold(const store::QueueItem& item) {
    const auto before = store_.flags.get(item.app, held_by_freeze).value_or("");
    store_.flags.set(item.app, held_by_freeze, fmt::format("{}{}{}", before, before.empty() ? "" : " ", item.id));
}

store::QueueOutcome Starter::decide(const config::App& app, const store::QueueItem& item, const std::stop_token& stop) {
    if (const auto frozen = engine_.snapshot(app.name).view.frozen; frozen && !item.by_name) {
        hold(item);
        return held(fmt::format("frozen by {}: {}", frozen->who, frozen->reason));
    }
    if (const auto snapshot = engine_.snapshot(app.name); !item.by_name) {
        if (snapshot.listening) {
            throw Error(ErrorKind::busy, "this agent has just started and asks its peers what is newest");
        }
        if (!snapshot.view.may_grant) {
            // It does not know what was rolled back or halted, and nobody would let it go out of service.
            throw Error(ErrorKind::busy,
                        fmt::format("this node's database is new: it waits for {}", snapshot.view.waits_for));
        }
    }
    const git::Mirror mirror = mirror_of(config_, app);
    CommitId tip;
    try {
        tip = mirror.fetch(stop, clock_.now() + fetch_deadline);
    } catch (const Error&) {
        // The git host is away: a commit that is here already can still be deployed.
        if (item.commit.empty() || !std::filesystem::exists(mirror.path())) throw;
    }
    const git::Repository repository(mirror.path());
    CommitId commit = tip;
    if (!item.commit.empty()) {
        const auto resolved = repository.resolve(item.commit.str());
        if (!resolved) throw Error(ErrorKind::not_found, fmt::format("no commit '{}' in {}", item.commit, app.branch));
        commit = *resolved;
    }
    // Looked at after the fetch, which may take long: peers may have started the very same meanwhile.
    const auto snapshot = engine_.snapshot(app.name);
    const auto& newest = snapshot.view.newest;
    const bool newest_stands = newest && newest->commit == commit && !snapshot.view.newest_halted;
    if (only_looks(item)) {
        if (newest_stands) return {store::QueueState::started, newest->key.id, 0, "nothing new"};
        if (const auto why = engine_.why_bad(app.name, commit); !why.empty()) {
            return held(
                fmt::format("commit {} was rolled back or halted ({}); a person can deploy it by name: baton trigger "
                            "{} --commit {}",
                            commit.str().substr(0, 12), why, app.name, commit));
        }
        if (newest && newest->commit == commit) {
            return held(fmt::format("commit {} is halted; a person can start it again: baton resume {}",
                                    commit.str().substr(0, 12), app.name));
        }
    }
    if (const auto why = taken_back(snapshot.view, commit); !why.empty() && !item.by_name) {
        return held(fmt::format("commit {} {}; a person can deploy it by name: baton trigger {} --commit {}",
                                commit.str().substr(0, 12), why, app.name, commit));
    }
    if (newest_stands && !item.by_name && !snapshot.newest_ended && newest->parameters == item.parameters) {
        return {store::QueueState::started, newest->key.id, 0, "joined the rollout that is under way"};
    }
    if (!item.by_name && newest && repository.has_commit(newest->commit) && newest->kind == wire::RolloutKind::deploy &&
        !repository.is_ancestor(newest->commit, commit)) {
        return held(
            fmt::format("commit {} does not descend from {}, which was deployed last (a forced push?); a person can "
                        "deploy it by name: baton trigger {} --commit {}",
                        commit.str().substr(0, 12), newest->commit.str().substr(0, 12), app.name, commit));
    }
    const auto info = repository.commit(commit);
    wire::Rollout rollout;
    rollout.app = app.name;
    rollout.commit = commit;
    rollout.started_on = config_.self;
    rollout.started_ms = to_epoch_ms(clock_.wall());
    rollout.cause = merged_cause(item);
    rollout.author = info.author_name;
    rollout.subject = info.subject;
    rollout.parameters = item.parameters;
    // Who triggers a commit that is known to have failed wants it tried again.
    rollout.by_name = item.by_name || !engine_.why_bad(app.name, commit).empty();
    const auto key = engine_.offer(rollout, new_rollout_id(clock_.wall()));
    return {store::QueueState::started, key.id, 0, {}};
}

bool Starter::first_alive(const AppName& app) {
    const auto view = engine_.snapshot(app).view;
    for (const auto& node : config_.nodes) {
        if (node.name == config_.self) return true;
        const auto peer = std::ranges::find(view.peers, node.name, &chain::PeerView::node);
        if (peer == view.peers.end()) continue;
        // Right after the start nobody was heard yet, which says nothing: the first of the chain polls at once, the
        // others listen for a while.
        if (peer->silent_ms < 0 && clock_.now() - started_ < Milliseconds{alive_ms}) return false;
        if (peer->silent_ms >= 0 && peer->silent_ms < alive_ms) return false;
    }
    return true;
}

void Starter::poll(const std::stop_token& stop) {
    std::mutex idle;
    std::condition_variable_any sleeper;
    while (!stop.stop_requested()) {
        auto next = clock_.now() + 60s;
        for (const auto& [name, app] : config_.apps) {
            if (!app.triggers.poll_interval || stop.stop_requested()) continue;
            const auto due = next_poll_.try_emplace(name, clock_.now()).first;
            if (clock_.now() >= due->second) {
                due->second = clock_.now() + *app.triggers.poll_interval;
                try {
                    poll_app(app, stop);
                } catch (const Error& error) {
                    log::warning("poll", "failed", {{"app", name}, {"reason", error.text()}});
                }
            }
            next = std::min(next, due->second);
        }
        maintain_mirrors(stop);
        std::unique_lock lock(idle);
        sleeper.wait_for(lock, stop, std::max<Milliseconds>(next - clock_.now(), 10ms), [] { return false; });
    }
}

void Starter::maintain_mirrors(const std::stop_token& stop) {
    if (clock_.now() < next_maintenance_) return;
    next_maintenance_ = clock_.now() + maintain_every;
    for (const auto& [name, app] : config_.apps) {
        const auto mirror = mirror_of(config_, app);
        if (stop.stop_requested() || !std::filesystem::exists(mirror.path())) continue;
        try {
            mirror.maintain(stop, clock_.now() + maintain_deadline);
        } catch (const Error& error) {
            log::warning("git", "cannot maintain the mirror", {{"app", name}, {"reason", error.text()}});
        }
    }
}

void Starter::poll_app(const config::App& app, const std::stop_token& stop) {
    if (store_.flags.has(app.name, store::flag::disabled) || !first_alive(app.name)) return;
    // A node that knows less than its peers would take what runs everywhere for news.
    const auto snapshot = engine_.snapshot(app.name);
    if (snapshot.listening || !snapshot.view.may_grant) return;
    const auto tip = mirror_of(config_, app).remote_tip(stop, clock_.now() + poll_deadline);
    if (!tip) throw Error(ErrorKind::not_found, fmt::format("the repository has no branch '{}'", app.branch));
    const auto seen = store_.flags.get(app.name, store::flag::polled_tip);
    const auto view = engine_.snapshot(app.name).view;
    // Together with what was newest then: if that has changed since, the tip has to be judged anew.
    const auto look = fmt::format("{} {}", *tip, view.newest ? view.newest->key.id.str() : std::string());
    if (seen == look) return;
    if (!view.newest || view.newest->commit != *tip) {
        queue_look(app, "Started by an SCM change");
        wake();
    }
    store_.flags.set(app.name, store::flag::polled_tip, look);
}

}  // namespace baton::engine
