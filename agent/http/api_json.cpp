// SPDX-License-Identifier: MIT
// What the agent shows of itself, as the JSON of `/api/v1`.
#include "agent/http/api_json.h"

#include <nlohmann/json.hpp>

namespace baton::http {
namespace {

std::string text(std::string_view view) { return std::string(view); }

json::Value to_json(const wire::Cause& cause) {
    return {{"kind", text(wire::to_text(cause.kind))},
            {"text", cause.text},
            {"who", cause.who},
            {"address", cause.address}};
}

json::Value to_json(const std::optional<operations::OrderView>& order) {
    if (!order) return nullptr;
    return {{"by", order->by}, {"reason", order->reason}, {"since_ms", order->since_ms}};
}

json::Value to_json(const operations::NodeView& node) {
    const auto& progress = node.progress;
    return {{"node", node.node.str()},
            {"address", node.address},
            {"self", node.self},
            {"jenkins", node.jenkins},
            {"reachable", node.reachable},
            {"last_heard_ms_ago", node.last_heard_ms_ago},
            {"current", progress.current.str()},
            {"stage", text(wire::to_text(progress.stage))},
            {"state", text(wire::to_text(progress.state))},
            {"since_ms", progress.since_ms},
            {"started_ms", progress.started_ms},
            {"finished_ms", progress.finished_ms},
            {"build", progress.build},
            {"waits_for", progress.waits_for},
            {"message", progress.message},
            {"in_service", node.in_service},
            {"drained", to_json(node.drained)},
            {"forgotten", to_json(node.forgotten)}};
}

json::Value to_json(const operations::AppStatus& app) {
    json::Value value{{"app", app.app.str()},
                      {"phase", app.phase},
                      {"frozen", nullptr},
                      {"rollout", nullptr},
                      {"waits_for", app.waits_for},
                      {"waiting_ms", app.waiting_ms},
                      {"current", app.current.str()},
                      {"in_service", app.in_service},
                      {"disabled", app.disabled},
                      {"drained", app.draining},
                      {"nodes", json::Value::array()},
                      {"queued", json::Value::array()},
                      {"triggers", json::Value::array()}};
    for (const auto& item : app.triggers) {
        const auto cause = item.causes.empty() ? std::string() : item.causes.front().text;
        value["triggers"].push_back(
            {{"queue_id", item.id}, {"since_ms", item.created_ms}, {"cause", cause}, {"reason", item.reason}});
    }
    for (const auto& next : app.queued) {
        value["queued"].push_back(http::to_json(next));
        value["queued"].back().erase("nodes");
    }
    if (app.frozen) {
        value["frozen"] = {{"by", app.frozen->by},
                           {"reason", app.frozen->reason},
                           {"since_ms", app.frozen->since_ms},
                           {"until_ms", app.frozen->until_ms}};
    }
    if (app.rollout) {
        value["rollout"] = http::to_json(*app.rollout);
        value["nodes"] = value["rollout"]["nodes"];
        value["rollout"].erase("nodes");
    }
    return value;
}

}  // namespace

json::Value to_json(const operations::Status& status) {
    json::Value apps = json::Value::array();
    for (const auto& app : status.apps) apps.push_back(to_json(app));
    return {{"node", status.node.str()},
            {"version", BATON_VERSION},
            {"now_ms", status.now_ms},
            {"quieting_down", status.quieting_down.empty() ? json::Value() : json::Value(status.quieting_down)},
            {"apps", apps}};
}

json::Value to_json(const operations::RolloutView& view) {
    const auto& rollout = view.rollout;
    json::Value nodes = json::Value::array();
    for (const auto& node : view.nodes) nodes.push_back(to_json(node));
    return {{"id", rollout.key.id.str()},
            {"epoch", rollout.key.epoch},
            {"attempt", rollout.attempt},
            {"commit", rollout.commit.str()},
            {"subject", rollout.subject},
            {"author", rollout.author},
            {"kind", text(wire::to_text(rollout.kind))},
            {"started_on", rollout.started_on.str()},
            {"started_ms", rollout.started_ms},
            {"cause", to_json(rollout.cause)},
            {"parameters", rollout.parameters},
            {"undoes", rollout.undoes.str()},
            {"state", text(operations::to_text(view.state))},
            {"reason", view.reason},
            {"halted_ms", view.halted_ms},
            {"promoted", to_json(view.promoted)},
            {"nodes", nodes}};
}

json::Value to_json(const operations::BuildView& build) {
    json::Value steps = json::Value::array();
    for (const auto& step : build.steps) {
        steps.push_back({{"stage", step.stage},
                         {"name", step.name},
                         {"started_ms", step.started_ms},
                         {"finished_ms", step.finished_ms},
                         {"outcome", step.outcome}});
    }
    json::Value causes = json::Value::array();
    for (const auto& cause : build.causes) causes.push_back(to_json(cause));
    json::Value value{{"number", build.number},
                      {"rollout", build.target.key.id.str()},
                      {"commit", build.commit.str()},
                      {"previous_commit", build.previous_commit.str()},
                      {"state", text(wire::to_text(build.state))},
                      {"stage", text(wire::to_text(build.stage))},
                      {"started_ms", build.started_ms},
                      {"finished_ms", build.finished_ms},
                      {"duration_ms", build.finished_ms == 0 ? 0 : build.finished_ms - build.started_ms},
                      {"message", build.message},
                      {"causes", causes},
                      {"parameters", build.parameters},
                      {"tests", nullptr},
                      {"steps", steps},
                      {"artifacts", build.artifacts}};
    if (build.tests) {
        json::Value bad = json::Value::array();
        for (const auto& test : build.tests->bad) {
            bad.push_back(
                {{"suite", test.suite}, {"class", test.class_name}, {"name", test.name}, {"message", test.message}});
        }
        value["tests"] = {{"total", build.tests->total},
                          {"failed", build.tests->failed},
                          {"skipped", build.tests->skipped},
                          {"failing", bad}};
    }
    return value;
}

json::Value to_json(const operations::ChangeView& change) {
    json::Value paths = json::Value::array();
    for (const auto& [edit, path] : change.paths) paths.push_back({{"edit", edit}, {"path", path}});
    return {{"commit", change.commit.str()}, {"author", change.author},   {"author_email", change.author_email},
            {"at_ms", change.at_ms},         {"message", change.message}, {"paths", paths}};
}

json::Value to_json(const operations::QueueItem& item) {
    json::Value causes = json::Value::array();
    for (const auto& cause : item.causes) causes.push_back(to_json(cause));
    return {{"id", item.id},
            {"app", item.app.str()},
            {"state", text(operations::to_text(item.state))},
            {"commit", item.commit.str()},
            {"causes", causes},
            {"parameters", item.parameters},
            {"created_ms", item.created_ms},
            {"due_ms", item.due_ms},
            {"rollout", item.rollout.str()},
            {"build", item.build},
            {"reason", item.reason}};
}

json::Value to_json(const operations::AuditEntry& entry) {
    return {{"at_ms", entry.at_ms},   {"who", entry.who}, {"address", entry.address},
            {"action", entry.action}, {"app", entry.app}, {"detail", entry.detail}};
}

}  // namespace baton::http
