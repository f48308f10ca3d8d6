// SPDX-License-Identifier: MIT
// Reads /proc and signals through pidfds.
#include "common/process/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <deque>
#include <memory>
#include <set>
#include <thread>

#include "common/file.h"
#include "common/process/pidfd.h"
#include "common/text.h"

namespace baton::process {
namespace {

using namespace std::chrono_literals;

/// Rounds of stopping before the kill: each finds what was forked during the one before, so a tree whose
/// every member forks at full speed is caught in a few.
constexpr int most_stop_rounds = 50;
constexpr auto leftover_grace = 1s;
constexpr auto leftover_kill_limit = 5s;
constexpr auto poll_interval = 10ms;
/// A process in the middle of execve(2) shows an empty environment, and one forked while /proc was being
/// listed may be missing: only this many looks in a row that find nothing are believed.
constexpr int looks_for_none = 5;
constexpr auto look_interval = 20ms;
/// The kernel's limit on an environment is far higher; a marker beyond this is not looked for.
constexpr std::size_t most_proc_bytes = 4 << 20;

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<pid_t> numbers_in(const std::string& path) {
    std::vector<pid_t> numbers;
    const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
    if (!directory) return numbers;
    while (const dirent* entry = ::readdir(directory.get())) {
        if (const auto number = parse_whole(entry->d_name)) numbers.push_back(static_cast<pid_t>(*number));
    }
    return numbers;
}

/// Files of /proc have no size and may vanish while they are read: what could be read.
std::string read_proc(const std::string& path) {
    std::string content;
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return content;
    std::string chunk(4096, '\0');
    while (content.size() < most_proc_bytes) {
        const auto count = ::read(fd.get(), chunk.data(), chunk.size());
        if (count <= 0) break;
        content.append(chunk, 0, static_cast<std::size_t>(count));
    }
    return content;
}

std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> children;
    for (const auto thread : numbers_in(fmt::format("/proc/{}/task", pid))) {
        const auto line = read_proc(fmt::format("/proc/{}/task/{}/children", pid, thread));
        for (const auto& word : split(line, ' ')) {
            if (const auto child = parse_whole(trim(word))) children.push_back(static_cast<pid_t>(*child));
        }
    }
    return children;
}

bool has_entry(std::string_view environment, std::string_view entry) {
    for (std::size_t from = 0; from < environment.size();) {
        const auto end = std::min(environment.find('\0', from), environment.size());
        if (environment.substr(from, end - from) == entry) return true;
        from = end + 1;
    }
    return false;
}

void signal_pidfd(const Fd& pidfd, int signal) {
    // ESRCH: it has just ended, which is what a signal is for.
    send_signal(pidfd, signal);
    // A stopped process acts on no signal but SIGKILL before it is continued.
    if (signal == SIGTERM) send_signal(pidfd, SIGCONT);
}

/// Field `number` of /proc/PID/stat, counted as in proc(5) and from the state (3) on; none when the process
/// is gone. The second field is the program's name in parentheses and may hold anything, so counting starts
/// at its end.
std::optional<std::uint64_t> stat_field(pid_t pid, std::size_t number) {
    const auto stat = read_proc(fmt::format("/proc/{}/stat", pid));
    const auto name_end = stat.rfind(')');
    if (name_end == std::string::npos || name_end + 2 >= stat.size()) return std::nullopt;
    const auto fields = split(std::string_view(stat).substr(name_end + 2), ' ');
    const auto index = number - 3;
    return index < fields.size() ? parse_whole(fields[index]) : std::nullopt;
}

/// The pidfd is opened before the look at the start time, so a stranger with the same id is not hit.
void signal_found(const std::map<pid_t, StartTime>& found, int signal) {
    for (const auto& [pid, started] : found) {
        const Fd pidfd = open_pidfd(pid);
        if (pidfd && start_time_of(pid) == started) signal_pidfd(pidfd, signal);
    }
}

/// find_by_environment(), not fooled by what hides for a moment.
std::map<pid_t, StartTime> find_surely(std::string_view entry, std::string_view unless) {
    for (int look = 1;; ++look) {
        auto found = find_by_environment(entry, unless);
        if (!found.empty() || look == looks_for_none) return found;
        std::this_thread::sleep_for(look_interval);
    }
}

}  // namespace

std::optional<pid_t> parent_of(pid_t pid) {
    const auto parent = stat_field(pid, 4);
    return parent ? std::optional(static_cast<pid_t>(*parent)) : std::nullopt;
}

std::optional<StartTime> start_time_of(pid_t pid) { return stat_field(pid, 22); }

bool is_zombie(pid_t pid) {
    const auto stat = read_proc(fmt::format("/proc/{}/stat", pid));
    const auto name_end = stat.rfind(')');
    return name_end != std::string::npos && name_end + 2 < stat.size() && stat[name_end + 2] == 'Z';
}

std::vector<pid_t> descendants(pid_t root) {
    std::vector<pid_t> found;
    std::set<pid_t> seen{root};
    std::deque<pid_t> open{root};
    while (!open.empty()) {
        const auto children = children_of(open.front());
        open.pop_front();
        for (const auto child : children) {
            if (!seen.insert(child).second) continue;
            found.push_back(child);
            open.push_back(child);
        }
    }
    return found;
}

void signal_descendants(pid_t root, const std::vector<pid_t>& pids, int signal) {
    std::set<pid_t> family(pids.begin(), pids.end());
    family.insert(root);
    for (const auto pid : pids) {
        // Opened first, looked at then: once the parent is right, the pidfd is that of the process we mean,
        // even if its id passes to another before the signal.
        const Fd pidfd = open_pidfd(pid);
        const auto parent = parent_of(pid);
        if (pidfd && parent && family.contains(*parent)) signal_pidfd(pidfd, signal);
    }
}

std::size_t kill_descendants(pid_t root) {
    std::set<pid_t> stopped;
    std::vector<pid_t> all;
    for (int round = 0; round < most_stop_rounds; ++round) {
        all = descendants(root);
        std::vector<pid_t> fresh;
        for (const auto pid : all) {
            if (stopped.insert(pid).second) fresh.push_back(pid);
        }
        if (fresh.empty()) break;
        signal_descendants(root, fresh, SIGSTOP);
    }
    signal_descendants(root, all, SIGKILL);
    return all.size();
}

std::map<pid_t, StartTime> find_by_environment(std::string_view entry, std::string_view unless) {
    std::set<pid_t> spared;
    for (std::optional<pid_t> pid = ::getpid(); pid && *pid > 0; pid = parent_of(*pid)) spared.insert(*pid);
    std::map<pid_t, StartTime> found;
    const auto add = [&](pid_t pid) {
        if (const auto started = start_time_of(pid); started && !spared.contains(pid)) found.emplace(pid, *started);
    };
    for (const auto pid : numbers_in("/proc")) {
        const auto environment = read_proc(fmt::format("/proc/{}/environ", pid));
        if (spared.contains(pid) || !has_entry(environment, entry)) continue;
        if (!unless.empty() && has_entry(environment, unless)) continue;
        add(pid);
        for (const auto child : descendants(pid)) {
            const bool kept = !unless.empty() && has_entry(read_proc(fmt::format("/proc/{}/environ", child)), unless);
            if (!kept) add(child);
        }
    }
    return found;
}

std::size_t end_by_environment(std::string_view entry, std::string_view unless) {
    using Steady = std::chrono::steady_clock;
    auto left = find_surely(entry, unless);
    auto met = left;
    signal_found(left, SIGTERM);
    for (const auto limit = Steady::now() + leftover_grace; !left.empty() && Steady::now() < limit;) {
        std::this_thread::sleep_for(poll_interval);
        left = find_surely(entry, unless);
        met.insert(left.begin(), left.end());
    }
    for (const auto limit = Steady::now() + leftover_kill_limit; !left.empty() && Steady::now() < limit;) {
        signal_found(left, SIGSTOP);
        left.merge(find_by_environment(entry, unless));
        met.insert(left.begin(), left.end());
        signal_found(left, SIGKILL);
        std::this_thread::sleep_for(poll_interval);
        left = find_surely(entry, unless);
    }
    return met.size();
}

}  // namespace baton::process
