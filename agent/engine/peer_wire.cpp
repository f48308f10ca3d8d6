// SPDX-License-Identifier: MIT
// What agents write to each other about an app.
#include "agent/engine/peer_wire.h"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/error.h"

namespace baton::engine {
namespace {

// More than this in one request is no honest peer; each list is a few rows in daily life.
constexpr std::size_t most_items = 20'000;
/// Who says none speaks the first, in which requests had no version.
constexpr unsigned first_protocol_version = 1;

const json::Value& list(const json::Value& value, const char* name) {
    static const json::Value empty = json::Value::array();
    const auto it = value.find(name);
    if (it == value.end()) return empty;
    if (!it->is_array() || it->size() > most_items) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' must be a list of at most {}", name, most_items));
    }
    return *it;
}

json::Value to_json(const store::LedgerEntry& entry) {
    return {{"node", entry.node.str()},
            {"rollout", entry.rollout.str()},
            {"build", entry.build},
            {"dark_ms", entry.dark_ms},
            {"exposed_ms", entry.exposed_ms},
            {"outages_ms", entry.outages_ms},
            {"out_ms", entry.out_ms},
            {"drain_ms", entry.drain_ms},
            {"restart_ms", entry.restart_ms},
            {"rejoin_ms", entry.rejoin_ms},
            {"cut", entry.cut},
            {"kind", std::string(store::to_text(entry.kind))},
            {"at_ms", entry.at_ms}};
}

store::LedgerEntry parse_ledger_entry(const json::Value& value) {
    // A time longer than this is no switch, and sums of such numbers would overflow.
    constexpr std::uint64_t most_ms = 366ULL * 86'400'000;
    const auto time = [&](const char* name) {
        const auto ms = json::whole(value, name);
        if (ms > most_ms) throw Error(ErrorKind::invalid, fmt::format("'{}' is longer than a year", name));
        return static_cast<std::int64_t>(ms);
    };
    store::LedgerEntry entry;
    entry.node = NodeName(json::text(value, "node"));
    entry.rollout = RolloutId(json::text(value, "rollout"));
    const auto build = json::whole(value, "build");
    const auto cut = json::whole(value, "cut");
    const auto at_ms = json::whole(value, "at_ms");
    constexpr std::uint64_t most_at_ms = 253'402'300'800'000;  // the year 10000
    if (!is_valid_name(entry.node.str()) || build > UINT32_MAX || cut > UINT32_MAX || at_ms > most_at_ms) {
        throw Error(ErrorKind::invalid, "a row of the ledger makes no sense");
    }
    entry.build = static_cast<unsigned>(build);
    entry.dark_ms = time("dark_ms");
    entry.exposed_ms = time("exposed_ms");
    entry.out_ms = time("out_ms");
    entry.drain_ms = time("drain_ms");
    entry.restart_ms = time("restart_ms");
    entry.rejoin_ms = time("rejoin_ms");
    entry.cut = cut;
    // Agents of before tell the sum alone.
    for (const auto& outage : list(value, "outages_ms")) {
        if (!outage.is_number_unsigned()) throw Error(ErrorKind::invalid, "'outages_ms' must hold whole numbers");
        entry.outages_ms.push_back(static_cast<std::int64_t>(std::min(outage.get<std::uint64_t>(), most_ms)));
    }
    if (!store::outages_add_up(entry)) throw Error(ErrorKind::invalid, "'outages_ms' do not add up to 'exposed_ms'");
    entry.kind = store::parse_ledger_kind(json::text(value, "kind"));
    entry.at_ms = static_cast<std::int64_t>(at_ms);
    return entry;
}

/// What `read` makes of each entry. Of a newer peer, entries that it makes nothing of are noted and left out.
template <class Part, class Read>
void read_each(const json::Value& value, const char* name, PeerExchange& exchange, std::vector<Part>& parts,
               const Read& read) {
    for (const auto& entry : list(value, name)) {
        try {
            parts.push_back(read(entry));
        } catch (const Error& error) {
            if (exchange.protocol <= chain::protocol_version || error.kind() == ErrorKind::conflict) throw;
            exchange.passed_over.push_back(fmt::format("{}: {}", name, error.text()));
        }
    }
}

}  // namespace

std::string peer_target(const AppName& app) { return fmt::format("/peer/v1/chain/{}", app); }
std::string handoff_target(const AppName& app) { return fmt::format("/job/{}/build", app); }
std::string pack_target(const AppName& app) { return fmt::format("/peer/v1/pack/{}", app); }

json::Value to_json(const PeerExchange& exchange) {
    json::Value value{{"protocol", exchange.protocol}};
    for (const auto& message : exchange.messages) value["messages"].push_back(chain::to_json(message));
    for (const auto& row : exchange.progress) value["progress"].push_back(wire::to_json(row));
    for (const auto& rollout : exchange.rollouts) value["rollouts"].push_back(wire::to_json(rollout));
    for (const auto& row : exchange.ledger) value["ledger"].push_back(to_json(row));
    if (exchange.wants_history) value["want_history"] = true;
    return value;
}

PeerExchange parse_exchange(std::string_view body) {
    const json::Value value = json::parse(body);
    if (!value.is_object()) throw Error(ErrorKind::invalid, "a peer's message must be an object");
    PeerExchange exchange;
    const auto protocol = json::whole_or(value, "protocol", first_protocol_version);
    exchange.protocol = static_cast<unsigned>(std::min<std::uint64_t>(protocol, UINT32_MAX));
    chain::check_protocol(exchange.protocol);
    read_each(value, "messages", exchange, exchange.messages, chain::parse_message);
    for (const auto& message : exchange.messages) {
        if (std::holds_alternative<chain::Unknown>(message.body)) exchange.passed_over.emplace_back("messages: a body");
    }
    read_each(value, "progress", exchange, exchange.progress, wire::parse_node_progress);
    read_each(value, "rollouts", exchange, exchange.rollouts, wire::parse_rollout);
    read_each(value, "ledger", exchange, exchange.ledger, parse_ledger_entry);
    exchange.wants_history = json::flag_or(value, "want_history", false);
    return exchange;
}

std::string pack_question(const CommitId& want, const std::vector<std::string>& have) {
    return json::dump({{"protocol", chain::protocol_version}, {"want", want.str()}, {"have", have}});
}

std::pair<std::string, std::string> to_letter(const AppName& app, const chain::Message& message) {
    PeerExchange exchange;
    exchange.messages = {message};
    const bool handoff = std::holds_alternative<chain::Handoff>(message.body);
    return {handoff ? handoff_target(app) : peer_target(app), json::dump(to_json(exchange))};
}

}  // namespace baton::engine
