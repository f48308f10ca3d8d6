// SPDX-License-Identifier: MIT
// Feeds of ended builds (Atom, RSS 2.0), and cc.xml for build lights.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "agent/http/jenkins/model.h"

namespace baton::http {

enum class FeedKind {
    all,     ///< every ended build
    failed,  ///< those that did not succeed
    latest,  ///< one entry a job: its newest ended build
};
enum class FeedFormat { atom, rss20 };
enum class FeedScope { server, job };

/// Newest first: at least the last 10 entries, and all of the last 7 days up to 500.
/// Of all jobs of `server`, named after the server or after the one job that it holds.
[[nodiscard]] std::string render_feed(const ServerView& server, FeedScope scope, FeedKind kind, FeedFormat format);
[[nodiscard]] std::string_view content_type(FeedFormat format);
[[nodiscard]] std::string render_cc_xml(const ServerView& server);

/// `stable`, `back to normal`, `broken since build #3`, …, for an ended build; `earlier` are older ones,
/// newest first.
[[nodiscard]] std::string summary_of(const operations::BuildView& build,
                                     std::span<const operations::BuildView> earlier);

}  // namespace baton::http
