// SPDX-License-Identifier: MIT
// Asks the app many times a second while it is being switched.
#include "agent/build/cost/downtime_probe.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

#include "agent/build/steps/health.h"
#include "common/clock.h"
#include "common/config/expand.h"
#include "common/error.h"

namespace baton::build {

namespace {

constexpr Milliseconds http_interval{40};
constexpr Milliseconds command_interval{500};
/// What a user's patience and a load balancer's time-out have in common; a slower answer is none.
constexpr Milliseconds most_patience{1'000};
/// An app that takes long to answer is not asked without a pause.
constexpr Milliseconds least_pause{10};

}  // namespace

Question question_of(const BuildSpec& spec, const config::Health& health, const StepContext& context) {
    if (health.http.empty()) {
        // The check keeps a reference to its settings, so they go along with it.
        struct Asked {
            config::Health health;
            HealthCheck check;
            Asked(const BuildSpec& of, config::Health settings, const StepContext& in)
                : health(std::move(settings)), check(of, health, in) {}
        };
        auto settings = health;
        settings.timeout = std::min(settings.timeout, most_patience);
        const auto asked = std::make_shared<const Asked>(spec, settings, context);
        return {[asked](const std::stop_token& stop) { return asked->check.look(stop).healthy; }, command_interval};
    }
    const auto limit = std::min(health.timeout, most_patience);
    const auto url = config::expand(
        health.http,
        health_variables(spec, context.commit.empty() ? spec.rollout.commit : context.commit, context.port));
    const auto ask = [limit, url, expected = health.expect_status](const std::stop_token&) {
        try {
            return ask_address(url, limit).status == expected;
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::invalid) throw;
            return false;
        }
    };
    return {ask, http_interval};
}

DowntimeProbe::DowntimeProbe(Question question) : question_(std::move(question)) {
    // Before anything is done to the app: without a first good answer there is nothing that could go dark.
    (void)look({});
    thread_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

void DowntimeProbe::ask(Question question) {
    const std::lock_guard lock(asking_);
    question_ = std::move(question);
}

Milliseconds DowntimeProbe::look(const std::stop_token& stop) {
    const SystemClock clock;
    const std::lock_guard lock(asking_);
    Look look;
    look.asked = clock.now();
    if (last_answer_ && !std::exchange(held_, false) && look.asked - *last_answer_ > most_gap) unwatched_ = true;
    try {
        look.good = question_.ask(stop);
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::cancelled) return Milliseconds(0);
        unwatched_ = true;
        return question_.interval;
    }
    look.answered = clock.now();
    last_answer_ = look.answered;
    dark_.add(look);
    return std::max(question_.interval - (look.answered - look.asked), least_pause);
}

void DowntimeProbe::watch(const std::stop_token& stop) {
    try {
        while (!stop.stop_requested()) {
            const auto pause = look(stop);
            std::unique_lock lock(napping_);
            nap_.wait_for(lock, stop, pause, [] { return false; });
        }
    } catch (const std::exception&) {
        // The switch goes on without its witness.
        const std::lock_guard lock(asking_);
        unwatched_ = true;
    }
}

DowntimeProbe::Seen DowntimeProbe::finish() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    // The thread is gone: its last nap may have hidden what is now. A new token, since the old one is spent.
    (void)look({});
    const bool dark_at_end = dark_.dark();
    dark_.finish(SystemClock().now());
    return {dark_.spells(), dark_.ever_good(), dark_at_end, unwatched_};
}

}  // namespace baton::build
