// SPDX-License-Identifier: MIT
// Running programs: steps under a supervisor of which nothing survives, and short tools of our own (git,
// rsync).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"

namespace baton::process {

/// Bytes of standard output and error in the order in which they were written. Called on the thread that runs
/// the process; an exception from it ends the process and is rethrown.
using OutputSink = std::function<void(std::string_view)>;

/// Whose rights a process gets.
struct Account {
    unsigned uid = 0;
    unsigned gid = 0;
    std::vector<unsigned> groups;
    std::string home;
    std::string name;
};
/// Error(not_found) for an unknown user.
[[nodiscard]] Account find_account(const std::string& user_name);

struct Limits {
    std::optional<std::uint64_t> open_files;
    std::optional<std::uint64_t> core_bytes = 0;
    std::optional<std::uint64_t> address_space_bytes;
};

/// For what runs on a machine that serves users meanwhile. low: nice 19 (of its session's group too, where the kernel
/// groups sessions), the batch policy, the idle I/O class, a small weight where a delegated cgroup allows it, and the first
/// to go when memory runs out. idle: besides, only what nobody else wants of the processor.
enum class Priority { normal, low, idle };

/// What of it this machine lets steps have, for the log: `nice 19, autogroup nice 19, SCHED_BATCH, …`.
[[nodiscard]] std::string describe_priority(Priority priority);

/// Makes room for cgroups of steps with weights of their own, where systemd delegated this process's cgroup: moves this
/// process into a leaf of it, since the kernel allows no process beside children that have controllers. Once, before any
/// step. Best effort.
void prepare_cgroups();

struct Command {
    std::vector<std::string> argv;         ///< argv[0] is looked up on the PATH of `environment`
    std::vector<std::string> environment;  ///< the whole of it, `NAME=value`; run() adds BATON_STEP_ID
    std::filesystem::path directory = "/";
    std::optional<Account> account;  ///< none: the agent's own
    Milliseconds timeout{0};         ///< 0: none
    Milliseconds grace{5'000};       ///< between SIGTERM and SIGKILL
    Limits limits;
    Priority priority = Priority::normal;
    std::vector<int> keep_fds;  ///< become 3, 4, … in the process; at most 32
    bool listen_fds = false;    ///< sets LISTEN_FDS and LISTEN_PID for keep_fds, as sd_listen_fds(3) reads them
    std::string input;          ///< its standard input; empty: /dev/null
    /// What the command started and did not wait for stays when it exits 0 by itself, for a restart step that
    /// starts the app without systemd. A failure, a time-out, a cancel or the death of this process still
    /// ends it all. BATON_KEEP_PROCESSES=1 is added to the environment, so that end_leftovers() passes them
    /// over too. A kept daemon must not write to the output it inherited: nobody reads that pipe any more.
    bool keep_leftovers = false;
};

struct Result {
    enum class End { exited, signalled, timed_out, cancelled, not_started };
    End end = End::not_started;
    int status = 0;       ///< exit status, or the signal's number
    std::string message;  ///< not_started: why; else what is to be said besides, such as the limit that passed
    Milliseconds duration{0};
    [[nodiscard]] bool ok() const { return end == End::exited && status == 0; }
    /// `exit status 2`, `killed by signal 9 (Killed)`, `timed out after 10m`, …
    [[nodiscard]] std::string describe() const;
};

/// Runs a command under a supervisor process (this same executable, started with a hidden first argument)
/// that is a child subreaper: when the command ends, times out, is cancelled by `stop`, or this process dies,
/// everything that it started is ended, SIGTERM, grace, SIGKILL: double forks, new sessions and those that
/// ignore SIGTERM included. When the command ends by itself, what it left behind has at most one second of
/// grace. When the supervisor itself is killed, the command is ended by the BATON_STEP_ID in its environment,
/// and the Result says so (signalled). Only std::bad_alloc and what `sink` throws leave it; anything else is
/// a Result. Any thread; it blocks for as long as the command runs. `stop` may be requested from any thread,
/// also while `sink` is busy.
[[nodiscard]] Result run(const Command& command, const OutputSink& sink, const std::stop_token& stop);

/// run() with its output in a string of at most `most_bytes` (the rest is dropped).
struct Captured {
    Result result;
    std::string output;
};
[[nodiscard]] Captured capture(const Command& command, const std::stop_token& stop, std::size_t most_bytes = 1 << 20);

/// To be called first thing in main(), also of a test program: when this process was started as a supervisor or as a
/// holder (hold.h) it does that work and never returns.
void supervise_if_asked(int argc, char** argv);

/// Ends what the steps of a dead predecessor left behind: every process whose environment holds
/// `BATON_STEP_OWNER=<owner>`, and their descendants; not those kept on purpose (keep_leftovers), nor this
/// process and its ancestors. SIGTERM, a second of grace, SIGKILL. Returns how many were ended. Takes at most
/// some 6 s.
std::size_t end_leftovers(const std::string& owner);

}  // namespace baton::process
