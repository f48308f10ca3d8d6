// SPDX-License-Identifier: MIT
// Whether a webhook is genuine: the signatures of the forges, over the raw body, before anything is parsed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/net/header_list.h"
#include "common/types.h"

namespace baton::net {

/// How a webhook proved itself.
enum class WebhookProof {
    hub_signature_256,  ///< GitHub, also Gitea and Forgejo: `X-Hub-Signature-256: sha256=<hex>`
    gitea_signature,    ///< Gitea, Forgejo, Gogs: `X-Gitea-Signature`/`X-Forgejo-Signature: <hex>`
    hub_signature,      ///< Bitbucket: `X-Hub-Signature: sha256=<hex>`
    gitlab_token,       ///< GitLab: `X-Gitlab-Token: <secret>`
    standard_webhook,   ///< GitLab's signing token, Standard Webhooks: `webhook-signature: v1,<base64>`
};

/// Which proof holds under any of `secrets` (several: rotation). Constant time for each comparison. Error(invalid)
/// when there is no secret or an empty one, Error(unauthorized) when nothing proves it; the text says what was
/// looked at, never a secret. A Standard Webhook older or newer than five minutes is refused.
[[nodiscard]] WebhookProof verify_webhook(const HeaderList& headers, std::string_view raw_body,
                                          const std::vector<std::string>& secrets, WallTime now);

/// Whether `given` (a `?token=`, a bearer) is one of `secrets`. An empty `given` never is.
[[nodiscard]] bool token_matches(std::string_view given, const std::vector<std::string>& secrets);

}  // namespace baton::net
