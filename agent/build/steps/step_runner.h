// SPDX-License-Identifier: MIT
// One step of a pipeline: announced in the log, run under its supervisor, recorded.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agent/build/steps/build_log.h"
#include "agent/build/steps/build_spec.h"
#include "agent/build/steps/step_environment.h"
#include "common/config/pipeline_config.h"

namespace baton::build {

/// Runs the steps of one build, one after the other, on one thread.
class StepRunner {
  public:
    StepRunner(const BuildSpec& spec, BuildLog& log, Listener& listener);

    /// `sh -c` in `directory` (and the step's workdir below it). Error(step_failed) naming step and outcome,
    /// Error(cancelled) after `stop`, Error(invalid) for a workdir outside of `directory`.
    void run(const config::Step& step, const StepContext& context, const std::filesystem::path& directory,
             process::Priority priority, const std::stop_token& stop);

    /// A built-in as a step of its own: the same record and log lines around `work`, whose Error fails it.
    void built_in(const std::string& name, wire::Stage stage, const std::function<void()>& work);

    /// A program of ours with its output in the log, as the app's account; the result is the caller's to judge.
    [[nodiscard]] process::Result tool(std::vector<std::string> argv, std::vector<std::string> environment,
                                       const std::filesystem::path& directory, Milliseconds timeout,
                                       process::Priority priority, const std::stop_token& stop);

    [[nodiscard]] const BuildSpec& spec() const { return spec_; }
    [[nodiscard]] BuildLog& log() { return log_; }
    [[nodiscard]] Listener& listener() { return listener_; }
    [[nodiscard]] const std::optional<process::Account>& account() const { return account_; }

  private:
    const BuildSpec& spec_;
    BuildLog& log_;
    Listener& listener_;
    std::optional<process::Account> account_;
};

/// Of the steps that run while users are served: prepare and test.
[[nodiscard]] process::Priority build_priority(const config::AgentConfig& agent);

/// Wall time for records.
[[nodiscard]] std::int64_t now_ms();

/// `path` and all below belong to `account` from now on (as root; nothing without an account). Symbolic links
/// are changed themselves, never followed. Error(io).
void give_to(const std::filesystem::path& path, const std::optional<process::Account>& account);

}  // namespace baton::build
