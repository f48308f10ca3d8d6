// SPDX-License-Identifier: MIT
// The holder itself: one thread, one loop, one app process.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "common/error.h"
#include "common/process/hold_files.h"
#include "common/process/launch.h"
#include "common/process/listener.h"
#include "common/process/parameters.h"
#include "common/text.h"

namespace baton::process {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

/// Above the targets of launch(), where the sockets are copied to.
constexpr int first_socket_fd = 100;
/// A new start begins a new log beyond the first size; a running app's is cut to nothing at the second, after what it
/// holds was copied to `.1`.
constexpr std::uint64_t long_log_bytes = 4UL << 20;
constexpr std::uint64_t most_log_bytes = 32UL << 20;
constexpr auto log_look = 10s;
/// Between the end of a kept app and its next start: doubled each time, back to the first once it has lived a minute.
constexpr auto first_pause = 1s;
constexpr auto longest_pause = 30s;
constexpr auto settled_after = 60s;
/// What the app left behind has so long between SIGTERM and SIGKILL; what SIGKILL does not end hangs in the kernel.
constexpr auto leftover_grace = 1s;
constexpr auto kill_limit = 10s;
constexpr auto kill_interval = 10ms;
constexpr timeval patience{1, 0};

std::string wait_status_text(int status) {
    Result result;
    result.end = WIFEXITED(status) ? Result::End::exited : Result::End::signalled;
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    return result.describe();
}

Fd raised(Fd fd) {
    Fd high(::fcntl(fd.get(), F_DUPFD_CLOEXEC, first_socket_fd));
    if (!high) throw system_error("copy a descriptor", errno);
    return high;
}

class Holder {
  public:
    explicit Holder(HoldOrder order)
        : order_(std::move(order)), paths_(order_.folder, order_.name), command_(order_.command) {}

    /// Everything that may fail, up to the app's own start. Error.
    void begin() {
        sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        sigset_t heard;
        ::sigemptyset(&heard);
        for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) ::sigaddset(&heard, signal);
        signals_ = Fd(::signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK));
        if (!signals_) throw system_error("signalfd", errno);
        if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw system_error("become a child subreaper", errno);
        if (!order_.listen.empty()) requests_ = raised(take_over_or_open());
        if (!order_.own_host.empty()) {
            own_ = raised(listen_on(order_.own_host + ":0"));
            own_port_ = port_of(listening_where(own_.get()));
            command_.environment.push_back(fmt::format("BATON_PORT={}", own_port_));
        }
        command_.environment.emplace_back(keep_entry);
        command_.listen_fds = requests_ || own_;
        open_log();
        control_ = open_control(order_.folder, order_.name);
        start_app();
    }

    /// Until the app was stopped on demand.
    void serve() {
        while (!(stopping_ && main_ < 0)) {
            wait_for_something();
            reap();
            const auto now = Steady::now();
            if (stopping_ && main_ > 0 && now >= kill_at_) ::kill(main_, SIGKILL);
            if (!stopping_ && main_ < 0 && start_at_ && now >= *start_at_) start_again();
            if (now >= next_log_look_) bound_log();
        }
        end_leftovers_of_app();
        remove_control(order_.folder, order_.name);
        std::error_code ignored;
        fs::remove(paths_.record, ignored);
    }

  private:
    /// From a holder that has it, from an app whose holder was killed, or new.
    Fd take_over_or_open() {
        for (const auto& name : order_.others) {
            if (const Fd socket = connect_control(order_.folder, name)) {
                send_message(socket.get(), word_socket);
                auto received = receive_message(socket.get());
                if (received.fd && is_ours(received.fd)) return std::move(received.fd);
                continue;
            }
            const auto record = read_record(HoldPaths(order_.folder, name).record);
            if (!record || !is_alive(*record)) continue;
            if (Fd taken = take_listener(record->pid, order_.listen)) return taken;
        }
        return listen_on(order_.listen);
    }

    /// The other may listen elsewhere, where the release before did.
    bool is_ours(const Fd& fd) const { return same_address(listening_where(fd.get()), order_.listen); }

    void open_log() {
        std::error_code none;
        if (fs::file_size(paths_.log, none) > long_log_bytes && !none) {
            fs::rename(paths_.log, paths_.log.string() + ".1");
        }
        log_ = Fd(::open(paths_.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
        if (!log_) throw system_error(fmt::format("open {}", paths_.log.string()), errno);
        log_from_ = fs::file_size(paths_.log);
        // The app's output from now on, and this process has none of its own.
        ::dup2(log_.get(), STDOUT_FILENO);
        ::dup2(log_.get(), STDERR_FILENO);
    }

    void bound_log() {
        next_log_look_ = Steady::now() + log_look;
        struct stat now {};
        if (::fstat(log_.get(), &now) != 0 || static_cast<std::uint64_t>(now.st_size) <= most_log_bytes) return;
        std::error_code failed;
        fs::copy_file(paths_.log, paths_.log.string() + ".1", fs::copy_options::overwrite_existing, failed);
        // What is written between the copy and this is lost, as with any log that is cut while it is written to.
        static_cast<void>(::ftruncate(log_.get(), 0));
    }

    void start_app() {
        std::vector<int> sockets;
        if (requests_) sockets.push_back(requests_.get());
        if (own_) sockets.push_back(own_.get());
        main_ = launch({command_, 0, {}}, sockets);
        started_ = Steady::now();
        start_at_.reset();
        message_.clear();
        HoldRecord record{order_.label,       order_.listen,       main_,    0, own_port_,
                          order_.stop_signal, order_.stop_timeout, log_from_};
        record.started = start_time_of(main_).value_or(0);
        write_record(paths_.record, record);
    }

    void start_again() {
        ++restarts_;
        try {
            start_app();
        } catch (const Error& error) {
            message_ = error.text();
            plan_start();
        }
    }

    void plan_start() {
        if (main_ < 0 && started_ + settled_after <= Steady::now()) pause_ = first_pause;
        start_at_ = Steady::now() + pause_;
        pause_ = std::min<Steady::duration>(pause_ * 2, longest_pause);
    }

    void wait_for_something() {
        auto until = next_log_look_;
        if (start_at_) until = std::min(until, *start_at_);
        if (stopping_ && main_ > 0) until = std::min(until, std::max(kill_at_, Steady::now() + kill_interval));
        const auto left = std::chrono::ceil<Milliseconds>(until - Steady::now()).count();
        std::array<pollfd, 2> watched{pollfd{signals_.get(), POLLIN, 0}, pollfd{control_.get(), POLLIN, 0}};
        if (::poll(watched.data(), watched.size(), static_cast<int>(std::clamp<long>(left, 0, 60'000))) <= 0) return;
        signalfd_siginfo heard{};
        while (::read(signals_.get(), &heard, sizeof heard) == sizeof heard) {
            // The machine goes down, or a person wants it: as gracefully as on demand.
            if (heard.ssi_signo != SIGCHLD) begin_stop();
        }
        if (watched[1].revents != 0) answer();
    }

    void reap() {
        int status = 0;
        for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
            if (pid != main_) continue;
            main_ = -1;
            message_ = wait_status_text(status);
            if (stopping_) continue;
            // Before its port is wanted again by another.
            end_leftovers_of_app();
            if (kept_) plan_start();
        }
    }

    void begin_stop() {
        if (stopping_) return;
        stopping_ = true;
        start_at_.reset();
        kill_at_ = Steady::now() + order_.stop_timeout;
        if (main_ > 0) ::kill(main_, order_.stop_signal);
    }

    void answer() {
        const Fd asker(::accept4(control_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!asker) return;
        ::setsockopt(asker.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ::setsockopt(asker.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        try {
            const auto word = receive_message(asker.get()).text;
            if (word == word_stop) begin_stop();
            if (word == word_keep && !stopping_) {
                kept_ = true;
                if (main_ < 0 && !start_at_) plan_start();
            }
            Held held;
            held.state = main_ > 0 ? Held::State::running : Held::State::ended;
            held.label = order_.label;
            held.message = message_;
            held.pid = main_;
            held.own_port = own_port_;
            held.kept = kept_;
            held.restarts = restarts_;
            send_message(asker.get(), encode(held), word == word_socket ? requests_.get() : -1);
        } catch (const Error&) {
            // The asker is gone, which is its own affair.
            return;
        }
    }

    /// SIGTERM, grace, SIGKILL, until this process has no child.
    void end_leftovers_of_app() const {
        const pid_t self = ::getpid();
        signal_descendants(self, descendants(self), SIGTERM);
        const auto kill_from = Steady::now() + leftover_grace;
        const auto limit = kill_from + kill_limit;
        while (Steady::now() < limit) {
            while (::waitpid(-1, nullptr, WNOHANG) > 0) {
            }
            if (descendants(self).empty()) return;
            if (Steady::now() >= kill_from) kill_descendants(self);
            std::this_thread::sleep_for(kill_interval);
        }
    }

    HoldOrder order_;
    HoldPaths paths_;
    Command command_;
    Fd signals_;
    Fd requests_;
    Fd own_;
    Fd control_;
    Fd log_;
    std::uint64_t log_from_ = 0;
    std::uint16_t own_port_ = 0;
    pid_t main_ = -1;  ///< the app; -1: it does not run
    std::string message_;
    bool kept_ = false;
    bool stopping_ = false;
    unsigned restarts_ = 0;
    Steady::time_point started_;
    Steady::time_point kill_at_;
    std::optional<Steady::time_point> start_at_;
    Steady::duration pause_ = first_pause;
    Steady::time_point next_log_look_ = Steady::now() + log_look;
};

/// Forks into the background; the parent says what came of it and ends. Returns in the child, with what it has to say
/// to the parent.
Fd detach() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw system_error("pipe", errno);
    const pid_t child = ::fork();
    if (child < 0) throw system_error("fork", errno);
    if (child == 0) {
        ::close(ends[0]);
        ::setsid();
        return Fd(ends[1]);
    }
    ::close(ends[1]);
    std::string said;
    std::array<char, 1024> buffer{};
    for (ssize_t count = 0; (count = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
        said.append(buffer.data(), static_cast<std::size_t>(count));
    }
    if (said == "ok") ::_exit(0);
    fmt::print("{}\n", said.empty() ? "the holder ended at once" : said);
    static_cast<void>(std::fflush(stdout));
    ::_exit(1);
}

void quieten() {
    const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nothing.get(), fd);
}

}  // namespace

void hold_if_asked(int argc, char** argv) {
    if (argc != 3 || std::string_view(argv[1]) != hold_argument) return;
    constexpr std::uint64_t most_order_bytes = 64UL << 20;
    int exit_status = 1;
    try {
        Fd to_parent = detach();
        try {
            quieten();
            auto order = decode_order(read_file(argv[2], most_order_bytes));
            const auto folder = order.folder;
            const auto name = order.name;
            Holder holder(std::move(order));
            try {
                holder.begin();
            } catch (const Error&) {
                remove_control(folder, name);
                throw;
            }
            write_all(to_parent.get(), "ok");
            to_parent.reset();
            holder.serve();
            exit_status = 0;
        } catch (const std::exception& error) {
            if (to_parent) write_all(to_parent.get(), error.what());
        }
    } catch (const std::exception& error) {
        fmt::print("{}\n", error.what());
        static_cast<void>(std::fflush(stdout));
    }
    ::_exit(exit_status);
}

}  // namespace baton::process
