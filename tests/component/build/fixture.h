// SPDX-License-Identifier: MIT
// An app for build tests: a real repository, a real little HTTP server as the app, and a listener that remembers.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/build/build.h"
#include "agent/build/traffic/service_state.h"
#include "tests/support/temp_dir.h"

namespace baton::test {

class RememberingListener final : public build::Listener {
  public:
    void stage_began(wire::Stage stage) override { stages.emplace_back(wire::to_text(stage)); }
    void waits_for(const std::string&) override {}
    void step_ended(const build::StepRecord& step) override { steps.push_back(step); }
    void tests_read(const build::TestReport& report) override { tests = report; }
    void release_made(const std::filesystem::path& made) override { release = made; }
    void once_started() override { ++once_begun; }
    void once_done() override { ++once_finished; }

    std::vector<std::string> stages;
    std::vector<build::StepRecord> steps;
    build::TestReport tests;
    std::filesystem::path release;
    int once_begun = 0;
    int once_finished = 0;
};

/// Ports of 127.0.0.1 that are free now, all different.
[[nodiscard]] std::vector<unsigned> free_ports(std::size_t count);

/// A node `web1` with one app `shop`, whose repository, deploy directory and state live in a temporary directory.
/// The app is `server.py`: it answers /health with its version, or with 500 when there is a file `sick`. Ends the
/// server that its pid file names when the test ends.
class AppFixture {
  public:
    AppFixture();
    AppFixture(const AppFixture&) = delete;
    AppFixture& operator=(const AppFixture&) = delete;
    ~AppFixture();

    /// Writes a file into the repository's working tree (an empty content removes it).
    void put(const std::string& name, const std::string& content);
    /// The pipeline: `before` (prepare, test, migrate sections as YAML), the app's own switch and health sections.
    void put_pipeline(const std::string& before, const std::string& health_extra = "");
    CommitId commit();
    [[nodiscard]] build::BuildSpec spec(const CommitId& commit);
    [[nodiscard]] std::string log() const;
    /// What the app answers at `path`; empty when it does not answer.
    [[nodiscard]] std::string ask(const std::string& path) const;
    /// `sh -c` in the repository; fails the test unless it exits 0. Its output.
    std::string shell(const std::string& command) const;

    TempDir dir;
    config::AgentConfig agent;
    RememberingListener listener;
    build::ServiceState service;
    unsigned port = 0;

  private:
    unsigned number_ = 0;
};

}  // namespace baton::test
