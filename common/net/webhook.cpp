// SPDX-License-Identifier: MIT
// Signatures of GitHub, Gitea/Forgejo, Bitbucket, GitLab and Standard Webhooks.
#include "common/net/webhook.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fmt/format.h>
#include <functional>
#include <optional>

#include "common/clock.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::net {

namespace {

using Secrets = std::vector<std::string>;

/// Compares with every secret's result, without stopping at the first that fits.
bool any_secret(const Secrets& secrets, const std::function<bool(const std::string&)>& fits) {
    bool found = false;
    for (const std::string& secret : secrets) found = fits(secret) || found;
    return found;
}

bool hex_signature_fits(std::string_view hex, std::string_view body, const Secrets& secrets) {
    const auto given = from_hex(trim(hex));
    if (!given) return false;
    return any_secret(
        secrets, [&](const std::string& secret) { return equal_constant_time(hmac_sha256(secret, body), *given); });
}

bool prefixed_signature_fits(std::string_view value, std::string_view body, const Secrets& secrets) {
    constexpr std::string_view prefix = "sha256=";
    return value.starts_with(prefix) && hex_signature_fits(value.substr(prefix.size()), body, secrets);
}

/// `whsec_<base64>` holds the key in base 64; anything else is the key itself.
std::string standard_key(const std::string& secret) {
    constexpr std::string_view prefix = "whsec_";
    if (!secret.starts_with(prefix)) return secret;
    try {
        return base64_decode(std::string_view(secret).substr(prefix.size()));
    } catch (const Error&) {
        return secret;
    }
}

bool standard_fits(const HeaderList& headers, std::string_view body, const Secrets& secrets, WallTime now) {
    constexpr std::int64_t most_skew_s = 300;
    constexpr std::int64_t latest_s = 253'402'300'800;  // the year 10000: beyond it differences overflow
    const std::string id = headers.get("webhook-id");
    const std::string stamp = headers.get("webhook-timestamp");
    std::int64_t sent_s = 0;
    const auto [end, fault] = std::from_chars(stamp.data(), stamp.data() + stamp.size(), sent_s);
    if (id.empty() || fault != std::errc{} || end != stamp.data() + stamp.size() || sent_s < 0 || sent_s > latest_s) {
        return false;
    }
    const std::int64_t now_s = to_epoch_ms(now) / 1000;
    if (sent_s > now_s + most_skew_s || sent_s < now_s - most_skew_s) {
        throw Error(ErrorKind::unauthorized,
                    fmt::format("webhook refused: webhook-timestamp is {} {} this node's clock, at most 5m is allowed",
                                human_duration(std::chrono::seconds(sent_s > now_s ? sent_s - now_s : now_s - sent_s)),
                                sent_s > now_s ? "ahead of" : "behind"));
    }
    const std::string text = fmt::format("{}.{}.{}", id, stamp, body);
    bool found = false;
    for (const std::string& entry : split(headers.get("webhook-signature"), ' ')) {
        constexpr std::string_view prefix = "v1,";
        if (!entry.starts_with(prefix)) continue;
        found = any_secret(secrets,
                           [&](const std::string& secret) {
                               const std::string key = standard_key(secret);
                               return !key.empty() && equal_constant_time(base64_encode(hmac_sha256(key, text)),
                                                                          entry.substr(prefix.size()));
                           }) ||
                found;
    }
    return found;
}

}  // namespace

WebhookProof verify_webhook(const HeaderList& headers, std::string_view raw_body,
                            const std::vector<std::string>& secrets, WallTime now) {
    if (secrets.empty() || std::ranges::any_of(secrets, [](const std::string& secret) { return secret.empty(); })) {
        throw Error(ErrorKind::invalid, "a webhook needs a secret, and an empty one is none");
    }
    std::vector<std::string> looked_at;
    // Each proof needs a secret, so any that holds will do: Gitea sends three, GitLab may send two.
    const auto holds = [&](std::string_view name, const auto& check) {
        const auto value = headers.find(name);
        if (!value) return false;
        looked_at.emplace_back(name);
        return check(*value);
    };
    const auto prefixed = [&](std::string_view value) { return prefixed_signature_fits(value, raw_body, secrets); };
    const auto bare = [&](std::string_view value) { return hex_signature_fits(value, raw_body, secrets); };
    const auto token = [&](std::string_view value) { return token_matches(value, secrets); };
    const auto standard = [&](std::string_view) { return standard_fits(headers, raw_body, secrets, now); };

    if (holds("X-Hub-Signature-256", prefixed)) return WebhookProof::hub_signature_256;
    if (holds("X-Gitea-Signature", bare) || holds("X-Forgejo-Signature", bare) || holds("X-Gogs-Signature", bare)) {
        return WebhookProof::gitea_signature;
    }
    if (holds("X-Hub-Signature", prefixed)) return WebhookProof::hub_signature;
    if (holds("X-Gitlab-Token", token)) return WebhookProof::gitlab_token;
    if (holds("webhook-signature", standard)) return WebhookProof::standard_webhook;
    if (looked_at.empty()) {
        throw Error(ErrorKind::unauthorized,
                    "webhook refused: it is not signed; set the app's webhook secret at the forge");
    }
    throw Error(ErrorKind::unauthorized,
                fmt::format("webhook refused: {} does not fit any secret of the app", join(looked_at, ", ")));
}

bool token_matches(std::string_view given, const std::vector<std::string>& secrets) {
    if (given.empty()) return false;
    return any_secret(secrets,
                      [&](const std::string& secret) { return !secret.empty() && equal_constant_time(secret, given); });
}

}  // namespace baton::net
