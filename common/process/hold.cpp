// SPDX-License-Identifier: MIT
// Starting a holder, speaking to it, and doing its work where it was killed.
#include "common/process/hold.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "common/error.h"
#include "common/process/hold_files.h"
#include "common/process/listener.h"
#include "common/process/parameters.h"
#include "common/process/pidfd.h"
#include "common/text.h"

namespace baton::process {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Steady = std::chrono::steady_clock;

constexpr auto poll_interval = 20ms;
/// What a holder takes beyond its stop_timeout to end all that is left.
constexpr auto end_allowance = 20s;
constexpr Milliseconds start_limit{30'000};
constexpr const char* systemd_run = "/usr/bin/systemd-run";

std::optional<std::string> ask(const fs::path& folder, const std::string& name, std::string_view word) {
    const Fd socket = connect_control(folder, name);
    if (!socket) return std::nullopt;
    try {
        send_message(socket.get(), word);
        auto answer = receive_message(socket.get()).text;
        // It ended between the connection and the answer.
        if (answer.empty()) return std::nullopt;
        return answer;
    } catch (const Error& error) {
        if (!connect_control(folder, name)) return std::nullopt;
        throw Error(ErrorKind::unreachable, fmt::format("the holder of {} does not answer: {}", name, error.text()));
    }
}

/// The argv of a holder. Below systemd it goes into a scope of its own: what stays in the agent's control group is
/// killed when the agent's service stops.
std::vector<std::string> holder_argv(const HoldOrder& order) {
    const auto file = HoldPaths(order.folder, order.name).order.string();
    const bool by_systemd = ::geteuid() == 0 && fs::exists("/run/systemd/system") && fs::exists(systemd_run);
    if (!by_systemd) return {"/proc/self/exe", hold_argument, file};
    auto own = fs::read_symlink("/proc/self/exe").string();
    // After an upgrade the file that this agent was started from is gone, and the new one is in its place.
    constexpr std::string_view deleted = " (deleted)";
    if (own.ends_with(deleted)) own.resize(own.size() - deleted.size());
    return {systemd_run, "--scope", "--quiet", "--collect", own, hold_argument, file};
}

/// Where the holder was killed: the process itself, then all that descends from it.
void end_lost(const HoldRecord& record) {
    const Fd pidfd = open_pidfd(record.pid);
    if (!pidfd || !is_alive(record)) return;
    // Before it ends, while they can still be named: orphans belong to init.
    std::vector<Fd> family;
    for (const auto pid : descendants(record.pid)) family.push_back(open_pidfd(pid));
    send_signal(pidfd, record.stop_signal);
    pollfd ended{pidfd.get(), POLLIN, 0};
    static_cast<void>(::poll(&ended, 1, static_cast<int>(record.stop_timeout.count())));
    for (const auto pid : descendants(record.pid)) family.push_back(open_pidfd(pid));
    send_signal(pidfd, SIGKILL);
    for (const auto& one : family) {
        if (one) send_signal(one, SIGKILL);
    }
    static_cast<void>(::poll(&ended, 1, 5'000));
}

}  // namespace

Held hold(const HoldOrder& order) {
    fs::create_directories(order.folder);
    fs::permissions(order.folder, fs::perms::owner_all);
    const HoldPaths paths(order.folder, order.name);
    // It may hold parameters that are secret.
    write_file_atomically(paths.order, encode(order), 0600);
    Command command;
    command.argv = holder_argv(order);
    command.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};
    for (const char* variable : {"LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
        if (const char* value = std::getenv(variable)) {  // NOLINT(concurrency-mt-unsafe): nobody sets it
            command.environment.push_back(fmt::format("{}={}", variable, value));
        }
    }
    command.timeout = start_limit;
    command.keep_leftovers = true;
    const auto started = capture(command, {}, 4096);
    std::error_code ignored;
    fs::remove(paths.order, ignored);
    if (!started.result.ok()) {
        const auto said = std::string(trim(started.output));
        throw Error(ErrorKind::step_failed, said.empty() ? started.result.describe() : said);
    }
    const auto held = find_held(order.folder, order.name);
    if (!held) throw Error(ErrorKind::internal, fmt::format("the holder of {} is gone at once", order.name));
    return *held;
}

std::optional<Held> find_held(const fs::path& folder, const std::string& name) {
    if (const auto answer = ask(folder, name, word_status)) return decode_held(*answer);
    const auto record = read_record(HoldPaths(folder, name).record);
    if (!record || !is_alive(*record)) return std::nullopt;
    Held held;
    held.state = Held::State::lost;
    held.label = record->label;
    held.pid = record->pid;
    held.own_port = record->own_port;
    held.message = "its holder was killed";
    return held;
}

void keep_held(const fs::path& folder, const std::string& name) { static_cast<void>(ask(folder, name, word_keep)); }

void end_held(const fs::path& folder, const std::string& name) {
    const HoldPaths paths(folder, name);
    const auto record = read_record(paths.record);
    static_cast<void>(ask(folder, name, word_stop));
    const auto patience = (record ? record->stop_timeout : Milliseconds(0)) + end_allowance;
    const auto limit = Steady::now() + patience;
    while (connect_control(folder, name)) {
        if (Steady::now() >= limit) {
            throw Error(ErrorKind::timeout, fmt::format("{} did not end within {}", name,
                                                        to_text(std::chrono::duration_cast<Milliseconds>(patience))));
        }
        std::this_thread::sleep_for(poll_interval);
    }
    if (const auto left = read_record(paths.record)) end_lost(*left);
    remove_control(folder, name);
    std::error_code ignored;
    fs::remove(paths.record, ignored);
}

std::string output_of_held(const fs::path& folder, const std::string& name, std::size_t most_bytes) {
    const HoldPaths paths(folder, name);
    std::error_code none;
    const auto size = fs::file_size(paths.log, none);
    if (none) return {};
    const auto record = read_record(paths.record);
    const auto begin = record && record->log_from <= size ? record->log_from : 0;
    const Fd file(::open(paths.log.c_str(), O_RDONLY | O_CLOEXEC));
    const auto from = std::max<std::uint64_t>(begin, size > most_bytes ? size - most_bytes : 0);
    std::string text(size - from, '\0');
    const auto count = ::pread(file.get(), text.data(), text.size(), static_cast<off_t>(from));
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
}

}  // namespace baton::process
