// SPDX-License-Identifier: MIT
// How agents prove themselves to each other: HMAC-SHA256 with the cluster key over who, to whom, when and what.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "common/clock.h"
#include "common/net/cluster_keys.h"
#include "common/net/header_list.h"
#include "common/types.h"

namespace baton::net {

inline constexpr std::string_view signature_header = "Baton-Signature";  ///< `v1=<key id>:<hex>`
inline constexpr std::string_view from_header = "Baton-From";
inline constexpr std::string_view to_header = "Baton-To";
inline constexpr std::string_view time_header = "Baton-Time";    ///< milliseconds since 1970
inline constexpr std::string_view nonce_header = "Baton-Nonce";  ///< 32 hexadecimal digits

/// Whether a request claims to come from a peer.
[[nodiscard]] bool is_signed(const HeaderList& headers);

/// Any thread.
class PeerSigner {
  public:
    PeerSigner(std::shared_ptr<ClusterKeyRing> ring, NodeName self, const Clock& clock)
        : ring_(std::move(ring)), self_(std::move(self)), clock_(clock) {}
    PeerSigner(ClusterKeys keys, NodeName self, const Clock& clock)
        : PeerSigner(std::make_shared<ClusterKeyRing>(std::move(keys)), std::move(self), clock) {}
    /// The headers to add. `target` is the raw path and query as it is sent. A retry must be signed anew.
    [[nodiscard]] HeaderList sign(std::string_view method, std::string_view target, std::string_view body,
                                  const NodeName& to) const;

  private:
    std::shared_ptr<ClusterKeyRing> ring_;
    NodeName self_;
    const Clock& clock_;
};

struct PeerVerifierLimits {
    Milliseconds skew{120'000};
    std::size_t nonces = 200'000;  ///< remembered for twice the skew; at the limit everything is refused
};

/// Any thread.
class PeerVerifier {
  public:
    PeerVerifier(std::shared_ptr<ClusterKeyRing> ring, NodeName self, const Clock& clock,
                 PeerVerifierLimits limits = {})
        : ring_(std::move(ring)), self_(std::move(self)), clock_(clock), limits_(limits) {}
    PeerVerifier(ClusterKeys keys, NodeName self, const Clock& clock, PeerVerifierLimits limits = {})
        : PeerVerifier(std::make_shared<ClusterKeyRing>(std::move(keys)), std::move(self), clock, limits) {}
    /// The sender, when the request is its own, meant for us, fresh and seen for the first time. Error(unauthorized)
    /// tells which it is not, a wrong clock with the difference; Error(busy) when no more can be remembered.
    [[nodiscard]] NodeName verify(std::string_view method, std::string_view target, std::string_view body,
                                  const HeaderList& headers);

  private:
    void check_time(const NodeName& from, std::string_view time_text) const;
    void remember(std::string nonce);

    const std::shared_ptr<ClusterKeyRing> ring_;
    const NodeName self_;
    const Clock& clock_;
    const PeerVerifierLimits limits_;
    std::mutex mutex_;
    std::unordered_set<std::string> nonces_;            // under mutex_
    std::deque<std::pair<Instant, std::string>> ages_;  // under mutex_, oldest first
};

}  // namespace baton::net
