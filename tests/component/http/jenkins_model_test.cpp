// SPDX-License-Identifier: MIT
// Jobs, builds, queue items and computers in the shapes that Jenkins' clients rely on.
#include "agent/http/jenkins/model.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/http/export/export_print.h"
#include "agent/http/jenkins/stages.h"

using namespace baton;
using namespace baton::http;
using operations::BuildView;
using operations::Permalink;
using operations::QueueItem;
using operations::QueueState;
using Json = nlohmann::ordered_json;

namespace {

constexpr std::int64_t now = 1'754'000'000'000;

BuildView ended(unsigned number, wire::BuildState state) {
    BuildView build;
    build.app = AppName("site");
    build.number = number;
    build.commit = CommitId(std::string(40, 'a'));
    build.state = state;
    build.stage = wire::Stage::done;
    build.started_ms = now - 100'000 + number * 1000;
    build.finished_ms = build.started_ms + 500;
    build.queue_id = 100 + number;
    build.causes = {{wire::CauseKind::user, "Started by user ann", "ann", "10.0.0.9"}};
    return build;
}

BuildView running(unsigned number) {
    BuildView build = ended(number, wire::BuildState::running);
    build.stage = wire::Stage::test;
    build.finished_ms = 0;
    return build;
}

/// A server with one job, `site`, that has these builds, newest first.
ServerView server_with(std::vector<BuildView> builds) {
    JobView job;
    job.name = AppName("site");
    job.repository = "https://ann:secret@git.example.org/site.git";
    job.branch = "main";
    job.next_number = builds.empty() ? 1 : builds.front().number + 1;
    job.builds = [builds](unsigned most) {
        const auto count = static_cast<std::ptrdiff_t>(std::min<std::size_t>(most, builds.size()));
        return std::vector(builds.begin(), builds.begin() + count);
    };
    job.permalink = [builds](Permalink link) -> std::optional<BuildView> {
        for (const BuildView& build : builds) {
            const std::string_view result = result_of(build);
            bool fits = false;
            switch (link) {
                case Permalink::last: fits = true; break;
                case Permalink::last_completed: fits = !result.empty(); break;
                case Permalink::last_successful:
                case Permalink::last_stable: fits = result == "SUCCESS"; break;
                case Permalink::last_unstable: break;
                case Permalink::last_failed: fits = result == "FAILURE"; break;
                case Permalink::last_unsuccessful: fits = !result.empty() && result != "SUCCESS"; break;
            }
            if (fits) return build;
        }
        return std::nullopt;
    };
    job.artifacts = [](unsigned) { return std::vector<std::string>{"out/site.tar"}; };
    job.changes = [](unsigned number) -> std::vector<operations::ChangeView> {
        if (number == 1) return {};
        return {{CommitId(std::string(40, 'c')),
                 "Ann B",
                 "ann@example.org",
                 now,
                 "Subject\n\nBody\n",
                 {{"edit", "a.txt"}}}};
    };
    ServerView server;
    server.base = "http://127.0.0.11:7070";
    server.node = NodeName("web1");
    server.executors = 2;
    server.now_ms = now;
    server.jobs.push_back(std::move(job));
    return server;
}

Json whole(const ExportPage& page, unsigned depth = 0) { return print(page.object, {depth, nullptr}); }

Json tree(const ExportPage& page, const std::string& text) {
    const Tree wanted = parse_tree(text);
    return print(page.object, {0, &wanted});
}

QueueItem item(std::int64_t due_ms = now) {
    QueueItem made;
    made.id = 19;
    made.app = AppName("site");
    made.created_ms = now - 1000;
    made.due_ms = due_ms;
    made.parameters = {{"BRANCH", "main"}};
    made.causes = {
        {wire::CauseKind::remote, "Started by remote host 10.0.0.9 with note: because", "app token", "10.0.0.9"}};
    return made;
}

}  // namespace

TEST_CASE("jenkins model: every state of an ended build has its result, a running one none") {
    using wire::BuildState;
    CHECK(result_of(ended(1, BuildState::succeeded)) == "SUCCESS");
    for (const BuildState state : {BuildState::failed, BuildState::restored, BuildState::stuck, BuildState::running}) {
        CHECK(result_of(ended(1, state)) == "FAILURE");
    }
    for (const BuildState state : {BuildState::cancelled, BuildState::superseded}) {
        CHECK(result_of(ended(1, state)) == "ABORTED");
    }
    CHECK(result_of(running(1)).empty());
}

TEST_CASE("jenkins model: a job's colour is its last result's, and moves while a build runs") {
    using wire::BuildState;
    const auto color = [](std::vector<BuildView> builds, bool disabled = false) {
        ServerView server = server_with(std::move(builds));
        server.jobs.front().disabled = disabled;
        return color_of(server.jobs.front());
    };
    CHECK(color({}) == "notbuilt");
    CHECK(color({running(1)}) == "notbuilt_anime");
    CHECK(color({ended(1, BuildState::succeeded)}) == "blue");
    CHECK(color({ended(1, BuildState::failed)}) == "red");
    CHECK(color({ended(1, BuildState::cancelled)}) == "aborted");
    CHECK(color({running(2), ended(1, BuildState::succeeded)}) == "blue_anime");
    CHECK(color({running(2), ended(1, BuildState::failed)}) == "red_anime");
    CHECK(color({ended(1, BuildState::succeeded)}, true) == "disabled");
    CHECK(color({running(1)}, true) == "disabled_anime");
}

TEST_CASE("jenkins model: a job has every key that clients index, with and without builds") {
    const ServerView server = server_with({ended(2, wire::BuildState::failed), ended(1, wire::BuildState::succeeded)});
    const Json job = whole(job_page(server, server.jobs.front()));
    CHECK(job["_class"] == "hudson.model.FreeStyleProject");
    CHECK(job["name"] == "site");
    CHECK(job["url"] == "http://127.0.0.11:7070/job/site/");
    CHECK(job["color"] == "red");
    CHECK(job["nextBuildNumber"] == 3);
    CHECK(job["builds"].size() == 2);
    CHECK(job["builds"][0] == Json({{"_class", "hudson.model.FreeStyleBuild"},
                                    {"number", 2},
                                    {"url", "http://127.0.0.11:7070/job/site/2/"}}));
    CHECK(job["firstBuild"]["number"] == 1);
    CHECK(job["lastBuild"]["number"] == 2);
    CHECK(job["lastStableBuild"]["number"] == 1);
    CHECK(job["lastFailedBuild"]["number"] == 2);
    CHECK(job["lastUnstableBuild"].is_null());
    CHECK(job["healthReport"][0]["score"] == 50);
    CHECK(job["buildable"] == true);
    CHECK(job["inQueue"] == false);
    CHECK(job["queueItem"].is_null());
    CHECK(job["actions"] == Json::array());
    CHECK(job["property"] == Json::array());
    CHECK_FALSE(job.contains("allBuilds"));
    CHECK_FALSE(job.contains("jobs"));

    const ServerView empty = server_with({});
    const Json never = whole(job_page(empty, empty.jobs.front()));
    for (const char* key : {"firstBuild", "lastBuild", "lastCompletedBuild", "lastFailedBuild", "lastStableBuild",
                            "lastSuccessfulBuild", "lastUnstableBuild", "lastUnsuccessfulBuild"}) {
        INFO(key);
        REQUIRE(never.contains(key));
        CHECK(never[key].is_null());
    }
    CHECK(never["builds"] == Json::array());
    CHECK(never["healthReport"] == Json::array());
    CHECK(never["nextBuildNumber"] == 1);
}

TEST_CASE("jenkins model: a list of builds ends at 100, `allBuilds` has all of them when a tree asks") {
    std::vector<BuildView> builds;
    for (unsigned number = 130; number > 0; --number) builds.push_back(ended(number, wire::BuildState::succeeded));
    const ServerView server = server_with(builds);
    const ExportPage page = job_page(server, server.jobs.front());
    CHECK(whole(page)["builds"].size() == 100);
    CHECK(whole(page)["firstBuild"]["number"] == 1);
    CHECK(tree(page, "allBuilds[number,url]")["allBuilds"].size() == 130);
    CHECK(tree(page, "builds[number]{0,5}")["builds"].size() == 5);
    CHECK(whole(page, 1)["builds"][3]["result"] == "SUCCESS");
}

TEST_CASE("jenkins model: declared parameters are told in actions and property, a password's default never") {
    ServerView server = server_with({});
    server.jobs.front().parameters = {{"BRANCH", config::Parameter::Type::string, "main", "which", {}},
                                      {"FAST", config::Parameter::Type::boolean, "true", "", {}},
                                      {"WHERE", config::Parameter::Type::choice, "", "", {"a", "b"}},
                                      {"KEY", config::Parameter::Type::password, "hidden", "", {}}};
    const Json job =
        tree(job_page(server, server.jobs.front()),
             "actions[parameterDefinitions],property[parameterDefinitions[name,type,defaultParameterValue[value],"
             "choices]],name");
    CHECK(job["actions"][0]["_class"] == "hudson.model.ParametersDefinitionProperty");
    const Json& definitions = job["property"][0]["parameterDefinitions"];
    REQUIRE(definitions.size() == 4);
    CHECK(definitions[0]["type"] == "StringParameterDefinition");
    CHECK(definitions[0]["defaultParameterValue"]["value"] == "main");
    CHECK(definitions[1]["defaultParameterValue"]["value"] == true);
    CHECK(definitions[2]["defaultParameterValue"]["value"] == "a");
    CHECK(definitions[2]["choices"] == Json({"a", "b"}));
    CHECK(definitions[3]["defaultParameterValue"].is_null());
    CHECK_THAT(to_json_text(whole(job_page(server, server.jobs.front()), 5), Layout::compact),
               !Catch::Contains("hidden"));
}

TEST_CASE("jenkins model: a build has its number as a text in id, milliseconds, and null for a result to come") {
    const ServerView server = server_with({running(3), ended(2, wire::BuildState::succeeded)});
    const JobView& job = server.jobs.front();
    const Json done = whole(build_page(server, job, ended(2, wire::BuildState::succeeded)));
    CHECK(done["id"] == "2");
    CHECK(done["number"] == 2);
    CHECK(done["building"] == false);
    CHECK(done["result"] == "SUCCESS");
    CHECK(done["duration"] == 500);
    CHECK(done["estimatedDuration"] == 500);
    CHECK(done["timestamp"] == now - 98'000);
    CHECK(done["queueId"] == 102);
    CHECK(done["fullDisplayName"] == "site #2");
    CHECK(done["executor"].is_null());
    CHECK(done["artifacts"][0] ==
          Json({{"displayPath", "site.tar"}, {"fileName", "site.tar"}, {"relativePath", "out/site.tar"}}));
    const Json& change = done["changeSet"]["items"][0];
    CHECK(done["changeSet"]["kind"] == "git");
    CHECK(done["changeSets"] == Json::array({done["changeSet"]}));
    CHECK(change["msg"] == "Subject");
    CHECK(change["comment"] == "Subject\n\nBody\n");
    CHECK(change["date"] == "2025-07-31 22:13:20 +0000");
    CHECK(change["author"]["absoluteUrl"] == "http://127.0.0.11:7070/user/annb");
    CHECK(change["paths"][0] == Json({{"editType", "edit"}, {"file", "a.txt"}}));
    CHECK(done["culprits"][0]["fullName"] == "Ann B");

    const Json going = whole(build_page(server, job, running(3)));
    CHECK(going["building"] == true);
    REQUIRE(going.contains("result"));
    CHECK(going["result"].is_null());
    CHECK(going["duration"] == 0);
    CHECK(going["executor"].is_object());
    const Json first = whole(build_page(server, job, ended(1, wire::BuildState::succeeded)));
    CHECK(first["changeSet"] ==
          Json({{"_class", "hudson.scm.EmptyChangeLogSet"}, {"items", Json::array()}, {"kind", nullptr}}));
}

TEST_CASE("jenkins model: a build that ended within its first millisecond has a duration") {
    BuildView build = ended(1, wire::BuildState::failed);
    build.finished_ms = build.started_ms;
    const ServerView server = server_with({build});
    CHECK(whole(build_page(server, server.jobs.front(), build))["duration"] == 1);
}

TEST_CASE("jenkins model: actions carry parameters, causes, the commit and tests; no secret among them") {
    BuildView build = ended(4, wire::BuildState::cancelled);
    build.parameters = {{"BRANCH", "main"}, {"FAST", "true"}, {"KEY", "hidden"}};
    build.tests = operations::TestsView{42, 1, 2, 1.5, {}};
    build.message = "Aborted by ann";
    ServerView server = server_with({build});
    server.jobs.front().parameters = {{"KEY", config::Parameter::Type::password, "", "", {}},
                                      {"FAST", config::Parameter::Type::boolean, "", "", {}}};
    const Json actions = whole(build_page(server, server.jobs.front(), build))["actions"];
    REQUIRE(actions.size() == 6);
    CHECK(actions[0]["_class"] == "hudson.model.ParametersAction");
    // In the order in which they are declared; what is declared no longer comes last.
    CHECK(actions[0]["parameters"][0] == Json({{"_class", "hudson.model.PasswordParameterValue"}, {"name", "KEY"}}));
    CHECK(actions[0]["parameters"][1]["value"] == true);
    CHECK(actions[0]["parameters"][2]["value"] == "main");
    CHECK(actions[1]["causes"][0] == Json({{"_class", "hudson.model.Cause$UserIdCause"},
                                           {"shortDescription", "Started by user ann"},
                                           {"userId", "ann"},
                                           {"userName", "ann"}}));
    CHECK(actions[2]["lastBuiltRevision"]["SHA1"] == std::string(40, 'a'));
    CHECK(actions[2]["remoteUrls"][0] == "https://***@git.example.org/site.git");
    CHECK(actions[2]["buildsByBranchName"]["refs/remotes/origin/main"]["buildNumber"] == 4);
    CHECK(actions[3] == Json({{"_class", "hudson.tasks.junit.TestResultAction"},
                              {"failCount", 1},
                              {"skipCount", 2},
                              {"totalCount", 42},
                              {"urlName", "testReport"}}));
    CHECK(actions[4]["_class"] == "jenkins.model.InterruptedBuildAction");
    CHECK(actions[4]["causes"][0] == Json({{"_class", "jenkins.model.CauseOfInterruption$UserInterruption"},
                                           {"shortDescription", "Aborted by ann"}}));
    CHECK(actions[5]["message"] == "Aborted by ann");
    build.message = "a newer commit";
    CHECK(whole(build_page(server, server.jobs.front(), build))["actions"][4]["causes"][0] ==
          Json({{"_class", "jenkins.model.CauseOfInterruption"}, {"shortDescription", "Aborted: a newer commit"}}));
}

TEST_CASE("jenkins model: each kind of cause has Jenkins' class and fields") {
    const auto printed = [](wire::CauseKind kind, const std::string& text) {
        return print(cause_object({kind, text, "ann", "10.0.0.9"}), {0, nullptr});
    };
    CHECK(printed(wire::CauseKind::remote, "Started by remote host 10.0.0.9 with note: why") ==
          Json({{"_class", "hudson.model.Cause$RemoteCause"},
                {"shortDescription", "Started by remote host 10.0.0.9 with note: why"},
                {"addr", "10.0.0.9"},
                {"note", "why"}}));
    CHECK(printed(wire::CauseKind::remote, "Started by remote host 10.0.0.9")["note"].is_null());
    CHECK(printed(wire::CauseKind::poll, "x")["_class"] == "hudson.triggers.SCMTrigger$SCMTriggerCause");
    CHECK(printed(wire::CauseKind::webhook, "Started by GitHub push by ann")["_class"] ==
          "com.cloudbees.jenkins.GitHubPushCause");
    CHECK(printed(wire::CauseKind::webhook, "other")["_class"] == "org.jenkinsci.plugins.gwt.GenericCause");
}

TEST_CASE("jenkins model: a queue item tells where it stands, with booleans in every state") {
    const auto page = [](const ServerView& server, const QueueItem& one) {
        return whole(queue_item_page(server, one));
    };
    const ServerView idle = server_with({});
    const Json waiting = page(idle, item(now + 4900));
    CHECK(waiting["_class"] == "hudson.model.Queue$WaitingItem");
    CHECK(waiting["why"] == "In the quiet period. Expires in 4.9 sec");
    CHECK(waiting["timestamp"] == now + 4900);
    CHECK(waiting["params"] == "\nBRANCH=main");
    CHECK(waiting["url"] == "queue/item/19/");
    CHECK(waiting["task"]["name"] == "site");
    CHECK(waiting["actions"][0]["causes"][0]["note"] == "because");

    const Json blocked = page(server_with({running(12)}), item());
    CHECK(blocked["_class"] == "hudson.model.Queue$BlockedItem");
    CHECK(blocked["blocked"] == true);
    CHECK_THAT(blocked["why"].get<std::string>(), Catch::StartsWith("Build #12 is already in progress"));

    const Json buildable = page(idle, item());
    CHECK(buildable["_class"] == "hudson.model.Queue$BuildableItem");
    CHECK(buildable["buildable"] == true);
    CHECK(buildable["why"] == "Waiting for next available executor");
    ServerView quiet = server_with({});
    quiet.quieting_down = true;
    CHECK(page(quiet, item())["why"] == "Jenkins is about to shut down");

    for (const Json& one : {waiting, blocked, buildable}) {
        CHECK(one["blocked"].is_boolean());
        CHECK(one["buildable"].is_boolean());
        CHECK_FALSE(one.contains("executable"));
        CHECK_FALSE(one.contains("cancelled"));
    }
}

TEST_CASE("jenkins model: an item shows its build as soon as there is one, and never a null before") {
    const ServerView server = server_with({running(7)});
    QueueItem started = item();
    started.state = QueueState::started;
    started.rollout = RolloutId("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    const Json soon = whole(queue_item_page(server, started));
    CHECK(soon["buildable"] == true);
    CHECK_FALSE(soon.contains("executable"));
    started.build = 7;
    const Json left = whole(queue_item_page(server, started));
    CHECK(left["_class"] == "hudson.model.Queue$LeftItem");
    CHECK(left["cancelled"] == false);
    CHECK(left["why"].is_null());
    CHECK(left["executable"] == Json({{"_class", "hudson.model.FreeStyleBuild"},
                                      {"number", 7},
                                      {"url", "http://127.0.0.11:7070/job/site/7/"}}));
    for (const QueueState state : {QueueState::cancelled, QueueState::held, QueueState::refused}) {
        QueueItem gone = item();
        gone.state = state;
        const Json out = whole(queue_item_page(server, gone));
        CHECK(out["cancelled"] == true);
        CHECK_FALSE(out.contains("executable"));
        CHECK(out["blocked"] == false);
    }
}

TEST_CASE("jenkins model: the queue lists the most imminent last, and a job in the queue says so") {
    ServerView server = server_with({});
    QueueItem later = item(now + 9000);
    later.id = 20;
    server.jobs.front().waiting = {item(now), later};
    const Json queue = whole(queue_page(server));
    REQUIRE(queue["items"].size() == 2);
    CHECK(queue["items"][0]["id"] == 20);
    CHECK(queue["items"][1]["id"] == 19);
    CHECK(queue["items"][1]["actions"][0]["causes"][0]["addr"] == "10.0.0.9");  // whole, also in the list
    const Json job = whole(job_page(server, server.jobs.front()), 3);
    CHECK(job["inQueue"] == true);
    CHECK(job["queueItem"]["url"] == "queue/item/19/");
}

TEST_CASE("jenkins model: a password never shows in a queue item") {
    ServerView server = server_with({});
    server.jobs.front().parameters = {{"BRANCH", config::Parameter::Type::password, "", "", {}}};
    CHECK(whole(queue_item_page(server, item()))["params"] == "\nBRANCH=****");
}

TEST_CASE("jenkins model: executors name what they run, and the node answers to each of its names") {
    const ServerView server = server_with({running(7)});
    const Json computers = whole(computers_page(server), 2);
    CHECK(computers["busyExecutors"] == 1);
    CHECK(computers["totalExecutors"] == 2);
    const Json& computer = computers["computer"][0];
    CHECK(computer["displayName"] == "web1");
    CHECK(computer["offline"] == false);
    REQUIRE(computer["executors"].size() == 2);
    CHECK(computer["executors"][0]["number"] == 0);
    CHECK(computer["executors"][0]["currentExecutable"]["url"] == "http://127.0.0.11:7070/job/site/7/");
    REQUIRE(computer["executors"][1].contains("currentExecutable"));
    CHECK(computer["executors"][1]["currentExecutable"].is_null());
    for (const char* name : {"web1", "(master)", "(built-in)", "master", "built-in"}) {
        CHECK(computer_page(server, name).has_value());
    }
    CHECK_FALSE(computer_page(server, "web2").has_value());
}

TEST_CASE("jenkins model: the root lists jobs with name, url and colour, views, and whether it is quieting down") {
    ServerView server = server_with({ended(1, wire::BuildState::succeeded)});
    server.quieting_down = true;
    const Json root = whole(root_page(server));
    CHECK(root["jobs"] == Json::array({{{"_class", "hudson.model.FreeStyleProject"},
                                        {"name", "site"},
                                        {"url", "http://127.0.0.11:7070/job/site/"},
                                        {"color", "blue"}}}));
    CHECK(root["mode"] == "NORMAL");
    CHECK(root["quietingDown"] == true);
    CHECK(root["views"][0]["name"] == "all");
    CHECK(root["url"] == "http://127.0.0.11:7070/");
    const Json nested = tree(root_page(server), "jobs[url,color,name,jobs[url,color,name]]");
    CHECK_FALSE(nested["jobs"][0].contains("jobs"));
    CHECK(whole(view_page(server))["jobs"].size() == 1);
    CHECK(root_page(server).element == "hudson");
}

TEST_CASE("jenkins model: a test report counts all and lists what failed, with its age") {
    const auto with_bad = [](unsigned number, std::vector<std::string> names) {
        BuildView build = ended(number, wire::BuildState::failed);
        operations::TestsView tests{10, static_cast<unsigned>(names.size()), 1, 2.5, {}};
        for (const std::string& name : names)
            tests.bad.push_back({"suite", "pkg.Class", name, "boom\nat line 3", 0.25});
        build.tests = tests;
        return build;
    };
    const ServerView server =
        server_with({with_bad(4, {"old", "new"}), with_bad(3, {"old"}), with_bad(2, {"old"}), with_bad(1, {})});
    const auto page = test_report_page(server.jobs.front(), with_bad(4, {"old", "new"}));
    REQUIRE(page.has_value());
    const Json report = whole(*page);
    CHECK(report["failCount"] == 2);
    CHECK(report["skipCount"] == 1);
    CHECK(report["passCount"] == 7);
    CHECK(report["duration"] == 2.5);
    REQUIRE(report["suites"].size() == 1);
    const Json& cases = report["suites"][0]["cases"];
    CHECK(cases[0]["name"] == "old");
    CHECK(cases[0]["age"] == 3);
    CHECK(cases[0]["failedSince"] == 2);
    CHECK(cases[0]["status"] == "FAILED");
    CHECK(cases[0]["errorDetails"] == "boom");
    CHECK(cases[1]["age"] == 1);
    CHECK(cases[1]["status"] == "REGRESSION");
    CHECK_FALSE(test_report_page(server.jobs.front(), ended(5, wire::BuildState::succeeded)).has_value());
    BuildView still = with_bad(6, {});
    still.finished_ms = 0;
    CHECK_FALSE(test_report_page(server.jobs.front(), still).has_value());
}

TEST_CASE("jenkins model: permalinks by name, and only by name") {
    CHECK(permalink_named("lastBuild") == Permalink::last);
    CHECK(permalink_named("lastUnsuccessfulBuild") == Permalink::last_unsuccessful);
    CHECK_FALSE(permalink_named("lastbuild").has_value());
    CHECK_FALSE(permalink_named("7").has_value());
}

TEST_CASE("jenkins model: whatever the depth, the answer ends and stays small") {
    std::vector<BuildView> builds;
    for (unsigned number = 100; number > 0; --number) builds.push_back(ended(number, wire::BuildState::succeeded));
    ServerView server = server_with(builds);
    server.jobs.front().waiting = {item()};
    const std::string deep = to_json_text(whole(root_page(server), most_depth), Layout::compact);
    CHECK(deep.size() < 5'000'000);
    CHECK(deep == to_json_text(whole(root_page(server), 1'000'000), Layout::compact));
}

TEST_CASE("jenkins model: stages of a build are told as Jenkins' stage view tells them") {
    BuildView build = ended(7, wire::BuildState::failed);
    build.steps = {{"prepare", "a", 1000, 1500, "ok"},
                   {"test", "b", 1500, 1600, "ok"},
                   {"test", "c", 1600, 1900, "exit status 1"}};
    const Json stages = stages_of(build);
    CHECK(stages["status"] == "FAILED");
    REQUIRE(stages["stages"].size() == 2);
    CHECK(stages["stages"][0]["status"] == "SUCCESS");
    CHECK(stages["stages"][1]["name"] == "test");
    CHECK(stages["stages"][1]["status"] == "FAILED");
    CHECK(stages["stages"][1]["durationMillis"] == 400);
}
