// SPDX-License-Identifier: MIT
// Between fork and exec.
#include "common/process/launch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "common/error.h"
#include "common/file.h"
#include "common/process/cgroup.h"
#include "common/process/priority.h"

namespace baton::process {
namespace {

constexpr int kept_target = 3;
/// Above every target of a kept descriptor.
constexpr int first_free_fd = kept_target + static_cast<int>(most_kept_fds);

enum class Stage { session, limits, account, directory, execute };

/// What the child says when it cannot go on. A child that executes its program says nothing: the pipe closes.
struct Failure {
    Stage stage = Stage::session;
    int error = 0;
};

[[noreturn]] void fail(int error_fd, Stage stage) {
    const Failure failure{stage, errno};
    // If even this cannot be written the supervisor sees the exit status.
    static_cast<void>(!::write(error_fd, &failure, sizeof failure));
    ::_exit(127);
}

std::string text_of(const Failure& failure, const Command& command) {
    switch (failure.stage) {
        case Stage::session: return "prepare the process";
        case Stage::limits: return "set its limits";
        case Stage::account:
            return fmt::format("become user '{}'", command.account ? command.account->name : std::string());
        case Stage::directory: return fmt::format("change to directory '{}'", command.directory.native());
        case Stage::execute: return fmt::format("run '{}'", command.argv.front());
    }
    return "start the process";
}

/// The program gets the signals' defaults, whatever this process was started with. By the kernel's call,
/// since glibc's refuses signals 32 and 33, which its own posix_spawn leaves ignored.
void reset_signals() {
    struct KernelAction {
        void (*handler)(int) = SIG_DFL;
        unsigned long flags = 0;
        void (*restorer)() = nullptr;
        std::uint64_t mask = 0;
    };
    const KernelAction standard;
    constexpr int most_signals = 64;
    for (int signal = 1; signal <= most_signals; ++signal) {
        ::syscall(SYS_rt_sigaction, signal, &standard, nullptr, sizeof standard.mask);
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool limit(__rlimit_resource resource, const std::optional<std::uint64_t>& value) {
    if (!value) return true;
    const rlimit both{*value, *value};
    return ::setrlimit(resource, &both) == 0;
}

bool become(const Account& account) {
    // An agent that is no root can still run steps as itself.
    if (::geteuid() != 0 && account.uid == ::geteuid() && account.gid == ::getegid()) return true;
    const std::vector<gid_t> groups(account.groups.begin(), account.groups.end());
    return ::setgroups(groups.size(), groups.data()) == 0 && ::setresgid(account.gid, account.gid, account.gid) == 0 &&
           ::setresuid(account.uid, account.uid, account.uid) == 0;
}

/// Descriptors 0 to 2, the kept ones from 3 on, and `error_fd`, which exec closes; nothing else. Sources lie
/// above their targets, so copying upwards overwrites none that is still needed.
bool arrange_descriptors(const std::vector<int>& kept, int error_fd) {
    int target = kept_target;
    for (const int fd : kept) {
        if (::dup2(fd, target++) < 0) return false;
    }
    const auto first_closed = static_cast<unsigned>(target);
    const auto error = static_cast<unsigned>(error_fd);
    if (error > first_closed && ::close_range(first_closed, error - 1, 0) != 0) return false;
    return ::close_range(error + 1, ~0U, 0) == 0;
}

[[noreturn]] void become_command(const Parameters& parameters, const std::vector<int>& kept, int error_fd) {
    const Command& command = parameters.command;
    // This process has one thread, so memory may be allocated after the fork; but before the limits,
    // one of which may forbid it.
    auto environment = command.environment;
    if (command.listen_fds) {
        environment.push_back(fmt::format("LISTEN_FDS={}", kept.size()));
        environment.push_back(fmt::format("LISTEN_PID={}", ::getpid()));
    }
    auto arguments = command.argv;
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    std::vector<char*> variables;
    for (auto& variable : environment) variables.push_back(variable.data());
    variables.push_back(nullptr);

    if (::setsid() < 0) fail(error_fd, Stage::session);
    ::umask(022);
    if (!parameters.cgroup.empty()) enter_cgroup(parameters.cgroup);
    if (!arrange_descriptors(kept, error_fd)) fail(error_fd, Stage::session);
    take_priority(command.priority);
    const Limits& limits = command.limits;
    if (!limit(RLIMIT_NOFILE, limits.open_files) || !limit(RLIMIT_CORE, limits.core_bytes) ||
        !limit(RLIMIT_AS, limits.address_space_bytes)) {
        fail(error_fd, Stage::limits);
    }
    if (command.account && !become(*command.account)) fail(error_fd, Stage::account);
    if (::chdir(command.directory.c_str()) != 0) fail(error_fd, Stage::directory);

    reset_signals();
    // execvp searches the PATH of the process, which from here on is the command's.
    ::environ = variables.data();
    ::execvp(argv.front(), argv.data());
    fail(error_fd, Stage::execute);
}

}  // namespace

pid_t launch(const Parameters& parameters, const std::vector<int>& kept) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw system_error("pipe", errno);
    Fd from_child(ends[0]);
    Fd to_parent(ends[1]);
    to_parent = Fd(::fcntl(ends[1], F_DUPFD_CLOEXEC, first_free_fd));
    if (!to_parent) throw system_error("copy a descriptor", errno);
    const pid_t child = ::fork();
    if (child < 0) throw system_error("fork", errno);
    if (child == 0) become_command(parameters, kept, to_parent.get());

    to_parent.reset();
    Failure failure;
    ssize_t count = 0;
    do {
        count = ::read(from_child.get(), &failure, sizeof failure);
    } while (count < 0 && errno == EINTR);
    if (count == 0) return child;
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (count != sizeof failure) throw Error(ErrorKind::internal, "the new process did not say why it failed");
    throw system_error(text_of(failure, parameters.command), failure.error);
}

}  // namespace baton::process
