// SPDX-License-Identifier: MIT
// The command line called as main calls it, its output caught, and an agent for it to talk to.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/cli/cli.h"
#include "common/file.h"
#include "common/json.h"

namespace baton::test {

struct CliResult {
    int status = -1;
    std::string out;
    std::string err;
};

/// Runs `baton` with these arguments in this process; standard output and error go to files meanwhile.
[[nodiscard]] CliResult baton_cli(const std::vector<std::string>& arguments, const cli::AgentMain& agent_main = {});

/// Calls `run` with `text` as standard input.
[[nodiscard]] CliResult with_input(const std::string& text, const std::function<CliResult()>& run);

/// A variable of the environment for as long as the object lives.
class Variable {
  public:
    Variable(const char* name, const std::string& value);
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    ~Variable();

  private:
    const char* name_;
};

/// fake_agent.py as a process of its own.
class FakeAgent {
  public:
    FakeAgent();
    FakeAgent(const FakeAgent&) = delete;
    FakeAgent& operator=(const FakeAgent&) = delete;
    ~FakeAgent();
    [[nodiscard]] std::string url() const;
    /// What it was asked so far, oldest first.
    [[nodiscard]] json::Value requests() const;

  private:
    pid_t pid_ = -1;
    Fd input_;
    std::string port_;
};

}  // namespace baton::test
