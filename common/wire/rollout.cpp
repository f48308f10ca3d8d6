// SPDX-License-Identifier: MIT
// Rollouts and progress as JSON: strict about what is known, silent about what is not.
#include "common/wire/rollout.h"

#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/ulid.h"

namespace baton::wire {
namespace {

constexpr std::size_t most_parameters = 256;

unsigned small(const json::Value& value, std::string_view name, unsigned fallback) {
    const auto number = json::whole_or(value, name, fallback);
    if (number > std::numeric_limits<unsigned>::max()) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' is too large", name));
    }
    return static_cast<unsigned>(number);
}

CommitId commit_or_none(const json::Value& value, std::string_view name) {
    const auto text = json::text_or(value, name, "");
    if (!text.empty() && !is_commit_id(text)) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' must be 40 lower-case hexadecimal digits", name));
    }
    return CommitId(text);
}

NodeName node_or_none(const json::Value& value, std::string_view name) {
    const auto text = json::text_or(value, name, "");
    if (!text.empty() && !is_valid_name(text)) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' must be a node's name", name));
    }
    return NodeName(text);
}

json::Value to_json(const Cause& cause) {
    return {{"kind", to_text(cause.kind)}, {"text", cause.text}, {"who", cause.who}, {"address", cause.address}};
}

Cause parse_cause(const json::Value& value) {
    return {parse_cause_kind(json::text(value, "kind")), json::text_or(value, "text", ""),
            json::text_or(value, "who", ""), json::text_or(value, "address", "")};
}

}  // namespace

json::Value to_json(const RolloutKey& key) { return {{"epoch", key.epoch}, {"id", key.id.str()}}; }

json::Value to_json(const Target& target) {
    return {{"epoch", target.key.epoch}, {"id", target.key.id.str()}, {"attempt", target.attempt}};
}

json::Value to_json(const Rollout& rollout) {
    json::Value parameters = json::Value::object();
    for (const auto& [name, value] : rollout.parameters) parameters[name] = value;
    return {{"app", rollout.app.str()},
            {"epoch", rollout.key.epoch},
            {"id", rollout.key.id.str()},
            {"attempt", rollout.attempt},
            {"commit", rollout.commit.str()},
            {"kind", to_text(rollout.kind)},
            {"started_on", rollout.started_on.str()},
            {"started_ms", rollout.started_ms},
            {"cause", to_json(rollout.cause)},
            {"author", rollout.author},
            {"subject", rollout.subject},
            {"parameters", std::move(parameters)},
            {"by_name", rollout.by_name},
            {"undoes", rollout.undoes.str()}};
}

json::Value to_json(const NodeProgress& progress) {
    return {{"node", progress.node.str()},         {"rollout", to_json(progress.rollout)},
            {"version", progress.version},         {"build", progress.build},
            {"stage", to_text(progress.stage)},    {"state", to_text(progress.state)},
            {"since_ms", progress.since_ms},       {"started_ms", progress.started_ms},
            {"finished_ms", progress.finished_ms}, {"waits_for", progress.waits_for},
            {"message", progress.message},         {"current", progress.current.str()}};
}

RolloutKey parse_rollout_key(const json::Value& value) {
    RolloutKey key{json::whole(value, "epoch"), RolloutId(json::text(value, "id"))};
    if (!key.id.empty() && !is_rollout_id(key.id.str())) {
        throw Error(ErrorKind::invalid, "'id' must be a rollout's id, 26 characters of Crockford's base 32");
    }
    return key;
}

Target parse_target(const json::Value& value) { return {parse_rollout_key(value), small(value, "attempt", 1)}; }

Rollout parse_rollout(const json::Value& value) {
    Rollout rollout;
    rollout.app = AppName(json::text(value, "app"));
    if (!is_valid_name(rollout.app.str())) throw Error(ErrorKind::invalid, "'app' must be an app's name");
    rollout.key = parse_rollout_key(value);
    if (rollout.key.empty()) throw Error(ErrorKind::invalid, "'id' is empty");
    rollout.attempt = small(value, "attempt", 1);
    rollout.commit = commit_or_none(value, "commit");
    rollout.kind = parse_rollout_kind(json::text_or(value, "kind", "deploy"));
    rollout.started_on = node_or_none(value, "started_on");
    rollout.started_ms = json::number_or(value, "started_ms", 0);
    rollout.cause = parse_cause(json::member(value, "cause"));
    rollout.author = json::text_or(value, "author", "");
    rollout.subject = json::text_or(value, "subject", "");
    if (value.contains("parameters")) {
        const auto& parameters = json::member(value, "parameters");
        if (!parameters.is_object()) throw Error(ErrorKind::invalid, "'parameters' must be an object");
        if (parameters.size() > most_parameters) throw Error(ErrorKind::too_large, "too many 'parameters'");
        for (const auto& [name, content] : parameters.items()) {
            if (!content.is_string()) throw Error(ErrorKind::invalid, fmt::format("'{}' must be a string", name));
            rollout.parameters[name] = content.get<std::string>();
        }
    }
    rollout.by_name = json::flag_or(value, "by_name", false);
    rollout.undoes = commit_or_none(value, "undoes");
    return rollout;
}

NodeProgress parse_node_progress(const json::Value& value) {
    NodeProgress progress;
    progress.node = NodeName(json::text(value, "node"));
    if (!is_valid_name(progress.node.str())) throw Error(ErrorKind::invalid, "'node' must be a node's name");
    progress.rollout = parse_rollout_key(json::member(value, "rollout"));
    progress.version = json::whole_or(value, "version", 0);
    progress.build = small(value, "build", 0);
    progress.stage = parse_stage(json::text(value, "stage"));
    progress.state = parse_build_state(json::text(value, "state"));
    progress.since_ms = json::number_or(value, "since_ms", 0);
    progress.started_ms = json::number_or(value, "started_ms", 0);
    progress.finished_ms = json::number_or(value, "finished_ms", 0);
    progress.waits_for = json::text_or(value, "waits_for", "");
    progress.message = json::text_or(value, "message", "");
    progress.current = commit_or_none(value, "current");
    return progress;
}

}  // namespace baton::wire
