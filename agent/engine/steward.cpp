// SPDX-License-Identifier: MIT
// Brings a rollout on to the neighbours that have no agent.
#include "agent/engine/steward.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::engine {
namespace {

using namespace std::chrono_literals;

/// A full disk is not cured by asking; the permit is held meanwhile, and `status` says why.
constexpr auto again_after = 2s;
/// Whether a neighbour that is owed something answers: soon again, since most are away for a restart; then at a pace
/// that a machine which is down for weeks costs nothing.
constexpr Milliseconds look_first = 2s;
constexpr Milliseconds look_most = 30s;

}  // namespace

Steward::Steward(StewardContext context) : context_(std::move(context)) {
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

void Steward::bring_on(const chain::Ticket& ticket, const wire::Rollout& rollout) {
    {
        const std::lock_guard lock(mutex_);
        job_ = Job{ticket, rollout};
    }
    wake_.notify_all();
}

void Steward::owe(const std::optional<wire::Rollout>& rollout) {
    {
        const std::lock_guard lock(mutex_);
        const bool same =
            rollout.has_value() == owed_.has_value() && (!rollout || rollout->target() == owed_->target());
        if (same) return;
        owed_ = rollout;
        // One that answers and is gone again when it is its turn keeps the pace.
        if (rollout && rollout->target() != looked_for_) {
            looked_for_ = rollout->target();
            look_after_ = look_first;
        }
        next_look_ = context_.clock.now() + look_after_;
    }
    wake_.notify_all();
}

void Steward::stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
}

void Steward::work(const std::stop_token& stop) {
    while (true) {
        std::optional<Job> job;
        std::optional<wire::Rollout> owed;
        await(job, owed, stop);
        if (job) {
            run(*job, stop);
        } else if (owed) {
            look_at_owed(*owed, stop);
        } else {
            return;
        }
    }
}

void Steward::await(std::optional<Job>& job, std::optional<wire::Rollout>& owed, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
        const auto now = context_.clock.now();
        if (job_) {
            std::swap(job, job_);
            return;
        }
        if (owed_ && now >= next_look_) {
            owed = owed_;
            look_after_ = std::min(2 * look_after_, look_most);
            next_look_ = now + look_after_;
            return;
        }
        if (owed_) {
            const auto until = next_look_;
            wake_.wait_for(lock, stop, until - now, [&] { return job_ || !owed_ || next_look_ != until; });
        } else {
            wake_.wait(lock, stop, [&] { return job_ || owed_; });
        }
    }
}

void Steward::look_at_owed(const wire::Rollout& rollout, const std::stop_token& stop) {
    try {
        std::vector<std::string> silent;
        for (const auto* node : context_.config.neighbours_of(context_.config.self)) {
            const auto state = stored_neighbour(context_.store, context_.app.name, node->name);
            const bool has_it = state && state->target == rollout.target() && state->step == NeighbourState::Step::done;
            if (has_it) continue;
            if (stop.stop_requested()) return;
            try {
                // What a trigger begins with: where this goes through, the rest is likely to.
                (void)job_of(*node, context_.app.name).look();
                context_.events.answer(rollout.target());
                return;
            } catch (const Error& error) {
                silent.push_back(
                    fmt::format("{} (Jenkins), which was passed over and is owed rollout {}, to answer: {}", node->name,
                                rollout.key.id, error.text()));
            }
        }
        // Nobody is left: they have it, or are no neighbours any more. The machine goes through them, and is done.
        if (silent.empty()) {
            context_.events.answer(rollout.target());
        } else {
            context_.events.no_answer(join(silent, "; "));
        }
    } catch (const Error& error) {
        // The store cannot be read, or the engine is busy: the next look comes.
        log::warning("steward", "cannot look at the neighbours that are owed a rollout",
                     {{"app", context_.app.name}, {"reason", error.text()}});
    }
}

void Steward::run(const Job& job, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        try {
            chain::NeighboursEnd end;
            bring_on_all(job, end, stop);
            if (!stop.stop_requested()) context_.events.done(job.ticket, end);
            return;
        } catch (const Error& error) {
            // The store cannot be written, or the engine is busy: nothing was lost, it is gone through again.
            if (stop.stop_requested()) return;
            log::error("steward", "cannot bring a rollout on yet",
                       {{"app", context_.app.name}, {"reason", error.text()}});
        }
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, stop, again_after, [] { return false; });
    }
}

void Steward::bring_on_all(const Job& job, chain::NeighboursEnd& end, const std::stop_token& stop) {
    const auto target = job.rollout.target();
    auto nodes = context_.config.neighbours_of(context_.config.self);
    // One that was begun before a restart is out, while one before it that was passed over may have come back.
    std::ranges::stable_partition(nodes, [&](const config::Node* node) {
        const auto state = stored_neighbour(context_.store, context_.app.name, node->name);
        return state && state->target == target && is_begun(*state);
    });
    for (const auto* node : nodes) {
        Neighbour neighbour({context_.config, context_.app, *node, context_.store, context_.clock, context_.seal,
                             [&] { return context_.events.goes_on(target); },
                             [&] { return context_.events.may_pass_over(target, node->name, end.passed_over); },
                             context_.events.progress},
                            job.rollout);
        switch (neighbour.run(stop)) {
            case Neighbour::End::done: break;
            case Neighbour::End::passed_over: end.passed_over.insert(node->name); break;
            case Neighbour::End::failed:
                end.outcome = chain::NeighboursEnd::Outcome::failed;
                end.reason = neighbour.reason();
                return;
            case Neighbour::End::given_up: end.outcome = chain::NeighboursEnd::Outcome::given_up; return;
            case Neighbour::End::stopped: return;
        }
    }
}

}  // namespace baton::engine
