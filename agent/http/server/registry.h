// SPDX-License-Identifier: MIT
// The connections that are open: how many, from where, which of them can make room, and the end of all of them.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <string>

#include "agent/http/server/session.h"
#include "common/types.h"

namespace baton::http {

/// Any thread. A socket is closed only after its entry is gone, so what is shut down here is never another's.
class ConnectionRegistry {
  public:
    struct Entry {
        int fd = -1;
        std::string address;
        SessionState state = SessionState::reading_head;
        Instant since{};
        bool making_room = false;  ///< shut down, and no longer counted
    };
    using Handle = std::list<Entry>::iterator;

    explicit ConnectionRegistry(const ServerLimits& limits) : limits_(limits) {}

    /// Adds a connection; false when there is no room for it and none can be made.
    [[nodiscard]] bool admit(int fd, const std::string& address, Handle& handle);
    void enter(Handle handle, SessionState state);
    void remove(Handle handle);
    [[nodiscard]] std::size_t size() const;
    /// Ends those that serve no request; the others after `grace` at the latest. Returns when all are ended or told.
    void shut_down(Milliseconds grace);

  private:
    [[nodiscard]] bool make_room_locked(const std::string* address);
    /// Ends a connection that serves no request, of the address that has the most, when `newcomer` has far fewer.
    [[nodiscard]] bool thin_crowd_locked(const std::string& newcomer);
    void uncount_locked(Entry& entry);

    const ServerLimits& limits_;
    mutable std::mutex mutex_;
    std::condition_variable removed_;
    std::list<Entry> entries_;                      // under mutex_
    std::size_t counted_ = 0;                       // under mutex_: entries that are not making room
    std::map<std::string, std::size_t> addresses_;  // under mutex_: counted ones by address
    bool closing_ = false;                          // under mutex_
};

}  // namespace baton::http
