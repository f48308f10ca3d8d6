// SPDX-License-Identifier: MIT
// The agent's side of a step: spawns the supervisor, reads the output, hears the end.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>

#include "common/digest.h"
#include "common/error.h"
#include "common/file.h"
#include "common/process/cgroup.h"
#include "common/process/parameters.h"
#include "common/process/pidfd.h"
#include "common/process/process.h"
#include "common/process/tree.h"
#include "common/text.h"

namespace baton::process {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

/// Copies of what the supervisor inherits are made from here on, so that no copy lies where another must go.
constexpr int first_high_fd = 100;
/// What a supervisor needs beyond the command's own limits to end a tree (its bound is 10 s) and report.
constexpr auto supervisor_allowance = 20s;
/// Between its report and its exit.
constexpr auto exit_allowance = 2s;
/// How often the deadline above is looked at; output and the end are events.
constexpr auto tick = 1s;
constexpr std::size_t read_bytes = 64UL * 1024;
/// From our environment to the supervisor's: what it takes to load the same executable; no secret is in
/// these.
constexpr std::array loader_variables{"LD_LIBRARY_PATH", "LD_PRELOAD",   "ASAN_OPTIONS",
                                      "UBSAN_OPTIONS",   "TSAN_OPTIONS", "LSAN_OPTIONS"};

/// posix_spawn's file actions, released by scope.
class FileActions {
  public:
    FileActions() { check(::posix_spawn_file_actions_init(&actions_)); }
    FileActions(const FileActions&) = delete;
    FileActions& operator=(const FileActions&) = delete;
    ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
    void copy(int from, int to) { check(::posix_spawn_file_actions_adddup2(&actions_, from, to)); }
    void close_from(int first) { check(::posix_spawn_file_actions_addclosefrom_np(&actions_, first)); }
    void change_directory(const char* to) { check(::posix_spawn_file_actions_addchdir_np(&actions_, to)); }
    [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

  private:
    static void check(int error) {
        if (error != 0) throw system_error("prepare a process", error);
    }
    posix_spawn_file_actions_t actions_{};
};

/// A session of its own, no signal blocked or ignored.
class SpawnAttributes {
  public:
    SpawnAttributes() {
        if (const int error = ::posix_spawnattr_init(&attributes_)) throw system_error("prepare a process", error);
        sigset_t signals;
        ::sigemptyset(&signals);
        ::posix_spawnattr_setsigmask(&attributes_, &signals);
        ::sigfillset(&signals);
        ::posix_spawnattr_setsigdefault(&attributes_, &signals);
        ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    SpawnAttributes(const SpawnAttributes&) = delete;
    SpawnAttributes& operator=(const SpawnAttributes&) = delete;
    ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes_); }
    [[nodiscard]] const posix_spawnattr_t* get() const { return &attributes_; }

  private:
    posix_spawnattr_t attributes_{};
};

Fd raise(Fd fd) {
    Fd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, first_high_fd));
    if (!high) throw system_error("copy a descriptor", errno);
    return high;
}

/// The bytes as a file without a name: unlike a pipe it takes any amount without a reader.
Fd memory_file(std::string_view bytes) {
    Fd file(::memfd_create("baton", MFD_CLOEXEC));
    if (!file) throw system_error("memfd_create", errno);
    write_all(file.get(), bytes);
    if (::lseek(file.get(), 0, SEEK_SET) != 0) throw system_error("lseek", errno);
    return file;
}

void check(const Command& command) {
    if (command.argv.empty() || command.argv.front().empty())
        throw Error(ErrorKind::invalid, "there is no program to run");
    if (command.keep_fds.size() > most_kept_fds) {
        throw Error(ErrorKind::invalid, fmt::format("at most {} descriptors can be kept", most_kept_fds));
    }
    const auto holds_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
    for (const auto* texts : {&command.argv, &command.environment}) {
        for (const auto& text : *texts) {
            if (holds_nul(text)) throw Error(ErrorKind::invalid, "an argument or variable holds a NUL character");
        }
    }
}

/// A running supervisor, seen from the agent.
class Session {
  public:
    Session(const Command& command, std::string step_id)
        : step_entry_(fmt::format("{}={}", step_id_variable, step_id)) {
        check(command);
        Parameters parameters{command, command.keep_fds.size(), {}};
        parameters.command.input.clear();
        parameters.command.directory = std::filesystem::absolute(command.directory);
        parameters.command.environment.push_back(step_entry_);
        if (command.keep_leftovers) parameters.command.environment.emplace_back(keep_entry);
        // What is kept would live on in the step's cgroup, which could then neither be killed nor removed.
        if (!command.keep_leftovers) parameters.cgroup = plan_cgroup(step_id);
        spawn(command, raise(memory_file(encode(parameters))));
        if (command.timeout.count() > 0)
            give_up_ = Steady::now() + command.timeout + command.grace + supervisor_allowance;
        after_cancel_ = command.grace + supervisor_allowance;
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session() {
        if (pid_ <= 0) return;
        // Only after an exception: the supervisor ends everything once its socket closes.
        control_.reset();
        static_cast<void>(bury(supervisor_allowance));
    }

    /// Asks for the command's end. Any thread.
    void cancel() const noexcept {
        static_cast<void>(
            ::send(control_.get(), cancel_message.data(), cancel_message.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    }

    /// Hands all output to `sink` until the supervisor reports. What `sink` throws goes to `thrown`; the
    /// command is then cancelled and the rest of its output dropped.
    Result follow(const OutputSink& sink, const std::stop_token& stop, std::exception_ptr& thrown) {
        for (;;) {
            std::array<pollfd, 2> watched{pollfd{output_open_ ? output_.get() : -1, POLLIN, 0},
                                          pollfd{control_.get(), POLLIN, 0}};
            const int timeout_ms = static_cast<int>(std::chrono::milliseconds(tick).count());
            if (::poll(watched.data(), watched.size(), timeout_ms) < 0 && errno != EINTR)
                throw system_error("poll", errno);
            if (watched[1].revents != 0) return hear_end(sink, thrown);
            if (watched[0].revents != 0) output_open_ = pass_on(read_bytes, sink, thrown) > 0;
            if (is_overdue(stop)) ::kill(pid_, SIGKILL);
        }
    }

  private:
    void spawn(const Command& command, const Fd& parameters) {
        std::array<int, 2> control{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control.data()) != 0)
            throw system_error("socketpair", errno);
        control_ = Fd(control[0]);
        const Fd its_control = raise(Fd(control[1]));
        std::array<int, 2> pipe{};
        if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw system_error("pipe", errno);
        output_ = Fd(pipe[0]);
        const Fd its_output = raise(Fd(pipe[1]));
        Fd input = command.input.empty() ? Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)) : memory_file(command.input);
        if (!input) throw system_error("open /dev/null", errno);
        input = raise(std::move(input));
        std::vector<Fd> kept;
        for (const int fd : command.keep_fds) {
            kept.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, first_high_fd));
            if (!kept.back()) throw system_error(fmt::format("keep descriptor {}", fd), errno);
        }

        FileActions actions;
        actions.copy(input.get(), STDIN_FILENO);
        actions.copy(its_output.get(), STDOUT_FILENO);
        actions.copy(its_output.get(), STDERR_FILENO);
        actions.copy(its_control.get(), control_fd);
        actions.copy(parameters.get(), parameters_fd);
        int next = first_kept_fd;
        for (const auto& fd : kept) actions.copy(fd.get(), next++);
        actions.close_from(next);
        actions.change_directory("/");
        std::array name{std::string("baton-step"), std::string(supervise_argument)};
        std::array<char*, 3> argv{name[0].data(), name[1].data(), nullptr};
        std::vector<std::string> variables;
        for (const char* variable : loader_variables) {
            if (const char* value = std::getenv(variable)) variables.push_back(fmt::format("{}={}", variable, value));
        }
        std::vector<char*> environment;
        for (auto& variable : variables) environment.push_back(variable.data());
        environment.push_back(nullptr);
        const SpawnAttributes attributes;
        // Also after an upgrade replaced the file this opens the executable that runs now, so both sides
        // always agree.
        const int error =
            ::posix_spawn(&pid_, "/proc/self/exe", actions.get(), attributes.get(), argv.data(), environment.data());
        if (error != 0) {
            pid_ = -1;
            throw system_error("start the supervisor", error);
        }
    }

    /// Reads at most `most_bytes` once. The bytes read; 0 at the end of the output.
    std::size_t pass_on(std::size_t most_bytes, const OutputSink& sink, std::exception_ptr& thrown) {
        ssize_t count = 0;
        do {
            count = ::read(output_.get(), buffer_.data(), std::min(most_bytes, buffer_.size()));
        } while (count < 0 && errno == EINTR);
        if (count < 0) throw system_error("read the output", errno);
        const auto bytes = static_cast<std::size_t>(count);
        if (bytes == 0 || thrown) return bytes;
        try {
            sink(std::string_view(buffer_.data(), bytes));
        } catch (...) {
            // Whatever the caller's sink throws is the caller's: it goes back to it once the command has
            // ended.
            thrown = std::current_exception();
            cancelled_at_ = Steady::now();
            cancel();
        }
        return bytes;
    }

    Result hear_end(const OutputSink& sink, std::exception_ptr& thrown) {
        std::array<char, most_report_bytes> report{};
        ssize_t count = 0;
        do {
            count = ::recv(control_.get(), report.data(), report.size(), 0);
        } while (count < 0 && errno == EINTR);
        // All writers but daemons kept on purpose are dead, so what matters is in the pipe by now; what such
        // a daemon adds later must not hold us up.
        int left = 0;
        if (::ioctl(output_.get(), FIONREAD, &left) != 0) left = 0;
        while (left > 0) {
            const auto bytes = pass_on(static_cast<std::size_t>(left), sink, thrown);
            if (bytes == 0) break;
            left -= static_cast<int>(bytes);
        }
        const int status = bury(exit_allowance);
        if (count > 0) return decode_result({report.data(), static_cast<std::size_t>(count)});
        // Its descendants now belong to init and are known by their environment only.
        const auto ended = end_by_environment(step_entry_, {});
        Result result;
        result.end = Result::End::signalled;
        result.status = WIFSIGNALED(status) ? WTERMSIG(status) : SIGABRT;
        result.message = fmt::format(": the step's supervisor died; {} processes of the step were ended", ended);
        return result;
    }

    [[nodiscard]] bool is_overdue(const std::stop_token& stop) {
        const auto now = Steady::now();
        if (stop.stop_requested() && !cancelled_at_) cancelled_at_ = now;
        return (give_up_ && now > *give_up_) || (cancelled_at_ && now > *cancelled_at_ + after_cancel_);
    }

    /// Waits for the supervisor to exit, and kills it when it has not after `patience`. Its wait status.
    int bury(Steady::duration patience) noexcept {
        int status = 0;
        const Fd pidfd = open_pidfd(pid_);
        pollfd ended{pidfd.get(), POLLIN, 0};
        const auto limit_ms = std::chrono::duration_cast<Milliseconds>(patience).count();
        if (!pidfd || ::poll(&ended, 1, static_cast<int>(limit_ms)) <= 0) ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return status;
    }

    std::string step_entry_;
    std::array<char, read_bytes> buffer_{};
    Fd control_;
    Fd output_;
    bool output_open_ = true;
    pid_t pid_ = -1;
    std::optional<Steady::time_point> give_up_;
    std::optional<Steady::time_point> cancelled_at_;
    Steady::duration after_cancel_{};
};

Result run_to_the_end(const Command& command, const OutputSink& sink, const std::stop_token& stop,
                      std::exception_ptr& thrown) {
    Result result;
    if (stop.stop_requested()) {
        result.end = Result::End::cancelled;
        return result;
    }
    try {
        Session session(command, to_hex(random_bytes(12)));
        const std::stop_callback on_stop(stop, [&session] { session.cancel(); });
        result = session.follow(sink, stop, thrown);
    } catch (const Error& error) {
        result.end = Result::End::not_started;
        result.message = error.text();
    } catch (const std::filesystem::filesystem_error& error) {
        result.end = Result::End::not_started;
        result.message = error.what();
    }
    return result;
}

}  // namespace

Result run(const Command& command, const OutputSink& sink, const std::stop_token& stop) {
    const auto start = Steady::now();
    std::exception_ptr thrown;
    auto result = run_to_the_end(command, sink, stop, thrown);
    if (thrown) std::rethrow_exception(thrown);
    result.duration = std::chrono::duration_cast<Milliseconds>(Steady::now() - start);
    return result;
}

}  // namespace baton::process
