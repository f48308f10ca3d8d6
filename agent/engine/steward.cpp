// SPDX-License-Identifier: MIT
// Brings a rollout on to the neighbours that have no agent.
#include "agent/engine/steward.h"

#include <utility>

#include "common/error.h"
#include "common/log.h"

namespace baton::engine {
namespace {

using namespace std::chrono_literals;

/// A full disk is not cured by asking; the permit is held meanwhile, and `status` says why.
constexpr auto again_after = 2s;

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

void Steward::stop() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
}

void Steward::work(const std::stop_token& stop) {
    while (true) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            if (!wake_.wait(lock, stop, [&] { return job_.has_value(); })) return;
            job = std::move(*job_);
            job_.reset();
        }
        run(job, stop);
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
    for (const auto* node : context_.config.neighbours_of(context_.config.self)) {
        Neighbour neighbour(
            {context_.config, context_.app, *node, context_.store, context_.clock, context_.seal,
             [&] { return context_.events.goes_on(target); },
             [&] { return context_.events.may_pass_over(target, end.passed_over.size()); }, context_.events.progress},
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
