// SPDX-License-Identifier: MIT
// `GET /api/v1/ledger?app=&since_ms=`: what deploys cost users. A contract.
#pragma once

#include "agent/http/server/message.h"
#include "agent/operations/operations.h"

namespace baton::http {

/// Further arguments are what the ledger cannot measure: `check_ms`, `check_fast_ms` and `fall` of a load balancer that
/// checks by itself, `dark_share` and `retried` as numbers from 0 to 1, `rate` in requests a second for a number of
/// failed ones. The answer repeats them as `assumptions`. Error(invalid), Error(not_found).
[[nodiscard]] Response ledger_response(const operations::Operations& operations, const Request& request);

}  // namespace baton::http
