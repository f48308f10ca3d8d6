// SPDX-License-Identifier: MIT
// What the agent and a step's supervisor say to each other: the command going in, the report coming out.
#pragma once

#include <string>
#include <string_view>

#include "common/process/process.h"

namespace baton::process {

/// Where the supervisor finds what it inherits. Its output (1 and 2) is the command's.
constexpr int control_fd = 3;     ///< a SOCK_SEQPACKET socket: `cancel` in, one encoded Report out
constexpr int parameters_fd = 4;  ///< a memfd with the encoded Parameters
constexpr int first_kept_fd = 5;  ///< Command::keep_fds in order
constexpr std::size_t most_kept_fds = 32;

/// The hidden first argument that makes a program a supervisor.
constexpr std::string_view supervise_argument = "--supervise-step";
/// What the agent sends to end the command early.
constexpr std::string_view cancel_message = "cancel";
/// The largest encoded report; longer texts are cut.
constexpr std::size_t most_report_bytes = 8192;

/// The environment's names that this room adds or looks for.
constexpr std::string_view owner_variable = "BATON_STEP_OWNER";
constexpr std::string_view step_id_variable = "BATON_STEP_ID";
constexpr std::string_view keep_entry = "BATON_KEEP_PROCESSES=1";

/// A Command as the supervisor needs it: descriptors have been inherited, input is its standard input.
struct Parameters {
    Command command;
    std::size_t kept_fds = 0;
    std::string cgroup;  ///< directory to run in, made by the supervisor; empty: none
};

[[nodiscard]] std::string encode(const Parameters& parameters);
/// Error(corrupt) for anything that encode() did not make.
[[nodiscard]] Parameters decode_parameters(std::string_view bytes);

/// Result without its duration, which the agent measures.
[[nodiscard]] std::string encode(const Result& result);
[[nodiscard]] Result decode_result(std::string_view bytes);

}  // namespace baton::process
