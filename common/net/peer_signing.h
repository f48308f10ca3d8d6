// SPDX-License-Identifier: MIT
// How agents prove themselves to each other: HMAC-SHA256 with the cluster key over who, to whom, when and what.
#pragma once

#include <cstddef>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/net/header_list.h"
#include "common/types.h"

namespace baton::net {

inline constexpr std::string_view signature_header = "Baton-Signature";  ///< `v1=<key id>:<hex>`
inline constexpr std::string_view from_header = "Baton-From";
inline constexpr std::string_view to_header = "Baton-To";
inline constexpr std::string_view time_header = "Baton-Time";    ///< milliseconds since 1970
inline constexpr std::string_view nonce_header = "Baton-Nonce";  ///< 32 hexadecimal digits

struct ClusterKey {
    std::string id;
    std::string secret;  ///< raw bytes, at least 16
};

/// The keys of the cluster key file, newest first: the first one signs, all of them verify. So a key is changed
/// by adding the new one at the end everywhere, then moving it to the front, then removing the old one.
class ClusterKeys {
  public:
    /// Lines `key <id> <base64>`; empty lines and `#` comments are skipped. Error(invalid) names the line.
    [[nodiscard]] static ClusterKeys parse(std::string_view text);
    /// Error(forbidden) when others may read the file.
    [[nodiscard]] static ClusterKeys load(const std::filesystem::path& path);
    [[nodiscard]] const ClusterKey& newest() const { return keys_.front(); }
    /// Null when there is none of that id.
    [[nodiscard]] const ClusterKey* find(std::string_view id) const;
    [[nodiscard]] std::size_t size() const { return keys_.size(); }

  private:
    explicit ClusterKeys(std::vector<ClusterKey> keys) : keys_(std::move(keys)) {}
    std::vector<ClusterKey> keys_;
};

/// A new line for the key file, with 32 random bytes; the id is the day and four characters of chance.
[[nodiscard]] std::string generate_key_line(WallTime now);

/// Whether a request claims to come from a peer.
[[nodiscard]] bool is_signed(const HeaderList& headers);

/// Any thread.
class PeerSigner {
  public:
    PeerSigner(ClusterKeys keys, NodeName self, const Clock& clock)
        : keys_(std::move(keys)), self_(std::move(self)), clock_(clock) {}
    /// The headers to add. `target` is the raw path and query as it is sent. A retry must be signed anew.
    [[nodiscard]] HeaderList sign(std::string_view method, std::string_view target, std::string_view body,
                                  const NodeName& to) const;

  private:
    ClusterKeys keys_;
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
    PeerVerifier(ClusterKeys keys, NodeName self, const Clock& clock, PeerVerifierLimits limits = {})
        : keys_(std::move(keys)), self_(std::move(self)), clock_(clock), limits_(limits) {}
    /// The sender, when the request is its own, meant for us, fresh and seen for the first time. Error(unauthorized)
    /// tells which it is not, a wrong clock with the difference; Error(busy) when no more can be remembered.
    [[nodiscard]] NodeName verify(std::string_view method, std::string_view target, std::string_view body,
                                  const HeaderList& headers);

  private:
    void check_time(const NodeName& from, std::string_view time_text) const;
    void remember(std::string nonce);

    const ClusterKeys keys_;
    const NodeName self_;
    const Clock& clock_;
    const PeerVerifierLimits limits_;
    std::mutex mutex_;
    std::unordered_set<std::string> nonces_;            // under mutex_
    std::deque<std::pair<Instant, std::string>> ages_;  // under mutex_, oldest first
};

}  // namespace baton::net
