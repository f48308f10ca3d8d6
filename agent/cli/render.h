// SPDX-License-Identifier: MIT
// The agent's JSON as text for people. Pure: what a newer agent adds is ignored, what an older one lacks is
// blank, and no control character of a commit message reaches the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"

namespace baton::cli {

/// Columns padded to their widest cell; the last one is not padded. The first row is the heading.
[[nodiscard]] std::string table(const std::vector<std::vector<std::string>>& rows, std::string_view indent = "");

/// `/api/v1/status`: a block for each app.
[[nodiscard]] std::string render_status(const json::Value& status);
/// One app of it: what it does, the chain as a line of nodes, and a row for each node.
[[nodiscard]] std::string render_app(const json::Value& app, std::int64_t now_ms);
/// `web1 [done] -> web2 [test 12s] -> web3 [queued]`
[[nodiscard]] std::string render_chain(const json::Value& nodes, std::int64_t now_ms);
/// A node of a rollout in one line without times that tick: `web2 test running: waits for …`.
[[nodiscard]] std::string render_progress(const json::Value& node);

[[nodiscard]] std::string render_history(const json::Value& rollouts);
[[nodiscard]] std::string render_audit(const json::Value& audit);
/// `/api/v1/ledger`: what it comes to in sentences, then the sums.
[[nodiscard]] std::string render_ledger(const json::Value& ledger);

/// Members that may be missing, null or of another type.
[[nodiscard]] std::string text_of(const json::Value& object, std::string_view name);
[[nodiscard]] std::int64_t number_of(const json::Value& object, std::string_view name);
[[nodiscard]] bool flag_of(const json::Value& object, std::string_view name);
/// An empty array when there is none.
[[nodiscard]] const json::Value& list_of(const json::Value& object, std::string_view name);
/// Null when there is none.
[[nodiscard]] const json::Value* object_of(const json::Value& object, std::string_view name);

}  // namespace baton::cli
