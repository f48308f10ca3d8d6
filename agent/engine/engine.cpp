// SPDX-License-Identifier: MIT
// The agent's own thread.
#include "agent/engine/engine.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "agent/engine/settings.h"
#include "common/git/repository.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::engine {
namespace {

using namespace std::chrono_literals;

/// How often the app's own health is asked between switches: for bake time, min_healthy and /health.
constexpr auto health_interval = 2s;
/// After an app could not begin, because its state could not be stored.
constexpr auto begin_again_after = 100ms;
constexpr auto longest_nap = 1s;
/// The most that may wait for the engine's thread: beyond it the agent is not keeping up, and says so.
constexpr std::size_t most_waiting = 50'000;
constexpr std::uint64_t most_pack_bytes = 512ULL * 1024 * 1024;

/// False when `stop` came first.
bool nap(Milliseconds time, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, time, [] { return false; });
    return !stop.stop_requested();
}

}  // namespace

Engine::Engine(const config::AgentConfig& config, store::Store& store, const Clock& clock, Outbox& outbox,
               ServiceStates& services, const ParameterSeal& seal, bool fresh_start)
    : config_(config), store_(store), clock_(clock), slots_(config.executors) {
    for (const auto& [name, app] : config.apps) {
        drivers_.emplace(name, std::make_unique<AppDriver>(DriverContext{
                                   config_, app, store_, clock_, outbox, reader_, slots_, services.of(name),
                                   [this](std::function<void()> work) { post(std::move(work)); },
                                   [this](const std::function<void()>& work) { call(work); }, seal, fresh_start}));
    }
}

bool Engine::begin(const AppName& app, AppDriver& driver, const std::stop_token& stop) {
    try {
        const auto current = call([&driver] { return driver.current_commit(); });
        const bool up = driver.runner().healthy_now(current, stop);
        if (stop.stop_requested()) return false;  // a look that was broken off says nothing
        call([&driver, up] { driver.start(up); });
        return true;
    } catch (const Error& error) {
        log::error("engine", "an app cannot begin yet", {{"app", app}, {"reason", error.text()}});
        return false;
    }
}

Engine::~Engine() { stop(0ms); }

void Engine::start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { loop(stop); });
    for (const auto& [name, driver] : drivers_) {
        watchers_.emplace_back([this, &app = name, &watched = *driver](const std::stop_token& stop) {
            watch(app, watched, stop);
        });
    }
}

void Engine::stop(Milliseconds grace) {
    if (!thread_.joinable()) return;
    for (auto& watcher : watchers_) watcher.request_stop();
    watchers_.clear();  // waits for each
    for (const auto& [name, driver] : drivers_) {
        driver->runner().leave();
        if (driver->runner().switching()) {
            log::info("engine", "ending waits for a switch that runs",
                      {{"app", name}, {"most", human_duration(grace)}});
        }
    }
    const auto deadline = clock_.now() + grace;
    const auto switching = [&] {
        return std::ranges::any_of(drivers_, [](const auto& entry) { return entry.second->runner().switching(); });
    };
    while (clock_.now() < deadline && switching()) std::this_thread::sleep_for(20ms);
    for (const auto& [name, driver] : drivers_) driver->stop_work();
    thread_.request_stop();
    thread_.join();
}

void Engine::post(std::function<void()> work) {
    {
        const std::lock_guard lock(mutex_);
        if (ended_) throw Error(ErrorKind::busy, "the agent is ending");
        if (inbox_.size() >= most_waiting) throw Error(ErrorKind::busy, "too much waits for the agent's engine");
        inbox_.push_back(std::move(work));
    }
    wake_.notify_one();
}

void Engine::loop(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        std::deque<std::function<void()>> work;
        {
            auto until = clock_.now() + longest_nap;
            for (const auto& [name, driver] : drivers_) until = std::min(until, driver->next_tick());
            std::unique_lock lock(mutex_);
            const auto nap = std::max<Milliseconds>(until - clock_.now(), 0ms);
            wake_.wait_for(lock, stop, nap, [&] { return !inbox_.empty(); });
            work.swap(inbox_);
        }
        for (const auto& some : work) {
            try {
                some();
            } catch (const Error& error) {
                // What a caller waits for carries its error itself; this is a note from a peer or a worker.
                log::warning("engine", "could not take something in", {{"reason", error.text()}});
            }
        }
        for (const auto& [name, driver] : drivers_) {
            try {
                driver->tick();
            } catch (const Error& error) {
                log::error("engine", "a tick failed", {{"app", name}, {"reason", error.text()}});
            }
        }
    }
    // Who still waits for an answer gets one now.
    std::deque<std::function<void()>> unanswered;
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        unanswered.swap(inbox_);
    }
}

void Engine::look(const AppName& app, AppDriver& driver, const std::stop_token& stop) {
    try {
        // While a switch runs its own stages judge the app.
        const auto [current, switching] =
            call([&driver] { return std::pair(driver.current_commit(), driver.switching()); });
        if (switching) return;
        const bool up = driver.runner().healthy_now(current, stop);
        if (stop.stop_requested()) return;  // as above: the app is not to be restarted because the agent ends
        call([&driver, up] {
            if (!driver.switching()) driver.health(up);
        });
    } catch (const Error& error) {
        if (!stop.stop_requested())
            log::warning("engine", "cannot look at an app's health", {{"app", app}, {"reason", error.text()}});
    }
}

void Engine::watch(const AppName& app, AppDriver& driver, const std::stop_token& stop) {
    while (!begin(app, driver, stop)) {
        if (!nap(begin_again_after, stop)) return;
    }
    while (nap(health_interval, stop)) look(app, driver, stop);
}

AppDriver& Engine::driver(const AppName& app) const {
    const auto it = drivers_.find(app);
    if (it == drivers_.end()) throw Error(ErrorKind::not_found, fmt::format("no app '{}' is configured", app));
    return *it->second;
}

PeerExchange Engine::exchange(const AppName& app, const NodeName& from, const std::string& address,
                              const PeerExchange& said) {
    auto& target = driver(app);
    return call([&target, from, address, said] {
        PeerExchange answer;
        target.progress().merge(said.progress, said.rollouts);
        target.progress().merge_ledger(said.ledger);
        if (!said.messages.empty()) answer.messages = target.receive(from, address, said.messages);
        if (said.wants_history) {
            target.progress().history(answer.progress, answer.rollouts);
            answer.ledger = target.progress().ledger();
        }
        return answer;
    });
}

wire::RolloutKey Engine::offer(const wire::Rollout& rollout, const RolloutId& id) {
    auto& target = driver(rollout.app);
    return call([&target, rollout, id] {
        auto offered = rollout;
        offered.key = target.next_key(id);
        target.offer(offered);
        return offered.key;
    });
}

std::string Engine::why_bad(const AppName& app, const CommitId& commit) {
    auto& target = driver(app);
    return call([&target, commit] { return target.why_bad(commit); });
}

std::optional<CommitId> Engine::find_commit(const AppName& app, std::string_view text) const {
    const auto mirror = mirror_of(config_, config_.app(app));
    if (!std::filesystem::exists(mirror.path())) return std::nullopt;
    return git::Repository(mirror.path()).resolve(text);
}

bool Engine::order(const AppName& app, const chain::Order& order, const std::string& who, Milliseconds within) {
    auto& target = driver(app);
    const auto id = call([&target, order, who] { return target.order(order, who); });
    const auto deadline = clock_.now() + within;
    while (!call([&target, id] { return target.order_known(id); })) {
        if (clock_.now() >= deadline) return false;
        std::this_thread::sleep_for(20ms);
    }
    return true;
}

bool Engine::cancel_build(const AppName& app, const wire::Target& target, const std::string& reason) {
    auto& owner = driver(app);
    return call([&owner, target, reason] { return owner.cancel(target, reason); });
}

void Engine::set_drained(const AppName& app, const std::optional<chain::OrderNote>& drained) {
    auto& target = driver(app);
    call([&target, drained] { target.set_drained(drained); });
}

Snapshot Engine::snapshot(const AppName& app) {
    auto& target = driver(app);
    return call([&target] { return target.snapshot(); });
}

std::string Engine::pack(const AppName& app, const CommitId& want, const std::vector<CommitId>& have) const {
    const git::Repository repository(driver(app).runner().paths().mirror);
    if (!repository.has_commit(want)) throw Error(ErrorKind::not_found, fmt::format("commit {} is not here", want));
    return repository.make_pack(want, have, most_pack_bytes);
}

AppPaths Engine::paths(const AppName& app) const { return driver(app).runner().paths(); }

}  // namespace baton::engine
