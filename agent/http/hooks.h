// SPDX-License-Identifier: MIT
// Webhooks of the forges, on our own path and on those that forges post to for Jenkins. A hook means "look at git
// now", nothing more: its payload chooses no commit.
#pragma once

#include <deque>
#include <mutex>
#include <string>
#include <unordered_set>

#include "agent/http/access.h"
#include "agent/http/message.h"
#include "agent/operations/operations.h"
#include "common/net/push_event.h"

namespace baton::http {

/// Any thread.
class Hooks {
  public:
    Hooks(operations::Operations& operations, const config::AgentConfig& config, Access& access, const Clock& clock)
        : operations_(operations), config_(config), access_(access), clock_(clock) {}

    /// `POST /webhook/APP`
    [[nodiscard]] Response webhook(const AppName& app, const Request& request);
    /// `POST /github-webhook/`: every app whose repository and secret fit.
    [[nodiscard]] Response github(const Request& request);
    /// `GET|POST /git/notifyCommit?url=…&token=…`
    [[nodiscard]] Response notify_commit(const Request& request);
    /// `/generic-webhook-trigger/invoke?token=…`
    [[nodiscard]] Response generic(const Request& request);

  private:
    struct Verdict {
        bool triggered = false;
        std::string why;  ///< for the sender's log
        std::uint64_t queue_id = 0;
    };
    [[nodiscard]] Verdict push(const config::App& app, const net::PushEvent& event, const Request& request);
    [[nodiscard]] std::uint64_t look(const config::App& app, const std::string& text, const std::string& who,
                                     const Request& request);
    [[nodiscard]] bool seen(const std::string& delivery);

    operations::Operations& operations_;
    const config::AgentConfig& config_;
    Access& access_;
    const Clock& clock_;
    std::mutex mutex_;
    std::unordered_set<std::string>
        deliveries_;  // under mutex_: what was delivered lately, so that a repeat is dropped
    std::deque<std::string> order_;
};

}  // namespace baton::http
