// SPDX-License-Identifier: MIT
// A counted number of places, waited for with a stop token: `executors` of the configuration.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <vector>

namespace baton::engine {

/// Any thread.
class Slots {
  public:
    explicit Slots(unsigned places) : taken_(places, false) {}

    /// A place, given back by the destructor.
    class Place {
      public:
        Place(Slots* slots, unsigned number) : slots_(slots), number_(number) {}
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() {
            if (slots_ != nullptr) slots_->give_back(number_);
        }
        [[nodiscard]] bool granted() const { return slots_ != nullptr; }
        /// Which one, from 0: nobody else has it meanwhile.
        [[nodiscard]] unsigned number() const { return number_; }

      private:
        Slots* slots_;
        unsigned number_;
    };

    /// Waits until a place is free; not granted when `stop` came first.
    [[nodiscard]] Place take(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        auto free = taken_.end();
        const auto find = [&] { return (free = std::ranges::find(taken_, false)) != taken_.end(); };
        if (!freed_.wait(lock, stop, find)) return {nullptr, 0};
        *free = true;
        return {this, static_cast<unsigned>(free - taken_.begin())};
    }

  private:
    void give_back(unsigned number) {
        {
            const std::lock_guard lock(mutex_);
            taken_[number] = false;
        }
        freed_.notify_one();
    }

    std::mutex mutex_;
    std::condition_variable_any freed_;
    std::vector<bool> taken_;
};

}  // namespace baton::engine
