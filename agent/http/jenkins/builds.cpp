// SPDX-License-Identifier: MIT
// Builds, their causes, changes and tests as Jenkins' clients see them.
#include <fmt/format.h>

#include <algorithm>

#include "agent/http/jenkins/model.h"
#include "common/clock.h"
#include "common/text.h"

namespace baton::http {

namespace {

using operations::BuildView;
using operations::ChangeView;

// How many earlier builds are looked through for the first that failed a test.
constexpr unsigned most_age = 50;
constexpr unsigned estimate_builds = 10;

std::int64_t duration_of(const BuildView& build) {
    // A client takes 0 for "still running".
    return build.running() ? 0 : std::max<std::int64_t>(1, build.finished_ms - build.started_ms);
}

std::int64_t estimated_duration(const JobView& job) {
    std::int64_t sum = 0;
    std::int64_t count = 0;
    for (const BuildView& build : job.builds(estimate_builds)) {
        if (result_of(build) != "SUCCESS") continue;
        sum += duration_of(build);
        ++count;
    }
    return count == 0 ? -1 : sum / count;
}

ExportValue parameters_action(const JobView& job, const BuildView& build) {
    ExportValue::List values;
    // In the order in which they are declared; what was declared once comes last.
    std::vector<std::pair<std::string, config::Parameter::Type>> names;
    for (const config::Parameter& declared : job.parameters) {
        if (build.parameters.contains(declared.name)) names.emplace_back(declared.name, declared.type);
    }
    for (const auto& [name, text] : build.parameters) {
        const bool known = std::ranges::find(job.parameters, name, &config::Parameter::name) != job.parameters.end();
        if (!known) names.emplace_back(name, config::Parameter::Type::string);
    }
    for (const auto& [name, type] : names) {
        const std::string& text = build.parameters.at(name);
        Exported value;
        value.properties = {{"name", name, 3}};
        switch (type) {
            case config::Parameter::Type::password:
                value.class_name = "hudson.model.PasswordParameterValue";  // never its value
                break;
            case config::Parameter::Type::boolean:
                value.class_name = "hudson.model.BooleanParameterValue";
                value.properties.push_back({"value", text == "true", 4});
                break;
            case config::Parameter::Type::text:
                value.class_name = "hudson.model.TextParameterValue";
                value.properties.push_back({"value", text, 4});
                break;
            case config::Parameter::Type::string:
            case config::Parameter::Type::choice:
                value.class_name = "hudson.model.StringParameterValue";
                value.properties.push_back({"value", text, 4});
                break;
        }
        values.emplace_back(value);
    }
    Exported action;
    action.class_name = "hudson.model.ParametersAction";
    action.properties = {{"parameters", values, 2}};
    return action;
}

Exported revision_object(const CommitId& commit, const std::string& branch) {
    Exported name;
    name.properties = {{"SHA1", commit.str(), always_visible}, {"name", branch, always_visible}};
    Exported revision;
    revision.properties = {{"SHA1", commit.str(), always_visible}, {"branch", ExportValue::List{name}, always_visible}};
    return revision;
}

Exported git_action(const JobView& job, const BuildView& build) {
    const std::string branch = "refs/remotes/origin/" + job.branch;
    const Exported revision = revision_object(build.commit, branch);
    Exported built;
    built.class_name = "hudson.plugins.git.util.Build";
    built.properties = {{"buildNumber", build.number, always_visible},
                        {"buildResult", nullptr, always_visible},
                        {"marked", revision, always_visible},
                        {"revision", revision, always_visible}};
    Exported by_branch;
    by_branch.properties = {{branch, built, always_visible}};
    Exported action;
    action.class_name = "hudson.plugins.git.util.BuildData";
    action.properties = {{"buildsByBranchName", by_branch, 2},
                         {"lastBuiltRevision", revision, 2},
                         {"remoteUrls", ExportValue::List{mask_url(job.repository)}, 2},
                         {"scmName", "", 2}};
    return action;
}

Exported tests_action(const operations::TestsView& tests) {
    Exported action;
    action.class_name = "hudson.tasks.junit.TestResultAction";
    action.properties = {{"failCount", tests.failed, 2},
                         {"skipCount", tests.skipped, 2},
                         {"totalCount", tests.total, 2},
                         {"urlName", "testReport", 2}};
    return action;
}

Exported interrupted_action(const BuildView& build) {
    Exported cause;
    // A person's word is in the message as Jenkins has it: "Aborted by ann".
    const bool by_person = build.message.starts_with("Aborted by ");
    cause.class_name =
        by_person ? "jenkins.model.CauseOfInterruption$UserInterruption" : "jenkins.model.CauseOfInterruption";
    cause.properties = {{"shortDescription", by_person ? build.message : fmt::format("Aborted: {}", build.message), 3}};
    Exported action;
    action.class_name = "jenkins.model.InterruptedBuildAction";
    action.properties = {{"causes", ExportValue::List{cause}, 2}};
    return action;
}

/// What Jenkins has no word for.
Exported rollout_action(const BuildView& build) {
    Exported action;
    action.class_name = "baton.RolloutAction";
    action.properties = {{"rollout", build.target.key.id.str(), 2},
                         {"stage", std::string(wire::to_text(build.stage)), 2},
                         {"state", std::string(wire::to_text(build.state)), 2},
                         {"message", build.message, 2}};
    return action;
}

ExportValue actions_of(const JobView& job, const BuildView& build) {
    ExportValue::List actions;
    if (!build.parameters.empty()) actions.push_back(parameters_action(job, build));
    ExportValue::List causes;
    for (const wire::Cause& cause : build.causes) causes.emplace_back(cause_object(cause));
    Exported cause_action;
    cause_action.class_name = "hudson.model.CauseAction";
    cause_action.properties = {{"causes", causes, 2}};
    actions.emplace_back(cause_action);
    if (!build.commit.empty()) actions.emplace_back(git_action(job, build));
    if (build.tests) actions.emplace_back(tests_action(*build.tests));
    // It has a key `causes` as well, and readers take the first: so it comes after the CauseAction.
    if (result_of(build) == "ABORTED") actions.emplace_back(interrupted_action(build));
    actions.emplace_back(rollout_action(build));
    return actions;
}

ExportValue artifact_list(const JobView& job, unsigned number) {
    ExportValue::List list;
    for (const std::string& path : job.artifacts(number)) {
        const std::string file = path.substr(path.rfind('/') + 1);
        Exported artifact;
        artifact.properties = {{"displayPath", file, 3}, {"fileName", file, 3}, {"relativePath", path, 3}};
        list.emplace_back(artifact);
    }
    return list;
}

/// A user's page has the name's first word only in Jenkins; here it is a link that leads somewhere harmless.
Exported author_object(const ServerView& server, const std::string& name) {
    std::string id;
    for (const char c : lower(name)) {
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) id += c;
    }
    Exported author;
    author.properties = {
        {"absoluteUrl", fmt::format("{}/user/{}", server.base, id.empty() ? "unknown" : id), always_visible},
        {"fullName", name, always_visible}};
    return author;
}

std::string git_date(std::int64_t at_ms) {
    std::string text = to_iso8601(from_epoch_ms(at_ms));  // 2026-11-23T13:05:09.123Z
    text.resize(19);
    text[10] = ' ';
    return text + " +0000";
}

Exported change_object(const ServerView& server, const ChangeView& change) {
    ExportValue::List affected;
    ExportValue::List paths;
    for (const auto& [edit, path] : change.paths) {
        affected.emplace_back(path);
        Exported one;
        one.properties = {{"editType", edit, always_visible}, {"file", path, always_visible}};
        paths.emplace_back(one);
    }
    Exported object;
    object.class_name = "hudson.plugins.git.GitChangeSet";
    object.properties = {{"affectedPaths", affected, always_visible},
                         {"commitId", change.commit.str(), always_visible},
                         {"timestamp", change.at_ms, always_visible},
                         {"author", author_object(server, change.author), always_visible},
                         {"authorEmail", change.author_email, always_visible},
                         {"comment", change.message, always_visible},
                         {"date", git_date(change.at_ms), always_visible},
                         {"id", change.commit.str(), always_visible},
                         {"msg", first_line(change.message, 1000), always_visible},
                         {"paths", paths, always_visible}};
    return object;
}

ExportValue change_set(const ServerView& server, const JobView& job, unsigned number) {
    ExportValue::List items;
    for (const ChangeView& change : job.changes(number)) items.emplace_back(change_object(server, change));
    Exported set;
    const bool empty = items.empty();
    set.class_name = empty ? "hudson.scm.EmptyChangeLogSet" : "hudson.plugins.git.GitChangeSetList";
    set.properties = {{"items", items, always_visible},
                      {"kind", empty ? ExportValue(nullptr) : ExportValue("git"), always_visible}};
    return set;
}

ExportValue culprits(const ServerView& server, const JobView& job, unsigned number) {
    ExportValue::List list;
    std::vector<std::string> known;
    for (const ChangeView& change : job.changes(number)) {
        if (std::ranges::find(known, change.author) != known.end()) continue;
        known.push_back(change.author);
        list.emplace_back(author_object(server, change.author));
    }
    return list;
}

/// How far a running build is, in percent of what is usual; -1 when nothing is known.
int progress_of(const ServerView& server, const JobView& job, const BuildView& build) {
    const std::int64_t usual = estimated_duration(job);
    if (usual <= 0) return -1;
    return static_cast<int>(std::clamp<std::int64_t>(100 * (server.now_ms - build.started_ms) / usual, 0, 99));
}

Exported executor_object(const ServerView& server, const JobView& job, const BuildView& build) {
    Exported executor;
    executor.properties = {{"idle", false, 2},
                           {"likelyStuck", false, 2},
                           {"number", 0, 2},
                           {"progress", progress_of(server, job, build), 2}};
    return executor;
}

std::vector<ExportProperty> build_details(const ServerView& server, const JobView& job, const BuildView& build) {
    const std::string_view result = result_of(build);
    return {
        {"actions", actions_of(job, build)},
        {"artifacts", ExportValue::Later([&job, number = build.number] { return artifact_list(job, number); })},
        {"building", build.running()},
        {"description", nullptr},
        {"displayName", fmt::format("#{}", build.number)},
        {"duration", duration_of(build)},
        {"estimatedDuration", ExportValue::Later([&job] { return ExportValue(estimated_duration(job)); })},
        {"executor", build.running() ? ExportValue(executor_object(server, job, build)) : ExportValue(nullptr)},
        {"fullDisplayName", fmt::format("{} #{}", build.app, build.number)},
        {"id", fmt::format("{}", build.number)},
        {"inProgress", build.running()},
        {"keepLog", false},
        {"queueId", static_cast<std::int64_t>(build.queue_id)},
        {"result", result.empty() ? ExportValue(nullptr) : ExportValue(std::string(result))},
        {"timestamp", build.started_ms},
        {"builtOn", ""},
        {"changeSet",
         ExportValue::Later([&server, &job, number = build.number] { return change_set(server, job, number); })},
        // What builds of pipelines have instead: some clients read the one, some the other.
        {"changeSets", ExportValue::Later([&server, &job, number = build.number] {
             return job.changes(number).empty() ? ExportValue::List{}
                                                : ExportValue::List{change_set(server, job, number)};
         })},
        {"culprits",
         ExportValue::Later([&server, &job, number = build.number] { return culprits(server, job, number); })},
    };
}

bool same_test(const operations::FailedTest& left, const operations::FailedTest& right) {
    return left.name == right.name && left.class_name == right.class_name && left.suite == right.suite;
}

struct Age {
    unsigned builds = 1;
    unsigned since = 0;
    bool passed_before = false;
};

/// For how many builds with a report in a row a test has failed, and since which.
Age age_of(const operations::FailedTest& test, const BuildView& build, const std::vector<BuildView>& history) {
    Age age{1, build.number, false};
    for (const BuildView& earlier : history) {
        if (earlier.number >= build.number || !earlier.tests) continue;
        const auto& bad = earlier.tests->bad;
        const bool failed = std::ranges::any_of(bad, [&](const auto& one) { return same_test(one, test); });
        if (!failed) {
            age.passed_before = true;
            break;
        }
        ++age.builds;
        age.since = earlier.number;
    }
    return age;
}

Exported case_object(const operations::FailedTest& test, const Age& age) {
    Exported object;
    Exported none;
    object.properties = {{"testActions", ExportValue::List{}},
                         {"age", age.builds},
                         {"className", test.class_name},
                         {"duration", test.seconds},
                         {"errorDetails", first_line(test.message, 2000)},
                         {"errorStackTrace", test.message},
                         {"failedSince", age.since},
                         {"name", test.name},
                         {"properties", none},
                         {"skipped", false},
                         {"skippedMessage", nullptr},
                         {"status", age.builds == 1 && age.passed_before ? "REGRESSION" : "FAILED"},
                         {"stderr", nullptr},
                         {"stdout", nullptr}};
    return object;
}

Exported suite_object(const std::string& name, ExportValue::List cases, double seconds) {
    Exported object;
    Exported none;
    object.properties = {{"cases", std::move(cases), 1, true},
                         {"duration", seconds},
                         {"enclosingBlockNames", ExportValue::List{}},
                         {"enclosingBlocks", ExportValue::List{}},
                         {"id", nullptr},
                         {"name", name},
                         {"nodeId", nullptr},
                         {"properties", none},
                         {"stderr", nullptr},
                         {"stdout", nullptr},
                         {"timestamp", nullptr}};
    return object;
}

}  // namespace

Exported cause_object(const wire::Cause& cause) {
    Exported object;
    object.properties = {{"shortDescription", cause.text, always_visible}};
    switch (cause.kind) {
        case wire::CauseKind::poll: object.class_name = "hudson.triggers.SCMTrigger$SCMTriggerCause"; break;
        case wire::CauseKind::webhook:
            if (cause.text.starts_with("Started by GitHub push")) {
                object.class_name = "com.cloudbees.jenkins.GitHubPushCause";
            } else if (cause.text.starts_with("commit notification")) {
                object.class_name = "hudson.plugins.git.GitStatus$CommitHookCause";
            } else {
                object.class_name = "org.jenkinsci.plugins.gwt.GenericCause";
            }
            break;
        case wire::CauseKind::remote: {
            constexpr std::string_view with_note = " with note: ";
            const std::size_t at = cause.text.find(with_note);
            object.class_name = "hudson.model.Cause$RemoteCause";
            object.properties.push_back({"addr", cause.address, always_visible});
            object.properties.push_back(
                {"note",
                 at == std::string::npos ? ExportValue(nullptr) : ExportValue(cause.text.substr(at + with_note.size())),
                 always_visible});
            break;
        }
        case wire::CauseKind::user:
        case wire::CauseKind::retry:
            object.class_name = "hudson.model.Cause$UserIdCause";
            object.properties.push_back({"userId", cause.who, always_visible});
            object.properties.push_back({"userName", cause.who, always_visible});
            break;
        case wire::CauseKind::failure: object.class_name = "baton.FailureCause"; break;
    }
    return object;
}

Exported build_object(const ServerView& server, const JobView& job, const BuildView& build) {
    Exported object;
    object.class_name = "hudson.model.FreeStyleBuild";
    object.properties = {{"number", build.number, 2}, {"url", build_url(server, build), 2}};
    object.rest = [&server, &job, build] { return build_details(server, job, build); };
    return object;
}

ExportPage build_page(const ServerView& server, const JobView& job, const BuildView& build) {
    return {"freeStyleBuild", build_object(server, job, build)};
}

std::optional<ExportPage> test_report_page(const JobView& job, const BuildView& build) {
    if (!build.tests || build.running()) return std::nullopt;
    const operations::TestsView& tests = *build.tests;
    const std::vector<BuildView> history = tests.bad.empty() ? std::vector<BuildView>{} : job.builds(most_age);
    // The totals are of all tests; of cases, those that failed are kept.
    std::vector<std::pair<std::string, ExportValue::List>> suites;
    for (const operations::FailedTest& test : tests.bad) {
        auto suite = std::ranges::find(suites, test.suite, &std::pair<std::string, ExportValue::List>::first);
        if (suite == suites.end()) suite = suites.insert(suites.end(), {test.suite, {}});
        suite->second.emplace_back(case_object(test, age_of(test, build, history)));
    }
    ExportValue::List suite_list;
    for (auto& [name, cases] : suites) suite_list.emplace_back(suite_object(name, std::move(cases), tests.seconds));
    const unsigned not_passed = std::min(tests.total, tests.failed + tests.skipped);
    Exported report;
    report.class_name = "hudson.tasks.junit.TestResult";
    report.properties = {{"testActions", ExportValue::List{}},
                         {"duration", tests.seconds},
                         {"empty", tests.total == 0},
                         {"failCount", tests.failed},
                         {"passCount", tests.total - not_passed},
                         {"skipCount", tests.skipped},
                         {"suites", suite_list, 1, true}};
    return ExportPage{"testResult", report};
}

}  // namespace baton::http
