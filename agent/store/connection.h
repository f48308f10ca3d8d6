// SPDX-License-Identifier: MIT
// One connection of Poco's SQLite session: a lock, statements with our values, SQLite's errors as ours.
#pragma once

#include <Poco/Data/Session.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <thread>

#include "agent/store/database.h"
#include "common/error.h"

namespace baton::store {

class Connection {
  public:
    enum class Access { read_write, read_only };
    Connection(const std::filesystem::path& file, Access access);

    /// Executes one statement under the lock. `changed` gets the number of rows it changed.
    Rows execute(std::string_view sql, const Values& values, std::size_t* changed = nullptr);

    /// Locks and begins, or joins the transaction that this thread has open.
    void begin();
    /// Commits the outermost transaction; Error(internal) when one inside was not committed. The lock is kept
    /// until leave() either way.
    void commit();
    /// Ends one level: rolls back what is still open when it is the outermost, and unlocks.
    void leave(bool committed) noexcept;
    /// Whether the calling thread is inside begin() … leave().
    [[nodiscard]] bool mine() const noexcept { return owner_.load() == std::this_thread::get_id(); }

  private:
    void roll_back() noexcept;

    std::filesystem::path file_;
    std::recursive_mutex mutex_;
    Poco::Data::Session session_;
    unsigned depth_ = 0;
    bool doomed_ = false;
    // An atomic, because a thread asks for it before it has the lock. It can only be mistaken about other
    // threads.
    std::atomic<std::thread::id> owner_{};
};

}  // namespace baton::store
