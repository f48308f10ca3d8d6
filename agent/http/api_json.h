// SPDX-License-Identifier: MIT
// What the agent shows of itself, as the JSON of `/api/v1`.
#pragma once

#include "agent/operations/views.h"
#include "common/json.h"

namespace baton::http {

[[nodiscard]] json::Value to_json(const operations::Status& status);
[[nodiscard]] json::Value to_json(const operations::RolloutView& rollout);
[[nodiscard]] json::Value to_json(const operations::BuildView& build);
[[nodiscard]] json::Value to_json(const operations::ChangeView& change);
[[nodiscard]] json::Value to_json(const operations::QueueItem& item);
[[nodiscard]] json::Value to_json(const operations::AuditEntry& entry);

}  // namespace baton::http
