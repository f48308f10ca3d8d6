// SPDX-License-Identifier: MIT
// Results, colours, jobs, and the server's own pages.
#include "agent/http/jenkins/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace baton::http {

namespace {

using operations::BuildView;
using operations::Permalink;

constexpr std::array<std::pair<std::string_view, Permalink>, 7> permalinks{{
    {"lastBuild", Permalink::last},
    {"lastCompletedBuild", Permalink::last_completed},
    {"lastFailedBuild", Permalink::last_failed},
    {"lastStableBuild", Permalink::last_stable},
    {"lastSuccessfulBuild", Permalink::last_successful},
    {"lastUnstableBuild", Permalink::last_unstable},
    {"lastUnsuccessfulBuild", Permalink::last_unsuccessful},
}};

constexpr unsigned health_builds = 5;
constexpr unsigned every_build = 100'000;

std::string_view resting_color(std::string_view result) {
    if (result == "SUCCESS") return "blue";
    if (result == "FAILURE") return "red";
    if (result == "ABORTED") return "aborted";
    return "notbuilt";
}

ExportValue build_or_null(const ServerView& server, const JobView& job, const std::optional<BuildView>& build) {
    if (!build) return nullptr;
    return build_object(server, job, *build);
}

ExportValue build_list(const ServerView& server, const JobView& job, unsigned most) {
    ExportValue::List list;
    for (const BuildView& build : job.builds(most)) list.emplace_back(build_object(server, job, build));
    return list;
}

ExportValue health_report(const JobView& job) {
    unsigned counted = 0;
    unsigned failed = 0;
    for (const BuildView& build : job.builds(health_builds)) {
        const std::string_view result = result_of(build);
        if (result != "SUCCESS" && result != "FAILURE") continue;
        ++counted;
        failed += result == "FAILURE" ? 1U : 0U;
    }
    if (counted == 0) return ExportValue::List{};
    const unsigned score = 100 * (counted - failed) / counted;
    const std::string_view band = score >= 80   ? "80plus"
                                  : score >= 60 ? "60to79"
                                  : score >= 40 ? "40to59"
                                  : score >= 20 ? "20to39"
                                                : "00to19";
    Exported report;
    report.properties = {
        {"description", failed == 0
                            ? std::string("Build stability: No recent builds failed.")
                            : fmt::format("Build stability: {} out of the last {} builds failed.", failed, counted)},
        {"iconClassName", fmt::format("icon-health-{}", band)},
        {"iconUrl", fmt::format("health-{}.png", band)},
        {"score", score, 2}};
    return ExportValue::List{report};
}

std::string_view definition_type(config::Parameter::Type type) {
    switch (type) {
        case config::Parameter::Type::string: return "String";
        case config::Parameter::Type::text: return "Text";
        case config::Parameter::Type::boolean: return "Boolean";
        case config::Parameter::Type::choice: return "Choice";
        case config::Parameter::Type::password: return "Password";
    }
    return "String";
}

Exported definition_object(const config::Parameter& parameter) {
    const std::string_view type = definition_type(parameter.type);
    Exported definition;
    definition.class_name = fmt::format("hudson.model.{}ParameterDefinition", type);
    ExportValue preset;
    if (parameter.type != config::Parameter::Type::password) {
        const bool choice = parameter.type == config::Parameter::Type::choice;
        Exported value;
        // A choice has no class of value of its own.
        value.class_name = fmt::format("hudson.model.{}ParameterValue", choice ? "String" : type);
        const bool first_choice = choice && parameter.default_value.empty() && !parameter.choices.empty();
        const std::string& text = first_choice ? parameter.choices.front() : parameter.default_value;
        const bool boolean = parameter.type == config::Parameter::Type::boolean;
        value.properties = {{"name", parameter.name, always_visible},
                            {"value", boolean ? ExportValue(text == "true") : ExportValue(text), always_visible}};
        preset = value;
    }
    definition.properties = {{"defaultParameterValue", preset, always_visible},
                             {"description", parameter.description, always_visible},
                             {"name", parameter.name, always_visible},
                             {"type", fmt::format("{}ParameterDefinition", type), always_visible}};
    if (!parameter.choices.empty()) {
        definition.properties.push_back(
            {"choices", ExportValue::List(parameter.choices.begin(), parameter.choices.end()), always_visible});
    }
    return definition;
}

/// `property`, and an entry of `actions`: empty lists for a job without parameters.
ExportValue parameter_property(const JobView& job) {
    if (job.parameters.empty()) return ExportValue::List{};
    Exported property;
    property.class_name = "hudson.model.ParametersDefinitionProperty";
    ExportValue::List definitions;
    for (const config::Parameter& parameter : job.parameters) definitions.emplace_back(definition_object(parameter));
    property.properties = {{"parameterDefinitions", definitions, always_visible}};
    return ExportValue::List{property};
}

std::vector<ExportProperty> job_details(const ServerView& server, const JobView& job) {
    const std::string name = job.name.str();
    Exported scm;
    scm.class_name = "hudson.plugins.git.GitSCM";
    std::vector<ExportProperty> all{
        {"actions", parameter_property(job)},
        {"description", ""},
        {"displayName", name},
        {"displayNameOrNull", nullptr},
        {"fullDisplayName", name},
        {"fullName", name},
        {"buildable", !job.disabled},
        {"builds", ExportValue::Later([&] { return build_list(server, job, most_listed_builds); })},
        {"allBuilds", ExportValue::Later([&] { return build_list(server, job, every_build); }), -2},
        {"firstBuild", ExportValue::Later([&] {
             const auto builds = job.builds(every_build);
             return builds.empty() ? ExportValue(nullptr) : ExportValue(build_object(server, job, builds.back()));
         })},
        {"healthReport", ExportValue::Later([&] { return health_report(job); })},
        {"inQueue", !job.waiting.empty()},
        {"keepDependencies", false}};
    for (const auto& [link, which] : permalinks) {
        all.push_back({std::string(link), ExportValue::Later([&server, &job, which = which] {
                           return build_or_null(server, job, job.permalink(which));
                       })});
    }
    const std::vector<ExportProperty> more{
        {"nextBuildNumber", job.next_number},
        {"property", parameter_property(job), 1, true},
        {"queueItem",
         job.waiting.empty() ? ExportValue(nullptr) : ExportValue(queue_item_object(server, job.waiting.front()))},
        {"concurrentBuild", false},
        {"disabled", job.disabled},
        {"downstreamProjects", ExportValue::List{}},
        {"labelExpression", nullptr},
        {"scm", scm},
        {"upstreamProjects", ExportValue::List{}}};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

ExportValue job_list(const ServerView& server) {
    ExportValue::List jobs;
    for (const JobView& job : server.jobs) jobs.emplace_back(job_object(server, job));
    return jobs;
}

Exported all_view(const ServerView& server) {
    Exported view;
    view.class_name = "hudson.model.AllView";
    view.properties = {{"name", "all", 2}, {"url", server.base + "/", 2}};
    view.rest = [&server]() -> std::vector<ExportProperty> {
        return {{"description", nullptr},
                {"jobs", ExportValue::Later([&server] { return job_list(server); })},
                {"property", ExportValue::List{}}};
    };
    return view;
}

}  // namespace

std::string_view result_of(const BuildView& build) {
    if (build.running()) return {};
    switch (build.state) {
        case wire::BuildState::succeeded: return "SUCCESS";
        case wire::BuildState::cancelled:
        case wire::BuildState::superseded: return "ABORTED";
        case wire::BuildState::failed:
        case wire::BuildState::restored:
        case wire::BuildState::stuck:
        // Ended without a proper end: a build that its agent's death cut off.
        case wire::BuildState::waiting:
        case wire::BuildState::running: return "FAILURE";
    }
    return "FAILURE";
}

std::string color_of(const JobView& job) {
    const auto newest = job.permalink(Permalink::last);
    const bool running = newest && newest->running();
    std::string color = "notbuilt";
    if (job.disabled) {
        color = "disabled";
    } else if (newest) {
        const auto shown = running ? job.permalink(Permalink::last_completed) : newest;
        if (shown) color = resting_color(result_of(*shown));
    }
    return running ? color + "_anime" : color;
}

std::optional<Permalink> permalink_named(std::string_view name) {
    for (const auto& [link, which] : permalinks) {
        if (link == name) return which;
    }
    return std::nullopt;
}

std::string job_url(const ServerView& server, const AppName& job) {
    return fmt::format("{}/job/{}/", server.base, job);
}

std::string build_url(const ServerView& server, const BuildView& build) {
    return fmt::format("{}/job/{}/{}/", server.base, build.app, build.number);
}

const JobView* find_job(const ServerView& server, const AppName& name) {
    const auto it = std::ranges::find(server.jobs, name, &JobView::name);
    return it == server.jobs.end() ? nullptr : &*it;
}

Exported job_object(const ServerView& server, const JobView& job) {
    Exported object;
    object.class_name = "hudson.model.FreeStyleProject";
    object.properties = {{"name", job.name.str(), always_visible},
                         {"url", job_url(server, job.name), always_visible},
                         {"color", ExportValue::Later([&job] { return ExportValue(color_of(job)); }), 2}};
    object.rest = [&server, &job] { return job_details(server, job); };
    return object;
}

ExportPage job_page(const ServerView& server, const JobView& job) {
    return {"freeStyleProject", job_object(server, job)};
}

ExportPage root_page(const ServerView& server) {
    Exported label;
    label.properties = {{"name", "built-in", 2}};
    Exported load;
    Exported unlabeled;
    unlabeled.class_name = "jenkins.model.UnlabeledLoadStatistics";
    Exported root;
    root.class_name = "hudson.model.Hudson";
    root.properties = {{"assignedLabels", ExportValue::List{label}},
                       {"mode", "NORMAL"},
                       {"nodeDescription", server.node.str()},
                       {"nodeName", ""},
                       {"numExecutors", server.executors},
                       {"description", nullptr},
                       {"jobs", ExportValue::Later([&server] { return job_list(server); })},
                       {"overallLoad", load},
                       {"primaryView", all_view(server)},
                       {"quietDownReason", nullptr},
                       {"quietingDown", server.quieting_down},
                       {"slaveAgentPort", -1},
                       {"unlabeledLoad", unlabeled},
                       {"url", server.base + "/"},
                       {"useCrumbs", true},
                       {"useSecurity", true},
                       {"views", ExportValue::List{all_view(server)}}};
    return {"hudson", root};
}

ExportPage view_page(const ServerView& server) { return {"allView", all_view(server)}; }

ExportPage user_page(const ServerView& server, std::string_view name) {
    Exported user;
    user.class_name = "hudson.model.User";
    user.properties = {{"absoluteUrl", fmt::format("{}/user/{}", server.base, name), always_visible},
                       {"description", nullptr},
                       {"fullName", std::string(name), always_visible},
                       {"id", std::string(name)},
                       {"property", ExportValue::List{}}};
    return {"user", user};
}

ExportPage who_am_i_page(std::string_view name, bool anonymous) {
    Exported who;
    who.class_name = "hudson.security.WhoAmI";
    who.properties = {{"anonymous", anonymous},
                      {"authenticated", true},  // Jenkins says so of anonymous, too
                      {"authorities", ExportValue::List{anonymous ? "anonymous" : "authenticated"}},
                      {"name", std::string(name)}};
    return {"whoAmI", who};
}

ExportPage plugins_page() {
    Exported plugins;
    plugins.class_name = "hudson.LocalPluginManager";
    plugins.properties = {{"plugins", ExportValue::List{}, 2}};
    return {"localPluginManager", plugins};
}

ExportPage crumb_page(std::string_view crumb) {
    Exported issuer;
    issuer.class_name = "hudson.security.csrf.DefaultCrumbIssuer";
    issuer.properties = {{"crumb", std::string(crumb)}, {"crumbRequestField", "Jenkins-Crumb"}};
    return {"defaultCrumbIssuer", issuer};
}

}  // namespace baton::http
