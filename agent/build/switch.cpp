// SPDX-License-Identifier: MIT
// The stages that users could notice: drain, migrate, switch, verify, rejoin; and the way back.
#include <algorithm>
#include <exception>
#include <fmt/format.h>

#include "agent/build/build.h"
#include "agent/build/build_log.h"
#include "agent/build/health.h"
#include "agent/build/publisher.h"
#include "agent/build/step_runner.h"
#include "agent/build/switch_meter.h"
#include "agent/build/traffic.h"
#include "agent/build/virtualenv.h"
#include "common/config/load.h"
#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

/// What the listener threw. Not an Error, so that no recovery of the switch takes it for a failure of the app.
struct ListenerFailed {
    std::exception_ptr cause;
};

class GuardedListener final : public Listener {
  public:
    explicit GuardedListener(Listener& to) : to_(to) {}
    void stage_began(wire::Stage stage) override {
        guard([&] { to_.stage_began(stage); });
    }
    void waits_for(const std::string& what) override {
        guard([&] { to_.waits_for(what); });
    }
    void step_ended(const StepRecord& step) override {
        guard([&] { to_.step_ended(step); });
    }
    void tests_read(const TestReport& report) override {
        guard([&] { to_.tests_read(report); });
    }
    void release_made(const fs::path& release) override {
        guard([&] { to_.release_made(release); });
    }
    // Not guarded: what cannot be stored about a migration fails the migration, like any step.
    void once_started() override { to_.once_started(); }
    void once_done() override {
        guard([&] { to_.once_done(); });
    }

  private:
    template <class Call>
    void guard(Call&& call) {
        try {
            call();
        } catch (...) {
            throw ListenerFailed{std::current_exception()};
        }
    }
    Listener& to_;
};

/// One release with all that is needed to start, stop and judge it.
struct Runnable {
    fs::path release;
    config::Pipeline pipeline;
    StepContext context;
};

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
          meter_(spec) {
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
            watch(before ? runnable(*before) : next_);
        } catch (const Error& error) {
            known = false;
            log_.line(fmt::format("not measured: {}", error.text()));
        }
        auto result = carry_out();
        result.cost = meter_.finish(known && result.outcome != SwitchOutcome::stuck, had_release);
        return result;
    }

  private:
    SwitchResult carry_out() {
        if (options_.restore_only || publisher_.switch_under_way()) {
            stop_ = {};  // it has begun: it is finished or undone
            leave_if_possible();
            if (options_.restore_only) return restore("the switch is not to be finished");
        } else {
            try {
                drain();
                migrate();
                if (stop_.stop_requested()) throw Error(ErrorKind::cancelled, "cancelled before the switch");
            } catch (const Error& error) {
                return back_out(error.text());
            }
        }
        try {
            if (!runs_already()) exchange();
            verify(next_);
            publisher_.confirm();
        } catch (const std::bad_alloc&) {
            throw;
        } catch (const std::exception& error) {
            return restore(error.what());
        }
        return rejoin();
    }

    void watch(const Runnable& what) {
        if (what.pipeline.health) meter_.watch(*what.pipeline.health, what.context);
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
            auto own = config::parse_pipeline(record->pipeline, "baton.yaml of " + record->id);
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
        const auto old = publisher_.current();
        publisher_.begin_switch(next_.release);
        if (spec_.service != nullptr) spec_.service->set_healthy(false);
        meter_.stop();
        if (old) stop_app(runnable(*old));
        start(next_);
    }

    /// A switch that was cut off after its restart, as when the agent deploys itself: what runs says that it is the new
    /// release, so that restarting it once more would only cut off the next agent. Only an app whose health check
    /// names its commit can say so.
    bool runs_already() {
        const auto& health = next_.pipeline.health;
        if (!options_.redo || !health || health->expect_body.find("${GIT_COMMIT}") == std::string::npos) return false;
        if (publisher_.current() != next_.release) return false;
        const bool runs = HealthCheck(spec_, *health, next_.context).look({}).healthy;
        if (runs) log_.line("the new release runs already: it is not restarted again");
        return runs;
    }

    void stop_app(Runnable what) {
        what.context.stage = wire::Stage::switch_over;
        for (const auto& step : what.pipeline.switch_over->stop) {
            runner_.run(step, what.context, directory_of(what), process::Priority::normal, {});
        }
    }

    void start(Runnable& what) {
        publisher_.publish(what.release, *what.pipeline.switch_over, {});
        log_.line(fmt::format("current is {}", what.release.filename().string()));
        what.context.stage = wire::Stage::switch_over;
        watch(what);
        for (const auto& step : what.pipeline.switch_over->restart) {
            runner_.run(step, what.context, directory_of(what), process::Priority::normal, {});
        }
        meter_.started();
    }

    /// Where start and stop steps run: in the release itself, by its real path, so that what they start keeps it from
    /// being cleared away; with publish: rsync in the fixed directory.
    fs::path directory_of(const Runnable& what) const {
        if (what.pipeline.switch_over->publish == config::Publish::symlink) return what.release;
        const auto live = publisher_.live_directory(*what.pipeline.switch_over);
        return fs::is_directory(live) ? live : what.release;
    }

    void verify(Runnable& what) {
        begin(wire::Stage::verify);
        what.context.stage = wire::Stage::verify;
        if (!what.pipeline.health) {
            log_.line("no health check: taken as healthy");
            if (spec_.service != nullptr) spec_.service->set_healthy(true);
            return;
        }
        const HealthCheck check(spec_, *what.pipeline.health, what.context);
        std::string said;
        bool healthy = false;
        const auto on_look = [&](const Probe& probe) {
            if (probe.healthy && !healthy) meter_.healthy();
            healthy = probe.healthy;
            const auto now = probe.healthy ? std::string("healthy") : "not healthy: " + probe.reason;
            if (now != said) log_.line(now);
            if (now != said) listener_.waits_for(probe.healthy ? "proof of health" : now);
            said = now;
            // Told to the load balancer only when proved: a first good answer may be followed by a crash.
        };
        const auto proved = check.prove(on_look, {});
        listener_.waits_for("");
        if (!proved.healthy) throw Error(ErrorKind::step_failed, proved.reason);
        const auto cold = check.warm_up({});
        if (cold > 0) log_.line(fmt::format("{} warm-up requests failed", cold));
        if (spec_.service != nullptr) spec_.service->set_healthy(true);
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
    SwitchResult back_out(const std::string& reason) {
        log_.line(fmt::format("not switched: {}", reason));
        const auto trouble = come_back();
        // Where leaving was not noticed, coming back needs no notice either.
        if (!trouble.empty() && left_ == Noticed::yes)
            return {SwitchOutcome::stuck, fmt::format("{}; {}", reason, trouble)};
        return {SwitchOutcome::untouched, reason};
    }

    SwitchResult restore(const std::string& reason) {
        log_.line(fmt::format("failed: {}", reason));
        try {
            const auto before = publisher_.previous();
            quieten_failed();
            if (!before) return restore_to_nothing(reason);
            log_.line(fmt::format("putting {} back", before->filename().string()));
            auto old = runnable(*before);
            start(old);
            verify(old);
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

    /// The failed release's own stop steps. They may well fail, since there may be nothing to stop.
    void quieten_failed() {
        try {
            stop_app(next_);
        } catch (const Error& error) {
            log_.line(fmt::format("stopping the failed release: {}", error.text()));
        }
    }

    /// A first deploy: there is nothing to go back to, and nothing that the load balancer could send requests to. It
    /// is not asked to; the next good release will.
    SwitchResult restore_to_nothing(const std::string& reason) {
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
    SwitchMeter meter_;  ///< last: its thread asks with what is above
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
    const bool healthy = HealthCheck(spec, *pipeline.health, context).look(stop).healthy;
    if (spec.service != nullptr) spec.service->set_healthy(healthy);
    return healthy;
}

}  // namespace baton::build
