// SPDX-License-Identifier: MIT
// What commands need that follow an agent for a while.
#include "agent/cli/follow.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "agent/cli/render.h"
#include "common/clock.h"
#include "common/text.h"

namespace baton::cli {
namespace {

using namespace std::chrono_literals;

// An agent's restart takes a second; a machine's takes less than a minute, or somebody has to look at it.
constexpr Milliseconds longest_silence = 60s;

}  // namespace

void Patience::answered() {
    silent_since_.reset();
    answered_ = true;
}

void Patience::failed(const Error& error) {
    const bool silence =
        error.kind() == ErrorKind::unreachable || error.kind() == ErrorKind::timeout || error.kind() == ErrorKind::busy;
    if (!silence || !answered_) throw error;
    const Instant now = SystemClock().now();
    if (!silent_since_) silent_since_ = now;
    if (now - *silent_since_ > longest_silence) throw error;
}

ProgressLines::ProgressLines() : begin_(SystemClock().now()) {}

std::string ProgressLines::changed(const std::string& app, const json::Value& nodes) {
    std::string text;
    for (const auto& node : nodes) {
        const std::string line = render_progress(node);
        std::string& before = shown_[{app, text_of(node, "node")}];
        if (before == line) continue;
        before = line;
        text += fmt::format("{:>6}  {}\n", human_duration(SystemClock().now() - begin_), line);
    }
    return text;
}

}  // namespace baton::cli
