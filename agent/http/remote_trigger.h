// SPDX-License-Identifier: MIT
// Jenkins' remote trigger: POST /job/APP/build and its relatives, answered 201 with the Location of a queue item.
#pragma once

#include "agent/http/access/access.h"
#include "agent/http/server/message.h"
#include "agent/operations/operations.h"

namespace baton::http {

/// Any thread.
class RemoteTrigger {
  public:
    RemoteTrigger(operations::Operations& operations, const config::AgentConfig& config, Access& access)
        : operations_(operations), config_(config), access_(access) {}

    enum class Parameters { none, from_arguments };
    /// `build` (none) and `buildWithParameters` (from_arguments). With the app's token neither a login nor POST is
    /// needed; else the role `trigger` and POST.
    [[nodiscard]] Response build(const AppName& app, Parameters parameters, const Request& request,
                                 const Principal& principal);
    /// `/buildByToken/build?job=APP&token=T`: no login; an unknown app and one without a token look the same.
    [[nodiscard]] Response build_by_token(Parameters parameters, const Request& request);
    /// `/job/APP/polling`, and `/buildByToken/polling`: look at git now, and build only what is new.
    [[nodiscard]] Response poll(const AppName& app, const Request& request, const Principal& principal);
    [[nodiscard]] Response poll_by_token(const Request& request);

  private:
    /// Error(conflict) for a rollout of baton's that a Jenkins in the chain hands on to the agent that it came from.
    void refuse_what_comes_back(const config::App& app, const Request& request) const;
    [[nodiscard]] const config::App& app_by_token(const Request& request) const;
    void look_at_git(const config::App& app, const Request& request, const std::string& who);
    [[nodiscard]] Response queue(const config::App& app, Parameters parameters, const Request& request, bool by_token,
                                 const Principal& principal);

    operations::Operations& operations_;
    const config::AgentConfig& config_;
    Access& access_;
};

/// `/queue/item/ID/` below the address that the client used.
[[nodiscard]] std::string queue_url(const Request& request, std::uint64_t id);

}  // namespace baton::http
