// SPDX-License-Identifier: MIT
// What a forge's webhook says: the pushes of GitHub, GitLab, Gitea/Forgejo and Bitbucket as one value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/net/header_list.h"
#include "common/types.h"

namespace baton::net {

enum class Forge { github, gitlab, gitea, bitbucket, unknown };
[[nodiscard]] std::string_view to_text(Forge forge);

enum class RefKind { branch, tag };

struct RefChange {
    RefKind kind = RefKind::branch;
    std::string name;  ///< without `refs/heads/`, `refs/tags/`
    CommitId commit;   ///< a hint only, git is asked; empty when deleted or not given
    bool deleted = false;
};

struct PushEvent {
    Forge forge = Forge::unknown;
    std::string event;                         ///< as the forge names it: `push`, `Push Hook`, `repo:push`, `ping`
    bool is_ping = false;                      ///< a test of the hook: nothing to do
    bool is_push = false;                      ///< neither: an event that says nothing of commits
    std::vector<std::string> repository_urls;  ///< every form that the payload gives
    std::vector<RefChange> changes;            ///< Bitbucket may tell of several at once
    std::string pusher;
    std::string delivery_id;  ///< the same when the forge sends it again; empty if it gives none
};

/// Reads a payload, JSON or a form with `payload=`. Call after verify_webhook. Error(invalid) when it is not what
/// its event header says. Without a forge's header nothing of the payload is read.
[[nodiscard]] PushEvent parse_push_event(const HeaderList& headers, std::string_view body);

/// `host/path` of a repository's URL whatever its form: scheme, user, port of the scheme, `.git` and letter case of
/// the host do not count; `git@host:path` is understood. A local path comes back without `file://`.
[[nodiscard]] std::string normalised_repository(std::string_view url);
[[nodiscard]] bool names_repository(const PushEvent& event, std::string_view configured_url);

}  // namespace baton::net
