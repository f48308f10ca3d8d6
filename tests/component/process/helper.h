// SPDX-License-Identifier: MIT
// What the tests of processes share: short commands, and a look at the machine's process table.
#pragma once

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "common/process/process.h"

namespace baton::test {

/// `sh -c script` with a plain PATH, half a second of grace.
[[nodiscard]] process::Command shell(const std::string& script);
/// Runs it to its end, all output captured.
[[nodiscard]] process::Captured run_shell(const std::string& script);

/// The ids of all processes, zombies aside, whose environment holds `entry`; found with code of its own.
[[nodiscard]] std::vector<int> processes_with(const std::string& entry);
/// A new `MARK=…` for each test.
[[nodiscard]] std::string new_mark();
/// Kills what still holds the mark when a test fails, so that no test leaves a mess.
class Sweeper {
  public:
    explicit Sweeper(std::string entry) : entry_(std::move(entry)) {}
    Sweeper(const Sweeper&) = delete;
    Sweeper& operator=(const Sweeper&) = delete;
    ~Sweeper();

  private:
    std::string entry_;
};

/// Open descriptors of this process.
[[nodiscard]] std::size_t open_descriptors();
/// The file's content; empty when there is none.
[[nodiscard]] std::string content_of(const std::filesystem::path& file);
[[nodiscard]] bool is_root();

}  // namespace baton::test
