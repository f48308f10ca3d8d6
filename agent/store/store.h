// SPDX-License-Identifier: MIT
// All that the agent keeps: one database, one typed store a group of tables.
#pragma once

#include <filesystem>

#include "agent/store/audit_store.h"
#include "agent/store/build_store.h"
#include "agent/store/chain_state_store.h"
#include "agent/store/database.h"
#include "agent/store/flag_store.h"
#include "agent/store/ledger_store.h"
#include "agent/store/queue_store.h"
#include "agent/store/rollout_store.h"

namespace baton::store {

/// Any thread may call any member. `Transaction scope(store.database);` makes several calls one.
struct Store {
    explicit Store(const std::filesystem::path& file) : database(file) {}

    Database database;
    ChainStateStore chain{database};
    QueueStore queue{database};
    RolloutStore rollouts{database};
    BuildStore builds{database};
    AuditStore audit{database};
    LedgerStore ledger{database};
    FlagStore flags{database};
};

}  // namespace baton::store
