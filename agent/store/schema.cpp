// SPDX-License-Identifier: MIT
// The tables, as numbered steps from an empty file to today's.
#include "agent/store/schema.h"

#include <fmt/format.h>

#include <chrono>

#include "agent/store/connection.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::store {

namespace {

const Migration& first_version() {
    static const Migration statements{
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",

        "CREATE TABLE chain_state (app TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID",

        "CREATE TABLE flags (app TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
        " PRIMARY KEY (app, key)) STRICT, WITHOUT ROWID",

        "CREATE TABLE queue (id INTEGER PRIMARY KEY, app TEXT NOT NULL, parameters TEXT NOT NULL,"
        " causes TEXT NOT NULL, commit_id TEXT NOT NULL, by_name INTEGER NOT NULL CHECK (by_name IN (0, 1)),"
        " created_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,"
        " state TEXT NOT NULL CHECK (state IN ('waiting', 'started', 'held', 'cancelled', 'refused')),"
        " left_ms INTEGER NOT NULL DEFAULT 0, rollout TEXT NOT NULL DEFAULT '', build INTEGER NOT NULL "
        "DEFAULT 0,"
        " reason TEXT NOT NULL DEFAULT '') STRICT",
        "CREATE INDEX queue_due ON queue (due_ms, id) WHERE state = 'waiting'",
        "CREATE INDEX queue_app ON queue (app, commit_id, parameters) WHERE state = 'waiting'",
        "CREATE INDEX queue_left ON queue (left_ms) WHERE state <> 'waiting'",

        "CREATE TABLE rollouts (app TEXT NOT NULL, epoch INTEGER NOT NULL, id TEXT NOT NULL,"
        " attempt INTEGER NOT NULL, record TEXT NOT NULL,"
        " state TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'halted', 'superseded', 'held')),"
        " reason TEXT NOT NULL, updated_ms INTEGER NOT NULL, PRIMARY KEY (app, epoch, id)) STRICT, WITHOUT "
        "ROWID",
        "CREATE INDEX rollouts_id ON rollouts (id)",
        "CREATE INDEX rollouts_state ON rollouts (app, state, epoch, id)",
        "CREATE TABLE progress (app TEXT NOT NULL, rollout TEXT NOT NULL, node TEXT NOT NULL,"
        " epoch INTEGER NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL,"
        " PRIMARY KEY (app, rollout, node)) STRICT, WITHOUT ROWID",

        // Apart from the builds, so that a number is not used again when the last build was pruned.
        "CREATE TABLE build_numbers (app TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE builds (app TEXT NOT NULL, number INTEGER NOT NULL, epoch INTEGER NOT NULL,"
        " rollout TEXT NOT NULL, attempt INTEGER NOT NULL, kind TEXT NOT NULL, commit_id TEXT NOT NULL,"
        " previous_commit TEXT NOT NULL,"
        " stage TEXT NOT NULL CHECK (stage IN ('queued', 'fetch', 'prepare', 'test', 'permit', 'drain', "
        "'migrate',"
        " 'switch', 'verify', 'rejoin', 'handoff', 'done')),"
        " state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'cancelled',"
        " 'superseded', 'restored', 'stuck')),"
        " started_ms INTEGER NOT NULL, stage_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL,"
        " message TEXT NOT NULL, release_path TEXT NOT NULL, pipeline TEXT NOT NULL, queue_id INTEGER NOT "
        "NULL,"
        " tests_total INTEGER, tests_failed INTEGER, tests_skipped INTEGER, tests_duration_ms INTEGER,"
        " failing_tests TEXT NOT NULL, steps TEXT NOT NULL, changes TEXT NOT NULL, causes TEXT NOT NULL,"
        " parameters TEXT NOT NULL, PRIMARY KEY (app, number)) STRICT",
        "CREATE INDEX builds_state ON builds (app, state, number)",
        "CREATE INDEX builds_rollout ON builds (app, rollout, number)",
        "CREATE INDEX builds_unfinished ON builds (app, number) WHERE finished_ms = 0",

        "CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, who TEXT NOT NULL,"
        " address TEXT NOT NULL, action TEXT NOT NULL, app TEXT NOT NULL, detail TEXT NOT NULL) STRICT",

        "CREATE TABLE ledger (id INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, app TEXT NOT NULL,"
        " rollout TEXT NOT NULL, build INTEGER NOT NULL, dark_ms INTEGER NOT NULL, exposed_ms INTEGER NOT "
        "NULL,"
        " out_ms INTEGER NOT NULL, drain_ms INTEGER NOT NULL, restart_ms INTEGER NOT NULL,"
        " rejoin_ms INTEGER NOT NULL, cut INTEGER NOT NULL,"
        " kind TEXT NOT NULL CHECK (kind IN ('measured', 'assumed', 'unknown')), at_ms INTEGER NOT NULL,"
        " UNIQUE (node, app, rollout, build)) STRICT",
        "CREATE INDEX ledger_at ON ledger (at_ms)",
    };
    return statements;
}

/// The outages of a deploy, told apart.
const Migration& second_version() {
    static const Migration statements{"ALTER TABLE ledger ADD COLUMN outages TEXT NOT NULL DEFAULT ''"};
    return statements;
}

std::int64_t epoch_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// What a new database is given once: its identity, and where the queue's ids begin.
void enter_birth(Connection& connection) {
    connection.execute("INSERT INTO meta (key, value) VALUES ('state_id', ?)", {to_hex(random_bytes(16))});
    connection.execute("INSERT INTO meta (key, value) VALUES ('queue_id', ?)", {fmt::format("{}", epoch_ms())});
}

}  // namespace

std::span<const Migration> migrations() {
    static const std::vector<Migration> all{first_version(), second_version()};
    return all;
}

void bring_up_to_date(Connection& connection, const std::filesystem::path& file) {
    const std::span<const Migration> steps = migrations();
    const std::uint64_t version = connection.execute("PRAGMA user_version", {}).at(0).count(0);
    if (version > steps.size()) {
        throw Error(ErrorKind::conflict,
                    fmt::format("database {} has version {}, made by a newer baton; this one knows versions up to {}: "
                                "install the newer program again, or put back a backup from before it",
                                file.string(), version, steps.size()));
    }
    if (version == 0 && !connection.execute("SELECT name FROM sqlite_schema LIMIT 1", {}).empty()) {
        throw Error(ErrorKind::conflict,
                    fmt::format("{} is another program's database; choose another state_dir", file.string()));
    }
    for (std::uint64_t next = version; next < steps.size(); ++next) {
        with_context(fmt::format("bring the database from version {} to {}", next, next + 1), [&] {
            Transaction step(connection);
            for (const std::string_view statement : steps[next]) connection.execute(statement, {});
            if (next == 0) enter_birth(connection);
            connection.execute(fmt::format("PRAGMA user_version = {}", next + 1), {});
            step.commit();
        });
    }
}

}  // namespace baton::store
