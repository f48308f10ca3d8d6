// SPDX-License-Identifier: MIT
// What a build is given, and whom it tells while it runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/build/reports/junit.h"
#include "common/config/agent_config.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::build {

class ServiceState;

/// One step as it ran, for the record.
struct StepRecord {
    wire::Stage stage = wire::Stage::prepare;
    std::string name;
    std::int64_t started_ms = 0;
    std::int64_t finished_ms = 0;
    std::string outcome;  ///< `ok`, or Result::describe()
};

/// What a build tells while it runs. Called on the worker thread; must not block for long.
class Listener {
  public:
    Listener() = default;
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    virtual ~Listener() = default;
    virtual void stage_began(wire::Stage stage) = 0;
    virtual void waits_for(const std::string& what) = 0;  ///< empty: no longer waiting
    virtual void step_ended(const StepRecord& step) = 0;
    virtual void tests_read(const TestReport& report) = 0;
    /// The release directory exists; `current` does not yet point to it.
    virtual void release_made(const std::filesystem::path& release) = 0;
    /// A `once` step is about to run (to be stored before this returns) and has succeeded.
    virtual void once_started() = 0;
    virtual void once_done() = 0;
};

/// Everything that names a build. Paths are absolute.
struct BuildSpec {
    const config::AgentConfig* agent = nullptr;
    const config::App* app = nullptr;
    wire::Rollout rollout;              ///< its password parameters as their steps see them
    std::string unreadable_parameters;  ///< why a password is missing among them; empty: none is
    unsigned number = 0;
    unsigned executor = 0;                     ///< which of this node's, from 0: EXECUTOR_NUMBER
    std::filesystem::path mirror;              ///< bare repository of the app
    std::filesystem::path workspace;           ///< of this build, made and removed by the stages, as temporary() is
    std::filesystem::path cache;               ///< virtualenvs and the like, shared by the app's builds
    std::filesystem::path log_file;            ///< appended to
    std::filesystem::path artifacts;           ///< where kept files go
    std::string agent_url;                     ///< `http://web1:7070/`, ends in a slash: JENKINS_URL and BUILD_URL
    CommitId previous_commit;                  ///< of the build before; may be empty
    CommitId previous_good_commit;             ///< of the last that succeeded here; may be empty
    std::optional<unsigned> last_green_tests;  ///< number of tests in the last green run
    std::vector<std::string> secrets;          ///< masked in the log
    bool ahead = false;                        ///< not its turn yet
    /// How the node stands towards the load balancers: one object an app that outlives its builds. Needed by
    /// switch_over where the app's traffic method is readiness or haproxy_agent; else may be null.
    ServiceState* service = nullptr;
    /// Takes the objects of a commit over from peers into `mirror`, when the git host is away; false when no peer has
    /// it. May be empty.
    std::function<bool(const CommitId& commit)> fetch_from_peers;

    /// WORKSPACE_TMP: beside the workspace, as in Jenkins, for what must not lie among the files of the commit.
    [[nodiscard]] std::filesystem::path temporary() const { return workspace.string() + "@tmp"; }
};

}  // namespace baton::build
