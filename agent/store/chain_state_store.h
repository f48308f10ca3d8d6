// SPDX-License-Identifier: MIT
// What the chain protocol promised, a row an app, and whose state directory this is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/store/database.h"
#include "common/types.h"

namespace baton::store {

/// Which agent owns this database. `state_id` is made with the database; a copy of it under another node's
/// name is a cloned state directory, whose permits would count twice. A copy under the same name, or a backup that was
/// put back, may have forgotten what its original granted and took since: it is known by its file.
struct AgentIdentity {
    std::string state_id;  ///< 32 hexadecimal digits
    NodeName node;
    std::string boot_id;  ///< of the machine's boot in which the agent last started
    std::string file;     ///< inode and time of birth of the database file then; empty: never noted
    bool copied = false;  ///< claim(): the file is another one than that, and the protocol's state was dropped
};

class ChainStateStore {
  public:
    explicit ChainStateStore(Database& database) : database_(database) {}

    /// The protocol's durable state as JSON text; on disk when save() returns.
    void save(const AppName& app, std::string_view state);
    [[nodiscard]] std::optional<std::string> load(const AppName& app) const;
    void erase(const AppName& app);

    /// Enters this start; gives what was there before it (an empty node name on the first start, so that the
    /// caller sees a fresh database, and a changed boot id, so that it sees a reboot). Error(conflict) when
    /// the database belongs to another node. Of a copy the chain's state is dropped in the same transaction, so that
    /// the agent is one with a new database to its peers.
    AgentIdentity claim(const NodeName& node, std::string_view boot_id);
    [[nodiscard]] AgentIdentity identity() const;

  private:
    Database& database_;
};

}  // namespace baton::store
