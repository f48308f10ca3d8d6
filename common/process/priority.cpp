// SPDX-License-Identifier: MIT
// How a process stands back.
#include "common/process/priority.h"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sched.h>
#include <string_view>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "common/process/cgroup.h"
#include "common/text.h"

namespace baton::process {
namespace {

/// linux/ioprio.h is no header for user space: class idle in the three highest of 16 bits, and "this process".
constexpr int ioprio_idle = 3 << 13;
constexpr int ioprio_who_process = 1;
constexpr int nicest = 19;
/// For the whole session: a tenth of what another session gets that wants the processor as well, or the least there is.
int session_nice(Priority priority) { return priority == Priority::idle ? nicest : 10; }
constexpr const char* autogroup_file = "/proc/self/autogroup";
constexpr const char* oom_file = "/proc/self/oom_score_adj";
/// Of -1000 to 1000. The agent's own may be far below 0 (its unit says so), which no step and no app must inherit.
constexpr int oom_normal = 0;
constexpr int oom_low = 500;

void write_number(const char* file, int number) noexcept {
    std::array<char, 16> text{};
    const auto end = fmt::format_to_n(text.data(), text.size(), "{}", number);
    const int fd = ::open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    static_cast<void>(!::write(fd, text.data(), end.size));
    ::close(fd);
}

int read_number(const char* file, int otherwise) noexcept {
    std::array<char, 32> text{};
    const int fd = ::open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return otherwise;
    const auto count = ::read(fd, text.data(), text.size() - 1);
    ::close(fd);
    return count > 0 ? std::atoi(text.data()) : otherwise;
}

/// Raised only: whoever runs the agent may have said that it goes first.
void raise_oom_score(int wanted) noexcept {
    if (read_number(oom_file, wanted) >= wanted) return;
    write_number(oom_file, wanted);
}

bool groups_sessions() { return read_number("/proc/sys/kernel/sched_autogroup_enabled", 0) != 0; }

}  // namespace

void take_priority(Priority priority) noexcept {
    raise_oom_score(priority == Priority::normal ? oom_normal : oom_low);
    if (priority == Priority::normal) return;
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, nicest));
    // Each session is a group with a share of its own where the kernel groups them, as Debian's does: niceness counts
    // only inside, and a step, which is a session, would have as much of the processor as the whole app.
    write_number(autogroup_file, session_nice(priority));
    sched_param none{};
    static_cast<void>(::sched_setscheduler(0, priority == Priority::idle ? SCHED_IDLE : SCHED_BATCH, &none));
    static_cast<void>(::syscall(SYS_ioprio_set, ioprio_who_process, 0, ioprio_idle));
}

std::string describe_priority(Priority priority) {
    if (priority == Priority::normal) return "like everything else";
    std::vector<std::string> parts{fmt::format("nice {}", nicest)};
    if (groups_sessions()) parts.push_back(fmt::format("session nice {}", session_nice(priority)));
    parts.emplace_back(priority == Priority::idle ? "SCHED_IDLE" : "SCHED_BATCH");
    parts.emplace_back("I/O class idle");
    const auto weight = describe_weight(priority);
    parts.push_back(weight.empty() ? "no cgroup weight: none is delegated" : weight);
    return join(parts, ", ");
}

}  // namespace baton::process
