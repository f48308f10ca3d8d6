// SPDX-License-Identifier: MIT
// Keeping count of connections.
#include "agent/http/server/registry.h"

#include <algorithm>
#include <sys/socket.h>

#include "common/net/transport.h"

namespace baton::http {

namespace {

/// A head takes milliseconds to send. Who needs longer while others wait for a place gives up theirs.
constexpr Milliseconds slow_head{1'000};
constexpr Milliseconds slow_body{3'000};

bool can_make_room(const ConnectionRegistry::Entry& entry, Instant now) {
    switch (entry.state) {
        case SessionState::idle: return true;
        case SessionState::reading_head: return now - entry.since > slow_head;
        case SessionState::reading_body: return now - entry.since > slow_body;
        case SessionState::busy: return false;
    }
    return false;
}

}  // namespace

bool ConnectionRegistry::admit(int fd, const std::string& address, Handle& handle) {
    const std::lock_guard lock(mutex_);
    if (closing_) return false;
    const auto same = addresses_.find(address);
    if (same != addresses_.end() && same->second >= limits_.connections_per_address && !make_room_locked(&address))
        return false;
    if (counted_ >= limits_.connections && !make_room_locked(nullptr) && !thin_crowd_locked(address)) return false;
    // What makes room ends within moments, but it is a thread until then.
    if (entries_.size() >= limits_.connections + limits_.connections / 4 + 1) return false;
    entries_.push_front({fd, address, SessionState::reading_head, net::steady_now(), false});
    handle = entries_.begin();
    ++counted_;
    ++addresses_[address];
    return true;
}

bool ConnectionRegistry::make_room_locked(const std::string* address) {
    const Instant now = net::steady_now();
    for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
        const bool eligible = !entry->making_room && (address == nullptr || entry->address == *address);
        if (!eligible || !can_make_room(*entry, now)) continue;
        ::shutdown(entry->fd, SHUT_RDWR);
        uncount_locked(*entry);
        return true;
    }
    return false;
}

bool ConnectionRegistry::thin_crowd_locked(const std::string& newcomer) {
    const auto crowd = std::ranges::max_element(addresses_, {}, [](const auto& entry) { return entry.second; });
    const auto own = addresses_.find(newcomer);
    const std::size_t has = own == addresses_.end() ? 0 : own->second;
    // Who has many places gives one up to who has few, even if it has only just come.
    if (crowd == addresses_.end() || crowd->second < 2 * (has + 1)) return false;
    for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
        if (entry->making_room || entry->address != crowd->first || entry->state == SessionState::busy) continue;
        ::shutdown(entry->fd, SHUT_RDWR);
        uncount_locked(*entry);
        return true;
    }
    return false;
}

void ConnectionRegistry::uncount_locked(Entry& entry) {
    if (entry.making_room) return;
    entry.making_room = true;
    --counted_;
    const auto same = addresses_.find(entry.address);
    if (--same->second == 0) addresses_.erase(same);
}

void ConnectionRegistry::enter(Handle handle, SessionState state) {
    const std::lock_guard lock(mutex_);
    handle->state = state;
    handle->since = net::steady_now();
    if (closing_ && state != SessionState::busy) ::shutdown(handle->fd, SHUT_RD);
}

void ConnectionRegistry::remove(Handle handle) {
    const std::lock_guard lock(mutex_);
    uncount_locked(*handle);
    entries_.erase(handle);
    removed_.notify_all();
}

std::size_t ConnectionRegistry::size() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
}

void ConnectionRegistry::shut_down(Milliseconds grace) {
    std::unique_lock lock(mutex_);
    closing_ = true;
    for (const Entry& entry : entries_) {
        if (entry.state != SessionState::busy) ::shutdown(entry.fd, SHUT_RDWR);
    }
    removed_.wait_for(lock, grace, [&] { return entries_.empty(); });
    for (const Entry& entry : entries_) ::shutdown(entry.fd, SHUT_RDWR);
}

}  // namespace baton::http
