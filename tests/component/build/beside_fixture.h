// SPDX-License-Identifier: MIT
// For strategies that run releases side by side: the files of examples/strategies as an app, and users who never rest.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/build/build.h"
#include "tests/component/build/fixture.h"

namespace baton::test {

/// An AppFixture whose repository holds examples/strategies, with PIPELINE as its baton.yaml; ports are free ones,
/// times are short. Ends what it has started.
class BesideFixture {
  public:
    explicit BesideFixture(const std::string& pipeline);
    BesideFixture(const BesideFixture&) = delete;
    BesideFixture& operator=(const BesideFixture&) = delete;
    ~BesideFixture();

    /// In a file of the repository. The text must be there.
    void replace(const std::string& file, const std::string& from, const std::string& to);
    /// A commit, built and switched to.
    build::SwitchResult deploy(const build::SwitchOptions& options = {});
    /// Of the last deploy().
    [[nodiscard]] const CommitId& commit() const { return commit_; }
    [[nodiscard]] bool healthy() const;

    AppFixture app;
    unsigned front = 0;                 ///< what replaces the users' port
    std::pair<unsigned, unsigned> own;  ///< what replaces 9001 and 9002

  private:
    void take(const std::string& file, const std::string& as);
    CommitId commit_;
    std::optional<build::BuildSpec> spec_;
    std::optional<build::Prepared> prepared_;
};

/// Three who ask all the time over new connections, one of them slowly. Any failure is kept with its text.
class Users {
  public:
    explicit Users(const std::string& base);
    Users(const Users&) = delete;
    Users& operator=(const Users&) = delete;
    ~Users();

    /// Waits until some more answers have come.
    void see_some() const;
    /// Ends the asking.
    [[nodiscard]] std::vector<std::string> failures();
    [[nodiscard]] unsigned answers() const { return answers_.load(); }
    /// The commits that answered, with how many answers.
    [[nodiscard]] std::map<std::string, unsigned> versions() const;
    /// The process that gave the last answer.
    [[nodiscard]] int last_process() const;

  private:
    void ask(const std::string& url, const std::stop_token& stop);
    std::atomic<unsigned> answers_{0};
    mutable std::mutex mutex_;
    std::vector<std::string> failures_;
    std::map<std::string, unsigned> versions_;
    int last_process_ = 0;
    std::vector<std::jthread> threads_;
};

}  // namespace baton::test
