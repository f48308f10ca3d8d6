// SPDX-License-Identifier: MIT
// What this node built: one row a build, numbered from 1 an app.
#include "agent/store/build_store.h"

#include <fmt/format.h>

#include "agent/store/records.h"
#include "common/error.h"

namespace baton::store {

namespace {

constexpr std::string_view columns =
    "app, number, epoch, rollout, attempt, kind, commit_id, previous_commit, stage, state, started_ms, "
    "stage_ms,"
    " finished_ms, message, release_path, pipeline, queue_id, tests_total, tests_failed, tests_skipped,"
    " tests_duration_ms, failing_tests, steps, changes, causes, parameters";

/// In the order of `columns`.
Values values_of(const BuildRecord& record, unsigned number) {
    Values values{record.app.str(),
                  number,
                  storable(record.rollout.epoch),
                  record.rollout.id.str(),
                  record.attempt,
                  wire::to_text(record.kind),
                  record.commit.str(),
                  record.previous_commit.str(),
                  wire::to_text(record.stage),
                  wire::to_text(record.state),
                  record.started_ms,
                  record.stage_ms,
                  record.finished_ms,
                  record.message,
                  record.release_path,
                  record.pipeline,
                  storable(record.queue_id)};
    if (record.tests) {
        values.insert(values.end(),
                      {record.tests->total, record.tests->failed, record.tests->skipped, record.tests->duration_ms});
    } else {
        values.insert(values.end(), 4, Value(std::nullopt));
    }
    values.insert(values.end(), {record.failing_tests, record.steps, record.changes, causes_to_text(record.causes),
                                 parameters_to_text(record.parameters)});
    return values;
}

BuildRecord record_of(const Row& row) {
    return stored("a build", [&] {
        BuildRecord record;
        record.app = AppName(row.text(0));
        record.number = row.number(1);
        record.rollout = {row.count(2), RolloutId(row.text(3))};
        record.attempt = row.number(4);
        record.kind = wire::parse_rollout_kind(row.text(5));
        record.commit = CommitId(row.text(6));
        record.previous_commit = CommitId(row.text(7));
        record.stage = wire::parse_stage(row.text(8));
        record.state = wire::parse_build_state(row.text(9));
        record.started_ms = row.whole(10);
        record.stage_ms = row.whole(11);
        record.finished_ms = row.whole(12);
        record.message = row.text(13);
        record.release_path = row.text(14);
        record.pipeline = row.text(15);
        record.queue_id = row.count(16);
        if (!row.is_null(17)) record.tests = TestTotals{row.number(17), row.number(18), row.number(19), row.whole(20)};
        record.failing_tests = row.text(21);
        record.steps = row.text(22);
        record.changes = row.text(23);
        record.causes = parse_causes(row.text(24));
        record.parameters = parse_parameters(row.text(25));
        return record;
    });
}

std::vector<BuildRecord> records_of(const Rows& rows) {
    std::vector<BuildRecord> records;
    records.reserve(rows.size());
    for (const Row& row : rows) records.push_back(record_of(row));
    return records;
}

std::optional<BuildRecord> first_of(const Rows& rows) {
    if (rows.empty()) return std::nullopt;
    return record_of(rows.front());
}

std::string select(std::string_view rest) { return fmt::format("SELECT {} FROM builds {}", columns, rest); }

Error no_such_build(const AppName& app, unsigned number) {
    return Error(ErrorKind::not_found, fmt::format("{} has no build {}", app, number));
}

}  // namespace

unsigned BuildStore::insert(const BuildRecord& record) {
    Transaction scope(database_);
    const unsigned number = database_
                                .run_returning(
                                    "INSERT INTO build_numbers (app, last) VALUES (?, 1)"
                                    " ON CONFLICT (app) DO UPDATE SET last = last + 1 RETURNING last",
                                    {record.app.str()})
                                .at(0)
                                .number(0);
    database_.run(fmt::format("INSERT INTO builds ({}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                              " ?, ?, ?, ?, ?, ?, ?, ?)",
                              columns),
                  values_of(record, number));
    scope.commit();
    return number;
}

unsigned BuildStore::next_number(const AppName& app) const {
    const Rows rows = database_.query("SELECT last FROM build_numbers WHERE app = ?", {app.str()});
    return rows.empty() ? 1 : rows.front().number(0) + 1;
}

void BuildStore::save(const BuildRecord& record) {
    Values values = values_of(record, record.number);
    values.insert(values.end(), {record.app.str(), record.number});
    const std::size_t changed = database_.run(
        fmt::format("UPDATE builds SET ({}) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                    " ?, ?, ?) WHERE app = ? AND number = ?",
                    columns),
        values);
    if (changed == 0) throw no_such_build(record.app, record.number);
}

void BuildStore::update_stage(const AppName& app, unsigned number, wire::Stage stage, wire::BuildState state,
                              std::string_view message, std::int64_t now_ms) {
    const std::size_t changed = database_.run(
        "UPDATE builds SET stage_ms = iif(stage = ?1, stage_ms, ?2), stage = ?1, state = ?3, message = ?4"
        " WHERE app = ?5 AND number = ?6",
        {wire::to_text(stage), now_ms, wire::to_text(state), message, app.str(), number});
    if (changed == 0) throw no_such_build(app, number);
}

void BuildStore::finish(const AppName& app, unsigned number, wire::BuildState state, std::string_view message,
                        std::int64_t now_ms) {
    const std::size_t changed = database_.run(
        "UPDATE builds SET stage = 'done', stage_ms = ?1, finished_ms = ?1, state = ?2, message = ?3"
        " WHERE app = ?4 AND number = ?5",
        {now_ms, wire::to_text(state), message, app.str(), number});
    if (changed == 0) throw no_such_build(app, number);
}

std::optional<BuildRecord> BuildStore::get(const AppName& app, unsigned number) const {
    return first_of(database_.query(select("WHERE app = ? AND number = ?"), {app.str(), number}));
}

std::vector<BuildRecord> BuildStore::list(const AppName& app, std::size_t limit) const {
    return records_of(database_.query(select("WHERE app = ? ORDER BY number DESC LIMIT ?"), {app.str(), limit}));
}

std::vector<BuildRecord> BuildStore::list(const AppName& app, std::size_t limit, unsigned before) const {
    return records_of(database_.query(select("WHERE app = ? AND number < ? ORDER BY number DESC LIMIT ?"),
                                      {app.str(), before, limit}));
}

std::optional<BuildRecord> BuildStore::newest(const AppName& app) const {
    return first_of(database_.query(select("WHERE app = ? ORDER BY number DESC LIMIT 1"), {app.str()}));
}

std::optional<BuildRecord> BuildStore::newest(const AppName& app, std::span<const wire::BuildState> states) const {
    if (states.empty()) return std::nullopt;
    Values values{app.str()};
    std::string marks;
    for (const wire::BuildState state : states) {
        values.emplace_back(wire::to_text(state));
        marks += marks.empty() ? "?" : ", ?";
    }
    return first_of(database_.query(
        select(fmt::format("WHERE app = ? AND state IN ({}) ORDER BY number DESC LIMIT 1", marks)), values));
}

std::optional<BuildRecord> BuildStore::for_rollout(const AppName& app, const RolloutId& rollout) const {
    return first_of(database_.query(select("WHERE app = ? AND rollout = ? ORDER BY number DESC LIMIT 1"),
                                    {app.str(), rollout.str()}));
}

std::optional<unsigned> BuildStore::last_green_test_count(const AppName& app) const {
    const Rows rows = database_.query(
        "SELECT tests_total FROM builds WHERE app = ? AND state = 'succeeded' AND tests_total IS NOT NULL"
        " ORDER BY number DESC LIMIT 1",
        {app.str()});
    if (rows.empty()) return std::nullopt;
    return rows.front().number(0);
}

std::vector<BuildRecord> BuildStore::unfinished() const {
    return records_of(database_.query(select("WHERE finished_ms = 0 ORDER BY app, number")));
}

std::vector<unsigned> BuildStore::prune(const AppName& app, std::size_t keep) {
    std::vector<unsigned> pruned;
    const Rows rows = database_.run_returning(
        "DELETE FROM builds WHERE app = ?1 AND finished_ms <> 0"
        " AND number NOT IN (SELECT number FROM builds WHERE app = ?1 ORDER BY number DESC LIMIT ?2)"
        " AND number <> (SELECT coalesce(max(number), 0) FROM builds WHERE app = ?1 AND state = 'succeeded')"
        " RETURNING number",
        {app.str(), keep});
    for (const Row& row : rows) pruned.push_back(row.number(0));
    return pruned;
}

}  // namespace baton::store
