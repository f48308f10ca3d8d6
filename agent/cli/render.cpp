// SPDX-License-Identifier: MIT
// The agent's JSON as text for people.
#include "agent/cli/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/text.h"

namespace baton::cli {
namespace {

constexpr std::size_t short_commit = 12;

std::string shown(std::string_view text, std::size_t most = 100) { return escape_control(first_line(text, most)); }

std::string commit_of(const json::Value& object, std::string_view name) {
    const std::string commit = text_of(object, name);
    return commit.empty() ? "-" : shown(commit.substr(0, short_commit));
}

/// How long ago `then_ms` was; empty when it is not known.
std::string since(std::int64_t then_ms, std::int64_t now_ms) {
    return then_ms <= 0 ? "" : human_duration(Milliseconds{now_ms - then_ms});
}

std::string when(std::int64_t at_ms) {
    if (at_ms <= 0) return "-";
    // Seconds are enough for people.
    return to_iso8601(from_epoch_ms(at_ms)).substr(0, 19) + "Z";
}

/// Characters as a terminal shows them: bytes that continue a character take no place.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

bool has_ended(const std::string& state) { return state != "running" && state != "waiting" && !state.empty(); }

/// What a node does, in the fewest words.
std::string activity(const json::Value& node, std::int64_t now_ms) {
    const std::string state = text_of(node, "state");
    const std::string stage = text_of(node, "stage");
    if (node.contains("reachable") && !flag_of(node, "reachable")) return "out of reach";
    if (state == "succeeded") return "done";
    if (has_ended(state)) return shown(state);
    const std::string time = since(number_of(node, "since_ms"), now_ms);
    const std::string what = shown(stage.empty() ? state : stage);
    return time.empty() || stage == "queued" ? what : fmt::format("{} {}", what, time);
}

/// What a person ordered: who, when and why; empty for nothing.
std::string ordered(std::string_view what, const json::Value* order, std::int64_t now_ms) {
    if (order == nullptr) return "";
    const auto by = text_of(*order, "by");
    const auto time = since(number_of(*order, "since_ms"), now_ms);
    const auto reason = text_of(*order, "reason");
    std::string text(what);
    if (!by.empty()) text += " by " + by;
    if (!time.empty()) text += fmt::format(", {} ago", time);
    if (!reason.empty()) text += ": " + reason;
    return text;
}

std::string headline(const json::Value& app, const json::Value* rollout, std::int64_t now_ms) {
    const std::string name = shown(text_of(app, "app"));
    if (rollout == nullptr) return fmt::format("{}: nothing was rolled out yet\n", name);
    const std::string state = text_of(*rollout, "state");
    std::string line =
        fmt::format("{}: {} {}", name, text_of(*rollout, "kind") == "rollback" ? "rollback to" : "rollout of",
                    commit_of(*rollout, "commit"));
    if (const auto subject = text_of(*rollout, "subject"); !subject.empty())
        line += fmt::format(" \"{}\"", shown(subject, 60));
    if (const auto author = text_of(*rollout, "author"); !author.empty())
        line += fmt::format(" by {}", shown(author, 40));
    line += fmt::format(": {}", shown(state));
    if (const auto halted = since(number_of(*rollout, "halted_ms"), now_ms); !halted.empty())
        line += fmt::format(" for {}", halted);
    if (const auto promoted = ordered("promoted", object_of(*rollout, "promoted"), now_ms); !promoted.empty())
        line += fmt::format(", {}", shown(promoted, 300));
    if (number_of(*rollout, "attempt") > 1) line += fmt::format(", attempt {}", number_of(*rollout, "attempt"));
    if (const auto reason = text_of(*rollout, "reason"); !reason.empty())
        line += fmt::format(", {}", shown(reason, 300));
    line += "\n";
    const auto* cause = object_of(*rollout, "cause");
    const std::string started = since(number_of(*rollout, "started_ms"), now_ms);
    if (!started.empty()) {
        line += fmt::format("  started {} ago on {}", started, shown(text_of(*rollout, "started_on")));
        if (cause != nullptr && !text_of(*cause, "text").empty())
            line += fmt::format(": {}", shown(text_of(*cause, "text")));
        line += fmt::format("  ({})\n", shown(text_of(*rollout, "id")));
    }
    return line;
}

std::vector<std::string> node_row(const json::Value& node, std::int64_t now_ms) {
    const auto build = number_of(node, "build");
    std::string remark;
    const auto add = [&](const std::string& text) {
        if (!text.empty()) remark += (remark.empty() ? "" : "; ") + shown(text, 300);
    };
    const bool jenkins = node.contains("jenkins") && flag_of(node, "jenkins");
    if (jenkins) add("a Jenkins");
    if (!jenkins && node.contains("reachable") && !flag_of(node, "reachable")) {
        add(number_of(node, "last_heard_ms_ago") > 0
                ? fmt::format("not heard for {}", human_duration(Milliseconds{number_of(node, "last_heard_ms_ago")}))
                : "never heard");
    }
    add(ordered("DRAINED", object_of(node, "drained"), now_ms));
    add(ordered("FORGOTTEN", object_of(node, "forgotten"), now_ms));
    if (!text_of(node, "waits_for").empty()) add("waits for " + text_of(node, "waits_for"));
    add(text_of(node, "message"));
    return {shown(text_of(node, "node")),
            commit_of(node, "current"),
            !node.contains("in_service")  ? "?"
            : flag_of(node, "in_service") ? "yes"
                                          : "no",
            shown(text_of(node, "stage")),
            shown(text_of(node, "state")),
            since(number_of(node, "since_ms"), now_ms),
            build > 0 ? fmt::format("#{}", build) : "-",
            remark};
}

}  // namespace

std::string text_of(const json::Value& object, std::string_view name) {
    const auto found = object.is_object() ? object.find(std::string(name)) : object.end();
    return object.is_object() && found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t number_of(const json::Value& object, std::string_view name) {
    const auto found = object.is_object() ? object.find(std::string(name)) : object.end();
    return object.is_object() && found != object.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

bool flag_of(const json::Value& object, std::string_view name) {
    const auto found = object.is_object() ? object.find(std::string(name)) : object.end();
    return object.is_object() && found != object.end() && found->is_boolean() && found->get<bool>();
}

const json::Value& list_of(const json::Value& object, std::string_view name) {
    static const json::Value nothing = json::Value::array();
    if (!object.is_object()) return nothing;
    const auto found = object.find(std::string(name));
    return found != object.end() && found->is_array() ? *found : nothing;
}

const json::Value* object_of(const json::Value& object, std::string_view name) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(std::string(name));
    return found != object.end() && found->is_object() ? &*found : nullptr;
}

std::string table(const std::vector<std::vector<std::string>>& rows, std::string_view indent) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
    }
    std::string text;
    for (const auto& row : rows) {
        std::string line(indent);
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(widths[i] - width(row[i]) + 2, ' ');
        }
        text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return text;
}

std::string render_chain(const json::Value& nodes, std::int64_t now_ms) {
    std::vector<std::string> parts;
    for (const auto& node : nodes)
        parts.push_back(fmt::format("{} [{}]", shown(text_of(node, "node")), activity(node, now_ms)));
    return join(parts, " -> ");
}

std::string render_progress(const json::Value& node) {
    std::string line = fmt::format("{} {} {}", shown(text_of(node, "node")), shown(text_of(node, "stage")),
                                   shown(text_of(node, "state")));
    if (const auto waits = text_of(node, "waits_for"); !waits.empty()) line += ": waits for " + shown(waits, 300);
    if (const auto message = text_of(node, "message"); !message.empty()) line += ": " + shown(message, 300);
    return line;
}

std::string render_app(const json::Value& app, std::int64_t now_ms) {
    const auto* rollout = object_of(app, "rollout");
    std::string text = headline(app, rollout, now_ms);
    if (const auto* frozen = object_of(app, "frozen"); frozen != nullptr) {
        const auto until = number_of(*frozen, "until_ms");
        text += fmt::format("  FROZEN by {} for {}: {}{}\n", shown(text_of(*frozen, "by")),
                            since(number_of(*frozen, "since_ms"), now_ms), shown(text_of(*frozen, "reason"), 300),
                            until > 0 ? fmt::format(" (until {})", when(until)) : "");
    }
    for (const auto& next : list_of(app, "queued")) {
        text += fmt::format("  then {} \"{}\", which {}\n", commit_of(next, "commit"),
                            shown(text_of(next, "subject"), 60), shown(text_of(next, "reason"), 300));
    }
    if (flag_of(app, "disabled")) text += "  DISABLED: nothing triggers it\n";
    for (const auto& item : list_of(app, "triggers")) {
        const auto reason = text_of(item, "reason");
        text += fmt::format("  a trigger waits on this node, for {}: {}{}\n", since(number_of(item, "since_ms"), now_ms),
                            shown(text_of(item, "cause"), 100), reason.empty() ? "" : ": " + shown(reason, 300));
    }
    if (const auto waits = text_of(app, "waits_for"); !waits.empty())
        text += fmt::format("  waits for {}\n", shown(waits, 300));
    const auto& nodes = list_of(app, "nodes");
    if (nodes.empty()) return text;
    text += fmt::format("  {}\n", render_chain(nodes, now_ms));
    std::vector<std::vector<std::string>> rows{{"NODE", "CURRENT", "SERVES", "STAGE", "STATE", "SINCE", "BUILD", ""}};
    for (const auto& node : nodes) rows.push_back(node_row(node, now_ms));
    return text + table(rows, "  ");
}

std::string render_status(const json::Value& status) {
    const auto now_ms = number_of(status, "now_ms");
    std::string text;
    if (const auto who = text_of(status, "quieting_down"); !who.empty()) {
        text = fmt::format("QUIETING DOWN ({}): triggers wait on this node until POST /cancelQuietDown or its restart\n",
                           shown(who, 300));
    }
    for (const auto& app : list_of(status, "apps")) {
        if (!text.empty()) text += "\n";
        text += render_app(app, now_ms);
    }
    if (text.empty()) text = fmt::format("{} has no apps\n", shown(text_of(status, "node")));
    return text;
}

std::string render_history(const json::Value& rollouts) {
    const auto& list = list_of(rollouts, "rollouts");
    if (list.empty()) return "nothing was rolled out yet\n";
    std::vector<std::vector<std::string>> rows{
        {"STARTED", "KIND", "COMMIT", "STATE", "NODES", "AUTHOR", "SUBJECT", ""}};
    for (const auto& rollout : list) {
        const auto& nodes = list_of(rollout, "nodes");
        const auto done =
            std::ranges::count_if(nodes, [](const json::Value& node) { return text_of(node, "state") == "succeeded"; });
        rows.push_back({when(number_of(rollout, "started_ms")), shown(text_of(rollout, "kind")),
                        commit_of(rollout, "commit"), shown(text_of(rollout, "state")),
                        fmt::format("{}/{}", done, nodes.size()), shown(text_of(rollout, "author"), 24),
                        shown(text_of(rollout, "subject"), 50), shown(text_of(rollout, "reason"), 120)});
    }
    return table(rows);
}

std::string render_audit(const json::Value& audit) {
    std::vector<std::vector<std::string>> rows{{"WHEN", "WHO", "FROM", "ACTION", "APP", "DETAIL"}};
    for (const auto& entry : list_of(audit, "entries")) {
        rows.push_back({when(number_of(entry, "at_ms")), shown(text_of(entry, "who")), shown(text_of(entry, "address")),
                        shown(text_of(entry, "action")), shown(text_of(entry, "app")),
                        shown(text_of(entry, "detail"), 200)});
    }
    return rows.size() == 1 ? "nothing was done yet\n" : table(rows);
}

}  // namespace baton::cli
