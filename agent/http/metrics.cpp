// SPDX-License-Identifier: MIT
// Figures for Prometheus.
#include "agent/http/metrics.h"

#include <fmt/format.h>
#include <iterator>

namespace baton::http {

std::string render_metrics(const operations::Status& status, std::uint64_t failed_logins,
                           const ServerCounters& server) {
    std::string text;
    auto out = std::back_inserter(text);
    const auto head = [&](std::string_view name, std::string_view type, std::string_view help) {
        fmt::format_to(out, "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    };
    head("baton_info", "gauge", "Always 1; the version is a label.");
    fmt::format_to(out, "baton_info{{version=\"{}\",node=\"{}\"}} 1\n", BATON_VERSION, status.node);
    head("baton_in_service", "gauge", "1 when this node is in service for the app.");
    for (const auto& app : status.apps) {
        fmt::format_to(out, "baton_in_service{{app=\"{}\"}} {}\n", app.app, app.in_service ? 1 : 0);
    }
    head("baton_frozen", "gauge", "1 when the app is frozen.");
    for (const auto& app : status.apps)
        fmt::format_to(out, "baton_frozen{{app=\"{}\"}} {}\n", app.app, app.frozen ? 1 : 0);
    head("baton_rollout_halted", "gauge", "1 when the newest rollout is halted.");
    for (const auto& app : status.apps) {
        const bool halted = app.rollout && app.rollout->state == operations::RolloutState::halted;
        fmt::format_to(out, "baton_rollout_halted{{app=\"{}\"}} {}\n", app.app, halted ? 1 : 0);
    }
    head("baton_waiting_seconds", "gauge", "For how long the app has been waiting for what status names.");
    for (const auto& app : status.apps) {
        fmt::format_to(out, "baton_waiting_seconds{{app=\"{}\"}} {:.3f}\n", app.app,
                       static_cast<double>(app.waiting_ms) / 1000);
    }
    head("baton_peer_reachable", "gauge", "1 when the node was heard of lately.");
    for (const auto& app : status.apps) {
        if (!app.rollout) continue;
        for (const auto& node : app.rollout->nodes) {
            fmt::format_to(out, "baton_peer_reachable{{app=\"{}\",peer=\"{}\"}} {}\n", app.app, node.node,
                           node.reachable ? 1 : 0);
        }
    }
    head("baton_failed_logins_total", "counter", "Wrong credentials since the agent started.");
    fmt::format_to(out, "baton_failed_logins_total {}\n", failed_logins);
    const auto figure = [&](std::string_view name, std::string_view type, std::uint64_t value, std::string_view help) {
        head(name, type, help);
        fmt::format_to(out, "{} {}\n", name, value);
    };
    figure("baton_http_requests_total", "counter", server.requests, "Requests that were read and answered.");
    figure("baton_http_refused_requests_total", "counter", server.refused_requests,
           "Requests refused while they were read: malformed, too large, too slow.");
    figure("baton_http_refused_connections_total", "counter", server.refused_connections,
           "Connections for which there was no place.");
    figure("baton_http_connections", "gauge", server.connections_now, "Connections now.");
    figure("baton_http_followers", "gauge", server.streams_now, "Answers that are being streamed now.");
    return text;
}

}  // namespace baton::http
