// SPDX-License-Identifier: MIT
// Standard output and error of the command line.
#pragma once

#include <string_view>

namespace baton::cli {

/// To standard output, at once. Error(io) when it is closed or full: a pipe's reader that has gone.
void print(std::string_view text);
/// A line to standard error; never fails.
void note(std::string_view line);
/// Whether standard output is a terminal.
[[nodiscard]] bool on_terminal();
/// Lines that the terminal has, 24 when it does not say.
[[nodiscard]] unsigned terminal_height();

}  // namespace baton::cli
