// SPDX-License-Identifier: MIT
// Real repositories for the git tests.
#include "tests/component/git/support.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <fstream>
#include <stdexcept>
#include <sys/stat.h>

#include "common/process/process.h"
#include "common/text.h"

namespace baton::test {

std::string run_tool(const std::vector<std::string>& argv, const std::filesystem::path& directory,
                     const std::vector<std::string>& more_environment) {
    process::Command command;
    command.argv = argv;
    command.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C",
                           "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"};
    command.environment.insert(command.environment.end(), more_environment.begin(), more_environment.end());
    command.directory = directory;
    command.timeout = Milliseconds{60'000};
    const auto [result, output] = process::capture(command, {});
    if (!result.ok()) {
        throw std::runtime_error(
            fmt::format("{}: {} {}: {}", join(argv, " "), result.describe(), result.message, output));
    }
    return std::string(trim(output));
}

Instant in(Milliseconds span) {
    return std::chrono::time_point_cast<Milliseconds>(std::chrono::steady_clock::now()) + span;
}

Error error_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error;
    }
    FAIL("nothing was thrown");
    throw std::logic_error("not reached");
}

Work::Work(std::filesystem::path path) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    git({"init", "--quiet", "--initial-branch=main"});
}

std::string Work::git(std::vector<std::string> arguments, const std::vector<std::string>& more_environment) {
    arguments.insert(arguments.begin(), {"git", "-c", "protocol.file.allow=always"});
    std::vector<std::string> environment{"GIT_AUTHOR_NAME=Ann Author",
                                         "GIT_AUTHOR_EMAIL=ann@example.org",
                                         "GIT_COMMITTER_NAME=Carl Committer",
                                         "GIT_COMMITTER_EMAIL=carl@example.org",
                                         fmt::format("GIT_AUTHOR_DATE={} +0000", clock_),
                                         fmt::format("GIT_COMMITTER_DATE={} +0000", clock_)};
    environment.insert(environment.end(), more_environment.begin(), more_environment.end());
    return run_tool(arguments, path_, environment);
}

void Work::write(std::string_view name, std::string_view content, unsigned mode) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
    ::chmod(file.c_str(), mode);
}

CommitId Work::commit(const std::string& message, const std::vector<std::string>& options) {
    ++clock_;
    git({"add", "--all"});
    std::vector<std::string> arguments{"commit", "--quiet", "--allow-empty", "-m", message};
    arguments.insert(arguments.end(), options.begin(), options.end());
    git(arguments);
    return head();
}

CommitId Work::commit_file(std::string_view name, std::string_view content, const std::string& message) {
    write(name, content);
    return commit(message);
}

CommitId Work::head() { return CommitId(git({"rev-parse", "HEAD"})); }

git::Mirror mirror_of(const TempDir& dir, const std::string& url, const std::string& name,
                      git::MirrorCredentials credentials) {
    return {dir / (name + ".git"), git::Remote{url, std::move(credentials), dir / "home"}, "main"};
}

CommitId fetch(const git::Mirror& mirror) { return mirror.fetch({}, in(Milliseconds{30'000})); }

}  // namespace baton::test
