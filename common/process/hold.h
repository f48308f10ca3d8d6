// SPDX-License-Identifier: MIT
// An app's process under a holder: a small process of its own that outlives the agent, holds the socket on which users'
// requests come in, hands it to the next one, and ends the app gracefully when it is told to.
#pragma once

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/process/process.h"

namespace baton::process {

/// What is to be held. A holder is known by `folder` and `name`: it answers at `folder/NAME.sock`, notes its process in
/// `folder/NAME.json` and keeps the output in `folder/NAME.log`. The folder is the owner's alone.
struct HoldOrder {
    std::filesystem::path folder;
    std::string name;
    std::string label;  ///< for the one who asks again: what it runs
    /// argv, environment, directory, account and limits of a program that stays in the foreground. Its descriptors from
    /// 3 on are the sockets below, in that order, announced by LISTEN_FDS and LISTEN_PID; BATON_PORT is `own` 's port.
    Command command;
    std::string listen;               ///< as for listen_on(): shared with the holders `others`; empty: none
    std::string own_host;             ///< a second socket on a free port of this address; empty: none
    std::vector<std::string> others;  ///< names in `folder` that may have `listen` open: it is taken over from them
    int stop_signal = SIGTERM;        ///< asks the program to finish its requests and end
    Milliseconds stop_timeout{30'000};
};

struct Held {
    enum class State {
        running,
        ended,  ///< by itself; `message` says how
        lost,   ///< the holder was killed, the process lives on
    };
    State state = State::running;
    std::string label;
    std::string message;
    pid_t pid = -1;
    std::uint16_t own_port = 0;
    bool kept = false;      ///< started again when it ends by itself
    unsigned restarts = 0;  ///< how often that has happened
};

/// Starts a holder, which starts the program, and returns once it is executed. Where systemd runs this machine, both
/// live in a scope of their own, so that they outlive the agent's service. Error with what went wrong; nothing of it is
/// left then. No holder of that name may be there.
[[nodiscard]] Held hold(const HoldOrder& order);

/// How a held process stands; none when there is neither holder nor process. Error(unreachable) for a holder that does
/// not answer.
[[nodiscard]] std::optional<Held> find_held(const std::filesystem::path& folder, const std::string& name);

/// From now on it is started again when it ends by itself, after a second at first, later half a minute.
void keep_held(const std::filesystem::path& folder, const std::string& name);

/// Ends it: its stop signal, its stop_timeout, SIGKILL, and everything that it started. Returns when nothing is left;
/// nothing to do is fine. Also where the holder was killed. Error(timeout) when something does not go.
void end_held(const std::filesystem::path& folder, const std::string& name);

/// The last of what it has written since its start, at most `most_bytes`.
[[nodiscard]] std::string output_of_held(const std::filesystem::path& folder, const std::string& name,
                                         std::size_t most_bytes);

/// Part of supervise_if_asked(): does a holder's work and never returns when this process was started as one.
void hold_if_asked(int argc, char** argv);

}  // namespace baton::process
