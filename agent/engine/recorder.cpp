// SPDX-License-Identifier: MIT
// What a build tells while it runs, written into its record.
#include "agent/engine/recorder.h"

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json.h"
#include "common/log.h"

namespace baton::engine {

void Recorder::save() {
    // A full disk must not decide how a switch goes: the record is for people, the protocol's state is kept apart.
    try {
        store_.builds.save(record_);
    } catch (const Error& error) {
        log::error("build", "cannot store the build's record",
                   {{"app", record_.app}, {"build", record_.number}, {"reason", error.text()}});
    }
    events_.build_changed(record_);
}

void Recorder::stage_began(wire::Stage stage) {
    record_.stage = stage;
    record_.stage_ms = to_epoch_ms(clock_.wall());
    record_.message.clear();
    log::info("build", "stage",
              {{"app", record_.app},
               {"build", record_.number},
               {"stage", wire::to_text(stage)},
               {"rollout", record_.rollout.id},
               {"commit", record_.commit.str().substr(0, 12)}});
    save();
}

void Recorder::waits_for(const std::string& what) {
    if (record_.message == what) return;
    record_.message = what;
    save();
}

void Recorder::step_ended(const build::StepRecord& step) {
    json::Value steps = record_.steps.empty() ? json::Value::array() : json::parse(record_.steps);
    steps.push_back({{"stage", std::string(wire::to_text(step.stage))},
                     {"name", step.name},
                     {"started_ms", step.started_ms},
                     {"finished_ms", step.finished_ms},
                     {"outcome", step.outcome}});
    record_.steps = json::dump(steps);
    save();
}

void Recorder::tests_read(const build::TestReport& report) {
    record_.tests = store::TestTotals{report.total, report.failed, report.skipped,
                                      static_cast<std::int64_t>(report.seconds * 1000)};
    json::Value bad = json::Value::array();
    for (const auto& test : report.bad) {
        bad.push_back({{"suite", test.suite},
                       {"class", test.class_name},
                       {"name", test.name},
                       {"message", test.message},
                       {"seconds", test.seconds}});
    }
    record_.failing_tests = bad.empty() ? std::string() : json::dump(bad);
    save();
}

void Recorder::release_made(const std::filesystem::path& release) {
    record_.release_path = release.string();
    save();
}

void Recorder::once_started() {
    if (ticket_) events_.once_started(*ticket_);
}

void Recorder::once_done() {
    if (ticket_) events_.once_done(*ticket_);
}

}  // namespace baton::engine
