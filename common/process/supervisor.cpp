// SPDX-License-Identifier: MIT
// The process between agent and step: it outlives the agent for as long as it takes to end all that the step
// started.
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>

#include "common/error.h"
#include "common/file.h"
#include "common/process/cgroup.h"
#include "common/process/hold.h"
#include "common/process/launch.h"
#include "common/process/parameters.h"
#include "common/process/process.h"
#include "common/process/tree.h"
#include "common/text.h"

namespace baton::process {
namespace {

using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

/// What a command that ended by itself left behind, and any tree whose agent is dead, has no longer than this
/// between SIGTERM and SIGKILL: nobody waits for a clean end, and the next step may need the same files.
constexpr Milliseconds short_grace{1'000};
/// A process that SIGKILL does not end within this hangs in the kernel; waiting longer helps nobody.
constexpr auto kill_limit = 10s;
constexpr auto kill_interval = 10ms;
constexpr std::size_t most_parameter_bytes = 64 << 20;

enum class Cause { ended, timed_out, cancelled, agent_gone };

class Supervisor {
  public:
    explicit Supervisor(Parameters parameters) : parameters_(std::move(parameters)) {
        sigset_t all;
        ::sigfillset(&all);
        // Nothing that is sent to this process by habit, as to a whole service, may end it before its
        // children.
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        sigset_t child;
        ::sigemptyset(&child);
        ::sigaddset(&child, SIGCHLD);
        child_ended_ = Fd(::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
        if (!child_ended_) throw system_error("signalfd", errno);
        if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw system_error("become a child subreaper", errno);
    }

    Result supervise() {
        std::string& cgroup = parameters_.cgroup;
        if (!cgroup.empty() && !make_cgroup(cgroup, parameters_.command.priority)) cgroup.clear();
        try {
            std::vector<int> kept;
            for (std::size_t index = 0; index < parameters_.kept_fds; ++index)
                kept.push_back(first_kept_fd + static_cast<int>(index));
            main_ = launch(parameters_, kept);
            for (const int fd : kept) ::close(fd);
        } catch (const Error&) {
            if (!cgroup.empty()) end_cgroup(cgroup);
            throw;
        }
        const Cause cause = wait_for_end();
        const bool keep = parameters_.command.keep_leftovers && cause == Cause::ended && status_ == 0;
        const bool clean = keep || end_all(cause);
        if (!cgroup.empty()) end_cgroup(cgroup);
        Result result = describe(cause);
        if (!clean) result.message += fmt::format("; processes that SIGKILL does not end: {}", survivors());
        return result;
    }

  private:
    /// True when no child is left, of which orphans of the whole tree are some.
    bool reap() {
        for (;;) {
            int status = 0;
            const pid_t pid = ::waitpid(-1, &status, WNOHANG);
            // Only once: the id may pass to a descendant.
            if (pid == main_ && !status_) status_ = status;
            if (pid == 0) return false;
            if (pid < 0 && errno != EINTR) return true;
        }
    }

    /// Sleeps until a child ended, the agent said something, or `until`.
    void sleep_until(const std::optional<Steady::time_point>& until) {
        int timeout_ms = -1;
        if (until) {
            const auto left = std::chrono::ceil<Milliseconds>(*until - Steady::now());
            timeout_ms = static_cast<int>(std::clamp<Milliseconds::rep>(left.count(), 0, 3'600'000));
        }
        // A negative descriptor is passed over: once the agent is gone its socket would always be readable.
        std::array<pollfd, 2> watched{pollfd{child_ended_.get(), POLLIN, 0},
                                      pollfd{agent_gone_ ? -1 : control_fd, POLLIN, 0}};
        if (::poll(watched.data(), watched.size(), timeout_ms) <= 0) return;
        signalfd_siginfo ignored{};
        while (::read(child_ended_.get(), &ignored, sizeof ignored) > 0) {
        }
        if (watched[1].revents != 0) hear_agent();
    }

    void hear_agent() {
        std::array<char, 64> buffer{};
        const auto count = ::recv(control_fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count <= 0) {
            agent_gone_ = true;
        } else if (std::string_view(buffer.data(), static_cast<std::size_t>(count)) == cancel_message) {
            cancelled_ = true;
        }
    }

    Cause wait_for_end() {
        const auto limit = parameters_.command.timeout;
        const auto until = limit.count() > 0 ? std::optional(Steady::now() + limit) : std::nullopt;
        for (;;) {
            reap();
            if (status_) return Cause::ended;
            if (agent_gone_) return Cause::agent_gone;
            if (cancelled_) return Cause::cancelled;
            if (until && Steady::now() >= *until) return Cause::timed_out;
            sleep_until(until);
        }
    }

    /// SIGTERM, grace, SIGKILL, until this process has no child. False when something does not go.
    bool end_all(Cause cause) {
        if (reap()) return true;
        const pid_t self = ::getpid();
        auto grace = parameters_.command.grace;
        if (cause == Cause::ended || cause == Cause::agent_gone) grace = std::min(grace, short_grace);
        signal_descendants(self, descendants(self), SIGTERM);
        auto until = Steady::now() + grace;
        while (Steady::now() < until) {
            if (reap()) return true;
            sleep_until(until);
            if (agent_gone_) until = std::min(until, Steady::now() + short_grace);
        }
        for (const auto limit = Steady::now() + kill_limit; Steady::now() < limit;) {
            if (reap()) return true;
            kill_descendants(self);
            sleep_until(Steady::now() + kill_interval);
        }
        return reap();
    }

    [[nodiscard]] static std::string survivors() {
        std::vector<std::string> texts;
        for (const auto pid : descendants(::getpid())) texts.push_back(fmt::format("{}", pid));
        return join(texts, ", ");
    }

    [[nodiscard]] Result describe(Cause cause) const {
        Result result;
        switch (cause) {
            case Cause::timed_out:
                result.end = Result::End::timed_out;
                result.message = fmt::format("timed out after {}", to_text(parameters_.command.timeout));
                break;
            case Cause::cancelled:
            case Cause::agent_gone: result.end = Result::End::cancelled; break;
            case Cause::ended: {
                const int status = status_.value_or(0);
                const bool exited = WIFEXITED(status);
                result.end = exited ? Result::End::exited : Result::End::signalled;
                result.status = exited ? WEXITSTATUS(status) : WTERMSIG(status);
                break;
            }
        }
        return result;
    }

    Parameters parameters_;
    Fd child_ended_;
    pid_t main_ = -1;
    std::optional<int> status_;  ///< of the command, as waitpid(2) gives it, once it ended
    bool agent_gone_ = false;
    bool cancelled_ = false;
};

std::string read_parameters() {
    std::string bytes;
    std::array<char, 65536> chunk{};
    while (bytes.size() < most_parameter_bytes) {
        const auto count = ::pread(parameters_fd, chunk.data(), chunk.size(), static_cast<off_t>(bytes.size()));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw system_error("read the command", errno);
        if (count == 0) break;
        bytes.append(chunk.data(), static_cast<std::size_t>(count));
    }
    ::close(parameters_fd);
    return bytes;
}

}  // namespace

void supervise_if_asked(int argc, char** argv) {
    hold_if_asked(argc, argv);
    if (argc != 2 || argv[1] != supervise_argument) return;
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(control_fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
        fmt::print(stderr, "{} is for the agent's own use\n", supervise_argument);
        ::_exit(2);
    }
    Result result;
    try {
        result = Supervisor(decode_parameters(read_parameters())).supervise();
    } catch (const std::exception& error) {
        result.end = Result::End::not_started;
        result.message = error.what();
    }
    const auto report = encode(result);
    // Nobody to tell when the agent is dead.
    static_cast<void>(::send(control_fd, report.data(), report.size(), MSG_NOSIGNAL));
    // Not exit(): this process shares nothing with the program whose static objects it would tear down.
    ::_exit(0);
}

}  // namespace baton::process
