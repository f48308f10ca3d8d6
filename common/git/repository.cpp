// SPDX-License-Identifier: MIT
// Reading a mirror: names, ancestry, commits, change lists, files.
#include "common/git/repository.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

#include "common/git/handles.h"
#include "common/text.h"

namespace baton::git {
namespace {

constexpr std::size_t most_message_bytes = 64UL * 1024;
constexpr std::size_t most_paths = 300;

std::string text_of(const char* text) { return text != nullptr ? valid_utf8(text) : std::string(); }

CommitInfo describe(git_commit* commit) {
    CommitInfo info;
    info.id = to_commit_id(*git_commit_id(commit));
    for (unsigned i = 0; i < git_commit_parentcount(commit); ++i) {
        info.parents.push_back(to_commit_id(*git_commit_parent_id(commit, i)));
    }
    if (const git_signature* author = git_commit_author(commit); author != nullptr) {
        info.author_name = text_of(author->name);
        info.author_email = text_of(author->email);
    }
    info.committed = WallTime{std::chrono::seconds{git_commit_time(commit)}};
    info.subject = text_of(git_commit_summary(commit));
    const char* message = git_commit_message(commit);
    const std::string_view whole = message != nullptr ? message : "";
    info.message = valid_utf8(whole.substr(0, most_message_bytes));
    return info;
}

EditType edit_of(git_delta_t status) {
    switch (status) {
        case GIT_DELTA_ADDED: return EditType::added;
        case GIT_DELTA_DELETED: return EditType::deleted;
        default: return EditType::edited;
    }
}

void list_paths(git_repository* repository, git_commit* commit, ChangeInfo& change) {
    if (git_commit_parentcount(commit) > 1) return;
    TreeHandle after;
    check(git_commit_tree(Out(after), commit), "read a tree");
    TreeHandle before;
    if (git_commit_parentcount(commit) == 1) {
        CommitHandle parent;
        check(git_commit_parent(Out(parent), commit, 0), "read a parent commit");
        check(git_commit_tree(Out(before), parent.get()), "read a tree");
    }
    git_diff_options options = GIT_DIFF_OPTIONS_INIT;
    options.flags |= GIT_DIFF_SKIP_BINARY_CHECK;
    DiffHandle diff;
    check(git_diff_tree_to_tree(Out(diff), repository, before.get(), after.get(), &options), "compare trees");
    const std::size_t count = git_diff_num_deltas(diff.get());
    for (std::size_t i = 0; i < std::min(count, most_paths); ++i) {
        const git_diff_delta* delta = git_diff_get_delta(diff.get(), i);
        const char* path = delta->status == GIT_DELTA_DELETED ? delta->old_file.path : delta->new_file.path;
        change.paths.push_back({edit_of(delta->status), text_of(path)});
    }
    change.paths_left_out = count > most_paths ? count - most_paths : 0;
}

/// The commit that a reference leads to, through annotated tags; none when there is no such reference.
std::optional<CommitId> follow(git_repository* repository, const std::string& name) {
    ReferenceHandle reference;
    const int code = git_reference_lookup(Out(reference), repository, name.c_str());
    if (code == GIT_ENOTFOUND || code == GIT_EINVALIDSPEC) return std::nullopt;
    check(code, fmt::format("look up {}", name));
    ObjectHandle object;
    const int peeled = git_reference_peel(Out(object), reference.get(), GIT_OBJECT_COMMIT);
    if (peeled == GIT_ENOTFOUND || peeled == GIT_EPEEL || peeled == GIT_EINVALIDSPEC) return std::nullopt;
    check(peeled, fmt::format("follow {}", name));
    return to_commit_id(*git_object_id(object.get()));
}

bool is_hex_prefix(std::string_view text) {
    return text.size() >= GIT_OID_MINPREFIXLEN && text.size() <= GIT_OID_HEXSZ &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<CommitId> find_by_prefix(git_repository* repository, const std::string& prefix) {
    git_oid oid{};
    check(git_oid_fromstrn(&oid, prefix.c_str(), prefix.size()), "read a commit id");
    CommitHandle commit;
    const int code = git_commit_lookup_prefix(Out(commit), repository, &oid, prefix.size());
    if (code == GIT_ENOTFOUND) return std::nullopt;
    if (code == GIT_EAMBIGUOUS) {
        throw Error(ErrorKind::invalid,
                    fmt::format("'{}' is the beginning of several objects: give more digits", prefix));
    }
    check(code, fmt::format("look up {}", prefix));
    return to_commit_id(*git_commit_id(commit.get()));
}

}  // namespace

std::string_view to_text(EditType type) {
    switch (type) {
        case EditType::added: return "add";
        case EditType::edited: return "edit";
        case EditType::deleted: return "delete";
    }
    return "edit";
}

void Repository::Release::operator()(git_repository* repository) const noexcept { git_repository_free(repository); }

Repository::Repository(std::filesystem::path path) : path_(std::move(path)) {
    use_library();
    // The bare open does not ask who owns the directory: the mirror's owner may be another account than a CLI's.
    RepositoryHandle handle;
    const int code = git_repository_open_bare(Out(handle), path_.c_str());
    if (code == GIT_ENOTFOUND) {
        throw Error(ErrorKind::not_found, fmt::format("no bare git repository at {}", path_.string()));
    }
    check(code, fmt::format("open {}", path_.string()));
    repository_.reset(handle.release());
}

std::optional<CommitId> Repository::resolve(std::string_view ref_or_prefix) const {
    constexpr std::size_t longest_name = 255;
    const std::string name(ref_or_prefix);
    if (name.empty() || name.size() > longest_name) return std::nullopt;
    // A whole id always means that commit, also when some branch bears the same name.
    if (is_commit_id(name)) return find_by_prefix(repository_.get(), name);
    if (name.starts_with("refs/")) return follow(repository_.get(), name);
    for (const char* folder : {"refs/remotes/origin/", "refs/heads/", "refs/tags/"}) {
        if (auto found = follow(repository_.get(), folder + name)) return found;
    }
    const std::string digits = lower(name);
    if (is_hex_prefix(digits)) return find_by_prefix(repository_.get(), digits);
    return std::nullopt;
}

bool Repository::has_commit(const CommitId& commit) const { return commit_exists(repository_.get(), to_oid(commit)); }

bool Repository::is_ancestor(const CommitId& ancestor, const CommitId& descendant) const {
    const CommitHandle from = find_commit(repository_.get(), ancestor);
    const CommitHandle to = find_commit(repository_.get(), descendant);
    if (ancestor == descendant) return true;
    return check(git_graph_descendant_of(repository_.get(), git_commit_id(to.get()), git_commit_id(from.get())),
                 "walk the history") == 1;
}

CommitInfo Repository::commit(const CommitId& commit) const {
    return describe(find_commit(repository_.get(), commit).get());
}

std::vector<ChangeInfo> Repository::changes(const CommitId& from, const CommitId& to, std::size_t most) const {
    const CommitHandle newest = find_commit(repository_.get(), to);
    WalkHandle walk;
    check(git_revwalk_new(Out(walk), repository_.get()), "walk the history");
    check(git_revwalk_sorting(walk.get(), GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME), "walk the history");
    check(git_revwalk_push(walk.get(), git_commit_id(newest.get())), "walk the history");
    if (!from.empty()) {
        const git_oid oldest = to_oid(from);
        if (commit_exists(repository_.get(), oldest)) check(git_revwalk_hide(walk.get(), &oldest), "walk the history");
    }
    std::vector<ChangeInfo> changes;
    git_oid oid{};
    while (changes.size() < most) {
        const int code = git_revwalk_next(&oid, walk.get());
        if (code == GIT_ITEROVER) break;
        check(code, "walk the history");
        CommitHandle commit;
        check(git_commit_lookup(Out(commit), repository_.get(), &oid), "read a commit");
        ChangeInfo change;
        change.commit = describe(commit.get());
        list_paths(repository_.get(), commit.get(), change);
        changes.push_back(std::move(change));
    }
    return changes;
}

std::optional<std::string> Repository::read_blob(const CommitId& commit, const std::filesystem::path& path,
                                                 std::uint64_t most_bytes) const {
    const std::string name = path.lexically_normal().generic_string();
    const CommitHandle handle = find_commit(repository_.get(), commit);
    TreeHandle tree;
    check(git_commit_tree(Out(tree), handle.get()), "read a tree");
    TreeEntryHandle entry;
    const int code = git_tree_entry_bypath(Out(entry), tree.get(), name.c_str());
    if (code == GIT_ENOTFOUND) return std::nullopt;
    check(code, fmt::format("look up {} in {}", name, commit));
    const git_filemode_t mode = git_tree_entry_filemode(entry.get());
    if (mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE) {
        throw Error(ErrorKind::invalid, fmt::format("{} in commit {} is not a regular file", name, commit));
    }
    OdbHandle odb;
    check(git_repository_odb(Out(odb), repository_.get()), "open the objects");
    std::size_t size = 0;
    git_object_t type = GIT_OBJECT_INVALID;
    check(git_odb_read_header(&size, &type, odb.get(), git_tree_entry_id(entry.get())), fmt::format("read {}", name));
    if (size > most_bytes) {
        throw Error(ErrorKind::too_large, fmt::format("{} has {} bytes; at most {} are read", name, size, most_bytes));
    }
    BlobHandle blob;
    check(git_blob_lookup(Out(blob), repository_.get(), git_tree_entry_id(entry.get())), fmt::format("read {}", name));
    const auto* content = static_cast<const char*>(git_blob_rawcontent(blob.get()));
    return std::string(content, static_cast<std::size_t>(git_blob_rawsize(blob.get())));
}

}  // namespace baton::git
