// SPDX-License-Identifier: MIT
// The durable state as JSON, and the words for its phases.
#include "agent/chain/durable.h"

#include <array>
#include <utility>

#include "agent/chain/codec.h"

namespace baton::chain {
namespace {

template <class Value, std::size_t N>
using Words = std::array<std::pair<Value, std::string_view>, N>;

constexpr Words<Phase, 3> phases{{{Phase::idle, "idle"}, {Phase::asking, "asking"}, {Phase::out, "out"}}};
constexpr Words<OutStage, 5> out_stages{{{OutStage::switching, "switching"},
                                         {OutStage::restoring, "restoring"},
                                         {OutStage::stuck, "stuck"},
                                         {OutStage::baking, "baking"},
                                         {OutStage::neighbours, "neighbours"}}};
constexpr Words<FailureKind, 2> failure_kinds{{{FailureKind::failed, "failed"}, {FailureKind::halted, "halted"}}};

template <class Value, std::size_t N>
std::string_view word_of(const Words<Value, N>& words, Value value) {
    for (const auto& [known, word] : words) {
        if (known == value) return word;
    }
    return "?";  // not reached: every enumerator has its row
}

template <class Value, std::size_t N>
Value value_of(const Words<Value, N>& words, std::string_view text, std::string_view what) {
    for (const auto& [value, word] : words) {
        if (word == text) return value;
    }
    throw Error(ErrorKind::invalid, fmt::format("'{}' is no {}", text, what));
}

json::Value to_json(const Claim& claim) {
    return {{"ticket", codec::to_json(claim.ticket)},
            {"lane", claim.lane},
            {"rollout", wire::to_json(claim.rollout)},
            {"stage", to_text(claim.stage)},
            {"round", claim.round},
            {"once_steps", claim.once_steps},
            {"forced", claim.forced},
            {"reason", claim.reason}};
}

Claim parse_claim(const json::Value& value) {
    return {codec::parse_ticket(json::member(value, "ticket")),
            codec::small(value, "lane", 0),
            wire::parse_rollout(json::member(value, "rollout")),
            parse_out_stage(json::text(value, "stage")),
            codec::small(value, "round", 0),
            json::flag_or(value, "once_steps", false),
            json::flag_or(value, "forced", false),
            json::text_or(value, "reason", "")};
}

std::optional<wire::Rollout> rollout_or_none(const json::Value& value, std::string_view name) {
    if (!value.contains(std::string(name))) return std::nullopt;
    return wire::parse_rollout(json::member(value, name));
}

/// A sub-object for everything that concerns this node's own course.
json::Value course_to_json(const Durable& durable) {
    json::Value value{{"phase", to_text(durable.phase)},
                      {"interrupted", wire::to_json(durable.interrupted)},
                      {"interruptions", durable.interruptions},
                      {"forced", wire::to_json(durable.forced)},
                      {"forced_by", durable.forced_by}};
    if (!durable.owed.empty()) value["owed"] = wire::to_json(durable.owed);
    if (durable.claim) value["claim"] = to_json(*durable.claim);
    if (durable.current) value["current"] = wire::to_json(*durable.current);
    if (durable.previous) value["previous"] = wire::to_json(*durable.previous);
    if (durable.duty) {
        value["duty"] = {{"target", wire::to_json(durable.duty->target)},
                         {"walks", durable.duty->walks},
                         {"lane", durable.duty->lane},
                         {"from_start", durable.duty->from_start}};
    }
    return value;
}

void parse_course(const json::Value& value, Durable& durable) {
    durable.phase = parse_phase(json::text(value, "phase"));
    durable.interrupted = codec::target_or_none(value, "interrupted");
    durable.interruptions = codec::small(value, "interruptions", 0);
    durable.forced = codec::target_or_none(value, "forced");
    durable.forced_by = json::text_or(value, "forced_by", "");
    if (value.contains("owed")) durable.owed = wire::parse_rollout_key(json::member(value, "owed"));
    if (value.contains("claim")) durable.claim = parse_claim(json::member(value, "claim"));
    if (durable.claim.has_value() != (durable.phase != Phase::idle)) {
        throw Error(ErrorKind::invalid, "'phase' and 'claim' contradict each other");
    }
    durable.current = rollout_or_none(value, "current");
    durable.previous = rollout_or_none(value, "previous");
    if (value.contains("duty")) {
        const auto& duty = json::member(value, "duty");
        durable.duty = Duty{wire::parse_target(json::member(duty, "target")), codec::small(duty, "walks", 1),
                            codec::small(duty, "lane", 0), json::flag_or(duty, "from_start", false)};
    }
}

json::Value spreads_to_json(const std::map<std::uint64_t, Spread>& spreads) {
    json::Value entries = json::Value::array();
    for (const auto& [id, spread] : spreads) {
        entries.push_back({{"id", id},
                           {"what", spread.what},
                           {"rounds_left", spread.rounds_left},
                           {"stored_by", codec::to_json(spread.stored_by)}});
    }
    return entries;
}

std::map<std::uint64_t, Spread> parse_spreads(const json::Value& value) {
    std::map<std::uint64_t, Spread> spreads;
    for (const auto& entry : value) {
        spreads[json::whole(entry, "id")] = {json::text_or(entry, "what", ""), codec::small(entry, "rounds_left", 0),
                                             codec::parse_names(codec::list(entry, "stored_by"))};
    }
    return spreads;
}

}  // namespace

Durable fresh_durable(std::uint64_t incarnation) {
    Durable durable;
    durable.incarnation = incarnation;
    return durable;
}

std::string_view to_text(Phase phase) { return word_of(phases, phase); }
std::string_view to_text(OutStage stage) { return word_of(out_stages, stage); }
std::string_view to_text(FailureKind kind) { return word_of(failure_kinds, kind); }
Phase parse_phase(std::string_view text) { return value_of(phases, text, "phase"); }
OutStage parse_out_stage(std::string_view text) { return value_of(out_stages, text, "stage of being out"); }
FailureKind parse_failure_kind(std::string_view text) { return value_of(failure_kinds, text, "kind of failure"); }

json::Value to_json(const Durable& durable) {
    json::Value known = json::Value::array();
    for (const auto& [key, entry] : durable.known) known.push_back(codec::to_json(entry, codec::Scope::disk));
    json::Value grants = json::Value::array();
    for (const auto& grant : durable.grants) grants.push_back(codec::to_json(grant));
    return {{"incarnation", durable.incarnation},
            {"may_grant", durable.may_grant},
            {"seq", durable.seq},
            {"course", course_to_json(durable)},
            {"known", std::move(known)},
            {"failed", codec::to_json(durable.failed)},
            {"once", codec::to_json(durable.once)},
            {"bad", codec::to_json(durable.bad)},
            {"grants", std::move(grants)},
            {"done", codec::to_json(durable.done)},
            {"freeze", codec::to_json(durable.freeze)},
            {"identities", codec::to_json(durable.identities)},
            {"barred", codec::to_json(durable.barred)},
            {"spreads", spreads_to_json(durable.spreads)},
            {"next_order", durable.next_order}};
}

Durable parse_durable(const json::Value& value) {
    Durable durable;
    durable.incarnation = json::whole(value, "incarnation");
    durable.may_grant = json::flag(value, "may_grant");
    durable.seq = json::whole(value, "seq");
    parse_course(json::member(value, "course"), durable);
    for (const auto& entry : codec::list(value, "known")) {
        auto known = codec::parse_known(entry, codec::Scope::disk);
        const auto key = known.rollout.key;
        durable.known[key] = std::move(known);
    }
    durable.failed = codec::parse_failed(codec::list(value, "failed"));
    durable.once = codec::parse_once(codec::list(value, "once"));
    durable.bad = codec::parse_bad(codec::list(value, "bad"));
    for (const auto& entry : codec::list(value, "grants")) durable.grants.push_back(codec::parse_grant(entry));
    durable.done = codec::parse_done(codec::list(value, "done"));
    durable.freeze = codec::parse_freeze(json::member(value, "freeze"));
    durable.identities = codec::parse_identities(codec::list(value, "identities"));
    durable.barred = codec::parse_numbers(codec::list(value, "barred"));
    durable.spreads = parse_spreads(codec::list(value, "spreads"));
    durable.next_order = json::whole_or(value, "next_order", 1);
    return durable;
}

}  // namespace baton::chain
