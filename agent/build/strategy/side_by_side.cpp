// SPDX-License-Identifier: MIT
// The new release beside the old until it is proved.
#include "agent/build/strategy/side_by_side.h"

#include <algorithm>
#include <fmt/format.h>

#include "agent/build/steps/health.h"
#include "agent/build/strategy/proof.h"
#include "agent/build/strategy/stop_start.h"
#include "common/config/expand.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::build {

SideBySide::SideBySide(SwitchTools& tools, const config::Switch& how)
    : tools_(tools), instances_(make_instances(tools, how)) {}

void SideBySide::exchange(const std::optional<Runnable>& /*old*/, Runnable& next, bool redo) {
    establish(next, redo ? Settled::may_be : Settled::is_not, false);
}

void SideBySide::go_back(Runnable& /*failed*/, Runnable& before) { establish(before, Settled::may_be, true); }

void SideBySide::end(Runnable& /*what*/) {
    for (const auto& instance : instances_->list()) {
        try {
            instances_->stop(instance);
        } catch (const Error& error) {
            tools_.log.line(fmt::format("stopping {}: {}", to_text(instance.colour), error.text()));
        }
    }
}

void SideBySide::establish(Runnable& what, Settled settled, bool tried) {
    auto there = settled == Settled::may_be ? find_settled(what) : std::nullopt;
    if (there) {
        tools_.log.line(fmt::format("{} runs already, as {}", what.id(), to_text(there->colour)));
        prove(tools_, what, tried ? ProofOf::one_answer : ProofOf::min_healthy_time);
    } else {
        there = bring_beside(what, tried);
    }
    auto others = instances_->list();
    std::erase_if(others, [&](const Instance& one) { return one.colour == there->colour; });
    tools_.publisher.publish(what.release, what.how(), {});
    tools_.log.line(fmt::format("current is {}", what.id()));
    turn_to(*there, what, others);
    watch(what);
    for (const auto& one : others) instances_->stop(one);
    instances_->keep(*there);
    prove_at(tools_, what, front_of(what), ProofOf::one_answer);
}

std::optional<Instance> SideBySide::find_settled(Runnable& what) const {
    for (const auto& one : instances_->list()) {
        if (one.release != what.id() || one.reach != Reach::users || !one.runs || !what.pipeline.health) continue;
        auto context = what.context;
        context.colour = to_text(one.colour);
        context.port = one.port;
        if (!HealthCheck(tools_.spec, *what.pipeline.health, context).look({}).healthy) continue;
        what.context = context;
        return one;
    }
    return std::nullopt;
}

std::optional<Instance> SideBySide::serving(const std::vector<Instance>& all, const Runnable& next) const {
    std::vector<Instance> found;
    std::ranges::copy_if(all, std::back_inserter(found),
                         [](const Instance& one) { return one.runs && one.reach == Reach::users; });
    // Whatever an earlier try has brought about, what it wanted to bring is not known to be any good.
    const auto of_next = [&](const Instance& one) { return one.release == next.id(); };
    if (!std::ranges::all_of(found, of_next)) std::erase_if(found, of_next);
    if (found.empty()) return std::nullopt;
    const auto live = std::ranges::find_if(found, [&](const Instance& one) { return is_live(one); });
    return live != found.end() ? *live : found.front();
}

Instance SideBySide::bring_beside(Runnable& what, bool tried) {
    const auto all = instances_->list();
    const auto now = serving(all, what);
    for (const auto& one : all) {
        if (!now || one.colour != now->colour) instances_->stop(one);
    }
    const auto colour = now ? other(now->colour) : Colour::blue;
    try {
        return bring(colour, what, now, tried);
    } catch (const Error&) {
        // At once, not when all else has been put right: it may have begun to answer users.
        clear(colour);
        throw;
    }
}

void SideBySide::clear(Colour colour) const {
    try {
        for (const auto& one : instances_->list()) {
            if (one.colour != colour) continue;
            const auto output = instances_->output_of(one);
            if (!output.empty()) {
                tools_.log.line(fmt::format("what {} said last:", to_text(colour)));
                tools_.log.output(output);
                tools_.log.end_output();
            }
            instances_->stop(one);
        }
    } catch (const Error& error) {
        tools_.log.line(fmt::format("stopping {}: {}", to_text(colour), error.text()));
    }
}

std::string SideBySide::front_of(const Runnable& what) const { return expanded(what, what.how().options.front); }

std::string SideBySide::expanded(const Runnable& what, const std::string& text, unsigned port) const {
    return config::expand(text, health_variables(tools_.spec, what.context.commit, port));
}

void SideBySide::watch(const Runnable& what) {
    if (!what.pipeline.health) return;
    auto health = *what.pipeline.health;
    auto context = what.context;
    if (const auto front = front_of(what); !front.empty()) {
        health.http = front;
        health.command.clear();
    } else if (context.port == 0 && !find_serving(tools_.spec, what.how(), context)) {
        return;  // nothing runs that could go dark
    }
    tools_.meter.watch(health, context);
}

std::unique_ptr<Strategy> make_strategy(SwitchTools& tools, const Runnable& of) {
    switch (of.how().strategy) {
        case config::Strategy::stop_start: return make_stop_start(tools);
        case config::Strategy::overlap: return make_overlap(tools, of.how());
        case config::Strategy::blue_green: return make_blue_green(tools, of.how());
    }
    throw Error(ErrorKind::internal, "unknown strategy");
}

bool same_way(const Runnable& one, const Runnable& other) {
    return one.how().strategy == other.how().strategy &&
           one.how().options.process.empty() == other.how().options.process.empty();
}

bool find_serving(const BuildSpec& spec, const config::Switch& how, StepContext& context) {
    if (how.strategy == config::Strategy::stop_start) return true;
    for (const auto& one : find_instances(spec, how)) {
        if (one.release != context.release.filename() || one.reach != Reach::users || !one.runs) continue;
        context.colour = to_text(one.colour);
        context.port = one.port;
        return true;
    }
    return false;
}

}  // namespace baton::build
