// SPDX-License-Identifier: MIT
// Who may what: peers by signature, people and programs by token and role, an app's trigger token.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/http/access/secret_files.h"
#include "agent/http/server/message.h"
#include "agent/operations/views.h"
#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/config/tokens.h"
#include "common/error.h"
#include "common/net/peer_signing.h"

namespace baton::http {

/// Who sent a request. Anonymous has neither role nor peer.
struct Principal {
    std::string name = "anonymous";
    std::optional<config::Role> role;
    std::optional<NodeName> peer;
    [[nodiscard]] bool authenticated() const { return role.has_value() || peer.has_value(); }
};

/// Wrong credentials are slowed down per address: after `free_failures` within a minute every further one is refused
/// for a while without being looked at. Any thread.
class FailureBrake {
  public:
    explicit FailureBrake(const Clock& clock) : clock_(clock) {}
    /// Error(busy) when this address has failed too often lately.
    void check(const std::string& address);
    /// How many failures that makes for this address within the window.
    unsigned failed(const std::string& address);
    [[nodiscard]] std::uint64_t failures() const;

    static constexpr unsigned free_failures = 20;
    static constexpr Milliseconds window{60'000};
    static constexpr std::size_t most_addresses = 10'000;

  private:
    struct Count {
        unsigned failures = 0;
        Instant since{};
    };
    static Instant since_of(const std::pair<const std::string, Count>& entry) { return entry.second.since; }
    const Clock& clock_;
    mutable std::mutex mutex_;
    std::map<std::string, Count> counts_;
    std::uint64_t total_ = 0;
};

/// Any thread.
class Access {
  public:
    Access(const config::AgentConfig& config, net::PeerVerifier& verifier, const Clock& clock);

    /// Who this is. Error(unauthorized) for credentials that are there and wrong, whatever they are for.
    [[nodiscard]] Principal identify(const Request& request);
    /// Error(forbidden) when the role does not suffice; `read` is also given to anonymous where the configuration says
    /// so.
    void require(const Principal& principal, config::Role role) const;
    /// For taking back what was triggered: Error(forbidden) unless it is the principal's `own`, or it may operate.
    void require_own(const Principal& principal, bool own) const;
    [[nodiscard]] bool may(const Principal& principal, config::Role role) const;
    /// Error(unauthorized) unless a peer signed the request.
    [[nodiscard]] const NodeName& require_peer(const Principal& principal) const;

    /// Counts wrong credentials, and tells the log why; of one address only as often as it may fail, for whoever
    /// tries without end must not fill the log.
    void refused(const Request& request, std::string_view what, std::string_view why);

    enum class AppToken { absent, right, wrong };
    /// The app's own trigger token, `token=` of the query or form. absent: none given, or the app has none. Error(busy)
    /// when its file cannot be read, which is no failure of whoever asks.
    [[nodiscard]] AppToken check_app_token(const config::App& app, const Request& request);
    /// Whether that is the app's trigger token; nothing when its file cannot be read. Not for an app without one, and
    /// counts nothing.
    [[nodiscard]] std::optional<bool> fits(const config::App& app, std::string_view token);
    /// The app's webhook secrets, of those files that can be read.
    [[nodiscard]] std::vector<std::string> webhook_secrets(const config::App& app);
    /// What an honest caller and a stranger alike are told when no secret could be read to compare theirs with.
    [[nodiscard]] static Error cannot_check();
    [[nodiscard]] FailureBrake& brake() { return brake_; }

    [[nodiscard]] static operations::Caller caller(const Principal& principal, const Request& request) {
        return {principal.name, request.remote_address, ""};
    }

  private:
    /// Error(unauthorized) when a client certificate's common name is that of another node than `peer`.
    void check_certificate(const NodeName& peer, std::string_view subject) const;
    [[nodiscard]] std::optional<config::Token> token_of(const Request& request);

    const config::AgentConfig& config_;
    net::PeerVerifier& verifier_;
    config::TokenGate tokens_;
    SecretFiles secrets_;
    FailureBrake brake_;
};

}  // namespace baton::http
