// SPDX-License-Identifier: MIT
// One step of a pipeline.
#include "agent/build/steps/step_runner.h"

#include <cerrno>
#include <fmt/format.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

/// Enough for a shell, and no core dumps of an app's secrets on a server.
process::Limits step_limits() { return {}; }

fs::path step_directory(const fs::path& base, const std::string& workdir) {
    if (workdir.empty()) return base;
    const fs::path relative = fs::path(workdir).lexically_normal();
    if (relative.is_absolute() || *relative.begin() == "..") {
        throw Error(ErrorKind::invalid, fmt::format("workdir '{}' leads out of the build's directory", workdir));
    }
    return base / relative;
}

}  // namespace

process::Priority build_priority(const config::AgentConfig& agent) {
    switch (agent.build_priority) {
        case config::BuildPriority::normal: return process::Priority::normal;
        case config::BuildPriority::low: return process::Priority::low;
        case config::BuildPriority::idle: return process::Priority::idle;
    }
    return process::Priority::low;
}

std::int64_t now_ms() { return to_epoch_ms(SystemClock().wall()); }

void give_to(const fs::path& path, const std::optional<process::Account>& account) {
    if (!account) return;
    const auto give = [&](const fs::path& one) {
        if (::lchown(one.c_str(), account->uid, account->gid) != 0) {
            throw system_error(fmt::format("give {} to {}", one.string(), account->name), errno);
        }
    };
    give(path);
    if (fs::is_symlink(path) || !fs::is_directory(path)) return;
    for (const auto& entry : fs::recursive_directory_iterator(path)) give(entry.path());
}

StepRunner::StepRunner(const BuildSpec& spec, BuildLog& log, Listener& listener)
    : spec_(spec), log_(log), listener_(listener), account_(step_account(*spec.app)) {}

void StepRunner::run(const config::Step& step, const StepContext& context, const fs::path& directory,
                     process::Priority priority, const std::stop_token& stop) {
    built_in(step.name.empty() ? first_line(step.command) : step.name, context.stage, [&] {
        process::Command command;
        command.argv = {"/bin/sh", "-c", step.command};
        command.environment = step_environment(spec_, context, step.env);
        command.directory = step_directory(directory, step.workdir);
        command.account = account_;
        command.timeout = step.timeout;
        command.limits = step_limits();
        command.priority = priority;
        command.keep_leftovers = step.keep_processes;
        const auto result = process::run(
            command, [&](std::string_view bytes) { log_.output(bytes); }, stop);
        log_.end_output();
        if (result.end == process::Result::End::cancelled) throw Error(ErrorKind::cancelled, "cancelled");
        if (!result.ok()) throw Error(ErrorKind::step_failed, result.describe());
    });
}

void StepRunner::built_in(const std::string& name, wire::Stage stage, const std::function<void()>& work) {
    StepRecord record{stage, name, now_ms(), 0, "ok"};
    log_.line(fmt::format("step {}", name));
    const auto ended = [&](std::string outcome) {
        record.finished_ms = now_ms();
        record.outcome = std::move(outcome);
        log_.line(fmt::format("step {}: {} ({})", name, record.outcome,
                              human_duration(Milliseconds(record.finished_ms - record.started_ms))));
        listener_.step_ended(record);
    };
    try {
        work();
    } catch (Error& error) {
        log_.end_output();
        ended(error.text());
        error.add_context(fmt::format("step \"{}\"", name));
        throw;
    }
    ended("ok");
}

process::Result StepRunner::tool(std::vector<std::string> argv, std::vector<std::string> environment,
                                 const fs::path& directory, Milliseconds timeout, process::Priority priority,
                                 const std::stop_token& stop) {
    process::Command command;
    command.argv = std::move(argv);
    command.environment = std::move(environment);
    command.directory = directory;
    command.account = account_;
    command.timeout = timeout;
    command.priority = priority;
    auto result = process::run(
        command, [&](std::string_view bytes) { log_.output(bytes); }, stop);
    log_.end_output();
    if (result.end == process::Result::End::cancelled) throw Error(ErrorKind::cancelled, "cancelled");
    return result;
}

}  // namespace baton::build
