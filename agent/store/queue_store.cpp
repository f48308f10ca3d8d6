// SPDX-License-Identifier: MIT
// The queue of accepted triggers.
#include "agent/store/queue_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/store/records.h"
#include "common/error.h"

namespace baton::store {

namespace {

constexpr std::string_view columns =
    "id, app, parameters, causes, commit_id, by_name, created_ms, due_ms, state, left_ms, rollout, build, "
    "reason";

QueueItem item_of(const Row& row) {
    QueueItem item;
    item.id = row.count(0);
    item.app = AppName(row.text(1));
    item.parameters = parse_parameters(row.text(2));
    item.causes = parse_causes(row.text(3));
    item.commit = CommitId(row.text(4));
    item.by_name = row.flag(5);
    item.created_ms = row.whole(6);
    item.due_ms = row.whole(7);
    item.state = stored("a queue item", [&] { return parse_queue_state(row.text(8)); });
    item.left_ms = row.whole(9);
    item.rollout = RolloutId(row.text(10));
    item.build = row.number(11);
    item.reason = row.text(12);
    return item;
}

std::vector<QueueItem> items_of(const Rows& rows) {
    std::vector<QueueItem> items;
    items.reserve(rows.size());
    for (const Row& row : rows) items.push_back(item_of(row));
    return items;
}

/// The next id: one above the last, which began with the time at which the database was made.
std::uint64_t take_id(Database& database) {
    const Rows rows = database.run_returning(
        "UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE key = 'queue_id' RETURNING "
        "value");
    if (rows.empty()) throw Error(ErrorKind::corrupt, "the database has lost the number of its last queue item");
    return rows.front().count(0);
}

void merge(Database& database, QueueItem old, const QueueItem& item) {
    for (const wire::Cause& cause : item.causes) {
        const bool known = std::find(old.causes.begin(), old.causes.end(), cause) != old.causes.end();
        if (!known && old.causes.size() < QueueStore::most_causes) old.causes.push_back(cause);
    }
    database.run("UPDATE queue SET causes = ?, due_ms = ?, by_name = ? WHERE id = ?",
                 {causes_to_text(old.causes), std::min(old.due_ms, item.due_ms), old.by_name || item.by_name, old.id});
}

}  // namespace

std::string_view to_text(QueueState state) {
    switch (state) {
        case QueueState::waiting: return "waiting";
        case QueueState::started: return "started";
        case QueueState::held: return "held";
        case QueueState::cancelled: return "cancelled";
        case QueueState::refused: return "refused";
    }
    return "refused";
}

QueueState parse_queue_state(std::string_view text) {
    for (const QueueState state :
         {QueueState::waiting, QueueState::started, QueueState::held, QueueState::cancelled, QueueState::refused}) {
        if (to_text(state) == text) return state;
    }
    throw Error(ErrorKind::invalid, fmt::format("'{}' is no state of a queue item", text));
}

Queued QueueStore::add_or_coalesce(const QueueItem& item) {
    const std::string parameters = parameters_to_text(item.parameters);
    Transaction scope(database_);
    const Rows same = database_.query(
        fmt::format("SELECT {} FROM queue WHERE state = 'waiting' AND app = ? AND parameters = ? AND commit_id = ?"
                    " ORDER BY id LIMIT 1",
                    columns),
        {item.app.str(), parameters, item.commit.str()});
    if (!same.empty()) {
        QueueItem old = item_of(same.front());
        const std::uint64_t id = old.id;
        merge(database_, std::move(old), item);
        scope.commit();
        return {id, true};
    }
    const std::uint64_t waiting = database_.query("SELECT count(*) FROM queue WHERE state = 'waiting'").at(0).count(0);
    if (waiting >= most_waiting) {
        throw Error(ErrorKind::too_large,
                    fmt::format("{} triggers wait already; try again when some of them have started", waiting));
    }
    const std::uint64_t id = take_id(database_);
    std::vector<wire::Cause> causes = item.causes;
    if (causes.size() > most_causes) causes.resize(most_causes);
    database_.run(
        "INSERT INTO queue (id, app, parameters, causes, commit_id, by_name, created_ms, due_ms, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting')",
        {id, item.app.str(), parameters, causes_to_text(causes), item.commit.str(), item.by_name, item.created_ms,
         item.due_ms});
    scope.commit();
    return {id, false};
}

std::vector<QueueItem> QueueStore::due(std::int64_t now_ms) const {
    return items_of(database_.query(
        fmt::format("SELECT {} FROM queue WHERE state = 'waiting' AND due_ms <= ? ORDER BY due_ms, id", columns),
        {now_ms}));
}

std::optional<std::int64_t> QueueStore::next_due_ms() const {
    const Rows rows = database_.query("SELECT min(due_ms) FROM queue WHERE state = 'waiting'");
    if (rows.empty() || rows.front().is_null(0)) return std::nullopt;
    return rows.front().whole(0);
}

std::optional<std::uint64_t> QueueStore::first_of(const AppName& app, const RolloutId& rollout) const {
    const Rows rows = database_.query("SELECT min(id) FROM queue WHERE app = ? AND rollout = ? AND state = 'started'",
                                      {app.str(), rollout.str()});
    if (rows.empty() || rows.front().is_null(0)) return std::nullopt;
    return static_cast<std::uint64_t>(rows.front().whole(0));
}

std::vector<QueueItem> QueueStore::of_rollout(const AppName& app, const RolloutId& rollout) const {
    return items_of(database_.query(
        fmt::format("SELECT {} FROM queue WHERE app = ? AND rollout = ? AND state = 'started' ORDER BY id", columns),
        {app.str(), rollout.str()}));
}

bool QueueStore::finish(std::uint64_t id, const QueueOutcome& outcome, std::int64_t now_ms) {
    if (outcome.state == QueueState::waiting) throw Error(ErrorKind::internal, "a queue item cannot leave as waiting");
    return database_.run(
               "UPDATE queue SET state = ?, rollout = ?, build = ?, reason = ?, left_ms = ?"
               " WHERE id = ? AND state = 'waiting'",
               {to_text(outcome.state), outcome.rollout.str(), outcome.build, outcome.reason, now_ms, id}) > 0;
}

void QueueStore::explain(std::uint64_t id, std::string_view reason) {
    database_.run("UPDATE queue SET reason = ? WHERE id = ? AND state = 'waiting'", {std::string(reason), id});
}

void QueueStore::set_build(std::uint64_t id, unsigned build) {
    database_.run("UPDATE queue SET build = ? WHERE id = ? AND state = 'started'", {build, id});
}

bool QueueStore::cancel(std::uint64_t id, std::string_view reason, std::int64_t now_ms) {
    return finish(id, {QueueState::cancelled, {}, 0, std::string(reason)}, now_ms);
}

std::size_t QueueStore::cancel_all(const AppName& app, std::string_view reason, std::int64_t now_ms) {
    return database_.run(
        "UPDATE queue SET state = 'cancelled', reason = ?, left_ms = ? WHERE state = 'waiting' AND app = ?",
        {reason, now_ms, app.str()});
}

std::optional<QueueItem> QueueStore::get(std::uint64_t id) const {
    const Rows rows = database_.query(fmt::format("SELECT {} FROM queue WHERE id = ?", columns), {storable(id)});
    if (rows.empty()) return std::nullopt;
    return item_of(rows.front());
}

std::vector<QueueItem> QueueStore::list() const {
    return items_of(database_.query(fmt::format("SELECT {} FROM queue WHERE state = 'waiting' ORDER BY id", columns)));
}

std::vector<QueueItem> QueueStore::list(const AppName& app) const {
    return items_of(database_.query(
        fmt::format("SELECT {} FROM queue WHERE state = 'waiting' AND app = ? ORDER BY id", columns), {app.str()}));
}

std::size_t QueueStore::prune(std::int64_t now_ms) {
    return database_.run("DELETE FROM queue WHERE state <> 'waiting' AND left_ms < ?", {now_ms - kept_ms});
}

}  // namespace baton::store
