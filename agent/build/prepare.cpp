// SPDX-License-Identifier: MIT
// The stages that no user sees: fetch, prepare, test.
#include <fmt/format.h>

#include "agent/build/app_mirror.h"
#include "agent/build/build.h"
#include "agent/build/reports/test_gate.h"
#include "agent/build/steps/build_log.h"
#include "agent/build/steps/step_runner.h"
#include "agent/build/steps/virtualenv.h"
#include "agent/build/strategy/publisher.h"
#include "common/clock.h"
#include "common/config/load.h"
#include "common/error.h"
#include "common/file.h"
#include "common/git/repository.h"
#include "common/git/signature.h"
#include "common/git/workspace.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

git::Mirror app_mirror(const config::AgentConfig& agent, const config::App& app, const fs::path& path) {
    git::Remote remote;
    remote.url = app.repository;
    remote.credentials = {app.credentials.username, app.credentials.password_file, app.credentials.ssh_key_file,
                          app.credentials.known_hosts_file};
    remote.home = agent.state_dir / "git-home";
    return git::Mirror(path, std::move(remote), app.branch);
}

namespace {

constexpr Milliseconds git_limit{10 * 60 * 1000};
constexpr std::uint64_t most_artifact_bytes = 512ULL * 1024 * 1024;

/// The workspace of one build: gone when the stages are over, however they ended.
class Workspace {
  public:
    explicit Workspace(std::vector<fs::path> paths) : paths_(std::move(paths)) {
        for (const auto& path : paths_) git::remove_workspace(path);
    }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;
    ~Workspace() {
        for (const auto& path : paths_) {
            try {
                git::remove_workspace(path);
            } catch (const std::exception& error) {
                log::warning("build", "a workspace could not be removed",
                             {{"path", path.string()}, {"error", error.what()}});
            }
        }
    }

  private:
    std::vector<fs::path> paths_;
};

class Preparation {
  public:
    Preparation(const BuildSpec& spec, Listener& listener, const std::stop_token& stop)
        : spec_(spec),
          listener_(listener),
          stop_(stop),
          log_(spec.log_file, spec.app->max_log_bytes, spec.secrets),
          runner_(spec, log_, listener),
          mirror_(app_mirror(*spec.agent, *spec.app, spec.mirror)) {}

    Prepared run() {
        try {
            begin(wire::Stage::fetch);
            read_commit();
            if (spec_.rollout.kind == wire::RolloutKind::rollback && take_existing_release())
                return std::move(prepared_);
            const Workspace workspace({spec_.workspace, spec_.temporary()});
            export_commit();
            begin(wire::Stage::prepare);
            prepare_steps();
            begin(wire::Stage::test);
            test_steps();
            complete();
            return std::move(prepared_);
        } catch (const Error& error) {
            log_.line(error.kind() == ErrorKind::cancelled ? "cancelled" : fmt::format("failed: {}", error.text()));
            throw;
        }
    }

  private:
    void begin(wire::Stage stage) {
        if (stop_.stop_requested()) throw Error(ErrorKind::cancelled, "cancelled");
        log_.line(fmt::format("stage {}", wire::to_text(stage)));
        listener_.stage_began(stage);
    }

    static Instant git_deadline() { return SystemClock().now() + git_limit; }

    void read_commit() {
        const auto& commit = spec_.rollout.commit;
        if (!is_here(commit)) {
            log_.line(fmt::format("fetch {} from {}", spec_.app->branch, mask_url(spec_.app->repository)));
            fetch(commit);
        }
        const git::Repository repository(spec_.mirror);
        const auto info = repository.commit(commit);
        log_.line(fmt::format("commit {} by {}: {}", commit, info.author_name, info.subject));
        verify_signature();
        const auto text = repository.read_blob(commit, spec_.app->pipeline, config::most_config_bytes);
        if (!text)
            throw Error(ErrorKind::step_failed, fmt::format("the commit has no {}", spec_.app->pipeline.string()));
        pipeline_text_ = *text;
        try {
            // What ran before may run again, whatever has come to be asked of new releases since.
            const auto whose = spec_.rollout.kind == wire::RolloutKind::rollback ? config::PipelineOf::kept_release
                                                                                 : config::PipelineOf::new_release;
            prepared_.pipeline = config::parse_pipeline(pipeline_text_, spec_.app->pipeline.string(), whose);
        } catch (const Error& error) {
            throw Error(ErrorKind::step_failed, error.text());
        }
        if (prepared_.pipeline.switch_over) {
            if (spec_.app->deploy_to.empty()) {
                throw Error(ErrorKind::invalid,
                            fmt::format("app \"{}\" has a switch but no deploy_to", spec_.app->name));
            }
        }
    }

    /// From the git host; from a peer when that is away, or has the commit no more.
    void fetch(const CommitId& commit) {
        std::optional<Error> failure;
        try {
            (void)mirror_.fetch(stop_, git_deadline());
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::cancelled || !spec_.fetch_from_peers) throw;
            failure = error;
        }
        if (!failure && (is_here(commit) || !spec_.fetch_from_peers)) return;
        if (failure) log_.line(failure->text());
        if (spec_.fetch_from_peers(commit)) {
            log_.line(fmt::format("commit {} came from a peer", commit));
        } else if (failure) {
            throw *failure;
        }
    }

    /// A commit that is here already, by a peer's pack or an earlier build, needs no git host.
    bool is_here(const CommitId& commit) const {
        try {
            return git::Repository(spec_.mirror).has_commit(commit);
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::not_found) return false;
            throw;
        }
    }

    void verify_signature() {
        if (spec_.app->verify_commit == config::VerifyCommit::none) return;
        if (!spec_.app->allowed_signers_file) {
            throw Error(ErrorKind::invalid,
                        fmt::format("app \"{}\": verify_commit needs allowed_signers_file", spec_.app->name));
        }
        const auto kind =
            spec_.app->verify_commit == config::VerifyCommit::ssh ? git::SignatureKind::ssh : git::SignatureKind::gpg;
        const auto check = git::verify_commit(mirror_, spec_.rollout.commit, kind, *spec_.app->allowed_signers_file,
                                              stop_, git_deadline());
        log_.line(check.detail);
        if (!check.ok())
            throw Error(ErrorKind::step_failed, fmt::format("signature of {}: {}", spec_.rollout.commit, check.detail));
    }

    bool take_existing_release() {
        if (!prepared_.pipeline.switch_over) return false;
        const Publisher publisher(spec_.app->deploy_to, runner_.account());
        const auto record = publisher.find_release(spec_.rollout.commit);
        if (!record) return false;
        log_.line(fmt::format("the release {} is still here: nothing to build", record->id));
        prepared_.release = publisher.directory_of(record->id);
        listener_.release_made(prepared_.release);
        return true;
    }

    void export_commit() {
        git::export_tree(mirror_, spec_.rollout.commit, spec_.workspace, stop_, git_deadline());
        give_to(spec_.workspace, runner_.account());
        fs::create_directory(spec_.temporary());
        fs::permissions(spec_.temporary(), fs::perms::owner_all);
        give_to(spec_.temporary(), runner_.account());
        context_.commit = spec_.rollout.commit;
    }

    void prepare_steps() {
        context_.stage = wire::Stage::prepare;
        for (const auto& step : prepared_.pipeline.prepare) {
            if (step.kind == config::Step::Kind::virtualenv) {
                runner_.built_in(step.name.empty() ? "virtualenv " + step.command : step.name, context_.stage,
                                 [&] { context_.virtualenv = make_virtualenv(runner_, step, stop_); });
            } else {
                runner_.run(step, context_, spec_.workspace, build_priority(*spec_.agent), stop_);
            }
        }
        if (!prepared_.pipeline.switch_over) return;
        // Copied before the tests run, so that what they leave behind is never published.
        publisher_.emplace(spec_.app->deploy_to, runner_.account());
        record_ = {publisher_->new_id(spec_.rollout.commit, SystemClock().wall()), spec_.rollout.commit, pipeline_text_,
                   context_.virtualenv, spec_.number};
        (void)publisher_->stage_release(spec_.workspace, record_, prepared_.pipeline.switch_over->shared, stop_);
    }

    void test_steps() {
        context_.stage = wire::Stage::test;
        try {
            bool own_floor = false;
            for (const auto& step : prepared_.pipeline.test) {
                run_test(step);
                own_floor = own_floor || step.min_tests.has_value();
            }
            if (prepared_.tests && !own_floor) require_not_shrunk(*prepared_.tests, spec_.last_green_tests);
        } catch (...) {
            // The named place where everything is caught: a release that failed its tests must not stay, and
            // whatever it was goes on upwards.
            keep_artifacts();
            if (publisher_) publisher_->drop_partial(record_.id);
            throw;
        }
        keep_artifacts();
    }

    void run_test(const config::Step& step) {
        if (step.junit.empty()) {
            runner_.run(step, context_, spec_.workspace, build_priority(*spec_.agent), stop_);
            return;
        }
        const TestGate gate(spec_.workspace, step.junit);
        std::optional<Error> failure;
        try {
            runner_.run(step, context_, spec_.workspace, build_priority(*spec_.agent), stop_);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::step_failed) throw;
            failure = error;
        }
        TestReport report;
        try {
            report = gate.read_new_reports();
        } catch (Error& error) {
            // The step's own failure says more than the report that it therefore did not write.
            if (failure) throw *failure;
            error.add_context(fmt::format("step \"{}\"", step.name));
            throw;
        }
        if (!prepared_.tests) prepared_.tests.emplace();
        prepared_.tests->add(report);
        listener_.tests_read(*prepared_.tests);
        log_.line(fmt::format("tests: {} in all, {} failed, {} skipped", report.total, report.failed, report.skipped));
        if (failure && report.failed == 0) throw *failure;
        with_context(fmt::format("step \"{}\"", step.name), [&] { require_passed(report, step.min_tests); });
    }

    /// What is asked to be kept is kept from a failed build, too: that is when it is wanted most.
    void keep_artifacts() {
        if (prepared_.pipeline.artifacts.empty() || spec_.artifacts.empty()) return;
        try {
            std::uint64_t room = most_artifact_bytes;
            for (const auto& file : find_files(spec_.workspace, prepared_.pipeline.artifacts)) {
                const auto size = fs::file_size(file);
                if (size > room) {
                    log_.line(fmt::format("artifacts: no room for {}", file.filename().string()));
                    continue;
                }
                room -= size;
                const auto target = spec_.artifacts / file.lexically_relative(spec_.workspace);
                fs::create_directories(target.parent_path());
                fs::copy_file(file, target, fs::copy_options::overwrite_existing);
            }
        } catch (const std::exception& error) {
            log_.line(fmt::format("artifacts are not kept: {}", error.what()));
        }
    }

    void complete() {
        if (stop_.stop_requested()) {
            if (publisher_) publisher_->drop_partial(record_.id);
            throw Error(ErrorKind::cancelled, "cancelled");
        }
        if (!publisher_) return;
        prepared_.release = publisher_->complete_release(record_);
        listener_.release_made(prepared_.release);
    }

    const BuildSpec& spec_;
    Listener& listener_;
    std::stop_token stop_;
    BuildLog log_;
    StepRunner runner_;
    git::Mirror mirror_;
    std::string pipeline_text_;
    StepContext context_;
    std::optional<Publisher> publisher_;
    ReleaseRecord record_;
    Prepared prepared_;
};

}  // namespace

Prepared prepare(const BuildSpec& spec, Listener& listener, const std::stop_token& stop) {
    try {
        return Preparation(spec, listener, stop).run();
    } catch (const fs::filesystem_error& error) {
        throw system_error(error.what(), error.code().value());
    }
}

}  // namespace baton::build
