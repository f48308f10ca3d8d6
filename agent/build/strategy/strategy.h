// SPDX-License-Identifier: MIT
// How one release takes the place of another on this node: with a gap, or side by side.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "agent/build/cost/switch_meter.h"
#include "agent/build/steps/build_log.h"
#include "agent/build/steps/guarded_listener.h"
#include "agent/build/steps/step_runner.h"
#include "agent/build/strategy/publisher.h"

namespace baton::build {

/// One release with all that is needed to start, stop and judge it.
struct Runnable {
    std::filesystem::path release;
    config::Pipeline pipeline;
    StepContext context;
    [[nodiscard]] const config::Switch& how() const { return *pipeline.switch_over; }
    [[nodiscard]] std::string id() const { return release.filename().string(); }
};

/// What the parts of one switch share; all of it outlives them.
struct SwitchTools {
    const BuildSpec& spec;
    GuardedListener& listener;
    BuildLog& log;
    StepRunner& runner;
    Publisher& publisher;
    SwitchMeter& meter;
    /// A release by its directory, the way its own record says.
    std::function<Runnable(const std::filesystem::path& release)> runnable;
    std::stop_token leave;  ///< the agent is ending; see SwitchOptions::leave
};

/// Both ways of ending in failure (Error and anything that the file system throws) leave a state from which go_back()
/// or another exchange() begins. One thread.
class Strategy {
  public:
    Strategy() = default;
    Strategy(const Strategy&) = delete;
    Strategy& operator=(const Strategy&) = delete;
    virtual ~Strategy() = default;

    /// `next` comes to serve users, alone and proved, and is current. `old`: what is current now, run this way as well;
    /// none: nothing of it runs any more. `redo`: an earlier try was cut off, perhaps behind its end.
    virtual void exchange(const std::optional<Runnable>& old, Runnable& next, bool redo) = 0;
    /// After an exchange to `failed` that did not end well: `before` serves again (or still), alone and proved.
    virtual void go_back(Runnable& failed, Runnable& before) = 0;
    /// Nothing of the app runs this way any more. Best effort where there is nothing to stop.
    virtual void end(Runnable& what) = 0;
    /// Users are served all along: the node need not be called down meanwhile.
    [[nodiscard]] virtual bool serves_throughout() const = 0;
    /// Begins to measure what users see of `what`.
    virtual void watch(const Runnable& what) = 0;
};

/// The strategy of the release `of`.
[[nodiscard]] std::unique_ptr<Strategy> make_strategy(SwitchTools& tools, const Runnable& of);
/// Both are run the same way, so that one can take the other's place by it.
[[nodiscard]] bool same_way(const Runnable& one, const Runnable& other);

/// Where what is current of an app that runs side by side can be asked: sets the context's colour and port. False when
/// nothing of it runs. True, with nothing set, for any other app.
[[nodiscard]] bool find_serving(const BuildSpec& spec, const config::Switch& how, StepContext& context);

}  // namespace baton::build
