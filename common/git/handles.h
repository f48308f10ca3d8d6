// SPDX-License-Identifier: MIT
// libgit2's handles as owning types, its out-parameters, and its errors as ours. For this folder's .cpp files only.
#pragma once

#include <git2.h>
#include <memory>
#include <string_view>

#include "common/error.h"
#include "common/types.h"

namespace baton::git {

template <class T, void (*Free)(T*)>
struct Releaser {
    void operator()(T* handle) const noexcept { Free(handle); }
};
template <class T, void (*Free)(T*)>
using Handle = std::unique_ptr<T, Releaser<T, Free>>;

using RepositoryHandle = Handle<git_repository, git_repository_free>;
using ReferenceHandle = Handle<git_reference, git_reference_free>;
using ObjectHandle = Handle<git_object, git_object_free>;
using CommitHandle = Handle<git_commit, git_commit_free>;
using TreeHandle = Handle<git_tree, git_tree_free>;
using TreeEntryHandle = Handle<git_tree_entry, git_tree_entry_free>;
using BlobHandle = Handle<git_blob, git_blob_free>;
using OdbHandle = Handle<git_odb, git_odb_free>;
using WalkHandle = Handle<git_revwalk, git_revwalk_free>;
using DiffHandle = Handle<git_diff, git_diff_free>;
using PackBuilderHandle = Handle<git_packbuilder, git_packbuilder_free>;
using IndexerHandle = Handle<git_indexer, git_indexer_free>;
using ConfigHandle = Handle<git_config, git_config_free>;

/// `git_x_new(Out(handle), …)`: what libgit2 writes is owned at the end of the expression.
template <class Owner>
class Out {
  public:
    explicit Out(Owner& owner) : owner_(owner) {}
    Out(const Out&) = delete;
    Out& operator=(const Out&) = delete;
    ~Out() {
        if (raw_ != nullptr) owner_.reset(raw_);
    }
    operator typename Owner::pointer *() { return &raw_; }  // NOLINT: the conversion is the point

  private:
    Owner& owner_;
    typename Owner::pointer raw_ = nullptr;
};

/// Initialises libgit2 once for the process. Every entry into this folder's libgit2 code calls it first.
void use_library();

/// Throws an Error with libgit2's text of the last failure on this thread when `code` is negative. Must be called on
/// the thread that failed, before anything else of libgit2. Returns `code`.
int check(int code, std::string_view what_was_tried);

[[nodiscard]] CommitId to_commit_id(const git_oid& oid);
/// Error(invalid) unless it is 40 lower-case hexadecimal digits.
[[nodiscard]] git_oid to_oid(const CommitId& commit);
/// Error(not_found) when the commit is not in the repository.
[[nodiscard]] CommitHandle find_commit(git_repository* repository, const CommitId& commit);
[[nodiscard]] bool commit_exists(git_repository* repository, const git_oid& oid);

}  // namespace baton::git
