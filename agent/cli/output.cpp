// SPDX-License-Identifier: MIT
// Standard output and error of the command line.
#include "agent/cli/output.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/error.h"

namespace baton::cli {

void print(std::string_view text) {
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    if (!written) throw system_error("write to standard output", errno);
}

void note(std::string_view line) {
    // There is nowhere to report that standard error cannot be written to.
    std::fputs(fmt::format("{}\n", line).c_str(), stderr);
    std::fflush(stderr);
}

bool on_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

unsigned terminal_height() {
    constexpr unsigned usual = 24;
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return usual;
    return size.ws_row;
}

}  // namespace baton::cli
