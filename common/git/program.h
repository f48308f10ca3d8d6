// SPDX-License-Identifier: MIT
// The git program as a child: its flags, its environment, its deadline, and its errors as ours.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/git/mirror.h"
#include "common/git/remote_url.h"
#include "common/types.h"

namespace baton::git {

/// Whether git may follow a path of this machine.
enum class LocalPaths { allowed, refused };

/// Runs git for one remote. Nothing of the account's or the machine's git configuration has a say; hooks never run;
/// it never asks a terminal; a password reaches git through a credential helper that reads the file.
class GitProgram {
  public:
    /// Makes the home with its two files where they are missing. Error(forbidden) when the password file is open to
    /// others, Error(not_found) when a file of the credentials is missing.
    explicit GitProgram(const Remote& remote, LocalPaths local_paths = LocalPaths::allowed);

    struct Answer {
        int status = 0;
        std::string output;  ///< standard output and error, the last 256 KiB
    };
    /// Runs `git ARGUMENTS…` in `directory` and returns whatever it answered. Error(timeout, cancelled, io) when it
    /// did not come to its end by itself.
    [[nodiscard]] Answer ask(const std::vector<std::string>& arguments, const std::filesystem::path& directory,
                             const std::stop_token& stop, Instant deadline,
                             const std::vector<std::string>& more_environment = {}) const;
    /// As ask(), and an exit status other than 0 is an Error.
    std::string run(const std::vector<std::string>& arguments, const std::filesystem::path& directory,
                    const std::stop_token& stop, Instant deadline) const;

    /// The Error that tells why git failed: its last lines, masked, with a kind and what to do.
    [[nodiscard]] Error failure(std::string_view what, const Answer& answer) const;

    [[nodiscard]] const RemoteUrl& url() const { return url_; }
    /// A directory that is no repository, for what needs none.
    [[nodiscard]] const std::filesystem::path& home() const { return home_; }

  private:
    [[nodiscard]] std::string describe(const std::vector<std::string>& arguments) const;
    [[nodiscard]] std::string mask(std::string text) const;

    RemoteUrl url_;
    std::filesystem::path home_;
    std::string password_;
    std::vector<std::string> arguments_;
    std::vector<std::string> environment_;
};

}  // namespace baton::git
