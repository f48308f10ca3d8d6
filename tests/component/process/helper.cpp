// SPDX-License-Identifier: MIT
// What the tests of processes share, and the agent's part for the tests that kill an agent.
#include "tests/component/process/helper.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <csignal>
#include <fstream>
#include <iterator>

namespace baton::test {

namespace fs = std::filesystem;

process::Command shell(const std::string& script) {
    process::Command command;
    command.argv = {"sh", "-c", script};
    command.environment = {"PATH=/usr/local/bin:/usr/bin:/bin"};
    command.grace = Milliseconds(500);
    return command;
}

process::Captured run_shell(const std::string& script) { return process::capture(shell(script), {}); }

std::string content_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<int> processes_with(const std::string& entry) {
    std::vector<int> found;
    std::error_code gone;
    for (const auto& directory : fs::directory_iterator("/proc", gone)) {
        const auto name = directory.path().filename().string();
        if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
        // A zombie has no environment any more.
        const auto environment = '\0' + content_of(directory.path() / "environ");
        if (environment.find('\0' + entry + '\0') != std::string::npos) found.push_back(std::stoi(name));
    }
    return found;
}

std::string new_mark() {
    static std::atomic<int> count{0};
    return fmt::format("MARK={}-{}", ::getpid(), ++count);
}

Sweeper::~Sweeper() {
    for (int round = 0; round < 20; ++round) {
        for (const int pid : processes_with(entry_)) ::kill(pid, SIGKILL);
    }
}

std::size_t open_descriptors() {
    const fs::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

bool is_root() { return ::geteuid() == 0; }

}  // namespace baton::test
