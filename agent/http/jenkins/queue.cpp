// SPDX-License-Identifier: MIT
// The queue and this node's executors as Jenkins' clients see them.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "agent/http/jenkins/model.h"

namespace baton::http {

namespace {

using operations::BuildView;
using operations::QueueItem;
using operations::QueueState;

enum class Place { waiting, blocked, buildable, left };

struct Standing {
    Place place = Place::waiting;
    std::string why;
};

std::optional<BuildView> running_build(const JobView& job) {
    auto newest = job.permalink(operations::Permalink::last);
    return newest && newest->running() ? newest : std::nullopt;
}

Standing standing_of(const ServerView& server, const QueueItem& item) {
    if (item.state != QueueState::waiting) {
        // Its build is not there yet: the item must not show it, and must not look done either.
        if (item.state == QueueState::started && item.build == 0 && !item.no_build) {
            return {Place::buildable, item.reason.empty() ? "Waiting for next available executor" : item.reason};
        }
        return {Place::left, {}};
    }
    if (server.quieting_down) return {Place::buildable, "Jenkins is about to shut down"};
    if (item.due_ms > server.now_ms) {
        const double seconds = static_cast<double>(item.due_ms - server.now_ms) / 1000;
        return {Place::waiting, fmt::format("In the quiet period. Expires in {:.1f} sec", seconds)};
    }
    const JobView* job = find_job(server, item.app);
    if (const auto running = job == nullptr ? std::nullopt : running_build(*job)) {
        return {Place::blocked, fmt::format("Build #{} is already in progress (ETA: N/A)", running->number)};
    }
    return {Place::buildable, item.reason.empty() ? "Waiting for next available executor" : item.reason};
}

std::string_view class_of(Place place) {
    switch (place) {
        case Place::waiting: return "WaitingItem";
        case Place::blocked: return "BlockedItem";
        case Place::buildable: return "BuildableItem";
        case Place::left: return "LeftItem";
    }
    return "LeftItem";
}

std::string params_text(const JobView* job, const QueueItem& item) {
    std::string text;
    for (const auto& [name, value] : item.parameters) {
        bool secret = false;
        if (job != nullptr) {
            const auto declared = std::ranges::find(job->parameters, name, &config::Parameter::name);
            secret = declared != job->parameters.end() && declared->type == config::Parameter::Type::password;
        }
        text += fmt::format("\n{}={}", name, secret ? "****" : value);
    }
    return text;
}

Exported task_object(const ServerView& server, const QueueItem& item) {
    Exported task;
    task.class_name = "hudson.model.FreeStyleProject";
    task.properties = {{"name", item.app.str(), always_visible}, {"url", job_url(server, item.app), always_visible}};
    if (const JobView* job = find_job(server, item.app)) {
        task.properties.push_back(
            {"color", ExportValue::Later([job] { return ExportValue(color_of(*job)); }), always_visible});
    }
    return task;
}

/// A started build by its number alone: it is readable at its URL from this moment.
Exported executable_object(const ServerView& server, const AppName& app, unsigned number) {
    Exported executable;
    executable.class_name = "hudson.model.FreeStyleBuild";
    executable.properties = {{"number", number, always_visible},
                             {"url", fmt::format("{}/job/{}/{}/", server.base, app, number), always_visible}};
    return executable;
}

std::vector<BuildView> running_builds(const ServerView& server) {
    std::vector<BuildView> running;
    for (const JobView& job : server.jobs) {
        if (const auto build = running_build(job)) running.push_back(*build);
    }
    return running;
}

Exported computer_object(const ServerView& server) {
    const std::vector<BuildView> running = running_builds(server);
    const std::size_t count = std::max<std::size_t>(server.executors, running.size());
    ExportValue::List executors;
    for (std::size_t index = 0; index < count; ++index) {
        const bool busy = index < running.size();
        Exported executor;
        executor.properties = {{"currentExecutable",
                                busy ? ExportValue(executable_object(server, running[index].app, running[index].number))
                                     : ExportValue(nullptr),
                                always_visible},
                               {"idle", !busy, always_visible},
                               {"likelyStuck", false, always_visible},
                               {"number", static_cast<std::int64_t>(index), always_visible},
                               {"progress", -1, always_visible}};
        executors.emplace_back(executor);
    }
    Exported label;
    Exported monitors;
    Exported computer;
    computer.class_name = "hudson.model.Hudson$MasterComputer";
    computer.properties = {{"actions", ExportValue::List{}},
                           {"assignedLabels", ExportValue::List{label}},
                           {"description", "the agent on this machine"},
                           {"displayName", server.node.str()},
                           {"executors", executors},
                           {"icon", "symbol-computer"},
                           {"idle", running.empty()},
                           {"jnlpAgent", false},
                           {"launchSupported", true},
                           {"manualLaunchAllowed", true},
                           {"monitorData", monitors},
                           {"numExecutors", server.executors},
                           {"offline", false},
                           {"offlineCause", nullptr},
                           {"offlineCauseReason", ""},
                           {"oneOffExecutors", ExportValue::List{}},
                           {"temporarilyOffline", false}};
    return computer;
}

std::string element_of(std::string_view class_name) {
    std::string element(class_name);
    element.front() = static_cast<char>(element.front() - 'A' + 'a');
    return element;
}

}  // namespace

Exported queue_item_object(const ServerView& server, const QueueItem& item) {
    const Standing standing = standing_of(server, item);
    const bool left = standing.place == Place::left;
    ExportValue::List causes;
    for (const wire::Cause& cause : item.causes) causes.emplace_back(cause_object(cause));
    Exported action;
    action.class_name = "hudson.model.CauseAction";
    action.properties = {{"causes", causes, always_visible}};
    Exported object;
    object.class_name = fmt::format("hudson.model.Queue${}", class_of(standing.place));
    object.properties = {
        {"actions", ExportValue::List{action}, always_visible},
        {"blocked", standing.place == Place::blocked, always_visible},
        {"buildable", standing.place == Place::buildable, always_visible},
        {"id", static_cast<std::int64_t>(item.id), always_visible},
        {"inQueueSince", item.created_ms, always_visible},
        {"params", params_text(find_job(server, item.app), item), always_visible},
        {"stuck", false, always_visible},
        {"task", task_object(server, item), always_visible},
        {"url", fmt::format("queue/item/{}/", item.id), always_visible},
        // An item that a rule turned away says why; Jenkins has null for every item that left.
        {"why", left && item.reason.empty() ? ExportValue(nullptr) : ExportValue(left ? item.reason : standing.why),
         always_visible}};
    switch (standing.place) {
        case Place::waiting: object.properties.push_back({"timestamp", item.due_ms, always_visible}); break;
        case Place::buildable: object.properties.push_back({"pending", false, always_visible}); [[fallthrough]];
        case Place::blocked:
            object.properties.push_back({"buildableStartMilliseconds", item.due_ms, always_visible});
            break;
        case Place::left: {
            const bool started = item.state == QueueState::started && !item.no_build;
            object.properties.push_back({"cancelled", !started, always_visible});
            if (started) {
                object.properties.push_back(
                    {"executable", executable_object(server, item.app, item.build), always_visible});
            }
            break;
        }
    }
    return object;
}

ExportPage queue_item_page(const ServerView& server, const QueueItem& item) {
    return {element_of(class_of(standing_of(server, item).place)), queue_item_object(server, item)};
}

ExportPage queue_page(const ServerView& server) {
    std::vector<const QueueItem*> waiting;
    for (const JobView& job : server.jobs) {
        for (const QueueItem& item : job.waiting) waiting.push_back(&item);
    }
    // The most imminent last.
    std::ranges::sort(waiting, [](const QueueItem* left, const QueueItem* right) {
        return std::pair(left->due_ms, left->id) > std::pair(right->due_ms, right->id);
    });
    ExportValue::List items;
    for (const QueueItem* item : waiting) items.emplace_back(queue_item_object(server, *item));
    Exported queue;
    queue.class_name = "hudson.model.Queue";
    queue.properties = {{"discoverableItems", ExportValue::List{}}, {"items", items}};
    return {"queue", queue};
}

ExportPage computers_page(const ServerView& server) {
    Exported set;
    set.class_name = "hudson.model.ComputerSet";
    set.properties = {{"busyExecutors", static_cast<std::int64_t>(running_builds(server).size())},
                      {"computer", ExportValue::List{computer_object(server)}, 1, true},
                      {"displayName", "Nodes"},
                      {"totalExecutors", server.executors}};
    return {"computerSet", set};
}

std::optional<ExportPage> computer_page(const ServerView& server, std::string_view name) {
    constexpr std::array<std::string_view, 5> ours{"(master)", "(built-in)", "master", "built-in", "Built-In Node"};
    if (name != server.node.str() && std::ranges::find(ours, name) == ours.end()) return std::nullopt;
    return ExportPage{"masterComputer", computer_object(server)};
}

}  // namespace baton::http
