// SPDX-License-Identifier: MIT
// The hands of one app.
#include "agent/engine/runner.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/build/steps/step_environment.h"
#include "agent/build/strategy/publisher.h"
#include "agent/engine/recorder.h"
#include "agent/engine/settings.h"
#include "common/config/load.h"
#include "common/error.h"
#include "common/file.h"
#include "common/git/repository.h"
#include "common/git/workspace.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::engine {
namespace {

namespace fs = std::filesystem;
using wire::BuildState;
using wire::Stage;

chain::SwitchEnd end_of(build::SwitchOutcome outcome) {
    switch (outcome) {
        case build::SwitchOutcome::in_service: return chain::SwitchEnd::in_service;
        case build::SwitchOutcome::restored: return chain::SwitchEnd::restored;
        case build::SwitchOutcome::untouched: return chain::SwitchEnd::untouched;
        case build::SwitchOutcome::failed: return chain::SwitchEnd::failed;
        case build::SwitchOutcome::stuck:
        case build::SwitchOutcome::left: return chain::SwitchEnd::stuck;
    }
    return chain::SwitchEnd::stuck;
}

/// Of what is no build: an app that is brought up after a boot.
class Unrecorded final : public build::Listener {
  public:
    void stage_began(wire::Stage /*stage*/) override {}
    void waits_for(const std::string& /*what*/) override {}
    void step_ended(const build::StepRecord& /*step*/) override {}
    void tests_read(const build::TestReport& /*report*/) override {}
    void release_made(const fs::path& /*release*/) override {}
    void once_started() override {}
    void once_done() override {}
};

}  // namespace

Runner::Runner(RunnerContext context)
    : context_(std::move(context)),
      paths_(context_.config.state_dir, context_.app.name),
      records_(context_.config, context_.app, context_.store, context_.clock, context_.events, paths_),
      doorman_(
          context_.config, context_.app, [this] { return spec_of_current(); }, paths_.logs / "load-balancer.log") {
    for (const auto& folder : {paths_.workspaces, paths_.cache, paths_.logs, paths_.artifacts}) {
        fs::create_directories(folder);
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

void Runner::prepare(const wire::Rollout& rollout, bool ahead, bool again) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.emplace_back(PrepareJob{rollout, ahead, again});
    }
    wake_.notify_all();
}

void Runner::switch_over(const chain::Ticket& ticket, const wire::Rollout& rollout,
                         const build::SwitchOptions& options) {
    {
        const std::lock_guard lock(mutex_);
        // A permit is held: nothing that waits in the queue may delay the way back into service.
        jobs_.emplace_front(SwitchJob{ticket, rollout, options});
    }
    wake_.notify_all();
}

void Runner::bring_up(const wire::Rollout& current) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.emplace_front(BringUpJob{current});
    }
    wake_.notify_all();
}

bool Runner::switching() const {
    const std::lock_guard lock(mutex_);
    return switching_;
}

void Runner::leave() {
    leaving_.request_stop();
    wake_.notify_all();
}

void Runner::stop() {
    doorman_.stop();
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
}

bool Runner::cancel(const wire::Target& target, BuildState as, const std::string& reason) {
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(jobs_, [&](const Job& job) {
            const auto* prepare = std::get_if<PrepareJob>(&job);
            return prepare != nullptr && prepare->rollout.target() == target;
        });
        if (running_ == target) {
            cancelled_as_ = as;
            cancelled_because_ = reason;
            running_stop_.request_stop();
            return true;
        }
    }
    auto record = records_.open(target);
    if (!record || record->stage != Stage::permit) return false;
    records_.end(*record, as, reason);
    return true;
}

void Runner::work(const std::stop_token& stop) {
    while (true) {
        std::optional<Job> job;
        {
            std::unique_lock lock(mutex_);
            if (!wake_.wait(lock, stop, [&] { return !jobs_.empty() || leaving_.stop_requested(); })) return;
            if (leaving_.stop_requested()) return;
            job = std::move(jobs_.front());
            jobs_.pop_front();
            // Under the same lock: a cancel finds the job either in the queue or here, never in between.
            busy_ = target_of(*job);
            switching_ = !std::holds_alternative<PrepareJob>(*job);
            if (!switching_) begin_cancellable(*busy_);
        }
        if (stop.stop_requested()) return;
        try {
            std::visit([&](const auto& some) { run(some, stop); }, *job);
        } catch (const Error& error) {
            // A record that could not be stored, a mirror that is gone: the job is over, and the protocol must know.
            log::error("build", "a job failed", {{"app", context_.app.name}, {"reason", error.text()}});
            give_up(*job, error.text());
        }
        const std::lock_guard lock(mutex_);
        busy_.reset();
        running_.reset();
        switching_ = false;
    }
}

wire::Target Runner::target_of(const Job& job) {
    if (const auto* prepare = std::get_if<PrepareJob>(&job)) return prepare->rollout.target();
    if (const auto* over = std::get_if<SwitchJob>(&job)) return over->rollout.target();
    return std::get<BringUpJob>(job).current.target();
}

void Runner::begin_cancellable(const wire::Target& target) {
    running_ = target;
    running_stop_ = std::stop_source();
    cancelled_as_ = BuildState::cancelled;
    cancelled_because_.clear();
}

bool Runner::has(const wire::Target& target) const {
    const std::lock_guard lock(mutex_);
    return busy_ == target || std::ranges::any_of(jobs_, [&](const Job& job) { return target_of(job) == target; });
}

void Runner::give_up(const Job& job, const std::string& reason) {
    {
        const std::lock_guard lock(mutex_);
        running_.reset();
    }
    if (const auto* prepare = std::get_if<PrepareJob>(&job)) {
        context_.events.build_failed(prepare->rollout.target(), reason);
    } else if (const auto* over = std::get_if<SwitchJob>(&job)) {
        // Errors leave a switch before it touched the node: see run(SwitchJob).
        context_.events.switched(over->ticket, over->rollout, chain::SwitchEnd::untouched, reason);
    }
}

build::BuildSpec Runner::spec_for(const store::BuildRecord& record, const wire::Rollout& rollout) const {
    build::BuildSpec spec;
    spec.agent = &context_.config;
    spec.app = &context_.app;
    auto opened = context_.seal.open(context_.app, rollout.parameters);
    spec.rollout = rollout;
    spec.rollout.parameters = std::move(opened.parameters);
    spec.unreadable_parameters = std::move(opened.unreadable);
    spec.number = record.number;
    spec.mirror = paths_.mirror;
    spec.workspace = paths_.workspaces / std::to_string(record.number);
    spec.cache = paths_.cache;
    spec.log_file = paths_.log(record.number);
    spec.artifacts = paths_.artifacts_of(record.number);
    const auto* self = context_.config.find_node(context_.config.self);
    spec.agent_url =
        !context_.config.public_url.empty()
            ? context_.config.public_url
            : fmt::format("{}://{}/", context_.config.security.tls ? "https" : "http", self->address.text());
    spec.previous_commit = record.previous_commit;
    constexpr std::array good{BuildState::succeeded};
    if (const auto last_good = context_.store.builds.newest(record.app, good)) {
        spec.previous_good_commit = last_good->commit;
    }
    spec.last_green_tests = context_.store.builds.last_green_test_count(record.app);
    spec.service = &context_.service;
    spec.fetch_from_peers = context_.fetch_from_peers;
    spec.secrets = secrets_of(context_.app, spec.rollout.parameters);
    return spec;
}

config::Pipeline Runner::pipeline_at(const CommitId& commit) const {
    const git::Repository repository(paths_.mirror);
    constexpr std::size_t most_bytes = 256UL * 1024;
    const auto text = repository.read_blob(commit, context_.app.pipeline.string(), most_bytes);
    if (!text) {
        throw Error(ErrorKind::not_found,
                    fmt::format("commit {} has no {}", commit.str().substr(0, 12), context_.app.pipeline.string()));
    }
    // It has passed fetch, which asks for what new releases must have.
    return config::parse_pipeline(*text, context_.app.pipeline.string(), config::PipelineOf::kept_release);
}

bool Runner::answered_before(const wire::Rollout& rollout, bool again) {
    const auto target = rollout.target();
    auto earlier = context_.store.builds.for_rollout(context_.app.name, target.key.id);
    if (!earlier || earlier->attempt != target.attempt) return false;
    if (earlier->finished_ms != 0) {
        // The protocol did not hear of it, or asks twice: what failed is not built again under the same attempt, unless
        // it says so.
        if (again) return false;
        if (earlier->state == BuildState::failed) context_.events.build_failed(target, earlier->message);
        return earlier->state == BuildState::failed;
    }
    if (earlier->stage == Stage::permit && fs::exists(earlier->release_path)) {
        const auto pipeline = pipeline_at(rollout.commit);
        context_.events.build_ready(target, pipeline.switch_over.has_value(), pipeline.has_once_steps());
        return true;
    }
    records_.end(*earlier, BuildState::cancelled, "the agent was stopped during this build");
    return false;
}

void Runner::clear_workspaces() const {
    // An app never builds twice at once here: whatever lies there was left behind when the agent was killed.
    std::error_code fault;
    for (fs::directory_iterator it(paths_.workspaces, fault), end; !fault && it != end; it.increment(fault)) {
        try {
            git::remove_workspace(it->path());
        } catch (const Error& error) {
            log::warning("build", "a workspace could not be removed",
                         {{"path", it->path().string()}, {"reason", error.text()}});
        }
    }
}

void Runner::run(const PrepareJob& job, const std::stop_token& stop) {
    const auto target = job.rollout.target();
    if (answered_before(job.rollout, job.again)) return;
    // The agent's own end cancels like anybody else.
    const std::stop_callback forward(stop, [this] { running_stop_.request_stop(); });
    auto record = records_.begin(job.rollout, job.ahead);
    Recorder recorder(context_.store, context_.clock, context_.events, record, std::nullopt);
    context_.events.build_changed(record);
    std::optional<Error> failure;
    std::optional<build::Prepared> prepared;
    {
        const auto place = context_.slots.take(running_stop_.get_token());
        auto spec = spec_for(record, job.rollout);
        spec.ahead = job.ahead;
        spec.executor = place.number();
        clear_workspaces();
        try {
            if (!place.granted()) throw Error(ErrorKind::cancelled, "cancelled while it waited for an executor");
            if (!spec.unreadable_parameters.empty()) throw Error(ErrorKind::invalid, spec.unreadable_parameters);
            prepared = build::prepare(spec, recorder, running_stop_.get_token());
        } catch (const Error& error) {
            failure = error;
        }
    }
    bool cancelled = false;
    BuildState cancelled_as = BuildState::cancelled;
    std::string because;
    {
        const std::lock_guard lock(mutex_);
        cancelled = running_stop_.stop_requested();
        cancelled_as = cancelled_as_;
        because = cancelled_because_;
        running_.reset();
        if (!cancelled && prepared && prepared->pipeline.switch_over) {
            // Under the lock: a cancel that comes from now on finds a build that waits for its permit.
            record.release_path = prepared->release.string();
            record.stage = Stage::permit;
            record.stage_ms = to_epoch_ms(context_.clock.wall());
            record.message.clear();
            context_.store.builds.save(record);
        }
    }
    if (stop.stop_requested()) return;  // the next start of the agent finds the record without an end
    if (cancelled) {
        records_.end(record, cancelled_as, because);
        return;
    }
    if (failure) {
        records_.end(record, BuildState::failed, failure->text());
        context_.events.build_failed(target, failure->text());
        return;
    }
    // A later forced push must not let git clear away what this node may have to go back to.
    git::Repository(paths_.mirror).keep(job.rollout.commit);
    const bool deploys = prepared->pipeline.switch_over.has_value();
    if (deploys) {
        context_.events.build_changed(record);
    } else {
        records_.end(record, BuildState::succeeded, {});
    }
    context_.events.build_ready(target, deploys, prepared->pipeline.has_once_steps());
}

void Runner::run(const SwitchJob& job, const std::stop_token& stop) {
    const auto target = job.rollout.target();
    auto record = records_.open(target);
    if (!record) record = records_.reopen(job.rollout);
    Recorder recorder(context_.store, context_.clock, context_.events, *record, job.ticket);
    build::SwitchResult result;
    try {
        const auto pipeline = pipeline_at(job.rollout.commit);
        // Unknown until it is over: if this process dies in between, that is what the ledger says.
        if (pipeline.switch_over) records_.note_cost(*record, build::SwitchCost{});
        auto options = job.options;
        options.leave = leaving_.get_token();
        const auto spec = spec_for(*record, job.rollout);
        if (!spec.unreadable_parameters.empty()) {
            if (!options.redo) throw Error(ErrorKind::invalid, spec.unreadable_parameters);
            // It was begun, and cannot be gone on with: it is undone.
            options.restore_only = true;
            options.reason = spec.unreadable_parameters;
        }
        const auto door = doorman_.hold();
        result = build::switch_over(spec, pipeline, record->release_path, options, recorder, stop);
        if (result.cost) records_.note_cost(*record, *result.cost);
    } catch (const Error& error) {
        // Before anything of the node was touched: switch_over itself does not throw.
        result = {build::SwitchOutcome::untouched, error.text()};
    }
    // Taken up again at the next start.
    if (result.outcome == build::SwitchOutcome::left) return;
    if (stop.stop_requested() && result.outcome != build::SwitchOutcome::in_service) return;
    switch (result.outcome) {
        case build::SwitchOutcome::in_service:
            record->stage = Stage::handoff;
            records_.end(*record, BuildState::succeeded, {});
            break;
        case build::SwitchOutcome::restored: records_.end(*record, BuildState::restored, result.reason); break;
        case build::SwitchOutcome::untouched:
            // It waits again, with the release that it has; the protocol tries once more or says that it has failed.
            recorder.stage_began(Stage::permit);
            recorder.waits_for(result.reason);
            break;
        case build::SwitchOutcome::failed: records_.end(*record, BuildState::failed, result.reason); break;
        case build::SwitchOutcome::stuck: records_.end(*record, BuildState::stuck, result.reason); break;
        case build::SwitchOutcome::left: break;  // answered above
    }
    context_.events.switched(job.ticket, job.rollout, end_of(result.outcome), result.reason);
}

std::optional<Runner::Live> Runner::live() const {
    if (context_.app.deploy_to.empty()) return std::nullopt;
    const build::Publisher publisher(context_.app.deploy_to, build::step_account(context_.app));
    const auto release = publisher.current();
    if (!release) return std::nullopt;
    const auto record = publisher.record_of(*release);
    if (!record) return std::nullopt;
    return Live{*release, record->commit, record->build,
                config::parse_pipeline(record->pipeline, record->id, config::PipelineOf::kept_release)};
}

build::BuildSpec Runner::spec_of_current() const {
    wire::Rollout rollout;
    rollout.app = context_.app.name;
    if (const auto what = live()) rollout.commit = what->commit;
    store::BuildRecord record;
    record.app = context_.app.name;
    return spec_for(record, rollout);
}

void Runner::run(const BringUpJob& job, const std::stop_token& stop) {
    try {
        auto what = live();
        if (!what || !what->pipeline.switch_over) {
            if (!job.current.commit.empty()) {
                log::error("build", "the app is down, and there is no release to start", {{"app", context_.app.name}});
            }
            return;
        }
        // What is current was deployed and migrated before: it is only started. No build, so nothing is recorded.
        what->pipeline.migrate.clear();
        wire::Rollout rollout = job.current;
        rollout.app = context_.app.name;
        rollout.commit = what->commit;
        store::BuildRecord record;
        record.app = context_.app.name;
        record.number = what->build;
        Unrecorded listener;
        build::SwitchOptions options;
        options.redo = true;
        const auto door = doorman_.hold();
        const auto result =
            build::switch_over(spec_for(record, rollout), what->pipeline, what->release, options, listener, stop);
        const bool up = result.outcome == build::SwitchOutcome::in_service;
        log::info("build", up ? "the app was down and has been started" : "the app is down and did not start",
                  {{"app", record.app}, {"commit", what->commit}, {"reason", result.reason}});
    } catch (const Error& error) {
        log::error("build", "the app is down and cannot be started",
                   {{"app", context_.app.name}, {"reason", error.text()}});
    }
}

bool Runner::healthy_now(const CommitId& current, const std::stop_token& stop) {
    try {
        const auto what = live();
        if (!what) return current.empty() || context_.app.deploy_to.empty();
        if (!what->pipeline.health) return true;
        auto spec = spec_of_current();
        // The caller says what the load balancer hears: a node that catches up is healthy and does not serve.
        spec.service = nullptr;
        return build::healthy_now(spec, what->pipeline, stop);
    } catch (const Error& error) {
        if (!stop.stop_requested()) {
            log::warning("build", "cannot look at the app's health",
                         {{"app", context_.app.name}, {"reason", error.text()}});
        }
        return false;
    }
}

}  // namespace baton::engine
