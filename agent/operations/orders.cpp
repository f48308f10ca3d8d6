// SPDX-License-Identifier: MIT
// Changing: triggers and the orders of people. Each is written down with who and from where before it is answered.
#include <algorithm>
#include <fmt/format.h>
#include <thread>

#include "agent/engine/engine.h"
#include "agent/engine/parameter_seal.h"
#include "agent/engine/settings.h"
#include "agent/operations/operations.h"
#include "agent/store/store.h"
#include "common/error.h"
#include "common/text.h"
#include "common/ulid.h"

namespace baton::operations {
namespace {

using namespace std::chrono_literals;

/// How long a person waits until a majority has an order.
constexpr auto majority_wait = 5s;
/// How long it may take until a node has heard what its peers know: a little more than they ask each other.
constexpr auto news_wait = 5s;

/// How far back a commit is looked for among the rollouts.
constexpr unsigned history_looked_at = 100;

std::string spread(bool known) {
    return known ? "" : "; no majority of the nodes has it yet, it is being spread and holds on this node";
}

wire::Rollout newest_of(const chain::View& view, const AppName& app) {
    if (!view.newest) throw Error(ErrorKind::conflict, fmt::format("nothing was ever deployed of '{}'", app));
    return *view.newest;
}

}  // namespace

void Operations::record(const Caller& caller, const std::string& action, const AppName& app,
                        const std::string& detail) {
    const auto why = caller.reason.empty() || detail.empty() ? caller.reason : ": " + caller.reason;
    store_.audit.append({0, to_epoch_ms(clock_.wall()), caller.who, caller.address, action, app, detail + why});
}

bool Operations::order(const Caller& caller, const std::string& action, const AppName& app, const std::string& detail,
                       const std::function<bool()>& give) {
    record(caller, action, app, detail);
    try {
        return give();
    } catch (const Error& error) {
        record(caller, action, app, fmt::format("refused: {}", error.what()));
        throw;
    }
}

QueueItem Operations::trigger(const AppName& name, const TriggerRequest& request, const Caller& caller) {
    const auto& app = config_.app(name);
    if (store_.flags.has(name, store::flag::disabled)) {
        throw Error(ErrorKind::conflict, fmt::format("{} is not buildable: it is disabled", name));
    }
    store::QueueItem item;
    item.app = name;
    item.parameters = seal_.seal(app, engine::effective_parameters(app, request.parameters));
    item.causes = {request.cause};
    item.commit = request.commit;
    item.by_name = request.by_name;
    item.created_ms = to_epoch_ms(clock_.wall());
    item.due_ms = item.created_ms + request.delay.value_or(app.triggers.quiet_period).count();
    const auto queued = store_.queue.add_or_coalesce(item);
    record(caller, "trigger", name, fmt::format("queue item {}{}", queued.id, queued.coalesced ? ", joined" : ""));
    wake_starter_();
    return queue_item(queued.id);
}

void Operations::cancel_queue_item(std::uint64_t id, const Caller& caller) {
    const auto item = queue_item(id);
    if (!store_.queue.cancel(id, fmt::format("cancelled by {}", caller.who), to_epoch_ms(clock_.wall()))) {
        throw Error(ErrorKind::conflict, fmt::format("queue item {} no longer waits", id));
    }
    record(caller, "cancel", item.app, fmt::format("queue item {}", id));
}

std::string Operations::stop_build(const AppName& app, unsigned number, const Caller& caller) {
    const auto build = this->build(app, number);
    if (!build.running()) return fmt::format("build {} has ended already", number);
    if (!engine_.cancel_build(app, build.target, fmt::format("Aborted by {}", caller.who))) {
        throw Error(ErrorKind::conflict,
                    fmt::format("build {} is in stage {}: a switch that has begun is finished or undone, never left",
                                number, wire::to_text(build.stage)));
    }
    record(caller, "stop", app, fmt::format("build {}", number));
    return fmt::format("build {} is being stopped", number);
}

std::string Operations::set_disabled(const AppName& app, bool disabled, const Caller& caller) {
    (void)config_.app(app);
    if (disabled) {
        store_.flags.set(app, store::flag::disabled, caller.who);
        store_.queue.cancel_all(app, "the app was disabled", to_epoch_ms(clock_.wall()));
    } else {
        store_.flags.erase(app, store::flag::disabled);
    }
    record(caller, disabled ? "disable" : "enable", app, "");
    return fmt::format("{} is {} on {}", app, disabled ? "disabled" : "enabled", config_.self);
}

std::string Operations::set_quieting_down(bool quieting, const Caller& caller) {
    if (quieting) {
        store_.flags.set(AppName(), store::flag::quieting_down, caller.reason.empty() ? caller.who : caller.reason);
    } else {
        store_.flags.erase(AppName(), store::flag::quieting_down);
        wake_starter_();
    }
    record(caller, quieting ? "quiet-down" : "cancel-quiet-down", AppName(), "");
    return quieting ? "nothing new starts on this node" : "the queue is worked off again";
}

wire::Rollout Operations::meant(const AppName& app, const RolloutId& which) const {
    if (which.empty()) {
        const auto view = engine_.snapshot(app).view;
        (void)newest_of(view, app);
        return *view.shown();
    }
    (void)config_.app(app);
    const auto record = store_.rollouts.get(app, which);
    if (!record) {
        throw Error(
            ErrorKind::not_found,
            fmt::format("{} has no rollout {} that is known here; baton history {} lists them", app, which, app));
    }
    return record->rollout;
}

std::string Operations::halt(const AppName& app, const RolloutId& which, const Caller& caller) {
    const auto rollout = meant(app, which);
    const bool known = order(caller, "halt", app, fmt::format("{} {}", rollout.key.id, rollout.commit), [&] {
        return engine_.order(app, chain::Halt{rollout.target(), caller.reason}, caller.who, majority_wait);
    });
    return fmt::format("rollout {} is halted; nodes that are switching finish or undo, no other starts{}",
                       rollout.key.id, spread(known));
}

bool Operations::shows_more_than(const chain::View& view, const AppName& app, const RolloutId& which) const {
    if (!which.empty()) {
        constexpr unsigned looked_at = 100;
        const auto all = rollouts(app, looked_at);
        const auto it = std::ranges::find(all, which, [](const RolloutView& one) { return one.rollout.key.id; });
        return it != all.end() && it->state == RolloutState::halted;
    }
    const auto newest = rollouts(app, 1);
    if (newest.empty()) return false;
    const auto& shown = newest.front();
    return shown.state == RolloutState::halted || !view.newest || shown.rollout.key > view.newest->key;
}

std::string Operations::resume(const AppName& app, const RolloutId& which, const Caller& caller) {
    auto view = engine_.snapshot(app).view;
    const auto halted = [&] {
        return which.empty()
                   ? view.newest_halted
                   : std::ranges::any_of(view.halted, [&](const auto& one) { return one.rollout.key.id == which; });
    };
    // How the others stand and what their protocol says come in different letters. What this node shows is what the
    // person means, so that the rest is waited for.
    const auto deadline = clock_.now() + news_wait;
    while (!halted() && shows_more_than(view, app, which) && clock_.now() < deadline) {
        std::this_thread::sleep_for(50ms);
        view = engine_.snapshot(app).view;
    }
    const auto rollout = which.empty() ? newest_of(view, app) : meant(app, which);
    if (!halted()) throw Error(ErrorKind::conflict, fmt::format("rollout {} is not halted", rollout.key.id));
    const bool known = order(caller, "resume", app, fmt::format("{} {}", rollout.key.id, rollout.commit), [&] {
        return engine_.order(app, chain::Retry{rollout.target(), caller.reason}, caller.who, majority_wait);
    });
    return fmt::format("rollout {} is tried again{}", rollout.key.id, spread(known));
}

std::string Operations::promote(const AppName& app, const RolloutId& which, const Caller& caller) {
    const auto rollout = meant(app, which);
    const bool known = order(caller, "promote", app, rollout.key.id.str(), [&] {
        return engine_.order(app, chain::Promote{rollout.target(), caller.reason}, caller.who, majority_wait);
    });
    return fmt::format("rollout {} goes on without further bake time{}", rollout.key.id, spread(known));
}

CommitId Operations::commit_named(const AppName& name, const CommitId& text) const {
    auto found = engine_.find_commit(name, text.str());
    // A node that is new has no history of the repository, and knows of rollouts all the same.
    const auto is_it = [&](const RolloutView& one) { return one.rollout.commit == text; };
    if (!found && std::ranges::any_of(rollouts(name, history_looked_at), is_it)) found = text;
    if (!found) {
        throw Error(ErrorKind::not_found,
                    fmt::format("no commit '{}' of {} is known on {}: baton history {} lists what "
                                "was deployed",
                                text, name, config_.self, name));
    }
    return *found;
}

CommitId Operations::release_before(const AppName& app, const chain::View& view) const {
    const auto newest = newest_of(view, app);
    const auto known = rollouts(app, history_looked_at);
    const bool goes_back = newest.kind == wire::RolloutKind::rollback;
    if (goes_back && !known.empty() && known.front().rollout.key == newest.key &&
        (known.front().state == RolloutState::running || known.front().state == RolloutState::queued)) {
        throw Error(ErrorKind::conflict,
                    fmt::format("a roll-back to {} is under way already, rollout {}; to go further "
                                "back name a commit: baton rollback {} --commit SHA",
                                newest.commit.str().substr(0, 12), newest.key.id, app));
    }
    // The newest commit that this fleet ran to the end before the one to be left. What is younger than the commit of a
    // roll-back was left on purpose.
    bool older = !goes_back;
    for (const auto& before : known) {
        const auto& rollout = before.rollout;
        if (rollout.commit == newest.commit) {
            older = older || rollout.kind == wire::RolloutKind::deploy;
        } else if (older && before.state == RolloutState::succeeded && engine_.why_bad(app, rollout.commit).empty()) {
            return rollout.commit;
        }
    }
    const bool other = view.current && view.current->commit != newest.commit;
    if (other && !goes_back && engine_.why_bad(app, view.current->commit).empty()) return view.current->commit;
    throw Error(ErrorKind::conflict,
                "there is no earlier release to go back to; name a commit: baton rollback "
                "APP --commit SHA");
}

std::string Operations::rollback(const AppName& app, const CommitId& to, const Caller& caller) {
    const auto view = engine_.snapshot(app).view;
    const auto newest = newest_of(view, app);
    const auto commit = to.empty() ? release_before(app, view) : commit_named(app, to);
    wire::Rollout rollout;
    rollout.app = app;
    rollout.commit = commit;
    rollout.kind = wire::RolloutKind::rollback;
    // Every node that hears of the rollout remembers the commit as bad.
    if (newest.commit != commit) rollout.undoes = newest.commit;
    rollout.started_on = config_.self;
    rollout.started_ms = to_epoch_ms(clock_.wall());
    const auto why = caller.reason.empty() ? "" : ": " + caller.reason;
    rollout.cause = {wire::CauseKind::user, fmt::format("Rolled back by {}{}", caller.who, why), caller.who,
                     caller.address};
    rollout.subject = fmt::format("Roll back {} to {}", newest.commit.str().substr(0, 12), commit.str().substr(0, 12));
    rollout.by_name = true;
    const auto id = new_rollout_id(clock_.wall());
    record(caller, "rollback", app, fmt::format("{} from {} to {}", id, newest.commit, commit));
    engine_.offer(rollout, id);
    return fmt::format("rollout {} takes {} back to {}", id, app, commit.str().substr(0, 12));
}

std::string Operations::freeze(const AppName& app, std::int64_t until_ms, const Caller& caller) {
    (void)config_.app(app);
    if (caller.reason.empty())
        throw Error(ErrorKind::invalid, "a freeze needs a reason, for those who meet it: --reason TEXT");
    const bool known = order(caller, "freeze", app, "", [&] {
        return engine_.order(app, chain::Freeze{caller.reason, until_ms}, caller.who, majority_wait);
    });
    return fmt::format("{} is frozen: nothing starts, what switches finishes{}", app, spread(known));
}

std::string Operations::unfreeze(const AppName& app, const Caller& caller) {
    (void)config_.app(app);
    const bool known = order(caller, "unfreeze", app, "",
                             [&] { return engine_.order(app, chain::Unfreeze{}, caller.who, majority_wait); });
    // What was pushed meanwhile was held; the next poll looks at it with fresh eyes.
    store_.flags.erase(app, store::flag::polled_tip);
    wake_starter_();
    return fmt::format("{} is no longer frozen{}", app, spread(known));
}

std::string Operations::set_drained(const AppName& app, bool drained, const Caller& caller) {
    (void)config_.app(app);
    record(caller, drained ? "drain" : "undrain", app, "");
    std::optional<chain::OrderNote> order;
    if (drained) order = chain::OrderNote{caller.who, caller.reason, to_epoch_ms(clock_.wall())};
    engine_.set_drained(app, order);
    if (drained && config_.traffic_of(config_.app(app)).method == config::TrafficMethod::none) {
        return fmt::format("{} answers 503 at /health/{}; nothing else tells a load balancer: traffic.method is none",
                           config_.self, app);
    }
    return fmt::format("{} {} {}", config_.self, drained ? "takes no new requests for" : "takes requests again for",
                       app);
}

std::string Operations::forget(const NodeName& node, const Caller& caller) {
    if (config_.find_node(node) == nullptr)
        throw Error(ErrorKind::not_found, fmt::format("no node '{}' in the chain", node));
    if (node == config_.self) throw Error(ErrorKind::invalid, "a node cannot forget itself; ask another one");
    return fmt::format("{} is forgotten: its permits are free, and that agent is barred for good{}", node,
                       order_for_all(caller, "forget", node, [&](const AppName& app) {
                           return engine_.order(app, chain::Forget{node, caller.reason}, caller.who, majority_wait);
                       }));
}

std::string Operations::accept(const NodeName& node, const Caller& caller) {
    if (config_.find_node(node) == nullptr)
        throw Error(ErrorKind::not_found, fmt::format("no node '{}' in the chain", node));
    return fmt::format("{} is accepted with its new database{}", node,
                       order_for_all(caller, "accept", node, [&](const AppName& app) {
                           return engine_.order(app, chain::Accept{node, caller.reason}, caller.who, majority_wait);
                       }));
}

std::string Operations::order_for_all(const Caller& caller, const std::string& action, const NodeName& node,
                                      const std::function<bool(const AppName&)>& give) {
    // One app that refuses must not keep the others from it: what was refused can be ordered again, as often as needed.
    bool known = true;
    std::vector<std::string> refused;
    for (const auto& [app, unused] : config_.apps) {
        try {
            known = order(caller, action, app, node.str(), [&, name = app] { return give(name); }) && known;
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::conflict) throw;
            refused.push_back(fmt::format("{}: {}", app, error.what()));
        }
    }
    if (refused.size() == config_.apps.size()) throw Error(ErrorKind::conflict, join(refused, "; "));
    const auto rest = refused.empty() ? "" : fmt::format("; not so for {}", join(refused, "; "));
    return rest + spread(known);
}

std::string Operations::force(const AppName& app, const Caller& caller) {
    const auto newest = meant(app, {});
    order(caller, "force", app, fmt::format("{} without a majority", newest.key.id),
          [&] { return engine_.order(app, chain::Force{newest.target()}, caller.who, 0ms); });
    return fmt::format("{} switches {} without a majority of permits, on the word of {}", config_.self, app,
                       caller.who);
}

}  // namespace baton::operations
