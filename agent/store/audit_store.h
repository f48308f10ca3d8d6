// SPDX-License-Identifier: MIT
// Who asked for what, and when: the trail that outlives the log.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/store/database.h"
#include "common/types.h"

namespace baton::store {

struct AuditEntry {
    std::uint64_t id = 0;  ///< given by append()
    std::int64_t at_ms = 0;
    std::string who;  ///< token name, peer or `anonymous`
    std::string address;
    std::string action;  ///< `trigger`, `halt`, `forget`, …
    AppName app;         ///< empty for the agent as a whole
    std::string detail;
};

/// Any thread.
class AuditStore {
  public:
    static constexpr std::size_t most_entries = 10'000;

    explicit AuditStore(Database& database) : database_(database) {}
    /// Keeps the newest most_entries.
    void append(const AuditEntry& entry);
    /// Newest first; an empty `app` stands for all, and for the agent as a whole.
    [[nodiscard]] std::vector<AuditEntry> list(std::size_t limit, const AppName& app = {}) const;

  private:
    Database& database_;
};

}  // namespace baton::store
