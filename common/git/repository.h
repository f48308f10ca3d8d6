// SPDX-License-Identifier: MIT
// A bare mirror read through libgit2: names to commits, ancestry, change lists, single files, packs for peers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"

struct git_repository;

namespace baton::git {

/// One commit's own words. Texts are valid UTF-8 whatever the repository holds.
struct CommitInfo {
    CommitId id;
    std::vector<CommitId> parents;
    std::string author_name;
    std::string author_email;
    WallTime committed;   ///< the committer's time
    std::string subject;  ///< the first paragraph of the message on one line
    std::string message;  ///< the whole message, at most 64 KiB of it
};

enum class EditType { added, edited, deleted };
/// `add`, `edit`, `delete`: the words of a Jenkins change set.
[[nodiscard]] std::string_view to_text(EditType type);

struct PathEdit {
    EditType type = EditType::edited;
    std::string path;
};

/// A commit of a change list with the paths it touched against its first parent. A merge lists none, as git log.
struct ChangeInfo {
    CommitInfo commit;
    std::vector<PathEdit> paths;     ///< at most 300
    std::size_t paths_left_out = 0;  ///< how many more there are
};

/// An open bare repository. Cheap to open (0.1 ms): one per thread and job, since libgit2's objects belong to one
/// thread at a time. Errors carry libgit2's own text; a commit that is not there is Error(not_found).
class Repository {
  public:
    /// Error(not_found) when there is no repository at `path`, Error(corrupt) when it cannot be read.
    explicit Repository(std::filesystem::path path);

    /// A full commit id; the name of a branch (as fetched, then local), a tag or a whole `refs/…`; a prefix of an id
    /// of at least 4 digits. None when nothing is called so; Error(invalid) for an ambiguous prefix. No other
    /// revision syntax is understood: the text may come from the network.
    [[nodiscard]] std::optional<CommitId> resolve(std::string_view ref_or_prefix) const;
    [[nodiscard]] bool has_commit(const CommitId& commit) const;
    /// Whether `ancestor` can be reached from `descendant`; a commit is its own ancestor.
    [[nodiscard]] bool is_ancestor(const CommitId& ancestor, const CommitId& descendant) const;
    [[nodiscard]] CommitInfo commit(const CommitId& commit) const;

    /// The commits that `to` has and `from` has not, newest first, at most `most`. An empty or unknown `from` (a
    /// first build, a history that was rewritten and pruned) gives the newest `most` of `to`.
    [[nodiscard]] std::vector<ChangeInfo> changes(const CommitId& from, const CommitId& to, std::size_t most) const;

    /// A regular file of the commit's tree; none when it is not there. Error(too_large) beyond `most_bytes` (found out
    /// before it is read), Error(invalid) when the path is a directory, a submodule or a symbolic link.
    [[nodiscard]] std::optional<std::string> read_blob(const CommitId& commit, const std::filesystem::path& path,
                                                       std::uint64_t most_bytes) const;

    /// A pack of all that `want` needs and the commits `have` (those known here) do not bring. Error(too_large) when
    /// the pack would be larger than `most_bytes`.
    [[nodiscard]] std::string make_pack(const CommitId& want, const std::vector<CommitId>& have,
                                        std::uint64_t most_bytes) const;
    /// Takes a peer's pack in: indexed and checked apart, with all that `want` needs present here or in the pack,
    /// before a byte of it joins the repository; then keep(want). Error(invalid) for a pack that is corrupt or lacks
    /// objects; the repository is then as it was. Waits for the mirror's lock, at most 60 s: Error(busy).
    void add_pack(std::string_view pack, const CommitId& want);
    /// Sets refs/baton/COMMIT, so that no clean-up of the mirror removes what the commit needs.
    void keep(const CommitId& commit);

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    struct Release {
        void operator()(git_repository* repository) const noexcept;
    };
    void set_kept_ref(const CommitId& commit);

    std::filesystem::path path_;
    std::unique_ptr<git_repository, Release> repository_;
};

}  // namespace baton::git
