// SPDX-License-Identifier: MIT
// Reading, choosing and changing cluster keys.
#include "common/net/cluster_keys.h"

#include <sys/stat.h>

#include <algorithm>
#include <fmt/format.h>

#include "common/digest.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/text.h"
#include "common/time_text.h"

namespace baton::net {

namespace {

constexpr std::size_t max_key_file_bytes = 64 * 1024;
constexpr std::size_t least_key_bytes = 16;

/// Whole seconds: `2026-11-23T13:05:09Z`.
std::string time_text(WallTime time) {
    constexpr std::size_t to_the_second = 19;
    return to_iso8601(time).substr(0, to_the_second) + "Z";
}

std::optional<WallTime> parse_time_text(const std::string& text) {
    const auto time = parse_iso8601(text);
    // Only what is written as we write it.
    return time && time_text(*time) == text ? time : std::nullopt;
}

std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    for (std::string& word : split(line, ' ')) {
        if (!word.empty()) words.push_back(std::move(word));
    }
    return words;
}

[[noreturn]] void fault(std::size_t number, std::string_view what) {
    throw Error(ErrorKind::invalid, fmt::format("line {}: {}", number, what));
}

void read_attribute(ClusterKey& key, const std::string& word, std::size_t number) {
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (name == "node" && key.node.empty()) {
        if (!is_valid_name(value)) fault(number, "'node=' must name a node of the chain");
        key.node = NodeName(value);
        return;
    }
    auto& time = name == "from" ? key.from : key.until;
    if ((name != "from" && name != "until") || time) {
        fault(number, "after the key only node=NAME, from=TIME and until=TIME may come, each once");
    }
    time = parse_time_text(value);
    if (!time) fault(number, fmt::format("'{}=' must be a time such as 2026-11-23T13:00:00Z", name));
}

ClusterKey parse_key_line(std::string_view line, std::size_t number) {
    const auto words = words_of(line);
    if (words.size() < 3 || words[0] != "key") {
        fault(number, "expected `key <id> <base64>`, as `baton keygen` makes it");
    }
    if (!is_valid_name(words[1])) fault(number, "the id is not a name");
    ClusterKey key;
    key.id = words[1];
    try {
        key.secret = base64_decode(words[2]);
    } catch (const Error&) {
        fault(number, "the key is not base 64");
    }
    if (key.secret.size() < least_key_bytes) {
        fault(number, fmt::format("a key has {} bytes or more", least_key_bytes));
    }
    for (std::size_t word = 3; word < words.size(); ++word) read_attribute(key, words[word], number);
    if (key.from && key.until && *key.until <= *key.from) fault(number, "'until' must be after 'from'");
    return key;
}

/// The key of a line, or none for one that says nothing.
std::optional<ClusterKey> key_of(const std::string& raw, std::size_t number) {
    std::string spaced(trim(raw));
    std::ranges::replace(spaced, '\t', ' ');
    if (spaced.empty() || spaced.front() == '#') return std::nullopt;
    return parse_key_line(spaced, number);
}

bool ended(const ClusterKey& key, WallTime now) { return key.until && *key.until <= now; }
bool begun(const ClusterKey& key, WallTime now) { return !key.from || *key.from <= now; }

std::string line_of(const ClusterKey& key) {
    std::string line = fmt::format("key {} {}", key.id, base64_encode(key.secret));
    if (!key.node.empty()) line += fmt::format(" node={}", key.node);
    if (key.from) line += fmt::format(" from={}", time_text(*key.from));
    if (key.until) line += fmt::format(" until={}", time_text(*key.until));
    return line;
}

ClusterKey new_key(WallTime now) {
    constexpr std::size_t key_bytes = 32;
    constexpr std::size_t day_characters = 10;
    ClusterKey key;
    key.id = fmt::format("{}-{}", to_iso8601(now).substr(0, day_characters), to_hex(random_bytes(4)));
    key.secret = random_bytes(key_bytes);
    return key;
}

}  // namespace

ClusterKeys ClusterKeys::parse(std::string_view text) {
    std::vector<ClusterKey> keys;
    std::size_t number = 0;
    for (const std::string& raw : split(text, '\n')) {
        auto key = key_of(raw, ++number);
        if (!key) continue;
        const bool twice = std::ranges::any_of(keys, [&](const ClusterKey& known) { return known.id == key->id; });
        if (twice) fault(number, fmt::format("the id '{}' comes twice", key->id));
        keys.push_back(std::move(*key));
    }
    if (keys.empty()) throw Error(ErrorKind::invalid, "it holds no key; `baton keygen` makes one");
    return ClusterKeys(std::move(keys));
}

ClusterKeys ClusterKeys::load(const std::filesystem::path& path) {
    return with_context(fmt::format("cluster key file {}", path.string()),
                        [&] { return parse(read_secret_file_whole(path, max_key_file_bytes)); });
}

const ClusterKey& ClusterKeys::signing(const NodeName& self, WallTime now) const {
    const ClusterKey* best = nullptr;
    const auto rank = [](const ClusterKey& key) {
        return std::pair(!key.node.empty(), key.from.value_or(WallTime::min()));
    };
    for (const ClusterKey& key : keys_) {
        const bool ours = key.node.empty() || key.node == self;
        if (!ours || !begun(key, now) || ended(key, now)) continue;
        if (best == nullptr || rank(key) > rank(*best)) best = &key;
    }
    if (best == nullptr) {
        throw Error(ErrorKind::invalid,
                    fmt::format("the cluster key file has no key that {} may sign with now; `baton keygen --rotate` "
                                "adds one",
                                self));
    }
    return *best;
}

const ClusterKey* ClusterKeys::find(std::string_view id) const {
    const auto found = std::ranges::find(keys_, id, &ClusterKey::id);
    return found == keys_.end() ? nullptr : &*found;
}

std::string ClusterKeys::objection(const ClusterKey& key, const NodeName& sender, WallTime now) const {
    if (ended(key, now)) return fmt::format("key '{}' ended at {}", key.id, time_text(*key.until));
    if (key.node == sender) return {};
    if (!key.node.empty()) return fmt::format("key '{}' is {}'s, not {}'s", key.id, key.node, sender);
    const bool has_own = std::ranges::any_of(keys_, [&](const ClusterKey& own) {
        return own.node == sender && (!own.from || *own.from + key_overlap <= now);
    });
    return has_own ? fmt::format("{} has a key of its own, and '{}' is everybody's", sender, key.id) : "";
}

std::string generate_key_line(WallTime now) { return line_of(new_key(now)); }

std::string rotate_keys(std::string_view text, const KeyRotation& rotation, WallTime now) {
    (void)ClusterKeys::parse(text);
    const WallTime begin = std::chrono::floor<std::chrono::seconds>(now + rotation.after);
    std::vector<std::string> lines;
    std::size_t number = 0;
    for (const std::string& raw : split(trim(text), '\n')) {
        auto key = key_of(raw, ++number);
        if (!key) {
            lines.push_back(raw);
            continue;
        }
        if (ended(*key, now)) continue;
        const bool replaced = rotation.nodes.empty()
                                  ? key->node.empty()
                                  : std::ranges::find(rotation.nodes, key->node) != rotation.nodes.end();
        if (replaced && (!key->until || *key->until > begin + key_overlap)) key->until = begin + key_overlap;
        lines.push_back(line_of(*key));
    }
    for (const NodeName& node : rotation.nodes.empty() ? std::vector{NodeName()} : rotation.nodes) {
        ClusterKey key = new_key(now);
        key.node = node;
        key.from = begin;
        lines.push_back(line_of(key));
    }
    const std::string rotated = join(lines, "\n") + "\n";
    (void)ClusterKeys::parse(rotated);
    return rotated;
}

ClusterKeyRing::ClusterKeyRing(std::filesystem::path path)
    : path_(std::move(path)), seen_(stamp()), keys_(std::make_shared<const ClusterKeys>(ClusterKeys::load(path_))) {}

ClusterKeyRing::ClusterKeyRing(ClusterKeys keys) : keys_(std::make_shared<const ClusterKeys>(std::move(keys))) {}

ClusterKeyRing::Stamp ClusterKeyRing::stamp() const {
    struct stat status {};
    if (::stat(path_.c_str(), &status) != 0) return Stamp{};
    // The time of any change: a chmod that makes a refused file good does not touch its content.
    return Stamp{status.st_ctim.tv_sec * 1'000'000'000LL + status.st_ctim.tv_nsec, status.st_size, status.st_ino};
}

std::shared_ptr<const ClusterKeys> ClusterKeyRing::keys() {
    const std::lock_guard lock(mutex_);
    if (path_.empty()) return keys_;
    const Stamp now = stamp();
    if (now == seen_) return keys_;
    seen_ = now;
    try {
        keys_ = std::make_shared<const ClusterKeys>(ClusterKeys::load(path_));
        log::info("peer", "cluster keys read again", {{"keys", keys_->size()}});
    } catch (const Error& error) {
        log::error("peer", "cannot read the cluster keys again; the old ones stay in use", {{"reason", error.text()}});
    }
    return keys_;
}

void ClusterKeyRing::reload() {
    if (path_.empty()) return;
    const std::lock_guard lock(mutex_);
    const Stamp now = stamp();
    keys_ = std::make_shared<const ClusterKeys>(ClusterKeys::load(path_));
    seen_ = now;
}

}  // namespace baton::net
