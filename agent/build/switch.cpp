// SPDX-License-Identifier: MIT
// The stages that users could notice: drain, migrate, switch, verify, rejoin; and the way back.
#include <algorithm>
#include <exception>
#include <fmt/format.h>

#include "agent/build/build.h"
#include "agent/build/cost/switch_meter.h"
#include "agent/build/steps/build_log.h"
#include "agent/build/steps/guarded_listener.h"
#include "agent/build/steps/health.h"
#include "agent/build/steps/step_runner.h"
#include "agent/build/steps/virtualenv.h"
#include "agent/build/strategy/publisher.h"
#include "agent/build/strategy/strategy.h"
#include "agent/build/traffic/service_state.h"
#include "agent/build/traffic/traffic.h"
#include "common/clock.h"
#include "common/config/load.h"
#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

class Switcher {
  public:
    Switcher(const BuildSpec& spec, const config::Pipeline& pipeline, const fs::path& release,
             const SwitchOptions& options, GuardedListener& listener, const std::stop_token& stop)
        : spec_(spec),
          options_(options),
          listener_(listener),
          stop_(stop),
          log_(spec.log_file, spec.app->max_log_bytes, spec.secrets),
          runner_(spec, log_, listener),
          publisher_(spec.app->deploy_to, runner_.account()),
          traffic_(make_traffic(spec, log_)),
          meter_(spec, clock_),
          tools_{spec,
                 listener_,
                 log_,
                 runner_,
                 publisher_,
                 meter_,
                 [this](const fs::path& of) { return runnable(of); },
                 options.leave} {
        next_ = {release, pipeline, context_of(release, pipeline)};
    }

    /// The recipe, and what it cost.
    SwitchResult run() {
        bool known = !options_.redo && !options_.restore_only;
        bool had_release = true;
        try {
            const auto before = publisher_.current();
            had_release = before.has_value();
            known = known && !publisher_.switch_under_way();
            const auto first = before ? runnable(*before) : next_;
            make_strategy(tools_, first)->watch(first);
        } catch (const Error& error) {
            known = false;
            log_.line(fmt::format("not measured: {}", error.text()));
        }
        auto result = carry_out();
        const bool ended = result.outcome != SwitchOutcome::stuck && result.outcome != SwitchOutcome::left;
        result.cost = meter_.finish(known && ended, had_release);
        return result;
    }

  private:
    SwitchResult carry_out() {
        if (options_.restore_only || publisher_.switch_under_way()) {
            stop_ = {};  // it has begun: it is finished or undone
            leave_if_possible();
            if (options_.restore_only) {
                publisher_.reopen_switch(next_.release);
                return restore(options_.reason.empty() ? "the switch is not to be finished" : options_.reason);
            }
        } else {
            try {
                drain();
            } catch (const Error& error) {
                return back_out(SwitchOutcome::untouched, error.text());
            }
            try {
                migrate();
            } catch (const Error& error) {
                // Not a wait that was given up: a second try would run the same migration again.
                return back_out(SwitchOutcome::failed, error.text());
            }
            if (stop_.stop_requested()) return back_out(SwitchOutcome::untouched, "cancelled before the switch");
        }
        try {
            exchange();
            publisher_.confirm();
        } catch (const std::bad_alloc&) {
            throw;
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::cancelled || !options_.leave.stop_requested()) return restore(error.what());
            log_.line("the agent is ending: its next start goes on from here");
            return {SwitchOutcome::left, "the agent is ending"};
        } catch (const std::exception& error) {
            return restore(error.what());
        }
        return rejoin();
    }

    void begin(wire::Stage stage) {
        log_.line(fmt::format("stage {}", wire::to_text(stage)));
        listener_.stage_began(stage);
    }

    StepContext context_of(const fs::path& release, const config::Pipeline& pipeline) const {
        StepContext context;
        context.release = release;
        if (pipeline.switch_over) context.current = publisher_.live_directory(*pipeline.switch_over);
        context.commit = spec_.previous_good_commit;
        if (release == next_.release || next_.release.empty()) context.commit = spec_.rollout.commit;
        if (const auto record = publisher_.record_of(release)) {
            context.commit = record->commit;
            context.virtualenv = record->virtualenv;
        }
        return context;
    }

    /// A release from its own record: an old one is started the way its own commit says.
    Runnable runnable(const fs::path& release) {
        Runnable found{release, next_.pipeline, context_of(release, next_.pipeline)};
        try {
            const auto record = publisher_.record_of(release);
            if (!record) return found;
            auto own = config::parse_pipeline(record->pipeline, "baton.yaml of " + record->id,
                                              config::PipelineOf::kept_release);
            if (!own.switch_over) return found;
            found.pipeline = std::move(own);
            found.context = context_of(release, found.pipeline);
        } catch (const Error& error) {
            // Written by another version of the agent perhaps; the new commit's way is the best guess left.
            log_.line(
                fmt::format("{}: started the way of the new commit: {}", release.filename().string(), error.text()));
        }
        return found;
    }

    void drain() {
        begin(wire::Stage::drain);
        const auto& options = spec_.agent->traffic_of(*spec_.app);
        listener_.waits_for(traffic_->describe());
        meter_.drain();
        left_ = traffic_->leave(stop_);
        if (left_ == Noticed::yes && traffic_->drains()) meter_.acknowledged();
        if (left_ == Noticed::no) {
            const auto what = fmt::format("the load balancer did not let go of this node within {}: {}",
                                          to_text(options.drain_timeout), traffic_->describe());
            log_.line(what);
            if (!options.cut) throw Error(ErrorKind::timeout, what);
        }
        if (traffic_->drains()) {
            listener_.waits_for("requests in flight");
            const auto held = meter_.hold();
            const auto left = wait_for_requests(options, stop_);
            if (left > 0) {
                const auto what =
                    fmt::format("{} requests are still in flight after {}", left, to_text(options.drain_timeout));
                log_.line(what);
                if (!options.cut) throw Error(ErrorKind::timeout, what);
            }
        }
        meter_.drained();
        listener_.waits_for("");
    }

    /// For a switch that has begun already: out of the load balancer if it listens, but on in any case.
    void leave_if_possible() {
        try {
            drain();
        } catch (const Error& error) {
            log_.line(fmt::format("not drained, going on all the same: {}", error.text()));
            listener_.waits_for("");
        }
    }

    void migrate() {
        if (next_.pipeline.migrate.empty()) return;
        begin(wire::Stage::migrate);
        next_.context.stage = wire::Stage::migrate;
        auto left = options_.run_once ? std::ranges::count_if(next_.pipeline.migrate, &config::Step::once) : 0;
        bool told = false;
        for (const auto& step : next_.pipeline.migrate) {
            if (step.once && !options_.run_once) continue;
            if (step.once && !told) listener_.once_started();
            told = told || step.once;
            // A migration cut in two is worse than one that a newer commit waits for.
            runner_.run(step, next_.context, next_.release, process::Priority::normal, {});
            // At once, not after the steps that follow: a death in one of those leaves no doubt about these.
            if (step.once && --left == 0) listener_.once_done();
        }
    }

    void exchange() {
        begin(wire::Stage::switch_over);
        const auto before = publisher_.previous();
        std::optional<Runnable> old;
        if (const auto current = publisher_.current()) old = runnable(*current);
        publisher_.begin_switch(next_.release);
        const auto strategy = make_strategy(tools_, next_);
        if (!strategy->serves_throughout()) set_healthy(false);
        if (before && *before != next_.release) {
            if (auto last = runnable(*before); !same_way(last, next_)) {
                log_.line("another strategy than before: the release before is stopped first");
                set_healthy(false);
                meter_.stop();
                make_strategy(tools_, last)->end(last);
                old.reset();
            }
        }
        strategy->exchange(old, next_, options_.redo);
        set_healthy(true);
    }

    void set_healthy(bool healthy) {
        if (spec_.service != nullptr) spec_.service->set_healthy(healthy);
    }

    SwitchResult rejoin() {
        const auto trouble = come_back();
        prune();
        if (trouble.empty()) return {SwitchOutcome::in_service, ""};
        return {SwitchOutcome::stuck, "the new release is healthy, but " + trouble};
    }

    /// Back into the load balancer; empty, or why it does not have the node.
    std::string come_back() {
        begin(wire::Stage::rejoin);
        std::string trouble;
        meter_.rejoin();
        try {
            listener_.waits_for("the load balancer to have this node back");
            if (traffic_->rejoin({}) == Noticed::no) {
                trouble = fmt::format("the load balancer did not take this node back: {}", traffic_->describe());
            }
        } catch (const Error& error) {
            trouble = fmt::format("the load balancer could not be told to take this node back: {}", error.text());
        }
        meter_.back();
        listener_.waits_for("");
        if (!trouble.empty()) log_.line(trouble);
        return trouble;
    }

    /// Nothing of the app was touched: only the load balancer has to forget it.
    SwitchResult back_out(SwitchOutcome outcome, const std::string& reason) {
        log_.line(fmt::format("not switched: {}", reason));
        const auto trouble = come_back();
        // Where leaving was not noticed, coming back needs no notice either.
        if (!trouble.empty() && left_ == Noticed::yes)
            return {SwitchOutcome::stuck, fmt::format("{}; {}", reason, trouble)};
        return {outcome, reason};
    }

    SwitchResult restore(const std::string& reason) {
        log_.line(fmt::format("failed: {}", reason));
        try {
            const auto before = publisher_.previous();
            if (!before) return restore_to_nothing(reason);
            log_.line(fmt::format("putting {} back", before->filename().string()));
            go_back_to(*before);
            publisher_.settle_restored();
        } catch (const std::bad_alloc&) {
            throw;
        } catch (const std::exception& error) {
            log_.line(fmt::format("the release before could not be put back: {}", error.what()));
            return {SwitchOutcome::stuck,
                    fmt::format("{}; the release before could not be put back: {}", reason, error.what())};
        }
        const auto trouble = come_back();
        if (!trouble.empty()) return {SwitchOutcome::stuck, fmt::format("{}; restored, but {}", reason, trouble)};
        return {SwitchOutcome::restored, reason};
    }

    void go_back_to(const fs::path& before) {
        auto old = runnable(before);
        const auto strategy = make_strategy(tools_, old);
        if (!strategy->serves_throughout()) set_healthy(false);
        if (same_way(old, next_)) {
            strategy->go_back(next_, old);
        } else {
            make_strategy(tools_, next_)->end(next_);
            strategy->exchange(std::nullopt, old, false);
        }
        set_healthy(true);
    }

    /// A first deploy: there is nothing to go back to, and nothing that the load balancer could send requests to. It
    /// is not asked to; the next good release will.
    SwitchResult restore_to_nothing(const std::string& reason) {
        set_healthy(false);
        make_strategy(tools_, next_)->end(next_);
        publisher_.unpublish();
        publisher_.settle_restored();
        log_.line("there was no release before: none is current now");
        return {SwitchOutcome::restored, reason};
    }

    void prune() {
        try {
            publisher_.prune(spec_.app->keep_releases);
            std::vector<fs::path> used;
            if (!next_.context.virtualenv.empty()) used.push_back(next_.context.virtualenv);
            prune_virtualenvs(spec_.cache, used);
        } catch (const std::exception& error) {
            log::warning("build", "old releases could not be cleared away",
                         {{"app", spec_.app->name}, {"error", error.what()}});
        }
    }

    const BuildSpec& spec_;
    SwitchOptions options_;
    GuardedListener& listener_;
    std::stop_token stop_;
    BuildLog log_;
    StepRunner runner_;
    Publisher publisher_;
    std::unique_ptr<Traffic> traffic_;
    Runnable next_;
    Noticed left_ = Noticed::no;
    SystemClock clock_;
    SwitchMeter meter_;  ///< its thread asks with what is above
    SwitchTools tools_;
};

}  // namespace

SwitchResult switch_over(const BuildSpec& spec, const config::Pipeline& pipeline, const fs::path& release,
                         const SwitchOptions& options, Listener& listener, const std::stop_token& stop) {
    if (!pipeline.switch_over) return {SwitchOutcome::in_service, ""};
    GuardedListener guarded(listener);
    std::optional<Switcher> switcher;
    try {
        // Until it runs nothing has been touched, unless an earlier try had begun.
        switcher.emplace(spec, pipeline, release, options, guarded, stop);
        return switcher->run();
    } catch (const ListenerFailed& failed) {
        std::rethrow_exception(failed.cause);
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception& error) {
        const bool begun = switcher || options.redo || options.restore_only;
        SwitchCost cost;
        cost.kind = begun ? SwitchCost::Kind::unknown : SwitchCost::Kind::measured;
        return {begun ? SwitchOutcome::stuck : SwitchOutcome::untouched, error.what(), cost};
    }
}

bool healthy_now(const BuildSpec& spec, const config::Pipeline& pipeline, const std::stop_token& stop) {
    if (!pipeline.health) return true;
    StepContext context;
    context.stage = wire::Stage::verify;
    context.commit = spec.rollout.commit;
    if (pipeline.switch_over) {
        const Publisher publisher(spec.app->deploy_to, step_account(*spec.app));
        context.current = publisher.live_directory(*pipeline.switch_over);
        if (const auto current = publisher.current()) {
            context.release = *current;
            if (const auto record = publisher.record_of(*current)) {
                context.commit = record->commit;
                context.virtualenv = record->virtualenv;
            }
        }
    }
    const bool there = !pipeline.switch_over || find_serving(spec, *pipeline.switch_over, context);
    const bool healthy = there && HealthCheck(spec, *pipeline.health, context).look(stop).healthy;
    if (spec.service != nullptr) spec.service->set_healthy(healthy);
    return healthy;
}

}  // namespace baton::build
