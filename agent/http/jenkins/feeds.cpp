// SPDX-License-Identifier: MIT
// Feeds of ended builds, and cc.xml.
#include "agent/http/jenkins/feeds.h"

#include <Poco/DateTimeFormat.h>
#include <Poco/DateTimeFormatter.h>
#include <Poco/Timestamp.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "agent/http/export/xml_tree.h"
#include "common/clock.h"
#include "common/text.h"

namespace baton::http {

namespace {

using operations::BuildView;

constexpr std::size_t least_entries = 10;
constexpr std::size_t most_entries = 500;
constexpr std::int64_t recent_ms = 7LL * 24 * 60 * 60 * 1000;
constexpr std::string_view nothing_yet = "2001-01-01T00:00:00Z";

struct Entry {
    std::string title;
    std::string url;
    std::string id;
    std::int64_t started_ms = 0;
    std::int64_t ended_ms = 0;
};

/// RFC 3339 without a fraction.
std::string rfc3339(std::int64_t at_ms) {
    std::string text = to_iso8601(from_epoch_ms(at_ms));
    text.resize(19);
    return text + "Z";
}

std::string rfc822(std::int64_t at_ms) {
    return Poco::DateTimeFormatter::format(Poco::Timestamp(at_ms * 1000), Poco::DateTimeFormat::RFC1123_FORMAT);
}

Entry entry_of(const ServerView& server, const BuildView& build, std::span<const BuildView> earlier, FeedKind kind) {
    Entry entry;
    entry.title = fmt::format("{} #{} ({})", build.app, build.number, summary_of(build, earlier));
    entry.url = build_url(server, build);
    entry.started_ms = build.started_ms;
    entry.ended_ms = build.finished_ms;
    const std::string year = rfc3339(build.started_ms).substr(0, 4);
    // The latest of a job replaces the one before it in a reader, so its id is the job's.
    entry.id = kind == FeedKind::latest ? fmt::format("tag:baton,{}:{}", year, build.app)
                                        : fmt::format("tag:baton,{}:{}:{}", year, build.app, build.number);
    return entry;
}

std::vector<Entry> entries_of(const ServerView& server, FeedKind kind) {
    std::vector<Entry> entries;
    for (const JobView& job : server.jobs) {
        const std::vector<BuildView> builds = job.builds(most_entries);
        for (std::size_t index = 0; index < builds.size(); ++index) {
            const BuildView& build = builds[index];
            if (build.running() || (kind == FeedKind::failed && result_of(build) == "SUCCESS")) continue;
            entries.push_back(entry_of(server, build, std::span(builds).subspan(index + 1), kind));
            if (kind == FeedKind::latest) break;
        }
    }
    std::ranges::stable_sort(entries, std::greater<>{}, &Entry::started_ms);
    std::size_t kept = 0;
    while (kept < entries.size() && kept < most_entries &&
           (kept < least_entries || entries[kept].started_ms > server.now_ms - recent_ms)) {
        ++kept;
    }
    entries.resize(kept);
    return entries;
}

std::string_view kind_words(FeedKind kind) {
    switch (kind) {
        case FeedKind::all: return "all builds";
        case FeedKind::failed: return "failed builds";
        case FeedKind::latest: return "latest builds";
    }
    return "all builds";
}

std::string render_atom(const std::string& title, const std::string& link, const std::vector<Entry>& entries) {
    XmlNode feed;
    feed.name = "feed";
    feed.attribute("xmlns", "http://www.w3.org/2005/Atom");
    feed.add("title", title);
    feed.add("link").attribute("rel", "alternate").attribute("type", "text/html").attribute("href", link);
    feed.add("updated", entries.empty() ? std::string(nothing_yet) : rfc3339(entries.front().ended_ms));
    feed.add("author").add("name", "Jenkins Server");
    feed.add("id", link);
    for (const Entry& entry : entries) {
        XmlNode& node = feed.add("entry");
        node.add("title", entry.title);
        node.add("link").attribute("rel", "alternate").attribute("type", "text/html").attribute("href", entry.url);
        node.add("id", entry.id);
        node.add("published", rfc3339(entry.started_ms));
        node.add("updated", rfc3339(entry.ended_ms));
    }
    return write_xml(feed, Declaration::xml);
}

std::string render_rss20(const std::string& title, const std::string& link, const std::vector<Entry>& entries) {
    XmlNode rss;
    rss.name = "rss";
    rss.attribute("version", "2.0");
    XmlNode& channel = rss.add("channel");
    channel.add("title", title);
    channel.add("link", link);
    channel.add("description", title);
    for (const Entry& entry : entries) {
        XmlNode& item = channel.add("item");
        item.add("title", entry.title);
        item.add("link", entry.url);
        item.add("guid", entry.id).attribute("isPermaLink", "false");
        item.add("pubDate", rfc822(entry.started_ms));
    }
    return write_xml(rss, Declaration::xml);
}

std::string_view cc_status(std::string_view result) {
    if (result == "SUCCESS") return "Success";
    if (result == "FAILURE") return "Failure";
    return "Unknown";
}

}  // namespace

std::string summary_of(const BuildView& build, std::span<const BuildView> earlier) {
    const std::string_view result = result_of(build);
    if (result.empty()) return "?";
    if (result == "ABORTED") return "aborted";
    // An aborted build says nothing about the code: it neither breaks nor mends.
    std::vector<const BuildView*> telling;
    for (const BuildView& one : earlier) {
        const std::string_view its = result_of(one);
        if (its == "SUCCESS" || its == "FAILURE") telling.push_back(&one);
    }
    if (result == "SUCCESS") {
        return !telling.empty() && result_of(*telling.front()) == "FAILURE" ? "back to normal" : "stable";
    }
    const BuildView* first_broken = nullptr;
    for (const BuildView* one : telling) {
        if (result_of(*one) == "SUCCESS") {
            return first_broken == nullptr ? "broken since this build"
                                           : fmt::format("broken since build #{}", first_broken->number);
        }
        first_broken = one;
    }
    return telling.empty() ? "broken since this build" : "broken for a long time";
}

std::string_view content_type(FeedFormat format) {
    return format == FeedFormat::atom ? "application/atom+xml;charset=UTF-8" : "text/xml;charset=UTF-8";
}

std::string render_feed(const ServerView& server, FeedScope scope, FeedKind kind, FeedFormat format) {
    const bool one_job = scope == FeedScope::job && !server.jobs.empty();
    const std::string subject = one_job ? server.jobs.front().name.str() : "all";
    const std::string link = one_job ? job_url(server, server.jobs.front().name) : server.base + "/";
    const std::string title = fmt::format("Jenkins:{} ({})", subject, kind_words(kind));
    const std::vector<Entry> entries = entries_of(server, kind);
    return format == FeedFormat::atom ? render_atom(title, link, entries) : render_rss20(title, link, entries);
}

std::string render_cc_xml(const ServerView& server) {
    XmlNode projects;
    projects.name = "Projects";
    for (const JobView& job : server.jobs) {
        const auto newest = job.permalink(operations::Permalink::last);
        const auto ended = job.permalink(operations::Permalink::last_completed);
        XmlNode& project = projects.add("Project");
        project.attribute("name", job.name.str());
        project.attribute("activity", newest && newest->running() ? "Building" : "Sleeping");
        project.attribute("lastBuildStatus", std::string(ended ? cc_status(result_of(*ended)) : "Unknown"));
        if (ended) {
            project.attribute("lastBuildLabel", fmt::format("{}", ended->number));
            project.attribute("lastBuildTime", rfc3339(ended->started_ms));
        }
        project.attribute("webUrl", job_url(server, job.name));
    }
    return write_xml(projects, Declaration::xml);
}

}  // namespace baton::http
