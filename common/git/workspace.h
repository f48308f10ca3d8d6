// SPDX-License-Identifier: MIT
// A build's workspace: one commit's tree as files, as a checkout would write them, but without any `.git`.
#pragma once

#include <filesystem>
#include <stop_token>

#include "common/git/mirror.h"
#include "common/types.h"

namespace baton::git {

/// Writes the tree of `commit` to `destination` (missing or empty; its parents are made): attributes (eol, ident,
/// encodings, filters), symbolic links, executable bits and submodules (recursively) as `git checkout` has them.
/// Afterwards the files need neither the mirror nor git. Submodules are kept beside the mirror, so that the next
/// build asks the host for new commits only; they see the app's credentials only where they live on the same host,
/// and paths of this machine only where the app's own repository is one.
/// Error(conflict) when the destination holds something, not_found for an unknown commit, else as Mirror. After an
/// error nothing of it is left.
void export_tree(const Mirror& mirror, const CommitId& commit, const std::filesystem::path& destination,
                 const std::stop_token& stop, Instant deadline);

/// Removes what export_tree wrote and what a build made of it, read-only directories included.
void remove_workspace(const std::filesystem::path& destination);

}  // namespace baton::git
