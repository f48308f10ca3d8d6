// SPDX-License-Identifier: MIT
// Real repositories for the git tests, made by the git program without any configuration of the account.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/git/mirror.h"
#include "common/types.h"
#include "tests/support/temp_dir.h"

namespace baton::test {

/// Runs a program to its end; throws when it fails. Returns what it printed, without the last line end.
std::string run_tool(const std::vector<std::string>& argv, const std::filesystem::path& directory,
                     const std::vector<std::string>& more_environment = {});

[[nodiscard]] Instant in(Milliseconds span);

/// What `work` throws; fails the test when it throws nothing.
Error error_of(const std::function<void()>& work);

/// A repository with files, as a developer has it. Commits are dated one second apart.
class Work {
  public:
    explicit Work(std::filesystem::path path);
    std::string git(std::vector<std::string> arguments, const std::vector<std::string>& more_environment = {});
    void write(std::string_view name, std::string_view content, unsigned mode = 0644) const;
    /// Commits all that changed.
    CommitId commit(const std::string& message, const std::vector<std::string>& options = {});
    /// Writes a file and commits.
    CommitId commit_file(std::string_view name, std::string_view content, const std::string& message);
    [[nodiscard]] CommitId head();
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
    int clock_ = 1'700'000'000;
};

/// A mirror in `dir` (`NAME.git`) of `url`'s branch main, with its own HOME there.
[[nodiscard]] git::Mirror mirror_of(const TempDir& dir, const std::string& url, const std::string& name = "mirror",
                                    git::MirrorCredentials credentials = {});
CommitId fetch(const git::Mirror& mirror);

}  // namespace baton::test
