// SPDX-License-Identifier: MIT
// What agents write to each other about an app.
#include "agent/engine/peer_wire.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/error.h"

namespace baton::engine {
namespace {

// More than this in one request is no honest peer; each list is a few rows in daily life.
constexpr std::size_t most_items = 20'000;

const json::Value& list(const json::Value& value, const char* name) {
    static const json::Value empty = json::Value::array();
    const auto it = value.find(name);
    if (it == value.end()) return empty;
    if (!it->is_array() || it->size() > most_items) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' must be a list of at most {}", name, most_items));
    }
    return *it;
}

}  // namespace

std::string peer_target(const AppName& app) { return fmt::format("/peer/v1/chain/{}", app); }
std::string handoff_target(const AppName& app) { return fmt::format("/job/{}/build", app); }
std::string pack_target(const AppName& app) { return fmt::format("/peer/v1/pack/{}", app); }

json::Value to_json(const PeerExchange& exchange) {
    json::Value value = json::Value::object();
    for (const auto& message : exchange.messages) value["messages"].push_back(chain::to_json(message));
    for (const auto& row : exchange.progress) value["progress"].push_back(wire::to_json(row));
    for (const auto& rollout : exchange.rollouts) value["rollouts"].push_back(wire::to_json(rollout));
    if (exchange.wants_history) value["want_history"] = true;
    return value;
}

PeerExchange parse_exchange(std::string_view body) {
    const json::Value value = json::parse(body);
    if (!value.is_object()) throw Error(ErrorKind::invalid, "a peer's message must be an object");
    PeerExchange exchange;
    for (const auto& message : list(value, "messages")) exchange.messages.push_back(chain::parse_message(message));
    for (const auto& row : list(value, "progress")) exchange.progress.push_back(wire::parse_node_progress(row));
    for (const auto& rollout : list(value, "rollouts")) exchange.rollouts.push_back(wire::parse_rollout(rollout));
    exchange.wants_history = json::flag_or(value, "want_history", false);
    return exchange;
}

std::pair<std::string, std::string> to_letter(const AppName& app, const chain::Message& message) {
    PeerExchange exchange;
    exchange.messages = {message};
    const bool handoff = std::holds_alternative<chain::Handoff>(message.body);
    return {handoff ? handoff_target(app) : peer_target(app), json::dump(to_json(exchange))};
}

}  // namespace baton::engine
