// SPDX-License-Identifier: MIT
// The strategy that everybody has: stop the old, publish, start the new. Users are kept away meanwhile, or see the gap.
#include "agent/build/strategy/stop_start.h"

#include <algorithm>
#include <fmt/format.h>

#include "agent/build/steps/health.h"
#include "agent/build/strategy/proof.h"
#include "common/clock.h"
#include "common/error.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

/// How long an app that was restarted before the agent ended is given to say which release it is.
constexpr Milliseconds coming_up_within{5'000};
constexpr Milliseconds look_again_after{200};

class StopStart final : public Strategy {
  public:
    explicit StopStart(SwitchTools& tools) : tools_(tools) {}

    void exchange(const std::optional<Runnable>& old, Runnable& next, bool redo) override {
        if (!(redo && runs_already(next))) {
            tools_.meter.stop();
            if (old) stop(*old);
            start(next);
            note_restarted();
        }
        prove(tools_, next, ProofOf::min_healthy_time, names_release(next) ? tools_.leave : std::stop_token());
        warm_up(tools_, next);
    }

    void go_back(Runnable& failed, Runnable& before) override {
        end(failed);
        start(before);
        prove(tools_, before, ProofOf::min_healthy_time);
        warm_up(tools_, before);
    }

    void end(Runnable& what) override {
        try {
            stop(what);
        } catch (const Error& error) {
            // There may be nothing to stop.
            tools_.log.line(fmt::format("stopping {}: {}", what.id(), error.text()));
        }
    }

    bool serves_throughout() const override { return false; }

    void watch(const Runnable& what) override {
        if (what.pipeline.health) tools_.meter.watch(*what.pipeline.health, what.context);
    }

  private:
    void stop(Runnable what) {
        what.context.stage = wire::Stage::switch_over;
        for (const auto& step : what.how().stop) {
            tools_.runner.run(step, what.context, directory_of(what), process::Priority::normal, {});
        }
    }

    void start(Runnable& what) {
        tools_.publisher.publish(what.release, what.how(), {});
        tools_.log.line(fmt::format("current is {}", what.id()));
        what.context.stage = wire::Stage::switch_over;
        watch(what);
        for (const auto& step : what.how().restart) {
            tools_.runner.run(step, what.context, directory_of(what), process::Priority::normal, {});
        }
        tools_.meter.started();
    }

    void note_restarted() {
        try {
            tools_.publisher.note_restarted();
        } catch (const Error& error) {
            // Without it a death in verify costs one more restart, and nothing else.
            tools_.log.line(fmt::format("cannot note that the restart is done: {}", error.text()));
        }
    }

    /// A switch that was cut off after its restart, as when the agent deploys itself: what runs says that it is the new
    /// release, so that restarting it once more would only cut off the next agent. Only an app whose health check
    /// names the release can say so. One that is known to have been restarted may still be coming up.
    bool runs_already(const Runnable& next) {
        if (!names_release(next) || tools_.publisher.current() != next.release) return false;
        const SystemClock clock;
        const auto patience = tools_.publisher.restarted() ? coming_up_within : Milliseconds(0);
        const auto until = clock.now() + std::min(patience, next.pipeline.health->healthy_deadline);
        const HealthCheck check(tools_.spec, *next.pipeline.health, next.context);
        while (!check.look(tools_.leave).healthy) {
            if (clock.now() >= until) return false;
            pause_for(look_again_after, tools_.leave);
        }
        tools_.log.line("the new release runs already: it is not restarted again");
        return true;
    }

    /// Where start and stop steps run: in the release itself, by its real path, so that what they start keeps it from
    /// being cleared away; with publish: rsync in the fixed directory.
    fs::path directory_of(const Runnable& what) const {
        if (what.how().publish == config::Publish::symlink) return what.release;
        const auto live = tools_.publisher.live_directory(what.how());
        return fs::is_directory(live) ? live : what.release;
    }

    SwitchTools& tools_;
};

}  // namespace

std::unique_ptr<Strategy> make_stop_start(SwitchTools& tools) { return std::make_unique<StopStart>(tools); }

}  // namespace baton::build
