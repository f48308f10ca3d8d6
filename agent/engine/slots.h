// SPDX-License-Identifier: MIT
// A counted number of places, waited for with a stop token: `executors` of the configuration.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace baton::engine {

/// Any thread.
class Slots {
  public:
    explicit Slots(unsigned places) : free_(places) {}

    /// A place, given back by the destructor.
    class Place {
      public:
        explicit Place(Slots* slots) : slots_(slots) {}
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() {
            if (slots_ != nullptr) slots_->give_back();
        }
        [[nodiscard]] bool granted() const { return slots_ != nullptr; }

      private:
        Slots* slots_;
    };

    /// Waits until a place is free; not granted when `stop` came first.
    [[nodiscard]] Place take(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        if (!freed_.wait(lock, stop, [&] { return free_ > 0; })) return Place(nullptr);
        --free_;
        return Place(this);
    }

  private:
    void give_back() {
        {
            const std::lock_guard lock(mutex_);
            ++free_;
        }
        freed_.notify_one();
    }

    std::mutex mutex_;
    std::condition_variable_any freed_;
    unsigned free_;
};

}  // namespace baton::engine
