// SPDX-License-Identifier: MIT
// Serving threads.
#include "agent/http/server/workers.h"

#include <fmt/format.h>
#include <system_error>

#include "common/error.h"

namespace baton::http {

void Workers::submit(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    reap_locked();
    jobs_.push_back(std::move(job));
    if (jobs_.size() <= waiting_) {
        wake_.notify_one();
        return;
    }
    try {
        threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& fault) {
        jobs_.pop_back();
        throw Error(ErrorKind::busy, fmt::format("no thread to be had: {}", fault.what()));
    }
}

void Workers::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        while (!jobs_.empty()) {
            const std::function<void()> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
        if (stopping_) break;
        ++waiting_;
        const bool woken = wake_.wait_for(lock, idle_for_, [&] { return !jobs_.empty() || stopping_; });
        --waiting_;
        if (!woken) break;
    }
    finished_.push_back(std::this_thread::get_id());
}

void Workers::reap_locked() {
    for (const std::thread::id id : finished_) {
        // A thread that has put itself here does nothing more than return.
        threads_.remove_if([&](const std::jthread& thread) { return thread.get_id() == id; });
    }
    finished_.clear();
}

void Workers::stop() {
    std::list<std::jthread> last;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        last.swap(threads_);
    }
    wake_.notify_all();
    last.clear();
}

}  // namespace baton::http
