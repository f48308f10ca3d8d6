// SPDX-License-Identifier: MIT
// Figures for Prometheus, in its text format 0.0.4.
#pragma once

#include <cstdint>
#include <string>

#include "agent/http/server/server.h"
#include "agent/operations/views.h"

namespace baton::http {

[[nodiscard]] std::string render_metrics(const operations::Status& status, std::uint64_t failed_logins,
                                         const ServerCounters& server);

}  // namespace baton::http
