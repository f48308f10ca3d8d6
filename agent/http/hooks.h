// SPDX-License-Identifier: MIT
// Webhooks of the forges, on our own path and on those that forges post to for Jenkins. A hook means "look at git
// now", nothing more: its payload chooses no commit.
#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/http/access/access.h"
#include "agent/http/server/message.h"
#include "agent/operations/operations.h"
#include "common/net/push_event.h"

namespace baton::http {

/// Any thread.
class Hooks {
  public:
    Hooks(operations::Operations& operations, const config::AgentConfig& config, Access& access, const Clock& clock)
        : operations_(operations), config_(config), access_(access), clock_(clock) {}

    /// Answers what is a hook's path; none for any other. Hooks prove themselves: nobody else needs to look at the
    /// request's credentials before.
    [[nodiscard]] std::optional<Response> handle(const Request& request);
    /// Whether a request's path, of which only the head is known yet, is one that forges post payloads to.
    [[nodiscard]] static bool takes_payload(const Request& head);

  private:
    struct Verdict {
        bool triggered = false;
        std::string why;  ///< for the sender's log
        std::uint64_t queue_id = 0;
    };
    enum class Blame { sender, agent };
    struct Doubt {
        std::string why;
        Blame blame = Blame::sender;
    };
    /// `/webhook/APP`, `/project/APP`, `/gogs-webhook/?job=APP`: the path names the app.
    [[nodiscard]] Verdict of_app(const AppName& app, const Request& request);
    /// Every app whose secret and repository fit; `refusal` is what the plugin whose path it is answers else.
    [[nodiscard]] Response of_any_app(const Request& request, ErrorKind refusal);
    /// `GET|POST /git/notifyCommit?url=…&token=…`
    [[nodiscard]] Response notify_commit(const Request& request);
    /// `/generic-webhook-trigger/invoke?token=…`
    [[nodiscard]] Response generic(const Request& request);

    void refuse_floods(const Request& request);
    /// Whether one of the app's secrets fits. If not, why; what the sender did wrong outweighs what is wrong here.
    [[nodiscard]] bool proved(const config::App& app, const Request& request, Doubt& doubt);
    /// What is not the sender's fault does not count against its address.
    [[noreturn]] void refused(const std::string& app, const Request& request, const Doubt& doubt,
                              ErrorKind refusal = ErrorKind::unauthorized);
    [[nodiscard]] Verdict push(const config::App& app, const net::PushEvent& event, const Request& request);
    [[nodiscard]] std::uint64_t look(const config::App& app, const std::string& text, const std::string& who,
                                     const Request& request);
    [[nodiscard]] bool seen(const std::string& delivery);
    void remember(std::string delivery);

    operations::Operations& operations_;
    const config::AgentConfig& config_;
    Access& access_;
    const Clock& clock_;
    std::mutex mutex_;
    // What was delivered lately, and when, so that a repeat is dropped; both under mutex_, order_ oldest first.
    std::unordered_map<std::string, Instant> deliveries_;
    std::deque<std::string> order_;
};

}  // namespace baton::http
