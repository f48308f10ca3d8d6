// SPDX-License-Identifier: MIT
// Feeds and cc.xml: what is in them, in which words, and that an XML parser reads them.
#include "agent/http/jenkins/feeds.h"

#include <Poco/DOM/AutoPtr.h>
#include <Poco/DOM/DOMParser.h>
#include <Poco/DOM/Document.h>
#include <Poco/DOM/NodeList.h>

#include <algorithm>
#include <catch2/catch.hpp>

using namespace baton;
using namespace baton::http;
using operations::BuildView;
using wire::BuildState;

namespace {

constexpr std::int64_t now = 1'754'000'000'000;  // 2025-07-31T22:13:20Z
constexpr std::int64_t day = 24LL * 60 * 60 * 1000;

BuildView build(unsigned number, BuildState state, std::int64_t started_ms = now - 60'000) {
    BuildView made;
    made.app = AppName("site");
    made.number = number;
    made.state = state;
    made.started_ms = started_ms;
    made.finished_ms = state == BuildState::running ? 0 : started_ms + 1000;
    return made;
}

JobView job(const std::string& name, std::vector<BuildView> builds) {
    for (BuildView& one : builds) one.app = AppName(name);
    JobView made;
    made.name = AppName(name);
    made.builds = [builds](unsigned most) {
        const auto count = static_cast<std::ptrdiff_t>(std::min<std::size_t>(most, builds.size()));
        return std::vector(builds.begin(), builds.begin() + count);
    };
    made.permalink = [builds](operations::Permalink link) -> std::optional<BuildView> {
        for (const BuildView& one : builds) {
            if (link == operations::Permalink::last || !one.running()) return one;
        }
        return std::nullopt;
    };
    return made;
}

ServerView server(std::vector<JobView> jobs) {
    ServerView made;
    made.base = "http://127.0.0.11:7070";
    made.now_ms = now;
    made.jobs = std::move(jobs);
    return made;
}

std::size_t elements(const std::string& xml, const std::string& name) {
    Poco::XML::DOMParser parser;
    const Poco::XML::AutoPtr<Poco::XML::Document> document = parser.parseString(xml);
    const Poco::XML::AutoPtr<Poco::XML::NodeList> list = document->getElementsByTagName(name);
    return list->length();
}

std::string summary(const std::vector<BuildState>& states) {
    std::vector<BuildView> builds;
    auto number = static_cast<unsigned>(states.size());
    for (const BuildState state : states) builds.push_back(build(number--, state));
    return summary_of(builds.front(), std::span(builds).subspan(1));
}

}  // namespace

TEST_CASE("jenkins feeds: the words of a summary") {
    using enum BuildState;
    CHECK(summary({succeeded}) == "stable");
    CHECK(summary({succeeded, succeeded}) == "stable");
    CHECK(summary({succeeded, failed}) == "back to normal");
    CHECK(summary({succeeded, cancelled, failed}) == "back to normal");
    CHECK(summary({failed, succeeded}) == "broken since this build");
    CHECK(summary({failed}) == "broken since this build");
    CHECK(summary({failed, restored, cancelled, failed, succeeded}) == "broken since build #2");
    CHECK(summary({failed, failed}) == "broken for a long time");
    CHECK(summary({cancelled, failed}) == "aborted");
    CHECK(summary({running}) == "?");
}

TEST_CASE("jenkins feeds: Atom holds ended builds, newest first, with ids that stay") {
    const ServerView one =
        server({job("site", {build(3, BuildState::running), build(2, BuildState::failed, now - 60'000),
                             build(1, BuildState::succeeded, now - 120'000)})});
    const std::string feed = render_feed(one, FeedScope::server, FeedKind::all, FeedFormat::atom);
    CHECK(elements(feed, "entry") == 2);
    CHECK_THAT(feed, Catch::Contains("<title>Jenkins:all (all builds)</title>"));
    CHECK_THAT(feed, Catch::Contains("<title>site #2 (broken since this build)</title>"));
    CHECK_THAT(feed, Catch::Contains("href=\"http://127.0.0.11:7070/job/site/2/\""));
    CHECK_THAT(feed, Catch::Contains("<id>tag:baton,2025:site:2</id>"));
    CHECK_THAT(feed, Catch::Contains("<published>2025-07-31T22:12:20Z</published>"));
    CHECK_THAT(feed, Catch::Contains("<updated>2025-07-31T22:12:21Z</updated>"));
    CHECK(feed.find("site #2") < feed.find("site #1"));
}

TEST_CASE("jenkins feeds: failed builds only, the latest of each job, and an empty feed") {
    const ServerView two = server({job("site", {build(2, BuildState::succeeded), build(1, BuildState::failed)}),
                                   job("blog", {build(5, BuildState::running), build(4, BuildState::cancelled)})});
    const std::string failed = render_feed(two, FeedScope::server, FeedKind::failed, FeedFormat::atom);
    CHECK(elements(failed, "entry") == 2);
    CHECK_THAT(failed, Catch::Contains("site #1") && Catch::Contains("blog #4 (aborted)"));
    const std::string latest = render_feed(two, FeedScope::server, FeedKind::latest, FeedFormat::atom);
    CHECK(elements(latest, "entry") == 2);
    CHECK_THAT(latest, Catch::Contains("<id>tag:baton,2025:site</id>") && Catch::Contains("blog #4"));
    const std::string none = render_feed(server({job("site", {})}), FeedScope::job, FeedKind::all, FeedFormat::atom);
    CHECK(elements(none, "entry") == 0);
    CHECK_THAT(none, Catch::Contains("2001-01-01T00:00:00Z") && Catch::Contains("Jenkins:site (all builds)"));
}

TEST_CASE("jenkins feeds: at least ten entries however old, and no others older than a week") {
    std::vector<BuildView> builds;
    for (unsigned number = 30; number > 0; --number) {
        const std::int64_t age = number > 26 ? day : 30 * day;  // four of this week
        builds.push_back(build(number, BuildState::succeeded, now - age + number));
    }
    CHECK(elements(render_feed(server({job("site", builds)}), FeedScope::job, FeedKind::all, FeedFormat::atom),
                   "entry") == 10);
    for (BuildView& one : builds) one.started_ms = now - day + one.number;
    CHECK(elements(render_feed(server({job("site", builds)}), FeedScope::job, FeedKind::all, FeedFormat::atom),
                   "entry") == 30);
}

TEST_CASE("jenkins feeds: RSS 2.0") {
    const std::string feed = render_feed(server({job("site", {build(2, BuildState::succeeded)})}), FeedScope::job,
                                         FeedKind::all, FeedFormat::rss20);
    CHECK(elements(feed, "item") == 1);
    CHECK_THAT(feed, Catch::Contains("<guid isPermaLink=\"false\">tag:baton,2025:site:2</guid>"));
    CHECK_THAT(feed, Catch::Contains("<pubDate>Thu, 31 Jul 2025 22:12:20 GMT</pubDate>"));
    CHECK(content_type(FeedFormat::rss20) == "text/xml;charset=UTF-8");
}

TEST_CASE("jenkins feeds: cc.xml says what runs and how the last build ended") {
    const std::string xml = render_cc_xml(
        server({job("site", {build(3, BuildState::running), build(2, BuildState::failed)}), job("new", {})}));
    CHECK(elements(xml, "Project") == 2);
    CHECK_THAT(xml, Catch::Contains("activity=\"Building\"") && Catch::Contains("lastBuildStatus=\"Failure\"") &&
                        Catch::Contains("lastBuildLabel=\"2\"") &&
                        Catch::Contains("webUrl=\"http://127.0.0.11:7070/job/site/\""));
    CHECK_THAT(xml, Catch::Contains("activity=\"Sleeping\"") && Catch::Contains("lastBuildStatus=\"Unknown\""));
}
