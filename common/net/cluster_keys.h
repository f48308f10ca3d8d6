// SPDX-License-Identifier: MIT
// The cluster key file: keys that agents sign with, whose they are, and from when to when each of them counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/types.h"

namespace baton::net {

struct ClusterKey {
    std::string id;
    std::string secret;             ///< raw bytes, at least 16
    NodeName node;                  ///< the only sender that may use it; empty: every node
    std::optional<WallTime> from;   ///< signs from then on; accepted before, for clocks differ
    std::optional<WallTime> until;  ///< neither signs nor is accepted from then on
};

/// How long the generations of a key overlap: so much time there is to copy a new file to every node, and so long
/// the old key is accepted once the new one signs.
inline constexpr Milliseconds key_overlap{3'600'000};

/// What the file holds. A node signs with a key of its own where it has one, else with one of everybody's; of
/// several with the one whose time has come last, or that comes first in the file.
class ClusterKeys {
  public:
    /// Lines `key <id> <base64> [node=NAME] [from=TIME] [until=TIME]` with times such as 2026-11-23T13:00:00Z; empty
    /// lines and `#` comments are skipped. Error(invalid) names the line.
    [[nodiscard]] static ClusterKeys parse(std::string_view text);
    /// Error(forbidden) when others may read the file.
    [[nodiscard]] static ClusterKeys load(const std::filesystem::path& path);
    /// What `self` signs with. Error(invalid) when it has nothing.
    [[nodiscard]] const ClusterKey& signing(const NodeName& self, WallTime now) const;
    /// Null when there is none of that id.
    [[nodiscard]] const ClusterKey* find(std::string_view id) const;
    /// Why `key`, one of these, does not speak for `sender`; empty when it does. Once a sender's own key has signed
    /// for key_overlap, everybody's no longer speaks for it.
    [[nodiscard]] std::string objection(const ClusterKey& key, const NodeName& sender, WallTime now) const;
    [[nodiscard]] std::size_t size() const { return keys_.size(); }

  private:
    explicit ClusterKeys(std::vector<ClusterKey> keys) : keys_(std::move(keys)) {}
    std::vector<ClusterKey> keys_;
};

/// A new line for the key file, with 32 random bytes; the id is the day and eight characters of chance.
[[nodiscard]] std::string generate_key_line(WallTime now);

struct KeyRotation {
    std::vector<NodeName> nodes;       ///< each gets a key of its own; empty: one for everybody
    Milliseconds after = key_overlap;  ///< when the new ones begin to sign
};
/// The text of a key file with a new generation: the keys that it replaces end key_overlap after it begins, and those
/// that have ended are dropped. Error(invalid) for a text that is no key file.
[[nodiscard]] std::string rotate_keys(std::string_view text, const KeyRotation& rotation, WallTime now);

/// The file as a running agent uses it: read again when it has changed, so that a key is changed without a restart.
/// Any thread.
class ClusterKeyRing {
  public:
    /// Reads the file, so that a faulty one is known at the start.
    explicit ClusterKeyRing(std::filesystem::path path);
    /// Keys that never change.
    explicit ClusterKeyRing(ClusterKeys keys);
    /// A changed file that cannot be read leaves the old keys in use, or a copy that broke off would cut the node off
    /// from its chain; the log says so once.
    [[nodiscard]] std::shared_ptr<const ClusterKeys> keys();
    /// Reads the file now; on an Error the old keys stay in use.
    void reload();

  private:
    struct Stamp {
        std::int64_t changed_ns = -1;
        std::int64_t size = -1;
        std::uint64_t inode = 0;
        bool operator==(const Stamp&) const = default;
    };
    [[nodiscard]] Stamp stamp() const;

    const std::filesystem::path path_;  // empty: never read again
    std::mutex mutex_;
    Stamp seen_;                               // under mutex_
    std::shared_ptr<const ClusterKeys> keys_;  // under mutex_
};

}  // namespace baton::net
