// SPDX-License-Identifier: MIT
// The rollouts this agent knows of, and what every node reported about them.
#include "agent/store/rollout_store.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "agent/store/records.h"
#include "common/error.h"
#include "common/json.h"

namespace baton::store {

namespace {

constexpr std::string_view columns = "record, state, reason, updated_ms";

RolloutRecord record_of(const Row& row) {
    return stored("a rollout", [&] {
        RolloutRecord record;
        record.rollout = wire::parse_rollout(json::parse(row.text(0)));
        record.state = parse_rollout_state(row.text(1));
        record.reason = row.text(2);
        record.updated_ms = row.whole(3);
        return record;
    });
}

std::optional<RolloutRecord> first_of(const Rows& rows) {
    if (rows.empty()) return std::nullopt;
    return record_of(rows.front());
}

wire::NodeProgress progress_of(const Row& row) {
    return stored("a node's progress", [&] { return wire::parse_node_progress(json::parse(row.text(0))); });
}

}  // namespace

std::string_view to_text(RolloutState state) {
    switch (state) {
        case RolloutState::running: return "running";
        case RolloutState::succeeded: return "succeeded";
        case RolloutState::halted: return "halted";
        case RolloutState::superseded: return "superseded";
        case RolloutState::held: return "held";
    }
    return "held";
}

RolloutState parse_rollout_state(std::string_view text) {
    for (const RolloutState state : {RolloutState::running, RolloutState::succeeded, RolloutState::halted,
                                     RolloutState::superseded, RolloutState::held}) {
        if (to_text(state) == text) return state;
    }
    throw Error(ErrorKind::invalid, fmt::format("'{}' is no state of a rollout", text));
}

bool RolloutStore::upsert(const RolloutRecord& record) {
    const wire::Rollout& rollout = record.rollout;
    Transaction scope(database_);
    const bool entered =
        database_.run(
            "INSERT INTO rollouts (app, epoch, id, attempt, record, state, reason, updated_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (app, epoch, id) DO UPDATE SET attempt = excluded.attempt, record = "
            "excluded.record,"
            " state = excluded.state, reason = excluded.reason, updated_ms = excluded.updated_ms"
            " WHERE excluded.attempt >= rollouts.attempt",
            {rollout.app.str(), storable(rollout.key.epoch), rollout.key.id.str(), rollout.attempt,
             json::dump(wire::to_json(rollout)), to_text(record.state), record.reason, record.updated_ms}) > 0;
    if (entered) prune(rollout.app);
    scope.commit();
    return entered;
}

bool RolloutStore::set_state(const AppName& app, const wire::RolloutKey& key, RolloutState state,
                             std::string_view reason, std::int64_t now_ms) {
    return database_.run(
               "UPDATE rollouts SET state = ?, reason = ?, updated_ms = ? WHERE app = ? AND epoch = ? AND id "
               "= ?",
               {to_text(state), reason, now_ms, app.str(), storable(key.epoch), key.id.str()}) > 0;
}

std::optional<RolloutRecord> RolloutStore::get(const AppName& app, const RolloutId& id) const {
    return first_of(database_.query(
        fmt::format("SELECT {} FROM rollouts WHERE app = ? AND id = ? ORDER BY epoch DESC LIMIT 1", columns),
        {app.str(), id.str()}));
}

std::optional<RolloutRecord> RolloutStore::find(const RolloutId& id) const {
    return first_of(database_.query(
        fmt::format("SELECT {} FROM rollouts WHERE id = ? ORDER BY epoch DESC LIMIT 1", columns), {id.str()}));
}

std::optional<RolloutRecord> RolloutStore::newest(const AppName& app) const {
    return first_of(database_.query(
        fmt::format("SELECT {} FROM rollouts WHERE app = ? ORDER BY epoch DESC, id DESC LIMIT 1", columns),
        {app.str()}));
}

std::optional<RolloutRecord> RolloutStore::newest(const AppName& app, RolloutState state) const {
    return first_of(database_.query(
        fmt::format("SELECT {} FROM rollouts WHERE app = ? AND state = ? ORDER BY epoch DESC, id DESC LIMIT 1",
                    columns),
        {app.str(), to_text(state)}));
}

std::vector<RolloutRecord> RolloutStore::list(const AppName& app, std::size_t limit) const {
    std::vector<RolloutRecord> records;
    for (const Row& row : database_.query(
             fmt::format("SELECT {} FROM rollouts WHERE app = ? ORDER BY epoch DESC, id DESC LIMIT ?", columns),
             {app.str(), limit})) {
        records.push_back(record_of(row));
    }
    return records;
}

bool RolloutStore::put_progress(const AppName& app, const wire::NodeProgress& progress) {
    return database_.run(
               "INSERT INTO progress (app, rollout, node, epoch, version, record) VALUES (?, ?, ?, ?, ?, ?)"
               " ON CONFLICT (app, rollout, node) DO UPDATE SET epoch = excluded.epoch, version = "
               "excluded.version,"
               " record = excluded.record WHERE excluded.version > progress.version",
               {app.str(), progress.rollout.id.str(), progress.node.str(), storable(progress.rollout.epoch),
                storable(progress.version), json::dump(wire::to_json(progress))}) > 0;
}

std::vector<wire::NodeProgress> RolloutStore::progress(const AppName& app, const RolloutId& id) const {
    std::vector<wire::NodeProgress> nodes;
    for (const Row& row : database_.query("SELECT record FROM progress WHERE app = ? AND rollout = ? ORDER BY node",
                                          {app.str(), id.str()})) {
        nodes.push_back(progress_of(row));
    }
    return nodes;
}

std::optional<wire::NodeProgress> RolloutStore::progress(const AppName& app, const RolloutId& id,
                                                         const NodeName& node) const {
    const Rows rows = database_.query("SELECT record FROM progress WHERE app = ? AND rollout = ? AND node = ?",
                                      {app.str(), id.str(), node.str()});
    if (rows.empty()) return std::nullopt;
    return progress_of(rows.front());
}

std::size_t RolloutStore::prune(const AppName& app) {
    Transaction scope(database_);
    const Rows oldest =
        database_.query("SELECT epoch, id FROM rollouts WHERE app = ? ORDER BY epoch DESC, id DESC LIMIT 1 OFFSET ?",
                        {app.str(), most_per_app - 1});
    std::size_t pruned = 0;
    if (!oldest.empty()) {
        const Values bound{app.str(), oldest.front().whole(0), oldest.front().text(1)};
        pruned =
            database_.run("DELETE FROM rollouts WHERE app = ? AND (epoch, id) < (?, ?) AND state <> 'running'", bound);
        database_.run(
            "DELETE FROM progress WHERE app = ? AND (epoch, rollout) < (?, ?) AND NOT EXISTS"
            " (SELECT 1 FROM rollouts WHERE rollouts.app = progress.app AND rollouts.epoch = progress.epoch"
            " AND rollouts.id = progress.rollout)",
            bound);
    }
    scope.commit();
    return pruned;
}

}  // namespace baton::store
