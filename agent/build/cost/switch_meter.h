// SPDX-License-Identifier: MIT
// What a switch costs users: when its stages came to pass, beside what the app answered all along.
#pragma once

#include <optional>

#include "agent/build/cost/downtime_probe.h"
#include "agent/build/cost/switch_cost.h"
#include "common/clock.h"
#include "common/config/pipeline_config.h"

namespace baton::build {

/// When the stages of a switch came to pass. None: not reached.
struct SwitchTimes {
    std::optional<Instant> drain;         ///< the load balancer is being asked to let go
    std::optional<Instant> acknowledged;  ///< it has, where the method keeps requests away at all
    std::optional<Instant> drained;       ///< nothing is in flight any more
    std::optional<Instant> stop;          ///< the app is about to be stopped
    std::optional<Instant> started;       ///< the last restart step has ended
    std::optional<Instant> healthy;       ///< the first healthy answer since the last bad one
    std::optional<Instant> rejoin;        ///< the load balancer is being asked to send again
    std::optional<Instant> back;          ///< it does, or the wait is over
    Instant end;
};

/// Times and darkness as a cost; `watched` without spells for an app without a health check. Pure. The kind is measured
/// or assumed; whether it has to be unknown is for the caller to say.
[[nodiscard]] SwitchCost cost_of(const SwitchTimes& times, const std::vector<Spell>* dark);

/// One switch. Marks come from the switch's thread, each kept at its last time but drain, acknowledged and stop, which
/// are kept at their first. Nothing here fails a switch.
class SwitchMeter {
  public:
    /// `clock` outlives it.
    SwitchMeter(const BuildSpec& spec, const Clock& clock);

    /// Begins to ask, or asks another question from now on.
    void watch(const config::Health& health, const StepContext& context);
    void drain();
    void acknowledged();
    /// Counts requests in flight for the wait after acknowledged(): those of the probe must not be among them.
    [[nodiscard]] std::optional<DowntimeProbe::Hold> hold();
    void drained();
    void stop();  ///< counts what is in flight, where the configuration names a port
    /// So many requests were in flight when what served them was stopped all the same.
    void cut(unsigned requests) { cut_ += requests; }
    void started();
    void healthy();
    void rejoin();
    void back();

    /// Ends the probe. `known`: the whole switch was seen from its beginning to a settled end.
    [[nodiscard]] SwitchCost finish(bool known, bool had_release);

  private:
    void keep_first(std::optional<Instant>& mark) const;

    const BuildSpec& spec_;
    const Clock& clock_;
    SwitchTimes times_;
    WallTime began_wall_;
    Instant began_;
    std::uint64_t cut_ = 0;
    bool blind_ = false;  ///< the probe could not be started
    std::optional<DowntimeProbe> probe_;
};

}  // namespace baton::build
