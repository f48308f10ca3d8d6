// SPDX-License-Identifier: MIT
// Says what this node waits for, while no stage of a build does: a line of the log when it lasts, and a row of every
// node's `status`.
#pragma once

#include <optional>
#include <string>

#include "agent/chain/machine.h"
#include "agent/engine/progress.h"
#include "common/clock.h"
#include "common/types.h"

namespace baton::engine {

/// The engine's thread only.
class Waiting {
  public:
    Waiting(const AppName& app, const Clock& clock, Progress& progress)
        : app_(app), clock_(clock), progress_(progress) {}

    /// A wait that lasts becomes a line of the log, and again every few minutes; so does its end.
    void log(const chain::View& view);
    /// To every node, as often as it means something else.
    void say(const chain::View& view);

  private:
    struct Said {
        wire::RolloutKey about;
        std::string kind;
        std::string text;
        Instant at{};
    };

    const AppName& app_;
    const Clock& clock_;
    Progress& progress_;
    std::optional<Instant> logged_;  ///< when the log was told last
    Said said_;                      ///< what other nodes were told last
};

}  // namespace baton::engine
