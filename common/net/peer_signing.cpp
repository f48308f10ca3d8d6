// SPDX-License-Identifier: MIT
// Signing and checking what agents say to each other.
#include "common/net/peer_signing.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fmt/format.h>
#include <optional>

#include "common/digest.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::net {

namespace {

constexpr std::size_t nonce_bytes = 16;
constexpr std::string_view version = "v1";

struct Signed {
    std::string_view method;
    std::string_view target;
    std::string_view from;
    std::string_view to;
    std::string_view time;
    std::string_view nonce;
    std::string_view body;
};

std::string signature_of(const ClusterKey& key, const Signed& what) {
    // Every part is free of line ends (checked for what comes from outside), so two requests never look alike.
    const std::string text = fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", version, what.method, what.target, what.from,
                                         what.to, what.time, what.nonce, sha256_hex(what.body));
    return to_hex(hmac_sha256(key.secret, text));
}

[[noreturn]] void refuse(std::string_view why) {
    throw Error(ErrorKind::unauthorized, fmt::format("peer request refused: {}", why));
}

std::string one_line(const HeaderList& headers, std::string_view name) {
    if (headers.count(name) > 1) refuse(fmt::format("{} is there twice", name));
    std::string value = headers.get(name);
    if (value.empty()) refuse(fmt::format("{} is missing", name));
    if (value.size() > 200 || value.find_first_of("\r\n") != std::string::npos) {
        refuse(fmt::format("{} is malformed", name));
    }
    return value;
}

std::optional<std::int64_t> parse_time(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (fault != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
}

}  // namespace

bool is_signed(const HeaderList& headers) { return headers.find(signature_header).has_value(); }

HeaderList PeerSigner::sign(std::string_view method, std::string_view target, std::string_view body,
                            const NodeName& to) const {
    const WallTime now = clock_.wall();
    const std::string time = fmt::format("{}", to_epoch_ms(now));
    const std::string nonce = to_hex(random_bytes(nonce_bytes));
    const auto keys = ring_->keys();
    const ClusterKey& key = keys->signing(self_, now);
    const std::string signature = signature_of(key, {method, target, self_.str(), to.str(), time, nonce, body});
    HeaderList headers;
    headers.add(std::string(from_header), self_.str());
    headers.add(std::string(to_header), to.str());
    headers.add(std::string(time_header), time);
    headers.add(std::string(nonce_header), nonce);
    headers.add(std::string(signature_header), fmt::format("{}={}:{}", version, key.id, signature));
    return headers;
}

NodeName PeerVerifier::verify(std::string_view method, std::string_view target, std::string_view body,
                              const HeaderList& headers) {
    const std::string signature = one_line(headers, signature_header);
    const std::string from = one_line(headers, from_header);
    const std::string to = one_line(headers, to_header);
    const std::string time = one_line(headers, time_header);
    std::string nonce = one_line(headers, nonce_header);
    if (!is_valid_name(from)) refuse(fmt::format("{} is not a node's name", from_header));
    if (nonce.size() != 2 * nonce_bytes || !from_hex(nonce)) refuse(fmt::format("{} is malformed", nonce_header));

    const std::size_t equals = signature.find('=');
    const std::size_t colon = signature.find(':');
    if (equals == std::string::npos || colon == std::string::npos || colon < equals) {
        refuse(fmt::format("{} is malformed", signature_header));
    }
    if (const auto theirs = signature.substr(0, equals); theirs != version) {
        refuse(fmt::format("signature version '{}' is not known here, only {}", escape_control(theirs), version));
    }
    const std::string id = signature.substr(equals + 1, colon - equals - 1);
    const auto keys = ring_->keys();
    const ClusterKey* key = keys->find(id);
    if (key == nullptr) {
        refuse(fmt::format("key '{}' is not in this node's cluster key file", escape_control(id)));
    }
    const std::string expected = signature_of(*key, {method, target, from, to, time, nonce, body});
    if (!equal_constant_time(expected, signature.substr(colon + 1))) refuse("the signature does not fit the request");

    // From here on the text is a key holder's, so an answer may go into detail.
    if (const std::string why = keys->objection(*key, NodeName(from), clock_.wall()); !why.empty()) refuse(why);
    if (to != self_.str()) refuse(fmt::format("it was meant for '{}', this is '{}'", escape_control(to), self_.str()));
    check_time(NodeName(from), time);
    remember(std::move(nonce));
    return NodeName(from);
}

void PeerVerifier::check_time(const NodeName& from, std::string_view time_text) const {
    const auto sent = parse_time(time_text);
    if (!sent) refuse(fmt::format("{} is not a time", time_header));
    const std::int64_t here = to_epoch_ms(clock_.wall());
    const Milliseconds ahead{*sent - here};
    if (std::abs(ahead.count()) <= limits_.skew.count()) return;
    refuse(fmt::format(
        "the clock of {} is {} {} the clock of {} (at most {} is allowed); check time synchronisation on both", from,
        human_duration(Milliseconds{std::abs(ahead.count())}), ahead.count() > 0 ? "ahead of" : "behind", self_,
        human_duration(limits_.skew)));
}

void PeerVerifier::remember(std::string nonce) {
    const std::lock_guard lock(mutex_);
    const Instant now = clock_.now();
    // A message is acceptable from skew before to skew after our time: twice the skew covers its whole life.
    while (!ages_.empty() && now - ages_.front().first > 2 * limits_.skew) {
        nonces_.erase(ages_.front().second);
        ages_.pop_front();
    }
    if (nonces_.contains(nonce)) refuse("it was seen before (a replay)");
    if (nonces_.size() >= limits_.nonces) {
        throw Error(ErrorKind::busy,
                    fmt::format("peer request refused: {} requests are remembered against replays, no room for more",
                                nonces_.size()));
    }
    nonces_.insert(nonce);
    ages_.emplace_back(now, std::move(nonce));
}

}  // namespace baton::net
