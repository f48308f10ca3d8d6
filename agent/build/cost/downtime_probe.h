// SPDX-License-Identifier: MIT
// Asks the app many times a second while it is being switched, on a thread of its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include "agent/build/cost/downtime.h"
#include "agent/build/steps/step_environment.h"
#include "common/config/pipeline_config.h"

namespace baton::build {

/// What the app is asked, and how often.
struct Question {
    /// True when it answered as it should. May block for at most a second or so; Error(cancelled) after `stop`; any
    /// other exception means that the question could not be asked.
    std::function<bool(const std::stop_token& stop)> ask;
    Milliseconds interval{0};
};

/// From the pipeline: its HTTP health address every 40 ms (its status only: an old version that still answers is no
/// outage), or its health command twice a second, since that is a process each time.
[[nodiscard]] Question question_of(const BuildSpec& spec, const config::Health& health, const StepContext& context);

/// Public functions: the thread that owns it.
class DowntimeProbe {
  public:
    /// Longer than this between two looks was not watched: the machine stood still, or nearly.
    static constexpr Milliseconds most_gap{2'000};

    /// Asks once before it returns.
    explicit DowntimeProbe(Question question);
    DowntimeProbe(const DowntimeProbe&) = delete;
    DowntimeProbe& operator=(const DowntimeProbe&) = delete;
    ~DowntimeProbe() = default;

    /// Asks another question from now on: another release may listen elsewhere.
    void ask(Question question);

    /// Nothing is asked while it lives, and no connection of ours is open: for counting those of users.
    class Hold {
      public:
        explicit Hold(DowntimeProbe& probe) : lock_(probe.asking_) { probe.held_ = true; }

      private:
        std::unique_lock<std::mutex> lock_;
    };

    struct Seen {
        std::vector<Spell> dark;
        bool ever_good = false;
        bool dark_at_end = false;
        bool unwatched = false;  ///< there was a time without a look: the spells are not the whole truth
    };
    /// Ends the thread, after a last look.
    [[nodiscard]] Seen finish();

  private:
    void watch(const std::stop_token& stop);
    [[nodiscard]] Milliseconds look(const std::stop_token& stop);

    std::mutex asking_;  ///< held while a question is out
    Question question_;
    DarkTime dark_;
    std::optional<Instant> last_answer_;
    bool held_ = false;
    bool unwatched_ = false;
    std::mutex napping_;
    std::condition_variable_any nap_;
    std::jthread thread_;  ///< last: it uses all of the above
};

}  // namespace baton::build
