// SPDX-License-Identifier: MIT
// JSON of the pieces that both the durable state and the messages are made of.
#include "agent/chain/codec.h"

namespace baton::chain::codec {
namespace {

const json::Value& checked_list(const json::Value& value, std::string_view what) {
    if (!value.is_array()) throw Error(ErrorKind::invalid, fmt::format("'{}' must be a list", what));
    if (value.size() > most_entries) {
        throw Error(ErrorKind::too_large, fmt::format("'{}' has more than {} entries", what, most_entries));
    }
    return value;
}

}  // namespace

NodeName node_name(std::string_view text) {
    if (!is_valid_name(text)) throw Error(ErrorKind::invalid, fmt::format("'{}' is no node's name", text));
    return NodeName(text);
}

CommitId commit_or_none(const json::Value& value, std::string_view name) {
    const auto text = json::text_or(value, name, "");
    if (!text.empty() && !is_commit_id(text)) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' must be 40 lower-case hexadecimal digits", name));
    }
    return CommitId(text);
}

unsigned small(const json::Value& value, std::string_view name, unsigned fallback) {
    const auto number = json::whole_or(value, name, fallback);
    if (number > std::numeric_limits<unsigned>::max()) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' is too large", name));
    }
    return static_cast<unsigned>(number);
}

const json::Value& list(const json::Value& value, std::string_view name) {
    static const json::Value none = json::Value::array();
    if (!value.is_object()) throw Error(ErrorKind::invalid, fmt::format("expected an object with '{}'", name));
    const auto found = value.find(std::string(name));
    return found == value.end() || found->is_null() ? none : checked_list(*found, name);
}

wire::Target target_or_none(const json::Value& value, std::string_view name) {
    if (!value.contains(std::string(name))) return {};
    return wire::parse_target(json::member(value, name));
}

json::Value to_json(const Ticket& ticket) { return {{"incarnation", ticket.incarnation}, {"seq", ticket.seq}}; }

Ticket parse_ticket(const json::Value& value) { return {json::whole(value, "incarnation"), json::whole(value, "seq")}; }

json::Value to_json(const Grant& grant) {
    return {{"lane", grant.lane},
            {"node", grant.node.str()},
            {"ticket", to_json(grant.ticket)},
            {"target", wire::to_json(grant.target)},
            {"once", grant.once}};
}

Grant parse_grant(const json::Value& value) {
    return {small(value, "lane", 0), node_name(json::text(value, "node")), parse_ticket(json::member(value, "ticket")),
            wire::parse_target(json::member(value, "target")), json::flag_or(value, "once", false)};
}

json::Value to_json(const Known& known, Scope scope) {
    json::Value value{{"rollout", wire::to_json(known.rollout)},
                      {"proven", known.proven},
                      {"ended", known.ended},
                      {"promoted", known.promoted},
                      {"canaries", known.canaries},
                      {"skipped", to_json(known.skipped)}};
    if (!known.promoted_by.who.empty()) value["promoted_by"] = to_json(known.promoted_by);
    if (scope == Scope::disk) {
        value["assigned"] = known.assigned;
        value["walks"] = known.walks;
        value["handed_by"] = known.handed_by.str();
    }
    return value;
}

Known parse_known(const json::Value& value, Scope scope) {
    Known known;
    known.rollout = wire::parse_rollout(json::member(value, "rollout"));
    known.proven = json::flag_or(value, "proven", false);
    known.ended = json::flag_or(value, "ended", false);
    known.promoted = json::flag_or(value, "promoted", false);
    if (value.contains("promoted_by")) known.promoted_by = parse_order_note(json::member(value, "promoted_by"));
    known.canaries = small(value, "canaries", 0);
    known.skipped = parse_names(list(value, "skipped"));
    if (scope == Scope::disk) {
        known.assigned = json::flag_or(value, "assigned", false);
        known.walks = json::flag_or(value, "walks", false);
        known.handed_by = NodeName(json::text_or(value, "handed_by", ""));
    }
    return known;
}

json::Value to_json(const OrderNote& drain) {
    return {{"who", drain.who}, {"reason", drain.reason}, {"since_ms", drain.since_ms}};
}

OrderNote parse_order_note(const json::Value& value) {
    return {json::text_or(value, "who", ""), json::text_or(value, "reason", ""),
            json::number_or(value, "since_ms", 0)};
}

json::Value to_json(const FreezeRegister& freeze) {
    json::Value value{{"version", freeze.version}};
    if (freeze.note) {
        value["note"] = {{"who", freeze.note->who},
                         {"reason", freeze.note->reason},
                         {"since_ms", freeze.note->since_ms},
                         {"until_ms", freeze.note->until_ms}};
    }
    return value;
}

FreezeRegister parse_freeze(const json::Value& value) {
    FreezeRegister freeze{json::whole(value, "version"), std::nullopt};
    if (value.contains("note")) {
        const auto& note = json::member(value, "note");
        freeze.note = FreezeNote{json::text_or(note, "who", ""), json::text_or(note, "reason", ""),
                                 json::number_or(note, "since_ms", 0), json::number_or(note, "until_ms", 0)};
    }
    return freeze;
}

json::Value to_json(const std::map<wire::RolloutKey, Failure>& failed) {
    json::Value entries = json::Value::array();
    for (const auto& [key, failure] : failed) {
        auto entry = wire::to_json(wire::Target{key, failure.attempt});
        entry["kind"] = to_text(failure.kind);
        entry["node"] = failure.node.str();
        entry["who"] = failure.who;
        entry["reason"] = failure.reason;
        entry["at_ms"] = failure.at_ms;
        entry["commit"] = failure.commit.str();
        entries.push_back(std::move(entry));
    }
    return entries;
}

std::map<wire::RolloutKey, Failure> parse_failed(const json::Value& value) {
    std::map<wire::RolloutKey, Failure> failed;
    for (const auto& entry : checked_list(value, "failed")) {
        const auto target = wire::parse_target(entry);
        failed[target.key] = {target.attempt,
                              parse_failure_kind(json::text(entry, "kind")),
                              NodeName(json::text_or(entry, "node", "")),
                              json::text_or(entry, "who", ""),
                              json::text_or(entry, "reason", ""),
                              json::number_or(entry, "at_ms", 0),
                              commit_or_none(entry, "commit")};
    }
    return failed;
}

json::Value to_json(const std::map<wire::RolloutKey, OnceState>& once) {
    json::Value entries = json::Value::array();
    for (const auto& [key, state] : once) {
        auto entry = wire::to_json(wire::Target{key, state.attempt});
        entry["node"] = state.node.str();
        entry["done"] = state.done;
        entry["settled"] = state.settled;
        entry["at_ms"] = state.at_ms;
        entries.push_back(std::move(entry));
    }
    return entries;
}

std::map<wire::RolloutKey, OnceState> parse_once(const json::Value& value) {
    std::map<wire::RolloutKey, OnceState> once;
    for (const auto& entry : checked_list(value, "once")) {
        const auto target = wire::parse_target(entry);
        once[target.key] = {target.attempt, NodeName(json::text_or(entry, "node", "")), json::flag(entry, "done"),
                            json::flag_or(entry, "settled", false), json::number_or(entry, "at_ms", 0)};
    }
    return once;
}

json::Value to_json(const std::map<CommitId, BadCommit>& bad) {
    json::Value entries = json::Value::array();
    for (const auto& [commit, why] : bad) {
        entries.push_back({{"commit", commit.str()},
                           {"reason", why.reason},
                           {"at_ms", why.at_ms},
                           {"by", wire::to_json(why.by)},
                           {"forgiven", why.forgiven}});
    }
    return entries;
}

std::map<CommitId, BadCommit> parse_bad(const json::Value& value) {
    std::map<CommitId, BadCommit> bad;
    for (const auto& entry : checked_list(value, "bad")) {
        const auto commit = commit_or_none(entry, "commit");
        if (commit.empty()) throw Error(ErrorKind::invalid, "'commit' of a bad commit is missing");
        bad[commit] = {json::text_or(entry, "reason", ""), json::number_or(entry, "at_ms", 0),
                       target_or_none(entry, "by"), json::flag_or(entry, "forgiven", false)};
    }
    return bad;
}

json::Value to_json(const std::map<NodeName, Ticket>& done) {
    json::Value entries = json::Value::array();
    for (const auto& [node, ticket] : done) {
        auto entry = to_json(ticket);
        entry["node"] = node.str();
        entries.push_back(std::move(entry));
    }
    return entries;
}

std::map<NodeName, Ticket> parse_done(const json::Value& value) {
    std::map<NodeName, Ticket> done;
    for (const auto& entry : checked_list(value, "done")) {
        done[node_name(json::text(entry, "node"))] = parse_ticket(entry);
    }
    return done;
}

json::Value to_json(const std::map<NodeName, Identity>& identities) {
    json::Value entries = json::Value::array();
    for (const auto& [node, identity] : identities) {
        entries.push_back(
            {{"node", node.str()}, {"generation", identity.generation}, {"incarnation", identity.incarnation}});
        if (!identity.by.who.empty()) entries.back()["by"] = to_json(identity.by);
    }
    return entries;
}

std::map<NodeName, Identity> parse_identities(const json::Value& value) {
    std::map<NodeName, Identity> identities;
    for (const auto& entry : checked_list(value, "identities")) {
        Identity identity{json::whole(entry, "generation"), json::whole(entry, "incarnation")};
        if (entry.contains("by")) identity.by = parse_order_note(json::member(entry, "by"));
        identities[node_name(json::text(entry, "node"))] = std::move(identity);
    }
    return identities;
}

json::Value to_json(const std::set<NodeName>& names) {
    json::Value entries = json::Value::array();
    for (const auto& name : names) entries.push_back(name.str());
    return entries;
}

std::set<NodeName> parse_names(const json::Value& value) {
    std::set<NodeName> names;
    for (const auto& entry : checked_list(value, "names")) {
        if (!entry.is_string()) throw Error(ErrorKind::invalid, "a node's name must be a string");
        names.insert(node_name(entry.get_ref<const std::string&>()));
    }
    return names;
}

json::Value to_json(const std::set<std::uint64_t>& numbers) {
    json::Value entries = json::Value::array();
    for (const auto number : numbers) entries.push_back(number);
    return entries;
}

std::set<std::uint64_t> parse_numbers(const json::Value& value) {
    std::set<std::uint64_t> numbers;
    for (const auto& entry : checked_list(value, "numbers")) {
        if (!entry.is_number_unsigned()) throw Error(ErrorKind::invalid, "expected a whole number");
        numbers.insert(entry.get<std::uint64_t>());
    }
    return numbers;
}

}  // namespace baton::chain::codec
