// SPDX-License-Identifier: MIT
// A build's log over HTTP: pieces by offset, with X-Text-Size and X-More-Data as Jenkins' progressive log has them.
#pragma once

#include "agent/http/server/message.h"
#include "agent/operations/operations.h"

namespace baton::http {

/// `start=` is the offset (0 without), `wait=` the seconds to wait for the first new byte (at most 30).
/// X-More-Data is there, as `true`, only while there is more to come.
[[nodiscard]] Response log_response(operations::Operations& operations, const AppName& app, unsigned number,
                                    const Request& request);

}  // namespace baton::http
