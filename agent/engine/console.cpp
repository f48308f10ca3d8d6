// SPDX-License-Identifier: MIT
// The first and the last lines of a build's log.
#include "agent/engine/console.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>

#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::engine {
namespace {

void append(const std::filesystem::path& log, const std::string& text) {
    try {
        const Fd fd(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
        if (!fd) throw system_error("open", errno);
        write_all(fd.get(), text);
    } catch (const Error& error) {
        log::warning("build", "cannot write the build's log", {{"file", log.string()}, {"reason", error.text()}});
    }
}

std::string_view result_of(wire::BuildState state) {
    switch (state) {
        case wire::BuildState::succeeded: return "SUCCESS";
        case wire::BuildState::failed:
        case wire::BuildState::restored:
        case wire::BuildState::stuck: return "FAILURE";
        case wire::BuildState::waiting:
        case wire::BuildState::running:
        case wire::BuildState::cancelled:
        case wire::BuildState::superseded: return "ABORTED";
    }
    return "FAILURE";
}

}  // namespace

void write_console_head(const std::filesystem::path& log, const std::vector<wire::Cause>& causes,
                        const NodeName& node) {
    std::string text;
    for (const auto& cause : causes) text += escape_control(cause.text) + "\n";
    append(log, text + fmt::format("Building on {}\n", node));
}

void write_console_tail(const std::filesystem::path& log, wire::BuildState state, const std::string& message) {
    const auto result = result_of(state);
    std::string text;
    if (result == "ABORTED") {
        text = "Build was aborted\n";
        if (!message.empty()) text += escape_control(message) + "\n";
    }
    append(log, text + fmt::format("Finished: {}\n", result));
}

}  // namespace baton::engine
