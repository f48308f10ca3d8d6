// SPDX-License-Identifier: MIT
// Who may what.
#include "agent/http/access/access.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <fmt/format.h>

#include "common/digest.h"
#include "common/log.h"
#include "common/net/webhook.h"
#include "common/text.h"

namespace baton::http {

namespace {

/// To check a signature of so much costs nothing.
constexpr std::size_t cheap_body_bytes = 64UL * 1024;

/// The address, or an IPv6 address's network: a host has 2^64 of those.
std::string network_of(const std::string& address) {
    std::array<unsigned char, 16> bytes{};
    if (::inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) return address;
    constexpr std::size_t network_bytes = 8;
    return std::string(bytes.begin(), bytes.begin() + network_bytes);
}

/// The common names of a subject as RFC 2253 writes it: `CN=web1,O=a\, b`.
std::vector<std::string> common_names(std::string_view subject) {
    std::vector<std::string> names;
    std::string part;
    const auto finish = [&] {
        if (part.starts_with("CN=")) names.push_back(part.substr(3));
        part.clear();
    };
    for (std::size_t at = 0; at < subject.size(); ++at) {
        if (subject[at] == '\\' && at + 1 < subject.size()) {
            part += subject[++at];  // what is escaped divides nothing
        } else if (subject[at] == ',' || subject[at] == '+') {
            finish();
        } else {
            part += subject[at];
        }
    }
    finish();
    return names;
}

}  // namespace

void FailureBrake::check(const std::string& address) {
    const std::lock_guard lock(mutex_);
    const auto it = counts_.find(network_of(address));
    if (it == counts_.end()) return;
    if (clock_.now() - it->second.since >= window) {
        counts_.erase(it);
        return;
    }
    if (it->second.failures >= free_failures) {
        throw Error(ErrorKind::busy, "too many wrong credentials from this address; wait a minute");
    }
}

unsigned FailureBrake::failed(const std::string& address) {
    const std::lock_guard lock(mutex_);
    ++total_;
    const Instant now = clock_.now();
    const std::string network = network_of(address);
    if (counts_.size() >= most_addresses && !counts_.contains(network)) {
        std::erase_if(counts_, [&](const auto& entry) { return now - entry.second.since >= window; });
        // All of them are recent: the oldest goes, or a crowd could wipe the memory of all.
        if (counts_.size() >= most_addresses) counts_.erase(std::ranges::min_element(counts_, {}, since_of));
    }
    auto& count = counts_[network];
    if (now - count.since >= window) count = {};
    if (count.failures == 0) count.since = now;
    return ++count.failures;
}

std::uint64_t FailureBrake::failures() const {
    const std::lock_guard lock(mutex_);
    return total_;
}

Access::Access(const config::AgentConfig& config, net::PeerVerifier& verifier, const Clock& clock)
    : config_(config), verifier_(verifier), tokens_(config.security.tokens_file), brake_(clock) {}

std::optional<config::Token> Access::token_of(const Request& request) {
    const std::string value = request.header("Authorization");
    const auto space = value.find(' ');
    const std::string scheme = lower(value.substr(0, space));
    const auto credentials =
        space == std::string::npos ? std::string_view() : trim(std::string_view(value).substr(space));
    if (scheme == "bearer") return tokens_.check_secret(credentials);
    if (scheme != "basic") return std::nullopt;
    std::string pair;
    try {
        pair = base64_decode(credentials);
    } catch (const Error&) {
        return std::nullopt;  // wrong credentials like any others
    }
    const auto colon = pair.find(':');
    if (colon == std::string::npos) return std::nullopt;
    return tokens_.check(pair.substr(0, colon), pair.substr(colon + 1));
}

Principal Access::identify(const Request& request) {
    Principal principal;
    if (net::is_signed(request.headers)) {
        // A signature cannot be guessed. So a peer's is looked at whoever else has failed at its address, or a program
        // on its machine could keep it from its chain; only what costs time to look at is held back.
        if (request.body.size() > cheap_body_bytes) brake_.check(request.remote_address);
        try {
            const NodeName peer = verifier_.verify(request.method, request.target, request.body, request.headers);
            if (config_.find_node(peer) == nullptr) {
                throw Error(ErrorKind::unauthorized, fmt::format("node '{}' is not in this agent's chain", peer));
            }
            check_certificate(peer, request.certificate_subject);
            principal.name = peer.str();
            principal.peer = peer;
            return principal;
        } catch (const Error& error) {
            refused(request, "peer", error.text());
            throw;
        }
    }
    if (!request.headers.find("Authorization")) return principal;
    brake_.check(request.remote_address);
    const auto token = token_of(request);
    if (!token) {
        refused(request, "token", "wrong name or token");
        throw Error(ErrorKind::unauthorized, "wrong name or token");
    }
    principal.name = token->name;
    principal.role = token->role;
    return principal;
}

void Access::check_certificate(const NodeName& peer, std::string_view subject) const {
    // The cluster key is every node's; a certificate with a node's name is that node's alone. One with another name,
    // such as one that all nodes share, says nothing about who it is.
    for (const std::string& name : common_names(subject)) {
        if (name == peer.str() || config_.find_node(NodeName(name)) == nullptr) continue;
        throw Error(ErrorKind::unauthorized,
                    fmt::format("peer request refused: it is from '{}' by a certificate of '{}'", peer, name));
    }
}

void Access::refused(const Request& request, std::string_view what, std::string_view why) {
    const unsigned failures = brake_.failed(request.remote_address);
    if (failures > FailureBrake::free_failures) return;
    const bool last = failures == FailureBrake::free_failures;
    log::warning("access", last ? "refused; more from there is not told for a while" : "refused",
                 {{"what", what}, {"address", request.remote_address}, {"reason", why}});
}

bool Access::may(const Principal& principal, config::Role role) const {
    if (principal.role) return *principal.role >= role;
    return role == config::Role::read && (principal.peer || config_.security.anonymous == config::Anonymous::read);
}

void Access::require(const Principal& principal, config::Role role) const {
    if (may(principal, role)) return;
    if (!principal.authenticated()) throw Error(ErrorKind::forbidden, "Authentication required");
    throw Error(ErrorKind::forbidden,
                fmt::format("{} may not do this: it takes the role '{}'", principal.name, config::to_text(role)));
}

void Access::require_own(const Principal& principal, bool own) const {
    if (own || may(principal, config::Role::operate)) return;
    throw Error(ErrorKind::forbidden,
                fmt::format("{} may stop what nobody but {} has triggered; for this it takes the role 'operate'",
                            principal.name, principal.name));
}

const NodeName& Access::require_peer(const Principal& principal) const {
    if (!principal.peer) throw Error(ErrorKind::unauthorized, "only an agent of this chain may ask this");
    return *principal.peer;
}

Access::AppToken Access::check_app_token(const config::App& app, const Request& request) {
    if (!app.triggers.token_file) return AppToken::absent;
    const auto given = request.arg("token");
    if (!given) return AppToken::absent;
    brake_.check(request.remote_address);
    const auto right = fits(app, *given);
    if (!right) throw cannot_check();
    if (*right) return AppToken::right;
    refused(request, app.name.str(), "wrong trigger token");
    return AppToken::wrong;
}

std::optional<bool> Access::fits(const config::App& app, std::string_view token) {
    const auto secret = secrets_.read(app.triggers.token_file.value());
    if (!secret) return std::nullopt;
    return net::token_matches(token, {*secret});
}

std::vector<std::string> Access::webhook_secrets(const config::App& app) {
    std::vector<std::string> secrets;
    for (const auto& file : app.triggers.webhook_secret_files) {
        if (auto secret = secrets_.read(file)) secrets.push_back(std::move(*secret));
    }
    return secrets;
}

Error Access::cannot_check() {
    return {ErrorKind::busy, "this agent cannot check the token now; its log tells why"};
}

}  // namespace baton::http
