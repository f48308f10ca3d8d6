// SPDX-License-Identifier: MIT
// Whether this node serves an app.
#include "agent/build/traffic/service_state.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "common/error.h"

namespace baton::build {

namespace {

/// Anyone may ask `GET /health/APP`; what is remembered of askers has a bound all the same.
constexpr std::size_t most_peers = 1'000;

std::string agent_check_text(ServiceMode mode) {
    switch (mode) {
        case ServiceMode::serving: return "up\n";
        case ServiceMode::draining: return "drain\n";
        case ServiceMode::rejoining: return "up ready\n";
    }
    throw Error(ErrorKind::internal, "unknown service mode");
}

}  // namespace

void ServiceState::set_mode(ServiceMode mode) {
    const std::lock_guard lock(mutex_);
    if (mode_ != mode) {
        mode_ = mode;
        ++generation_;
        polls_.clear();
    }
    changed_.notify_all();
}

ServiceMode ServiceState::mode() const {
    const std::lock_guard lock(mutex_);
    return mode_;
}

void ServiceState::set_healthy(bool healthy) {
    const std::lock_guard lock(mutex_);
    if (healthy_ == healthy) return;
    healthy_ = healthy;
    // A poll answered "ready" while the app was down or "not ready" while it came up says nothing about the new state.
    ++generation_;
    std::erase_if(polls_, [](const auto& entry) { return entry.first.first == PollSource::readiness; });
}

bool ServiceState::healthy() const {
    const std::lock_guard lock(mutex_);
    return healthy_;
}

void ServiceState::set_held_back(bool held_back) { set_kept_out(held_back_, held_back); }

void ServiceState::set_drained(bool drained) { set_kept_out(drained_, drained); }

void ServiceState::set_kept_out(bool& why, bool kept_out) {
    const std::lock_guard lock(mutex_);
    if (why == kept_out) return;
    why = kept_out;
    // Whoever was told to drain has to be told that it is over.
    if (!kept_out && mode_ == ServiceMode::serving) mode_ = ServiceMode::rejoining;
    ++generation_;
    polls_.clear();
    changed_.notify_all();
}

bool ServiceState::kept_out() const {
    const std::lock_guard lock(mutex_);
    return held_back_ || drained_;
}

bool ServiceState::ready() const { return answer().ready; }

std::string ServiceState::agent_check_answer() const { return answer().agent_check; }

ServiceState::Answer ServiceState::answer() const {
    const std::lock_guard lock(mutex_);
    const bool kept_out = held_back_ || drained_;
    return {healthy_ && !kept_out && mode_ != ServiceMode::draining,
            agent_check_text(kept_out ? ServiceMode::draining : mode_), generation_};
}

void ServiceState::count_poll(PollSource source, std::string_view peer, const Answer& answer) {
    const std::lock_guard lock(mutex_);
    if (answer.generation != generation_) return;
    // As a socket for both versions of IP writes an address of version 4.
    constexpr std::string_view mapped = "::ffff:";
    if (peer.starts_with(mapped) && peer.find('.') != std::string_view::npos) peer.remove_prefix(mapped.size());
    if (!askers_.empty() && std::ranges::find(askers_, peer) == askers_.end()) return;
    const auto key = std::pair(source, std::string(peer));
    const auto found = polls_.find(key);
    if (found != polls_.end()) {
        ++found->second;
    } else if (polls_.size() < most_peers) {
        polls_.emplace(key, 1);
    }
    changed_.notify_all();
}

unsigned ServiceState::noticed(PollSource source, unsigned polls) const {
    return static_cast<unsigned>(std::ranges::count_if(
        polls_, [&](const auto& entry) { return entry.first.first == source && entry.second >= polls; }));
}

bool ServiceState::wait_for_polls(PollSource source, unsigned peers, unsigned polls, Milliseconds limit,
                                  const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const bool enough = changed_.wait_for(lock, stop, limit, [&] { return noticed(source, polls) >= peers; });
    if (!enough && stop.stop_requested())
        throw Error(ErrorKind::cancelled, "cancelled while waiting for the load balancer");
    return enough;
}

std::string ServiceState::describe_polls(PollSource source, unsigned peers, unsigned polls) const {
    const std::lock_guard lock(mutex_);
    auto text = fmt::format("{} of {} load balancers have noticed", std::min(noticed(source, polls), peers), peers);
    std::string missing;
    for (const auto& asker : askers_) {
        const auto found = polls_.find({source, asker});
        if (found == polls_.end() || found->second < polls) missing += (missing.empty() ? "" : ", ") + asker;
    }
    return missing.empty() ? text : fmt::format("{}, not yet {}", text, missing);
}

}  // namespace baton::build
