// SPDX-License-Identifier: MIT
// `/api/v1`: baton's own JSON, for its command line, its page and people's programs. A contract.
#pragma once

#include "agent/http/access/access.h"
#include "agent/http/server/message.h"
#include "agent/operations/operations.h"

namespace baton::http {

/// Any thread.
class Api {
  public:
    Api(operations::Operations& operations, const config::AgentConfig& config, Access& access)
        : operations_(operations), config_(config), access_(access) {}
    /// `request.path` begins with `api`, `v1`.
    [[nodiscard]] Response handle(const Request& request, const Principal& principal);

  private:
    [[nodiscard]] Response look(const Request& request);
    [[nodiscard]] Response look_at_app(const AppName& app, const Request& request);
    [[nodiscard]] Response stop(const Request& request, const Principal& principal);
    [[nodiscard]] Response change(const Request& request, operations::Caller caller);
    [[nodiscard]] Response change_app(const AppName& app, const std::string& verb, const json::Value& body,
                                      const operations::Caller& caller);
    [[nodiscard]] Response trigger(const AppName& app, const json::Value& body, const operations::Caller& caller);

    operations::Operations& operations_;
    const config::AgentConfig& config_;
    Access& access_;
};

}  // namespace baton::http
