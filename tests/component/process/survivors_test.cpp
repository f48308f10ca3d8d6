// SPDX-License-Identifier: MIT
// Nothing of a step survives: not its daemons, not those that ignore SIGTERM, not when the agent is killed.
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "common/text.h"
#include "tests/component/process/helper.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::test;
using namespace std::chrono_literals;
using End = process::Result::End;

namespace {

/// `count` daemons as daemon(3) makes them: double fork, a session of their own, ignoring what would end
/// them. Each writes a line to `roll` once it runs, and the script goes on only when all have.
std::string stubborn_daemons(int count, const std::filesystem::path& roll) {
    const auto file = roll.string();
    const auto daemon = fmt::format(
        "(setsid sh -c 'trap \"\" TERM HUP; (echo up >> {}; while :; do sleep 1; done) &' </dev/null &) ; ", file);
    std::string script = fmt::format(": > {}; ", file);
    for (int started = 0; started < count; ++started) script += daemon;
    return script + fmt::format("while [ $(wc -l < {}) -lt {} ]; do sleep 0.02; done; ", file, count);
}

process::Command marked(const std::string& script, const std::string& mark) {
    auto command = shell(script);
    command.environment.push_back(mark);
    return command;
}

/// Waits until the step says so by a file, then asks for its end.
struct CancelWhen {
    CancelWhen(std::stop_source& source, std::filesystem::path ready)
        : thread([&source, file = std::move(ready)] {
              saw = eventually([&] { return std::filesystem::exists(file); });
              source.request_stop();
          }) {}
    static inline std::atomic<bool> saw{false};
    std::jthread thread;
};

}  // namespace

TEST_CASE("process: one that ignores SIGTERM is killed after its time and its grace") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    auto command = marked("trap '' TERM; echo started; while :; do sleep 1; done", mark);
    command.timeout = 3s;
    command.grace = 300ms;
    const auto captured = process::capture(command, {});
    REQUIRE(captured.result.end == End::timed_out);
    REQUIRE(captured.result.describe() == "timed out after 3s");
    REQUIRE(captured.output.find("started\n") == 0);
    REQUIRE(captured.result.duration >= 3300ms);
    REQUIRE(captured.result.duration < 30s);
    REQUIRE(processes_with(mark).empty());
}

TEST_CASE("process: one that heeds SIGTERM may clean up, and its last words are kept") {
    auto command = shell("trap 'echo cleaned up; exit 0' TERM; echo started; while :; do sleep 0.05; done");
    command.timeout = 4s;
    command.grace = 60s;
    const auto captured = process::capture(command, {});
    REQUIRE(captured.result.end == End::timed_out);
    REQUIRE(captured.output.starts_with("started\n"));
    REQUIRE(captured.output.ends_with("cleaned up\n"));
    REQUIRE(captured.result.duration < 60s);
}

TEST_CASE("process: double-forked daemons that ignore SIGTERM end with the command") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    const TempDir dir;
    const auto script = stubborn_daemons(3, dir / "roll") +
                        fmt::format("grep -lz '^{}$' /proc/[0-9]*/environ 2>/dev/null | wc -l; exit 4", mark);
    const auto captured = process::capture(marked(script, mark), {});
    REQUIRE(captured.result.status == 4);
    REQUIRE(parse_whole(trim(captured.output)).value_or(0) >= 4);  // the daemons were there
    REQUIRE(processes_with(mark).empty());
}

TEST_CASE("process: forkers that fork all the time end with the command") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    // Each child lives for a moment only, which bounds their number.
    const std::string forker = "(trap '' TERM; while :; do setsid sleep 0.3 & sleep 0.01; done) & ";
    const auto captured = process::capture(marked(forker + forker + forker + "sleep 0.5; exit 0", mark), {});
    REQUIRE(captured.result.ok());
    REQUIRE(captured.result.duration < 30s);
    REQUIRE(processes_with(mark).empty());
}

TEST_CASE("process: stopped processes are ended as well") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    auto command = marked("sh -c 'kill -STOP $$' & sleep 0.2; exit 0", mark);
    command.grace = 60s;
    const auto captured = process::capture(command, {});
    REQUIRE(captured.result.ok());
    REQUIRE(captured.result.duration < 30s);
    REQUIRE(processes_with(mark).empty());
}

TEST_CASE("process: a left-over that holds the output does not delay the end") {
    const auto captured = run_shell("sleep 60 & echo done");
    REQUIRE(captured.result.ok());
    REQUIRE(captured.output == "done\n");
    REQUIRE(captured.result.duration < 30s);
}

TEST_CASE("process: a stop request cancels the command and all it started") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    const TempDir dir;
    std::stop_source stop;
    auto command = marked(
        stubborn_daemons(1, dir / "roll") + fmt::format("touch {}; while :; do sleep 1; done", (dir / "up").string()),
        mark);
    const CancelWhen cancel(stop, dir / "up");
    const auto captured = process::capture(command, stop.get_token());
    REQUIRE(CancelWhen::saw);
    REQUIRE(captured.result.end == End::cancelled);
    REQUIRE(captured.result.describe() == "cancelled");
    REQUIRE(captured.result.duration < 60s);
    REQUIRE(processes_with(mark).empty());
}

TEST_CASE("process: a command is not started when its stop was requested before") {
    const TempDir dir;
    std::stop_source stop;
    stop.request_stop();
    const auto captured = process::capture(shell("touch " + (dir / "ran").string()), stop.get_token());
    REQUIRE(captured.result.end == End::cancelled);
    REQUIRE_FALSE(std::filesystem::exists(dir / "ran"));
}

TEST_CASE("process: kept leftovers outlive a success, and nothing else") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    const std::string daemon = "setsid sleep 60 </dev/null >/dev/null 2>&1 & ";
    auto command = marked(daemon + "echo restarted", mark);
    command.keep_leftovers = true;

    SECTION("a success keeps them, also from the sweep for leftovers of a dead agent") {
        command.environment.emplace_back("BATON_STEP_OWNER=" + mark);
        const auto captured = process::capture(command, {});
        REQUIRE(captured.result.ok());
        REQUIRE(captured.output == "restarted\n");
        REQUIRE(eventually([&] { return processes_with(mark).size() == 1; }));
        REQUIRE(process::end_leftovers(mark) == 0);
        REQUIRE(eventually([&] { return processes_with(mark).size() == 1; }));
    }
    SECTION("a failure ends them") {
        command.argv.back() = daemon + "exit 1";
        REQUIRE(process::capture(command, {}).result.status == 1);
        REQUIRE(processes_with(mark).empty());
    }
    SECTION("a time-out ends them") {
        command.argv.back() = daemon + "sleep 60";
        command.timeout = 300ms;
        REQUIRE(process::capture(command, {}).result.end == End::timed_out);
        REQUIRE(processes_with(mark).empty());
    }
}

TEST_CASE("process: a supervisor that is killed takes the step with it, and the result says so") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    const TempDir dir;
    const auto captured =
        process::capture(marked(stubborn_daemons(1, dir / "roll") + "kill -9 $PPID; sleep 60", mark), {});
    REQUIRE(captured.result.end == End::signalled);
    REQUIRE(captured.result.status == 9);
    REQUIRE(captured.result.describe().find("the step's supervisor died") != std::string::npos);
    REQUIRE_FALSE(captured.result.ok());
    REQUIRE(processes_with(mark).empty());
}

TEST_CASE("process: leftovers of a dead agent are found by their owner and ended, others are not") {
    const auto mark = new_mark();
    const auto other_mark = new_mark();
    const Sweeper sweeper(mark);
    const Sweeper other_sweeper(other_mark);
    // A step whose supervisor is gone as well: started without one. `env -i` hides a descendant's owner.
    const auto start = [](const std::string& script, std::vector<std::string> environment) {
        std::vector<std::string> words{"/bin/sh", "-c", script};
        std::vector<char*> argv{words[0].data(), words[1].data(), words[2].data(), nullptr};
        std::vector<char*> variables;
        for (auto& variable : environment) variables.push_back(variable.data());
        variables.push_back(nullptr);
        pid_t pid = -1;
        REQUIRE(::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, argv.data(), variables.data()) == 0);
        return pid;
    };
    const auto ours = start(fmt::format("trap '' TERM; env -i {} sleep 60 & while :; do sleep 1; done", mark),
                            {"BATON_STEP_OWNER=web1-a", "PATH=/usr/bin:/bin", mark});
    const auto others = start("sleep 60 & wait", {"BATON_STEP_OWNER=web1-ab", "PATH=/usr/bin:/bin", other_mark});
    REQUIRE(eventually([&] { return processes_with(mark).size() >= 3 && processes_with(other_mark).size() == 2; }));

    REQUIRE(process::end_leftovers("web1-a") >= 3);
    ::waitpid(ours, nullptr, 0);
    REQUIRE(eventually([&] { return processes_with(mark).empty(); }));
    REQUIRE(processes_with(other_mark).size() == 2);
    REQUIRE(process::end_leftovers("web1-a") == 0);
    REQUIRE(process::end_leftovers("web1-ab") == 2);
    ::waitpid(others, nullptr, 0);
}

TEST_CASE("process: a left-over that executes itself over and over does not hide from its end") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    const TempDir dir;
    const auto script = (dir / "again").string();
    // A process in the middle of execve shows no environment: about every fifteenth look misses this one.
    dir.write("again", fmt::format("#!/bin/sh\ntrap '' TERM\nexec {}\n", script), 0755);
    std::vector<std::string> environment{"BATON_STEP_OWNER=" + mark, "PATH=/usr/bin:/bin", mark};
    std::array<char*, 4> variables{environment[0].data(), environment[1].data(), environment[2].data(), nullptr};
    std::string name = script;
    std::array<char*, 2> argv{name.data(), nullptr};
    pid_t pid = -1;
    REQUIRE(::posix_spawn(&pid, script.c_str(), nullptr, nullptr, argv.data(), variables.data()) == 0);
    REQUIRE(process::end_leftovers(mark) >= 1);
    int status = 0;
    const bool ended = eventually([&] { return ::waitpid(pid, &status, WNOHANG) == pid; });
    if (!ended) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, &status, 0);
    }
    REQUIRE(ended);
    REQUIRE(WIFSIGNALED(status));  // by SIGTERM when that came before its trap
}

TEST_CASE("process: when the agent is killed with SIGKILL its steps end within a moment") {
    // This test starts itself once more, as the agent that is to be killed.
    if (const char* script = std::getenv("AGENT_SCRIPT")) {
        const char* given_mark = std::getenv("AGENT_MARK");
        static_cast<void>(process::capture(marked(script, given_mark != nullptr ? given_mark : ""), {}));
        FAIL("the agent was not killed");
    }
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    const TempDir dir;
    const auto up = dir / "up";
    std::vector<std::string> words{"agent",
                                   "process: when the agent is killed with SIGKILL its steps end within a moment"};
    std::vector<std::string> environment{"AGENT_MARK=" + mark, "PATH=/usr/bin:/bin",
                                         "AGENT_SCRIPT=" + stubborn_daemons(1, dir / "roll") + "trap '' TERM; touch " +
                                             up.string() + "; while :; do sleep 1; done"};
    std::vector<char*> argv{words[0].data(), words[1].data(), nullptr};
    std::vector<char*> variables{environment[0].data(), environment[1].data(), environment[2].data(), nullptr};
    posix_spawn_file_actions_t quiet;
    ::posix_spawn_file_actions_init(&quiet);
    ::posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    pid_t agent = -1;
    REQUIRE(::posix_spawn(&agent, "/proc/self/exe", &quiet, nullptr, argv.data(), variables.data()) == 0);
    ::posix_spawn_file_actions_destroy(&quiet);
    const bool started = eventually([&] { return std::filesystem::exists(up); });
    const auto alive = processes_with(mark).size();
    REQUIRE(::kill(agent, SIGKILL) == 0);
    const auto killed = std::chrono::steady_clock::now();
    int status = 0;
    ::waitpid(agent, &status, 0);
    REQUIRE(started);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(alive >= 2);  // the step and its daemon
    REQUIRE(eventually([&] { return processes_with(mark).empty(); }));
    REQUIRE(std::chrono::steady_clock::now() - killed < 15s);
}
