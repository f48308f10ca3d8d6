// SPDX-License-Identifier: MIT
// A caller of Jenkins against a server that says what the test wants: where credentials go, which answers count.
#include "common/net/jenkins_job.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "common/error.h"
#include "fake_server.h"

using namespace baton;
using namespace baton::net;
using test::FakePeer;
using test::FakeServer;

namespace {

std::string answer(int status, const std::string& headers, const std::string& body) {
    return fmt::format("HTTP/1.1 {} X\r\n{}Content-Length: {}\r\nConnection: close\r\n\r\n{}", status, headers,
                       body.size(), body);
}

/// Answers each request with the next of the given ones, and keeps what was asked.
struct Script {
    explicit Script(std::vector<std::string> given)
        : answers(std::move(given)), server([this](FakePeer& peer) {
              const std::string request = peer.read_request();
              if (request.empty()) return;
              asked.push_back(request);
              if (asked.size() <= answers.size()) peer.send(answers[asked.size() - 1]);
          }) {}

    [[nodiscard]] JenkinsJob job(const std::string& user = "deploy") const {
        return JenkinsJob({server.url("/ci/"), "folder/my job", user, "s3cret", {}});
    }

    std::vector<std::string> answers;
    std::vector<std::string> asked;
    FakeServer server;
};

ErrorKind kind_of(const std::function<void()>& work, std::string* text = nullptr) {
    try {
        work();
    } catch (const Error& error) {
        if (text != nullptr) *text = error.text();
        return error.kind();
    }
    FAIL("no error");
    return ErrorKind::internal;
}

constexpr const char* with_commit = R"({"buildable":true,"nextBuildNumber":8,"actions":[{}],
    "property":[{},{"parameterDefinitions":[{"name":"COMMIT"},{"name":"LEVEL"}]}]})";

}  // namespace

TEST_CASE("jenkins job: declared parameters go into a form, with Basic credentials and folders in the path") {
    Script script(
        {answer(200, "", with_commit), answer(201, "Location: https://other.example.com/queue/item/77/\r\n", "")});
    auto job = script.job();
    const auto facts = job.look();
    CHECK(facts.next_build == 8);
    CHECK(job.trigger(facts, {{"COMMIT", "a b&c"}, {"LD_PRELOAD", "x"}}, "why not") == 77U);
    REQUIRE(script.asked.size() == 2);
    CHECK(script.asked[0].starts_with("GET /ci/job/folder/job/my%20job/api/json?tree=buildable%2C"));
    const auto& post = script.asked[1];
    CHECK(post.starts_with("POST /ci/job/folder/job/my%20job/buildWithParameters HTTP/1.1\r\n"));
    CHECK(post.find("Authorization: Basic ZGVwbG95OnMzY3JldA==\r\n") != std::string::npos);
    CHECK(post.ends_with("delay=0sec&cause=why%20not&COMMIT=a%20b%26c"));
}

TEST_CASE("jenkins job: a job's own token travels in the body, never in the address") {
    Script script({answer(200, "", R"({"nextBuildNumber":1})"), answer(201, "location: /ci/queue/item/5\r\n", "")});
    auto job = script.job("");
    CHECK(job.trigger(job.look(), {}, "why") == 5U);
    CHECK(script.asked[1].starts_with("POST /ci/job/folder/job/my%20job/build HTTP/1.1\r\n"));
    CHECK(script.asked[1].ends_with("&token=s3cret"));
    CHECK(script.asked[1].find("Authorization") == std::string::npos);
}

TEST_CASE("jenkins job: where a crumb is wanted it is fetched with its session, once") {
    const auto refusal = answer(403, "", "<h1>No valid crumb was included in the request</h1>");
    const auto crumb = answer(200, "Set-Cookie: JSESSIONID.1=abc; Path=/; HttpOnly\r\n",
                              R"({"crumb":"c0ffee","crumbRequestField":"Jenkins-Crumb"})");
    const auto queued = answer(201, "Location: http://h/queue/item/9/\r\n", "");
    Script script(
        {answer(200, "", "{}"), refusal, crumb, queued, queued, answer(200, "", "{}"), refusal, crumb, refusal});
    auto job = script.job();
    const auto facts = job.look();
    CHECK(job.trigger(facts, {}, "") == 9U);
    CHECK(job.trigger(facts, {}, "") == 9U);
    REQUIRE(script.asked.size() == 5);
    CHECK(script.asked[2].starts_with("GET /ci/crumbIssuer/api/json"));
    for (const auto at : {3, 4}) {
        CHECK(script.asked[static_cast<std::size_t>(at)].find("Jenkins-Crumb: c0ffee\r\n") != std::string::npos);
        CHECK(script.asked[static_cast<std::size_t>(at)].find("Cookie: JSESSIONID.1=abc\r\n") != std::string::npos);
    }
    auto other = script.job();
    (void)other.look();
    CHECK(kind_of([&] { (void)other.trigger(facts, {}, ""); }) == ErrorKind::forbidden);
}

TEST_CASE("jenkins job: a redirect is not followed, and its target gets no credentials") {
    std::string text;
    Script elsewhere({});
    Script script({answer(302, "Location: " + elsewhere.server.url("/login") + "\r\n", ""),
                   answer(302, "Location: http://h/login?from=x\r\n", ""),
                   answer(302, "Location: http://h/job/folder/job/my%20job/\r\n", "")});
    auto job = script.job();
    CHECK(kind_of([&] { (void)job.look(); }, &text) == ErrorKind::forbidden);
    CHECK(text.find("token_file") != std::string::npos);
    CHECK(text.find("s3cret") == std::string::npos);
    CHECK(kind_of([&] { (void)job.trigger({}, {}, ""); }) == ErrorKind::forbidden);
    // Back to the job without an item's id, as before Jenkins 1.519: taken, and to be looked for.
    CHECK(job.trigger({}, {}, "") == std::nullopt);
    CHECK(elsewhere.asked.empty());
}

TEST_CASE("jenkins job: what may pass is told from what a person has to mend") {
    Script script({answer(503, "", "starting"), answer(401, "", ""), answer(404, "", ""), answer(200, "", "<html>"),
                   answer(200, "", R"({"buildable":false})")});
    const auto job = script.job();
    const auto failure = [&] {
        try {
            (void)job.look();
        } catch (const Error& error) {
            return error;
        }
        return Error(ErrorKind::internal, "no error");
    };
    CHECK(may_pass(failure()));
    CHECK(failure().kind() == ErrorKind::unauthorized);
    CHECK(failure().kind() == ErrorKind::not_found);
    CHECK(may_pass(failure()));
    CHECK(failure().kind() == ErrorKind::conflict);
    const JenkinsJob nobody({"http://127.0.0.1:1", "x", "", "", {}});
    CHECK(may_pass([&] {
        try {
            (void)nobody.look();
        } catch (const Error& error) {
            return error;
        }
        return Error(ErrorKind::internal, "no error");
    }()));
}

TEST_CASE("jenkins job: queue items and builds are read in each of their states") {
    using State = JenkinsJob::QueueItem::State;
    Script script(
        {answer(200, "", R"({"why":"In the quiet period","executable":null})"),
         answer(200, "", R"({"why":null,"cancelled":false,"executable":{"number":12,"url":"http://else/12/"}})"),
         answer(200, "", R"({"cancelled":true})"), answer(404, "", ""),
         answer(200, "", R"({"builds":[{"number":14,"queueId":3},{"number":13,"queueId":2}]})"),
         answer(200, "", R"({"building":true,"result":null})"),
         answer(200, "", R"({"building":false,"result":"FAILURE","actions":[{},null,
                                      {"lastBuiltRevision":{"SHA1":"abc"}}]})")});
    const auto job = script.job();
    const auto waiting = job.queue_item(2);
    CHECK(waiting.state == State::waiting);
    CHECK(waiting.why == "In the quiet period");
    const auto started = job.queue_item(2);
    CHECK(started.state == State::started);
    CHECK(started.build == 12);
    CHECK(job.queue_item(2).state == State::cancelled);
    CHECK(job.queue_item(2).state == State::gone);
    CHECK(job.build_of(2) == 13U);
    CHECK(job.build(13).building);
    const auto ended = job.build(13);
    CHECK_FALSE(ended.building);
    CHECK(ended.result == "FAILURE");
    CHECK(ended.commit == "abc");
}

TEST_CASE("jenkins job: a trigger whose answer was lost is found again, and another's is not taken for it") {
    const auto builds = [](const std::string& list) { return answer(200, "", R"({"builds":[)" + list + "]}"); };
    const auto item = [](const std::string& url, const std::string& cause) {
        return answer(200, "",
                      R"({"items":[{"id":4,"task":{"url":")" + url + R"("},"actions":[{"causes":[)" + cause + "]}]}]}");
    };
    const std::string ours = "http://name/ci/job/folder/job/my%20job/";
    const std::string user = R"({"shortDescription":"Started by user deploy","userId":"deploy"})";
    const std::string other = R"({"shortDescription":"Started by user ann","userId":"ann"})";
    Script script({item(ours, user), builds(""), item(ours, other),
                   builds(R"({"number":9,"actions":[{"causes":[)" + user + "]}]}"),
                   item("http://name/job/other/", user),
                   builds(R"({"number":7,"actions":[{"causes":[)" + user + "]}]}"), item(ours, other),
                   builds(R"({"number":9,"actions":[{"parameters":[{"name":"BATON_ROLLOUT","value":"01X.1"}]}]})")});
    const auto job = script.job();
    CHECK(job.find("01X.1", 8).queue_id == 4U);
    CHECK(job.find("01X.1", 8).build == 9U);
    const auto none = job.find("01X.1", 8);  // another job's item, and a build from before the trigger
    CHECK_FALSE(none.build);
    CHECK_FALSE(none.queue_id);
    CHECK(job.find("01X.1", 8).build == 9U);
}

TEST_CASE("jenkins job: a queue item's id is read from every form of Location") {
    CHECK(queue_id_in("http://h:8080/queue/item/12/") == 12U);
    CHECK(queue_id_in("https://h/ci/queue/item/12") == 12U);
    CHECK(queue_id_in("/queue/item/12/?x=1") == 12U);
    CHECK(queue_id_in("queue/item/12/") == 12U);
    CHECK(queue_id_in("http://h/job/x/") == std::nullopt);
    CHECK(queue_id_in("http://h/queue/item/abc/") == std::nullopt);
    CHECK(queue_id_in("http://h/myqueue/item/3/") == std::nullopt);
    CHECK(jenkins_job_path("a/b c/") == "/job/a/job/b%20c");
}
