// SPDX-License-Identifier: MIT
// The bare mirror of an app's repository: the only place that talks to the git host, by the git program.
#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "common/types.h"

namespace baton::git {

/// How to identify oneself to the git host. Secrets stay in their files; none is ever an argument of a program.
struct MirrorCredentials {
    std::string username;
    std::optional<std::filesystem::path> password_file;  ///< refused when others may read it
    std::optional<std::filesystem::path> ssh_key_file;
    std::optional<std::filesystem::path> known_hosts_file;  ///< none: the account's own and the system's
};

/// The url and credentials of a repository, as they go into git's command line, environment and messages.
struct Remote {
    std::string url;  ///< https, http, ssh, git, `host:path`, file:// or an absolute path
    MirrorCredentials credentials;
    std::filesystem::path home;  ///< HOME for git: a directory of ours, made when missing, shared by all apps
};

/// A bare mirror of one branch. Holds no state but its description: any thread, any number of them.
/// Every message that leaves it has credentials masked. Error kinds: unauthorized (the host wants other
/// credentials), not_found (no such repository or branch), unreachable, timeout, cancelled, io, corrupt.
class Mirror {
  public:
    /// Does no I/O. Error(invalid) for a url that begins with `-`, has an unknown scheme, or a bad branch name.
    Mirror(std::filesystem::path path, Remote remote, std::string branch);

    /// Brings the branch here, also after a forced push, and returns its tip. Makes the mirror when it is missing;
    /// one fetch at a time per mirror, over all processes; cleans up what a killed fetch left behind.
    [[nodiscard]] CommitId fetch(const std::stop_token& stop, Instant deadline) const;

    /// The branch's tip at the git host, by one cheap question; none when there is no such branch. For a repository on
    /// this machine no process is started.
    [[nodiscard]] std::optional<CommitId> remote_tip(const std::stop_token& stop, Instant deadline) const;

    /// Makes an empty mirror when there is none, so that a peer's pack has a place to go to.
    void ensure_exists(const std::stop_token& stop, Instant deadline) const;

    /// Repacks when many packs have gathered; to be called now and then, not while users wait.
    void maintain(const std::stop_token& stop, Instant deadline) const;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] const Remote& remote() const { return remote_; }
    [[nodiscard]] const std::string& branch() const { return branch_; }

  private:
    std::filesystem::path path_;
    Remote remote_;
    std::string branch_;
};

/// `url` with the password taken out, for people.
[[nodiscard]] std::string display_url(const std::string& url);

}  // namespace baton::git
