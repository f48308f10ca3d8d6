// SPDX-License-Identifier: MIT
// The records of an app's builds: begun, reopened, ended, cleared away.
#include "agent/engine/build_records.h"

#include <fmt/format.h>

#include "agent/build/steps/step_environment.h"
#include "agent/build/strategy/publisher.h"
#include "agent/engine/console.h"
#include "common/error.h"
#include "common/log.h"

namespace baton::engine {
namespace {

namespace fs = std::filesystem;
using wire::BuildState;
using wire::Stage;

store::LedgerKind kind_of(build::SwitchCost::Kind kind) {
    switch (kind) {
        case build::SwitchCost::Kind::measured: return store::LedgerKind::measured;
        case build::SwitchCost::Kind::assumed: return store::LedgerKind::assumed;
        case build::SwitchCost::Kind::unknown: return store::LedgerKind::unknown;
    }
    return store::LedgerKind::unknown;
}

}  // namespace

AppPaths::AppPaths(const fs::path& state_dir, const AppName& app)
    : mirror(state_dir / "apps" / app.str() / "mirror.git"),
      workspaces(state_dir / "apps" / app.str() / "work"),
      cache(state_dir / "apps" / app.str() / "cache"),
      logs(state_dir / "apps" / app.str() / "logs"),
      artifacts(state_dir / "apps" / app.str() / "artifacts") {}

fs::path AppPaths::log(unsigned build) const { return logs / fmt::format("{}.log", build); }
fs::path AppPaths::artifacts_of(unsigned build) const { return artifacts / std::to_string(build); }

std::optional<store::BuildRecord> BuildRecords::open(const wire::Target& target) const {
    auto record = store_.builds.for_rollout(app_.name, target.key.id);
    if (!record || record->attempt != target.attempt || record->finished_ms != 0) return std::nullopt;
    return record;
}

store::BuildRecord BuildRecords::begin(const wire::Rollout& rollout, bool ahead) {
    store::BuildRecord record;
    record.app = app_.name;
    record.rollout = rollout.key;
    record.attempt = rollout.attempt;
    record.kind = rollout.kind;
    record.commit = rollout.commit;
    if (const auto last = store_.builds.newest(record.app)) record.previous_commit = last->commit;
    record.stage = Stage::fetch;
    record.state = BuildState::running;
    record.started_ms = record.stage_ms = to_epoch_ms(clock_.wall());
    record.causes = {rollout.cause};
    record.parameters = rollout.parameters;
    if (ahead) record.message = "ahead of its turn";
    record.number = store_.builds.insert(record);
    write_console_head(paths_.log(record.number), record.causes, config_.self);
    return record;
}

store::BuildRecord BuildRecords::reopen(const wire::Rollout& rollout) {
    auto last = store_.builds.for_rollout(app_.name, rollout.key.id);
    if (last && last->attempt == rollout.attempt && !last->release_path.empty()) {
        // The agent died between the end of the build and its being known: the switch is gone through once more.
        last->state = BuildState::running;
        last->finished_ms = 0;
        last->message.clear();
        return *last;
    }
    // The record is gone (a database from a back-up): the release is found by its commit, or the switch says no.
    auto record = begin(rollout, false);
    const build::Publisher publisher(app_.deploy_to, build::step_account(app_));
    if (const auto release = publisher.find_release(rollout.commit)) {
        record.release_path = publisher.directory_of(release->id).string();
    }
    return record;
}

void BuildRecords::finish(const wire::Target& target, BuildState as, const std::string& message) {
    auto record = open(target);
    if (record) end(*record, as, message);
}

void BuildRecords::note_stage(const wire::Target& target, Stage stage, const std::string& waits_for) {
    auto record = open(target);
    // Before that stage the record is the runner's own, and after it too.
    if (!record || record->stage != Stage::permit) return;
    if (record->stage == stage && record->message == waits_for) return;
    if (record->stage != stage) record->stage_ms = to_epoch_ms(clock_.wall());
    record->stage = stage;
    record->message = waits_for;
    store_.builds.save(*record);
    events_.build_changed(*record);
}

void BuildRecords::end(store::BuildRecord& record, BuildState state, const std::string& message) {
    record.state = state;
    record.message = message;
    if (state == BuildState::succeeded) record.stage = Stage::done;
    record.finished_ms = to_epoch_ms(clock_.wall());
    write_console_tail(paths_.log(record.number), state, message);
    try {
        // Kept with the build: a client may look for its queue item long after the queue has forgotten it.
        if (record.queue_id == 0) record.queue_id = store_.queue.first_of(record.app, record.rollout.id).value_or(0);
        store_.builds.save(record);
    } catch (const Error& error) {
        // How the build ended is the protocol's to know, whether or not its record could be written.
        log::error("build", "cannot store how a build ended", {{"app", record.app}, {"reason", error.text()}});
    }
    events_.build_changed(record);
    log::info("build", "ended",
              {{"app", record.app},
               {"build", record.number},
               {"commit", record.commit},
               {"state", wire::to_text(state)},
               {"reason", message}});
    prune();
}

void BuildRecords::note_cost(const store::BuildRecord& record, const build::SwitchCost& cost) {
    store::LedgerEntry entry;
    entry.node = config_.self;
    entry.app = record.app;
    entry.rollout = record.rollout.id;
    entry.build = record.number;
    entry.dark_ms = cost.dark_ms;
    entry.exposed_ms = cost.exposed_ms;
    entry.outages_ms = cost.outages_ms;
    entry.out_ms = cost.out_ms;
    entry.drain_ms = cost.drain_ms;
    entry.restart_ms = cost.restart_ms;
    entry.rejoin_ms = cost.rejoin_ms;
    entry.cut = cost.cut;
    entry.kind = kind_of(cost.kind);
    entry.at_ms = to_epoch_ms(clock_.wall());
    try {
        store_.ledger.put(entry);
    } catch (const Error& error) {
        // What a deploy cost must not decide how it ends.
        log::error("build", "cannot store what a switch cost", {{"app", record.app}, {"reason", error.text()}});
    }
}

void BuildRecords::prune() {
    try {
        for (const unsigned number : store_.builds.prune(app_.name, app_.keep_builds)) {
            std::error_code ignored;
            fs::remove(paths_.log(number), ignored);
            fs::remove_all(paths_.artifacts_of(number), ignored);
        }
    } catch (const Error& error) {
        log::warning("build", "cannot clear away old builds", {{"app", app_.name}, {"reason", error.text()}});
    }
}

}  // namespace baton::engine
