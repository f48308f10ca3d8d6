// SPDX-License-Identifier: MIT
// The listener of a switch, whose own failures are not the app's.
#pragma once

#include <exception>
#include <filesystem>
#include <string>
#include <utility>

#include "agent/build/steps/build_spec.h"

namespace baton::build {

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
    void release_made(const std::filesystem::path& release) override {
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
            std::forward<Call>(call)();
        } catch (...) {
            throw ListenerFailed{std::current_exception()};
        }
    }
    Listener& to_;
};

}  // namespace baton::build
