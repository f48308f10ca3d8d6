// SPDX-License-Identifier: MIT
// What a switch costs users.
#include "agent/build/cost/switch_meter.h"

#include <algorithm>
#include <system_error>

#include "agent/build/traffic/in_flight.h"
#include "common/error.h"
#include "common/log.h"

namespace baton::build {

namespace {

/// The wall clock and the monotonic one may drift apart by this much; more is a jump, or a machine that slept.
constexpr Milliseconds most_drift{1'000};

std::int64_t between(const std::optional<Instant>& from, const std::optional<Instant>& to, Instant end) {
    if (!from) return 0;
    return std::max(to.value_or(end) - *from, Milliseconds(0)).count();
}

/// A spell that began between two looks around the stop did not begin before it: nothing was done to the app until
/// then, and the middle between the looks is only a guess.
std::vector<Spell> begun_by_the_stop(std::vector<Spell> spells, const std::optional<Instant>& stop) {
    for (auto& spell : spells) {
        if (stop && spell.last_good <= *stop && *stop <= spell.first_bad)
            spell.from = std::clamp(*stop, spell.from, spell.to);
    }
    return spells;
}

/// What the load balancer could send requests into: all of a spell, or what of it lies before and after the shelter.
void add_exposed(SwitchCost& cost, Milliseconds outage) {
    if (outage <= Milliseconds(0)) return;
    cost.exposed_ms += outage.count();
    cost.outages_ms.push_back(outage.count());
}

}  // namespace

SwitchCost cost_of(const SwitchTimes& times, const std::vector<Spell>* dark) {
    SwitchCost cost;
    cost.kind = dark != nullptr ? SwitchCost::Kind::measured : SwitchCost::Kind::assumed;
    const auto sheltered_until = times.rejoin.value_or(times.end);
    cost.drain_ms = between(times.drain, times.drained, sheltered_until);
    cost.out_ms = between(times.acknowledged, times.back, times.end);
    cost.rejoin_ms = between(times.rejoin, times.back, times.end);
    // Without a health check the end of the restart steps is all that is known of being up.
    cost.restart_ms = between(times.stop, dark != nullptr ? times.healthy : times.started, times.end);
    if (dark != nullptr) {
        const auto spells = begun_by_the_stop(*dark, times.stop);
        cost.dark_ms = dark_in_all(spells).count();
        for (const auto& spell : spells) {
            if (times.acknowledged) {
                add_exposed(cost, dark_within({spell}, Instant::min(), *times.acknowledged));
                add_exposed(cost, dark_within({spell}, sheltered_until, Instant::max()));
            } else {
                add_exposed(cost, dark_in_all({spell}));
            }
        }
    } else {
        cost.dark_ms = cost.restart_ms;
        if (!times.acknowledged) add_exposed(cost, Milliseconds(cost.dark_ms));
    }
    return cost;
}

SwitchMeter::SwitchMeter(const BuildSpec& spec, const Clock& clock)
    : spec_(spec), clock_(clock), began_wall_(clock.wall()), began_(clock.now()) {}

void SwitchMeter::keep_first(std::optional<Instant>& mark) const {
    if (!mark) mark = clock_.now();
}

void SwitchMeter::watch(const config::Health& health, const StepContext& context) {
    try {
        auto question = question_of(spec_, health, context);
        if (probe_) {
            probe_->ask(std::move(question));
        } else {
            probe_.emplace(std::move(question));
        }
    } catch (const Error& error) {
        blind_ = true;
        log::warning("build", "the switch is not measured", {{"app", spec_.app->name}, {"reason", error.text()}});
    } catch (const std::system_error& error) {
        blind_ = true;
        log::warning("build", "the switch is not measured", {{"app", spec_.app->name}, {"reason", error.what()}});
    }
}

std::optional<DowntimeProbe::Hold> SwitchMeter::hold() {
    return probe_ ? std::optional<DowntimeProbe::Hold>(std::in_place, *probe_) : std::nullopt;
}

void SwitchMeter::drain() { keep_first(times_.drain); }
void SwitchMeter::acknowledged() { keep_first(times_.acknowledged); }
void SwitchMeter::drained() { times_.drained = clock_.now(); }
void SwitchMeter::started() { times_.started = clock_.now(); }
void SwitchMeter::healthy() { times_.healthy = clock_.now(); }
void SwitchMeter::rejoin() { times_.rejoin = clock_.now(); }
void SwitchMeter::back() { times_.back = clock_.now(); }

void SwitchMeter::stop() {
    const auto& traffic = spec_.agent->traffic_of(*spec_.app);
    if (traffic.in_flight_port != 0) {
        try {
            const auto held = hold();
            cut_ = requests_in_flight(traffic.in_flight_port, traffic.in_flight_host);
        } catch (const Error& error) {
            blind_ = true;
            log::warning("build", "requests in flight cannot be counted",
                         {{"app", spec_.app->name}, {"reason", error.text()}});
        }
    }
    keep_first(times_.stop);
}

SwitchCost SwitchMeter::finish(bool known, bool had_release) {
    times_.end = clock_.now();
    SwitchCost cost;
    if (probe_) {
        const auto seen = probe_->finish();
        cost = cost_of(times_, &seen.dark);
        // Where nothing ran before, nothing could go dark: the end decides only where something did.
        known = known && !seen.unwatched && !(seen.dark_at_end && had_release);
    } else {
        cost = cost_of(times_, nullptr);
    }
    cost.cut = cut_;
    const auto elapsed = times_.end - began_;
    const auto wall = clock_.wall() - began_wall_;
    if (!known || blind_ || std::chrono::abs(wall - elapsed) > most_drift) cost.kind = SwitchCost::Kind::unknown;
    return cost;
}

}  // namespace baton::build
