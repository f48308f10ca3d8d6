// SPDX-License-Identifier: MIT
// One neighbour that is still a Jenkins, and one rollout: triggered once, followed to the end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "agent/chain/machine.h"
#include "agent/engine/parameter_seal.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/json.h"
#include "common/net/jenkins_job.h"
#include "common/wire/rollout.h"

namespace baton::engine {

/// How far a neighbour has come with a rollout, as it is stored.
struct NeighbourState {
    enum class Step {
        none,    ///< nothing was asked of it
        asked,   ///< a trigger was sent, or is about to be: look for it before sending another
        queued,  ///< Jenkins has a queue item
        building,
        done,  ///< it has the rollout's release
        failed,
        passed_over,
    };
    wire::Target target;
    CommitId commit;
    Step step = Step::none;
    unsigned from_build = 1;  ///< builds before this one are older than the trigger
    std::uint64_t queue_id = 0;
    unsigned build = 0;
    std::int64_t started_ms = 0;
    std::int64_t since_ms = 0;
    std::string message;
};

[[nodiscard]] json::Value to_json(const NeighbourState& state);
/// Error(invalid) naming the member at fault.
[[nodiscard]] NeighbourState parse_neighbour_state(const json::Value& value);

struct NeighbourContext {
    const config::AgentConfig& config;
    const config::App& app;
    const config::Node& node;
    store::Store& store;
    const Clock& clock;
    const ParameterSeal& seal;
    std::function<chain::GoesOn()> goes_on;  ///< the rollout is still wanted
    std::function<bool()> may_pass_over;     ///< it may be left behind, out of reach
    std::function<void(const wire::NodeProgress&)> progress;
};

/// The job of a neighbour. Error(io, invalid) for a token file that cannot be read.
[[nodiscard]] net::JenkinsJob job_of(const config::Node& node, const AppName& app);

/// One thread.
class Neighbour {
  public:
    Neighbour(NeighbourContext context, const wire::Rollout& rollout);

    enum class End { done, passed_over, failed, given_up, stopped };
    /// Blocks until it is over. One that was passed over in this rollout before gets one look: nobody waits for it.
    /// Does not throw, but for a store that cannot be written (Error).
    [[nodiscard]] End run(const std::stop_token& stop);
    /// Why it failed: with the neighbour's name.
    [[nodiscard]] const std::string& reason() const { return reason_; }

  private:
    using Step = NeighbourState::Step;
    enum class Wait { over, stopped };

    [[nodiscard]] std::optional<End> trigger(const std::stop_token& stop);
    [[nodiscard]] bool adopt_lost_trigger(net::JenkinsJob& job);
    [[nodiscard]] std::optional<End> send_trigger(net::JenkinsJob& job);
    [[nodiscard]] std::optional<End> out_of_reach(Milliseconds waited, std::string& wait);
    [[nodiscard]] std::optional<End> follow(const std::stop_token& stop);
    void look_at_queue(net::JenkinsJob& job);
    [[nodiscard]] std::optional<End> look_at_build(net::JenkinsJob& job);
    [[nodiscard]] End fail(const std::string& why);
    [[nodiscard]] net::Arguments parameters() const;
    [[nodiscard]] std::string cause() const;
    void go_to(Step step, const std::string& waits_for);
    void say(const std::string& waits_for);
    [[nodiscard]] Wait nap(const std::stop_token& stop) const;

    NeighbourContext context_;
    wire::Rollout rollout_;
    NeighbourState state_;
    std::string said_;
    std::string reason_;
    unsigned lost_looks_ = 0;
    bool owed_ = false;  ///< it was passed over in this rollout
};

/// The row that every agent shows for the neighbour.
[[nodiscard]] wire::NodeProgress progress_of(const NeighbourState& state, const NodeName& node,
                                             const std::string& waits_for, const Clock& clock);
/// It may be building: it is followed to its end before another one is begun.
[[nodiscard]] bool is_begun(const NeighbourState& state);
/// What the store knows of a neighbour; none when nothing was ever asked of it.
[[nodiscard]] std::optional<NeighbourState> stored_neighbour(const store::Store& store, const AppName& app,
                                                             const NodeName& node);

}  // namespace baton::engine
