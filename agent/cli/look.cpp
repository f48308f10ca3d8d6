// SPDX-License-Identifier: MIT
// Commands that look: status, log, history, ledger, audit.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "agent/cli/commands.h"
#include "agent/cli/follow.h"
#include "agent/cli/interrupt.h"
#include "agent/cli/output.h"
#include "agent/cli/render.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::cli {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds redraw_interval = 1s;
constexpr Milliseconds log_interval = 300ms;

std::string status_target(const StatusOptions& options) {
    if (options.app.empty()) return "/api/v1/status";
    return "/api/v1/status?app=" + query_value(path_name("an app", options.app));
}

/// The screen, drawn anew: cut to its height, since a screen that scrolls cannot be read.
void draw(const std::string& text) {
    const unsigned height = terminal_height();
    std::string screen = "\x1b[H\x1b[J";
    unsigned line = 1;
    for (const auto& each : split(text, '\n')) {
        if (++line >= height) break;
        screen += each + "\n";
    }
    print(screen);
}

int watch(const AgentClient& agent, const StatusOptions& options) {
    const bool terminal = on_terminal();
    const std::string target = status_target(options);
    Interrupt interrupt;
    Patience patience;
    ProgressLines lines;
    do {
        try {
            const json::Value status = agent.get(target);
            patience.answered();
            if (options.json) {
                print(json::dump(status) + "\n");
            } else if (terminal) {
                draw(render_status(status) + "\nEvery second; Ctrl-C ends it.\n");
            } else {
                for (const auto& app : list_of(status, "apps"))
                    print(lines.changed(text_of(app, "app"), list_of(app, "nodes")));
            }
        } catch (const Error& error) {
            patience.failed(error);
            if (terminal && !options.json) draw(fmt::format("{}\n\nTrying again; Ctrl-C ends it.\n", error.text()));
        }
    } while (!interrupt.wait(redraw_interval));
    return exit_ok;
}

int show(const AgentClient& agent, const std::string& target, bool json, std::string (*render)(const json::Value&)) {
    const json::Value answer = agent.get(target);
    print(json ? json::dump(answer) + "\n" : render(answer));
    return exit_ok;
}

}  // namespace

int status(const Connection& connection, const StatusOptions& options) {
    const AgentClient agent(connection);
    if (options.watch) return watch(agent, options);
    return show(agent, status_target(options), options.json, render_status);
}

int log(const Connection& connection, const LogOptions& options) {
    const AgentClient agent(connection);
    const std::string builds = fmt::format("/api/v1/apps/{}/builds/", path_name("an app", options.app));
    // `last` is looked up once: a build that begins meanwhile has a log of its own.
    const auto number = number_of(agent.get(builds + options.build), "number");
    const std::string target = fmt::format("{}{}/log", builds, number);
    Interrupt interrupt;
    Patience patience;
    std::uint64_t offset = 0;
    while (true) {
        Milliseconds pause{0};
        try {
            const auto piece = agent.log(target, offset);
            patience.answered();
            print(piece.bytes);
            offset += piece.bytes.size();
            if (piece.bytes.empty() && (!piece.more || !options.follow)) return exit_ok;
            if (piece.bytes.empty()) pause = log_interval;
        } catch (const Error& error) {
            if (!options.follow) throw;
            patience.failed(error);
            pause = log_interval;
        }
        if (interrupt.wait(pause)) return exit_ok;
    }
}

int history(const Connection& connection, const ListOptions& options) {
    if (options.audit) return audit(connection, options);
    const auto target =
        fmt::format("/api/v1/apps/{}/rollouts?limit={}", path_name("an app", options.app), options.limit);
    return show(AgentClient(connection), target, options.json, render_history);
}

int ledger(const Connection& connection, const LedgerOptions& options) {
    std::string target = "/api/v1/ledger?since_ms=";
    target += options.since.count() == 0 ? "0" : std::to_string(to_epoch_ms(SystemClock().wall() - options.since));
    if (!options.app.empty()) target += "&app=" + query_value(path_name("an app", options.app));
    if (options.check) target += fmt::format("&check_ms={}", options.check->count());
    if (options.check_fast) target += fmt::format("&check_fast_ms={}", options.check_fast->count());
    if (options.fall) target += fmt::format("&fall={}", *options.fall);
    if (options.dark_share) target += fmt::format("&dark_share={:.6f}", *options.dark_share);
    if (options.retried) target += fmt::format("&retried={:.6f}", *options.retried);
    if (options.rate) target += fmt::format("&rate={:.6f}", *options.rate);
    return show(AgentClient(connection), target, options.json, render_ledger);
}

int audit(const Connection& connection, const ListOptions& options) {
    std::string target = fmt::format("/api/v1/audit?limit={}", options.limit);
    if (!options.app.empty()) target += "&app=" + query_value(path_name("an app", options.app));
    return show(AgentClient(connection), target, options.json, render_audit);
}

}  // namespace baton::cli
