// SPDX-License-Identifier: MIT
// What all users of libgit2 here share: its start, its errors, commit ids.
#include "common/git/handles.h"

#include <array>
#include <fmt/format.h>

namespace baton::git {
namespace {

ErrorKind kind_of(int code) {
    // The code tells "not there" and the like; the class tells whose fault a plain -1 is.
    const git_error* last = git_error_last();
    const int group = last != nullptr ? last->klass : GIT_ERROR_NONE;
    switch (code) {
        case GIT_ENOTFOUND: return ErrorKind::not_found;
        case GIT_EINVALIDSPEC:
        case GIT_EAMBIGUOUS: return ErrorKind::invalid;
        case GIT_ELOCKED: return ErrorKind::busy;
        case GIT_EMISMATCH: return ErrorKind::corrupt;
        default: break;
    }
    switch (group) {
        case GIT_ERROR_OS: return ErrorKind::io;
        case GIT_ERROR_ODB:
        case GIT_ERROR_ZLIB:
        case GIT_ERROR_OBJECT:
        case GIT_ERROR_TREE: return ErrorKind::corrupt;
        default: return ErrorKind::io;
    }
}

/// libgit2's process-wide state. Started on first use and never ended: threads may still hold objects at exit.
struct Library {
    Library() {
        if (git_libgit2_init() < 0) throw Error(ErrorKind::internal, "libgit2 does not start");
        // What add_pack promises must survive a power loss.
        git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
        // The daemon stays small: the cache is for one job's commits and trees, its default is 256 MiB.
        constexpr ssize_t cache_bytes = 16L * 1024 * 1024;
        git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, cache_bytes);
        // No configuration of the account or the machine changes what a mirror means.
        for (const auto level : {GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_GLOBAL, GIT_CONFIG_LEVEL_XDG}) {
            git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
        }
    }
};

}  // namespace

void use_library() { static const Library library; }

int check(int code, std::string_view what_was_tried) {
    if (code >= 0) return code;
    const ErrorKind kind = kind_of(code);
    const git_error* last = git_error_last();
    const std::string_view text = last != nullptr && last->message != nullptr ? last->message : "unknown error";
    throw Error(kind, fmt::format("{}: {}", what_was_tried, text));
}

CommitId to_commit_id(const git_oid& oid) {
    std::array<char, GIT_OID_HEXSZ> hex{};
    git_oid_fmt(hex.data(), &oid);
    return CommitId(std::string_view(hex.data(), hex.size()));
}

git_oid to_oid(const CommitId& commit) {
    if (!is_commit_id(commit.str())) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' is not a commit id of 40 hexadecimal digits", commit));
    }
    git_oid oid{};
    check(git_oid_fromstr(&oid, commit.str().c_str()), "read a commit id");
    return oid;
}

CommitHandle find_commit(git_repository* repository, const CommitId& commit) {
    const git_oid oid = to_oid(commit);
    CommitHandle handle;
    const int code = git_commit_lookup(Out(handle), repository, &oid);
    if (code == GIT_ENOTFOUND) {
        throw Error(ErrorKind::not_found, fmt::format("commit {} is not in the mirror", commit));
    }
    check(code, fmt::format("read commit {}", commit));
    return handle;
}

bool commit_exists(git_repository* repository, const git_oid& oid) {
    CommitHandle handle;
    return git_commit_lookup(Out(handle), repository, &oid) == 0;
}

}  // namespace baton::git
