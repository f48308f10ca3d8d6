// SPDX-License-Identifier: MIT
// Running a command: its end, its output, its surroundings.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "common/error.h"
#include "common/file.h"
#include "common/text.h"
#include "tests/component/process/helper.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::test;
using namespace std::chrono_literals;
using process::Result;
using End = Result::End;

TEST_CASE("process: the exit status is the command's") {
    const auto good = run_shell("exit 0");
    REQUIRE(good.result.describe() == "exit status 0");
    REQUIRE(good.result.ok());
    const auto bad = run_shell("exit 72");
    REQUIRE(bad.result.end == End::exited);
    REQUIRE(bad.result.status == 72);
    REQUIRE_FALSE(bad.result.ok());
    REQUIRE(bad.result.describe() == "exit status 72");
}

TEST_CASE("process: a signal is not an exit status") {
    const auto killed = run_shell("kill -SEGV $$");
    REQUIRE(killed.result.end == End::signalled);
    REQUIRE(killed.result.status == 11);
    REQUIRE(killed.result.describe() == "killed by signal 11 (Segmentation fault)");
    REQUIRE_FALSE(killed.result.ok());
}

TEST_CASE("process: what cannot be started says why, and is no exit status") {
    auto command = shell("");
    command.argv = {"no-such-program-here"};
    auto result = process::capture(command, {}).result;
    REQUIRE(result.end == End::not_started);
    REQUIRE(result.message == "run 'no-such-program-here': No such file or directory");
    REQUIRE(result.describe() == "could not be started: run 'no-such-program-here': No such file or directory");

    command.argv = {"/etc/passwd"};
    REQUIRE(process::capture(command, {}).result.message == "run '/etc/passwd': Permission denied");

    command = shell("true");
    command.directory = "/no/such/place";
    result = process::capture(command, {}).result;
    REQUIRE(result.end == End::not_started);
    REQUIRE(result.message == "change to directory '/no/such/place': No such file or directory");

    command = shell("true");
    command.argv.clear();
    REQUIRE(process::capture(command, {}).result.message == "there is no program to run");

    command = shell("true");
    command.argv.back() = std::string("true\0false", 10);
    REQUIRE(process::capture(command, {}).result.end == End::not_started);

    command = shell("true");
    command.keep_fds = {999'999};
    REQUIRE(process::capture(command, {}).result.message == "keep descriptor 999999: Bad file descriptor");
}

TEST_CASE("process: the program is looked up on the command's own PATH") {
    const TempDir dir;
    dir.write("tools/greet", "#!/bin/sh\necho hello $1\n", 0755);
    auto command = shell("");
    command.argv = {"greet", "you; echo not me"};
    REQUIRE(process::capture(command, {}).result.end == End::not_started);
    command.environment = {"PATH=" + (dir / "tools").string()};
    REQUIRE(process::capture(command, {}).output == "hello you; echo not me\n");
}

TEST_CASE("process: standard output and error come in the order in which they were written") {
    std::string expected;
    for (int line = 1; line <= 200; ++line) expected += fmt::format("out {0}\nerr {0}\n", line);
    const auto captured = run_shell("i=1; while [ $i -le 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done");
    REQUIRE(captured.output == expected);
}

TEST_CASE("process: a million lines arrive whole") {
    auto command = shell("seq 1000000");
    std::size_t bytes = 0;
    std::size_t lines = 0;
    std::string last;
    const auto result = process::run(command,
                                     [&](std::string_view part) {
                                         bytes += part.size();
                                         for (const char c : part) lines += c == '\n' ? 1 : 0;
                                         last.assign(part.substr(part.size() > 8 ? part.size() - 8 : 0));
                                     },
                                     {});
    REQUIRE(result.ok());
    REQUIRE(lines == 1'000'000);
    REQUIRE(bytes == 6'888'896);
    REQUIRE(last == "1000000\n");
}

TEST_CASE("process: output is given as it comes, not at the end") {
    const TempDir dir;
    const auto flag = dir / "seen";
    auto command = shell(fmt::format("echo first; while [ ! -e {} ]; do sleep 0.02; done; echo second", flag.string()));
    command.timeout = 20s;
    std::string output;
    const auto result = process::run(command,
                                     [&](std::string_view part) {
                                         output += part;
                                         dir.write("seen", "");
                                     },
                                     {});
    REQUIRE(result.ok());
    REQUIRE(output == "first\nsecond\n");
}

TEST_CASE("process: captured output is cut at its limit, and the command is not held up") {
    const auto captured = process::capture(shell("seq 1000000; exit 3"), {}, 100);
    REQUIRE(captured.output.size() == 100);
    REQUIRE(captured.result.status == 3);
}

TEST_CASE("process: input is the command's standard input, of any size") {
    auto command = shell("cat");
    command.input.assign(3'000'000, 'x');
    const auto captured = process::capture(command, {}, 4'000'000);
    REQUIRE(captured.result.ok());
    REQUIRE(captured.output == command.input);
    command = shell("cat");
    REQUIRE(process::capture(command, {}).output.empty());
}

TEST_CASE("process: the environment is what was given and the step's id, nothing of this process") {
    ::setenv("OUR_SECRET", "hunter2", 1);
    auto command = shell("");
    command.argv = {"/usr/bin/env"};
    command.environment = {"ONE=1", "TWO=2 and more"};
    const auto output = process::capture(command, {}).output;
    ::unsetenv("OUR_SECRET");
    const auto lines = split(trim(output), '\n');
    REQUIRE(lines.size() == 3);
    REQUIRE(lines[0] == "ONE=1");
    REQUIRE(lines[1] == "TWO=2 and more");
    REQUIRE(lines[2].starts_with("BATON_STEP_ID="));
}

TEST_CASE("process: neither arguments nor environment of a command show on its supervisor") {
    auto command =
        shell("tr '\\0' '\\n' < /proc/$PPID/cmdline; echo --; tr '\\0' '\\n' < /proc/$PPID/environ; : my-argument");
    command.environment.emplace_back("PASSWORD=hunter2");
    const auto output = process::capture(command, {}).output;
    REQUIRE(output.find("baton-step\n--supervise-step\n--\n") == 0);
    REQUIRE(output.find("hunter2") == std::string::npos);
    REQUIRE(output.find("my-argument") == std::string::npos);
}

TEST_CASE("process: a command inherits no descriptor, and has a session and a clean signal state of its own") {
    const Fd leaky(::open("/etc/passwd", O_RDONLY));  // without O_CLOEXEC, as a library may open one
    sigset_t blocked;
    sigset_t before;
    ::sigemptyset(&blocked);
    ::sigaddset(&blocked, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
    auto command = shell("");
    command.argv = {"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"};
    const auto signals = process::capture(command, {}).output;
    command.argv = {"ls", "/proc/self/fd"};
    const auto descriptors = process::capture(command, {}).output;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    REQUIRE(signals == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    REQUIRE(descriptors == "0\n1\n2\n3\n");  // 3 is its own
    REQUIRE(run_shell("umask; pwd; [ $(ps -o sid= -p $$) = $$ ] && echo leader").output == "0022\n/\nleader\n");
}

TEST_CASE("process: kept descriptors become 3 and on, and are announced as sd_listen_fds reads it") {
    const TempDir dir;
    dir.write("a", "content of a");
    dir.write("b", "content of b");
    const Fd a(::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC));
    const Fd b(::open((dir / "b").c_str(), O_RDONLY | O_CLOEXEC));
    auto command = shell("cat <&3; echo; cat <&4; echo; echo $LISTEN_FDS; [ $LISTEN_PID = $$ ] && echo mine");
    command.keep_fds = {b.get(), a.get()};
    command.listen_fds = true;
    REQUIRE(process::capture(command, {}).output == "content of b\ncontent of a\n2\nmine\n");
    auto lister = shell("");
    lister.argv = {"ls", "/proc/self/fd"};
    lister.keep_fds = {0, 1, 2, a.get(), b.get()};
    REQUIRE(process::capture(lister, {}).output == "0\n1\n2\n3\n4\n5\n6\n7\n8\n");  // 8 is its own
}

TEST_CASE("process: limits and priority hold for the command") {
    auto command = shell("ulimit -n; ulimit -c; nice; ulimit -v");
    command.limits.open_files = 77;
    command.limits.core_bytes = 0;
    command.limits.address_space_bytes = 1'000'000 * 1024;
    command.priority = process::Priority::low;
    REQUIRE(process::capture(command, {}).output == "77\n0\n19\n1000000\n");
    // Whoever runs the tests may be nice already.
    REQUIRE(run_shell("nice").output == fmt::format("{}\n", getpriority(PRIO_PROCESS, 0)));
}

TEST_CASE("process: a step of low priority stands back in every way that the kernel has, and a normal one does not") {
    const auto look = [](process::Priority priority) {
        auto command = shell(
            "chrt -p $$ | sed -n 's/.*policy: //p'; ionice -p $$; cat /proc/self/oom_score_adj; "
            "sed 's/.*nice //' /proc/self/autogroup 2>/dev/null || true");
        command.priority = priority;
        return process::capture(command, {}).output;
    };
    std::ifstream enabled("/proc/sys/kernel/sched_autogroup_enabled");
    int groups = 0;
    enabled >> groups;
    const auto session = [&](const char* nice) { return groups != 0 ? std::string(nice) + "\n" : std::string(); };
    CHECK(look(process::Priority::low).find("SCHED_BATCH\nidle\n500\n" + session("10")) == 0);
    CHECK(look(process::Priority::idle).find("SCHED_IDLE\nidle\n500\n" + session("19")) == 0);
    CHECK(look(process::Priority::normal).find("SCHED_OTHER\n") == 0);
    CHECK(look(process::Priority::normal).find("500") == std::string::npos);
    CHECK(process::describe_priority(process::Priority::low).find("nice 19") == 0);
    CHECK(process::describe_priority(process::Priority::idle).find("SCHED_IDLE") != std::string::npos);
    CHECK(process::describe_priority(process::Priority::normal) == "like everything else");
}

TEST_CASE("process: in a delegated cgroup the agent moves into a leaf beside the groups of its steps") {
    const char* name = "process: in a delegated cgroup the agent moves into a leaf beside the groups of its steps";
    // This test starts itself once more, as the agent whose cgroup was delegated.
    if (const char* answer = std::getenv("DELEGATED_ANSWER")) {
        process::prepare_cgroups();
        process::prepare_cgroups();
        const auto step = run_shell("grep ^0:: /proc/self/cgroup").output;
        write_file_atomically(answer, read_file("/proc/self/cgroup", 10'000) + "step " + step);
        return;
    }
    const auto group = fmt::format("/sys/fs/cgroup/unified/baton-test-{}", ::getpid());
    const auto plain = fmt::format("/sys/fs/cgroup/baton-test-{}", ::getpid());
    const auto directory = ::mkdir(group.c_str(), 0755) == 0   ? group
                           : ::mkdir(plain.c_str(), 0755) == 0 ? plain
                                                               : std::string();
    if (directory.empty() || ::setxattr(directory.c_str(), "user.delegate", "1", 1, 0) != 0) {
        WARN("cgroups of version 2 cannot be made here: not tested");
        static_cast<void>(::rmdir(directory.c_str()));
        return;
    }
    const test::TempDir dir;
    auto agent = shell(fmt::format("echo $$ > {}/cgroup.procs && exec {} '{}' >/dev/null", directory,
                                   std::filesystem::read_symlink("/proc/self/exe").string(), name));
    agent.environment.push_back("DELEGATED_ANSWER=" + (dir / "answer").string());
    const auto done = process::capture(agent, {});
    const auto answer = read_file(dir / "answer", 10'000);
    ::rmdir((directory + "/agent").c_str());
    CHECK(::rmdir(directory.c_str()) == 0);  // no step's group was left in it
    INFO(done.output << answer);
    const auto base = std::filesystem::path(directory).filename().string();
    CHECK(answer.find("0::/" + base + "/agent\n") != std::string::npos);
    CHECK(answer.find("step 0::/" + base + "/step-") != std::string::npos);
}

TEST_CASE("process: a command runs with another account's rights and none of ours") {
    const auto nobody = process::find_account("nobody");
    REQUIRE(nobody.name == "nobody");
    REQUIRE_FALSE(nobody.groups.empty());
    auto command = shell("id -u; id -g; id -G; cat /proc/1/environ");
    command.account = nobody;
    const auto captured = process::capture(command, {});
    if (!is_root()) {
        REQUIRE(captured.result.end == End::not_started);
        REQUIRE(captured.result.message == "become user 'nobody': Operation not permitted");
        return;
    }
    REQUIRE(captured.output.find(fmt::format("{0}\n{1}\n{1}\n", nobody.uid, nobody.gid)) == 0);
    REQUIRE(captured.output.find("Permission denied") != std::string::npos);
    command = shell("id -G");
    command.account = nobody;
    command.account->groups = {nobody.gid, 12'345};
    REQUIRE(process::capture(command, {}).output == fmt::format("{} 12345\n", nobody.gid));
    const TempDir dir;  // 0700, ours
    command = shell("true");
    command.account = nobody;
    command.directory = dir.path();
    REQUIRE(process::capture(command, {}).result.message ==
            fmt::format("change to directory '{}': Permission denied", dir.path().string()));
}

TEST_CASE("process: an unknown user is an error that names it") {
    REQUIRE_THROWS_WITH(process::find_account("no-such-user-here"), "no user 'no-such-user-here' on this machine");
}

TEST_CASE("process: what the sink throws ends the command and comes back") {
    const auto mark = new_mark();
    const Sweeper sweeper(mark);
    auto command = shell("while echo line; do sleep 0.01; done");
    command.environment.push_back(mark);
    command.timeout = 60s;
    const auto full = [](std::string_view) { throw std::runtime_error("the disk is full"); };
    const auto start = std::chrono::steady_clock::now();
    REQUIRE_THROWS_WITH(process::run(command, full, {}), "the disk is full");
    REQUIRE(std::chrono::steady_clock::now() - start < 30s);  // it has no end of its own but its time-out
    REQUIRE(processes_with(mark).empty());
}

TEST_CASE("process: a slow sink loses nothing and holds the command back") {
    auto command = shell("seq 60000");
    std::size_t bytes = 0;
    const auto slow = [&](std::string_view part) {
        bytes += part.size();
        static_cast<void>(run_shell("true"));  // a few milliseconds of other work
    };
    REQUIRE(process::run(command, slow, {}).ok());
    REQUIRE(bytes == 348'894);
}

TEST_CASE("process: many runs leave neither descriptors nor zombies nor memory behind") {
    const auto resident_kib = [] {
        const auto statm = split(content_of("/proc/self/statm"), ' ');
        return std::stol(statm.at(1)) * 4;
    };
    for (int run = 0; run < 5; ++run) REQUIRE(run_shell("echo warm").result.ok());
    const auto descriptors = open_descriptors();
    [[maybe_unused]] const auto before = resident_kib();
    for (int run = 0; run < 60; ++run) REQUIRE(run_shell("seq 20000").result.ok());
    REQUIRE(open_descriptors() == descriptors);
    REQUIRE(content_of(fmt::format("/proc/self/task/{}/children", ::getpid())).empty());
#ifndef BATON_SANITIZED  // sanitizers keep freed memory for a while
    REQUIRE(resident_kib() - before < 2048);
#endif
}
