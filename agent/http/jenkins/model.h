// SPDX-License-Identifier: MIT
// What Jenkins' clients see: apps as jobs, builds, the queue, this node as the built-in one, as exported
// objects.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/http/export/export.h"
#include "agent/operations/operations.h"
#include "common/config/agent_config.h"

namespace baton::http {

/// An app with the ways to learn more about it. The functions are called while an object is printed, on the
/// thread that prints; a test gives its own.
struct JobView {
    AppName name;
    std::string repository;
    std::string branch;
    std::vector<config::Parameter> parameters;
    bool disabled = false;
    unsigned next_number = 1;
    std::vector<operations::QueueItem> waiting;                               ///< of this app only
    std::function<std::vector<operations::BuildView>(unsigned most)> builds;  ///< newest first
    std::function<std::optional<operations::BuildView>(operations::Permalink)> permalink;
    std::function<std::vector<std::string>(unsigned number)> artifacts;
    std::function<std::vector<operations::ChangeView>(unsigned number)> changes;
};

struct ServerView {
    std::string base;  ///< `http://host:port`, without a slash at the end
    NodeName node;
    unsigned executors = 1;
    bool quieting_down = false;
    std::int64_t now_ms = 0;
    std::vector<JobView> jobs;  ///< all of them, by name
};

/// An object with the name of its root element in XML.
struct ExportPage {
    std::string element;
    Exported object;
};

/// How many builds a job lists, as in Jenkins; `allBuilds` has the others.
inline constexpr unsigned most_listed_builds = 100;

/// SUCCESS, FAILURE or ABORTED; empty while it runs.
[[nodiscard]] std::string_view result_of(const operations::BuildView& build);
/// `blue`, `red`, `aborted`, with `_anime` while a build runs; `notbuilt`, `disabled`.
[[nodiscard]] std::string color_of(const JobView& job);
/// `lastBuild`, `lastStableBuild`, …; none for any other text.
[[nodiscard]] std::optional<operations::Permalink> permalink_named(std::string_view name);
[[nodiscard]] std::string job_url(const ServerView& server, const AppName& job);
[[nodiscard]] std::string build_url(const ServerView& server, const operations::BuildView& build);

[[nodiscard]] ExportPage root_page(const ServerView& server);
[[nodiscard]] ExportPage view_page(const ServerView& server);
[[nodiscard]] ExportPage job_page(const ServerView& server, const JobView& job);
[[nodiscard]] ExportPage build_page(const ServerView& server, const JobView& job, const operations::BuildView& build);
/// None while the build has no report.
[[nodiscard]] std::optional<ExportPage> test_report_page(const JobView& job, const operations::BuildView& build);
[[nodiscard]] ExportPage queue_page(const ServerView& server);
[[nodiscard]] ExportPage queue_item_page(const ServerView& server, const operations::QueueItem& item);
[[nodiscard]] ExportPage computers_page(const ServerView& server);
/// None for a name that is not this node's.
[[nodiscard]] std::optional<ExportPage> computer_page(const ServerView& server, std::string_view name);
[[nodiscard]] ExportPage user_page(const ServerView& server, std::string_view name);
/// Anonymous is called `anonymous`.
[[nodiscard]] ExportPage who_am_i_page(std::string_view name, bool anonymous);
[[nodiscard]] ExportPage plugins_page();
[[nodiscard]] ExportPage crumb_page(std::string_view crumb);

// --- parts that several pages share ---
/// A job or build as it appears within others: what is always visible, and the whole when depth reaches it.
[[nodiscard]] Exported job_object(const ServerView& server, const JobView& job);
[[nodiscard]] Exported build_object(const ServerView& server, const JobView& job, const operations::BuildView& build);
[[nodiscard]] Exported queue_item_object(const ServerView& server, const operations::QueueItem& item);
[[nodiscard]] Exported cause_object(const wire::Cause& cause);
/// Null when the app is not configured (any more).
[[nodiscard]] const JobView* find_job(const ServerView& server, const AppName& name);

}  // namespace baton::http
