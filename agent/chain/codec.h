// SPDX-License-Identifier: MIT
// JSON of the pieces that both the durable state and the messages are made of.
#pragma once

#include <fmt/format.h>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "agent/chain/durable.h"
#include "common/error.h"
#include "common/json.h"

namespace baton::chain::codec {

/// Lists longer than this are no honest peer's, and no database of ours.
inline constexpr std::size_t most_entries = 4'096;

/// Which members of Known are written: a message leaves out what concerns the sender alone.
enum class Scope { disk, message };

[[nodiscard]] json::Value to_json(const Ticket& ticket);
[[nodiscard]] json::Value to_json(const Grant& grant);
[[nodiscard]] json::Value to_json(const Known& known, Scope scope);
[[nodiscard]] json::Value to_json(const OrderNote& drain);
[[nodiscard]] json::Value to_json(const FreezeRegister& freeze);
[[nodiscard]] json::Value to_json(const std::map<wire::RolloutKey, Failure>& failed);
[[nodiscard]] json::Value to_json(const std::map<wire::RolloutKey, OnceState>& once);
[[nodiscard]] json::Value to_json(const std::map<CommitId, BadCommit>& bad);
[[nodiscard]] json::Value to_json(const std::map<NodeName, Ticket>& done);
[[nodiscard]] json::Value to_json(const std::map<NodeName, Identity>& identities);
[[nodiscard]] json::Value to_json(const std::set<NodeName>& names);
[[nodiscard]] json::Value to_json(const std::set<std::uint64_t>& numbers);

[[nodiscard]] Ticket parse_ticket(const json::Value& value);
[[nodiscard]] Grant parse_grant(const json::Value& value);
[[nodiscard]] Known parse_known(const json::Value& value, Scope scope);
[[nodiscard]] OrderNote parse_order_note(const json::Value& value);
[[nodiscard]] FreezeRegister parse_freeze(const json::Value& value);
[[nodiscard]] std::map<wire::RolloutKey, Failure> parse_failed(const json::Value& value);
[[nodiscard]] std::map<wire::RolloutKey, OnceState> parse_once(const json::Value& value);
[[nodiscard]] std::map<CommitId, BadCommit> parse_bad(const json::Value& value);
[[nodiscard]] std::map<NodeName, Ticket> parse_done(const json::Value& value);
[[nodiscard]] std::map<NodeName, Identity> parse_identities(const json::Value& value);
[[nodiscard]] std::set<NodeName> parse_names(const json::Value& value);
[[nodiscard]] std::set<std::uint64_t> parse_numbers(const json::Value& value);

/// A node's name, or Error(invalid).
[[nodiscard]] NodeName node_name(std::string_view text);
/// A commit, or empty.
[[nodiscard]] CommitId commit_or_none(const json::Value& value, std::string_view name);
[[nodiscard]] unsigned small(const json::Value& value, std::string_view name, unsigned fallback);
/// Member `name` as an array of at most most_entries; empty when it is missing.
[[nodiscard]] const json::Value& list(const json::Value& value, std::string_view name);
/// A target whose key may be empty.
[[nodiscard]] wire::Target target_or_none(const json::Value& value, std::string_view name);

}  // namespace baton::chain::codec
