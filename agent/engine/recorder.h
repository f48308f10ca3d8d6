// SPDX-License-Identifier: MIT
// What a build tells while it runs, written into its record.
#pragma once

#include <optional>

#include "agent/build/build.h"
#include "agent/chain/machine.h"
#include "agent/engine/runner.h"
#include "agent/store/store.h"
#include "common/clock.h"

namespace baton::engine {

/// Lives as long as one call of prepare() or switch_over(); keeps `record` and its row the same.
class Recorder final : public build::Listener {
  public:
    Recorder(store::Store& store, const Clock& clock, RunnerEvents& events, store::BuildRecord& record,
             std::optional<chain::Ticket> ticket)
        : store_(store), clock_(clock), events_(events), record_(record), ticket_(std::move(ticket)) {}

    void stage_began(wire::Stage stage) override;
    void waits_for(const std::string& what) override;
    void step_ended(const build::StepRecord& step) override;
    void tests_read(const build::TestReport& report) override;
    void release_made(const std::filesystem::path& release) override;
    void once_started() override;
    void once_done() override;

  private:
    void save();

    store::Store& store_;
    const Clock& clock_;
    RunnerEvents& events_;
    store::BuildRecord& record_;
    std::optional<chain::Ticket> ticket_;
};

}  // namespace baton::engine
