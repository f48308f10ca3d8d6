// SPDX-License-Identifier: MIT
// Threads that serve connections, one each: made when needed, kept for a while, gone when idle.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "common/types.h"

namespace baton::http {

/// The number of jobs, and so of threads, is bounded by whoever submits them.
class Workers {
  public:
    explicit Workers(Milliseconds idle) : idle_for_(idle) {}
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;
    /// Waits for the jobs.
    ~Workers() { stop(); }
    /// Runs `job`, which must not throw, on a thread of its own. Error(busy) when the system gives no thread.
    void submit(std::function<void()> job);
    /// Waits for every job. Nothing may be submitted afterwards.
    void stop();

  private:
    void work();
    void reap_locked();

    const Milliseconds idle_for_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> jobs_;  // under mutex_
    std::size_t waiting_ = 0;                 // under mutex_: threads that will take a job
    bool stopping_ = false;                   // under mutex_
    std::vector<std::thread::id> finished_;   // under mutex_
    std::list<std::jthread> threads_;         // under mutex_ but for the joining
};

}  // namespace baton::http
