// SPDX-License-Identifier: MIT
// Messages as JSON: `{"header": {…}, "ask": {…}}`, the second member's name saying what the body is.
#include "agent/chain/message.h"

#include <array>
#include <utility>

#include "agent/chain/codec.h"

namespace baton::chain {
namespace {

/// In the order of Body's alternatives.
constexpr std::array<std::string_view, std::variant_size_v<Body>> names{"unknown",  "ask",     "granted", "denied",
                                                                        "release",  "inquire", "handoff", "handoff_ack",
                                                                        "heads_up", "sync",    "tell",    "told"};

json::Value known_to_json(const std::vector<Known>& known) {
    json::Value entries = json::Value::array();
    for (const auto& entry : known) entries.push_back(codec::to_json(entry, codec::Scope::message));
    return entries;
}

std::vector<Known> parse_known_list(const json::Value& value) {
    std::vector<Known> known;
    for (const auto& entry : value) known.push_back(codec::parse_known(entry, codec::Scope::message));
    return known;
}

json::Value to_json(const Status& status) {
    json::Value value{{"current", wire::to_json(status.current)},
                      {"current_commit", status.current_commit.str()},
                      {"working", wire::to_json(status.working)},
                      {"phase", to_text(status.phase)},
                      {"serving", status.serving},
                      {"may_grant", status.may_grant},
                      {"held_out", status.held_out}};
    if (status.drained) value["drained"] = codec::to_json(*status.drained);
    return value;
}

Status parse_status(const json::Value& value) {
    Status status;
    status.current = codec::target_or_none(value, "current");
    status.current_commit = codec::commit_or_none(value, "current_commit");
    status.working = codec::target_or_none(value, "working");
    status.phase = parse_phase(json::text(value, "phase"));
    status.serving = json::flag(value, "serving");
    status.may_grant = json::flag_or(value, "may_grant", true);
    status.held_out = json::flag_or(value, "held_out", false);
    if (value.contains("drained")) status.drained = codec::parse_order_note(json::member(value, "drained"));
    return status;
}

json::Value to_json(const Header& header) {
    return {{"protocol", header.protocol},
            {"incarnation", header.incarnation},
            {"run", header.run},
            {"config_hash", header.config_hash},
            {"status", to_json(header.status)},
            {"failed", codec::to_json(header.failed)},
            {"once", codec::to_json(header.once)},
            {"freeze", codec::to_json(header.freeze)},
            {"rollouts", known_to_json(header.rollouts)}};
}

Header parse_header(const json::Value& value) {
    Header header;
    header.protocol = codec::small(value, "protocol", 0);
    check_protocol(header.protocol);
    header.incarnation = json::whole(value, "incarnation");
    header.run = json::whole_or(value, "run", 0);
    header.config_hash = json::text_or(value, "config_hash", "");
    header.status = parse_status(json::member(value, "status"));
    header.failed = codec::parse_failed(codec::list(value, "failed"));
    header.once = codec::parse_once(codec::list(value, "once"));
    header.freeze = codec::parse_freeze(json::member(value, "freeze"));
    header.rollouts = parse_known_list(codec::list(value, "rollouts"));
    return header;
}

json::Value to_json(const std::map<NodeName, std::vector<Voice>>& voices) {
    json::Value entries = json::Value::array();
    for (const auto& [node, heard] : voices) {
        for (const auto& voice : heard) {
            entries.push_back({{"node", node.str()},
                               {"incarnation", voice.incarnation},
                               {"run", voice.run},
                               {"address", voice.address},
                               {"answers", voice.answers},
                               {"ago_ms", voice.ago_ms}});
        }
    }
    return entries;
}

std::map<NodeName, std::vector<Voice>> parse_voices(const json::Value& value) {
    std::map<NodeName, std::vector<Voice>> voices;
    for (const auto& entry : value) {
        voices[codec::node_name(json::text(entry, "node"))].push_back(
            Voice{json::whole(entry, "incarnation"), json::whole(entry, "run"), json::text(entry, "address"),
                  json::flag(entry, "answers"), json::whole(entry, "ago_ms")});
    }
    return voices;
}

json::Value to_json(const Whole& whole) {
    json::Value grants = json::Value::array();
    for (const auto& grant : whole.grants) grants.push_back(codec::to_json(grant));
    json::Value value{{"grants", std::move(grants)},
                      {"done", codec::to_json(whole.done)},
                      {"known", known_to_json(whole.known)},
                      {"failed", codec::to_json(whole.failed)},
                      {"once", codec::to_json(whole.once)},
                      {"bad", codec::to_json(whole.bad)},
                      {"identities", codec::to_json(whole.identities)},
                      {"barred", codec::to_json(whole.barred)}};
    if (whole.claim) value["claim"] = codec::to_json(*whole.claim);
    if (!whole.voices.empty()) value["voices"] = to_json(whole.voices);
    return value;
}

Whole parse_whole(const json::Value& value) {
    Whole whole;
    for (const auto& entry : codec::list(value, "grants")) whole.grants.push_back(codec::parse_grant(entry));
    if (value.contains("claim")) whole.claim = codec::parse_grant(json::member(value, "claim"));
    whole.done = codec::parse_done(codec::list(value, "done"));
    whole.known = parse_known_list(codec::list(value, "known"));
    whole.failed = codec::parse_failed(codec::list(value, "failed"));
    whole.once = codec::parse_once(codec::list(value, "once"));
    whole.bad = codec::parse_bad(codec::list(value, "bad"));
    whole.identities = codec::parse_identities(codec::list(value, "identities"));
    whole.barred = codec::parse_numbers(codec::list(value, "barred"));
    whole.voices = parse_voices(codec::list(value, "voices"));
    return whole;
}

json::Value orders_to_json(const std::vector<std::uint64_t>& orders) { return orders; }

std::vector<std::uint64_t> parse_orders(const json::Value& value) {
    const auto numbers = codec::parse_numbers(codec::list(value, "orders"));
    return {numbers.begin(), numbers.end()};
}

/// One overload a body; the variant picks.
struct BodyWriter {
    json::Value operator()(const Unknown&) const { return json::Value::object(); }
    json::Value operator()(const Ask& ask) const {
        return {{"ticket", codec::to_json(ask.ticket)},
                {"lane", ask.lane},
                {"round", ask.round},
                {"target", wire::to_json(ask.target)},
                {"once", ask.once}};
    }
    json::Value operator()(const Granted& granted) const {
        return {{"ticket", codec::to_json(granted.ticket)},
                {"round", granted.round},
                {"target", wire::to_json(granted.target)}};
    }
    json::Value operator()(const Denied& denied) const {
        return {{"ticket", codec::to_json(denied.ticket)},
                {"round", denied.round},
                {"holder", denied.holder.str()},
                {"reason", denied.reason}};
    }
    json::Value operator()(const Release& release) const { return {{"ticket", codec::to_json(release.ticket)}}; }
    json::Value operator()(const Inquire& inquire) const { return {{"ticket", codec::to_json(inquire.ticket)}}; }
    json::Value operator()(const Handoff& handoff) const {
        return {{"rollout", wire::to_json(handoff.rollout)},
                {"canaries", handoff.canaries},
                {"lane", handoff.lane},
                {"skipped", codec::to_json(handoff.skipped)}};
    }
    json::Value operator()(const HandoffAck& ack) const {
        return {{"target", wire::to_json(ack.target)}, {"already", ack.already}};
    }
    json::Value operator()(const HeadsUp& heads_up) const { return {{"rollout", wire::to_json(heads_up.rollout)}}; }
    json::Value operator()(const Sync& sync) const {
        return {{"nonce", sync.nonce}, {"reply", sync.reply}, {"whole", to_json(sync.whole)}};
    }
    json::Value operator()(const Tell& tell) const {
        return {{"orders", orders_to_json(tell.orders)}, {"whole", to_json(tell.whole)}};
    }
    json::Value operator()(const Told& told) const { return {{"orders", orders_to_json(told.orders)}}; }
};

Body parse_body(std::string_view name, const json::Value& value) {
    if (name == "ask") {
        return Ask{codec::parse_ticket(json::member(value, "ticket")), codec::small(value, "lane", 0),
                   codec::small(value, "round", 0), wire::parse_target(json::member(value, "target")),
                   json::flag_or(value, "once", false)};
    }
    if (name == "granted") {
        return Granted{codec::parse_ticket(json::member(value, "ticket")), codec::small(value, "round", 0),
                       wire::parse_target(json::member(value, "target"))};
    }
    if (name == "denied") {
        return Denied{codec::parse_ticket(json::member(value, "ticket")), codec::small(value, "round", 0),
                      NodeName(json::text_or(value, "holder", "")), json::text_or(value, "reason", "")};
    }
    if (name == "release") return Release{codec::parse_ticket(json::member(value, "ticket"))};
    if (name == "inquire") return Inquire{codec::parse_ticket(json::member(value, "ticket"))};
    if (name == "handoff") {
        return Handoff{wire::parse_rollout(json::member(value, "rollout")), codec::small(value, "canaries", 0),
                       codec::small(value, "lane", 0), codec::parse_names(codec::list(value, "skipped"))};
    }
    if (name == "handoff_ack") {
        return HandoffAck{wire::parse_target(json::member(value, "target")), json::flag(value, "already")};
    }
    if (name == "heads_up") return HeadsUp{wire::parse_rollout(json::member(value, "rollout"))};
    if (name == "sync") {
        return Sync{json::whole(value, "nonce"), json::flag(value, "reply"), parse_whole(json::member(value, "whole"))};
    }
    if (name == "tell") return Tell{parse_orders(value), parse_whole(json::member(value, "whole"))};
    if (name == "told") return Told{parse_orders(value)};
    return Unknown{};
}

}  // namespace

void check_protocol(unsigned version) {
    if (version >= oldest_protocol_version && version <= protocol_version + 1) return;
    throw Error(ErrorKind::conflict,
                fmt::format("the peer speaks version {} of the chain protocol, this agent {} to {}: "
                            "upgrade one step at a time, all nodes before the next step",
                            version, oldest_protocol_version, protocol_version + 1));
}

std::string_view body_name(const Message& message) { return names.at(message.body.index()); }

json::Value to_json(const Message& message) {
    json::Value value{{"header", to_json(message.header)}};
    value[std::string(body_name(message))] = std::visit(BodyWriter{}, message.body);
    return value;
}

Message parse_message(const json::Value& value) {
    Message message;
    message.header = parse_header(json::member(value, "header"));
    for (const auto name : names) {
        if (!value.contains(std::string(name))) continue;
        message.body = parse_body(name, json::member(value, name));
        break;
    }
    return message;
}

}  // namespace baton::chain
