// SPDX-License-Identifier: MIT
// Packs that nodes hand each other when the git host is away: built, checked apart, and only then taken in.
#include <cerrno>
#include <fmt/format.h>
#include <git2/sys/repository.h>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/digest.h"
#include "common/file.h"
#include "common/git/handles.h"
#include "common/git/lock.h"
#include "common/git/repository.h"
#include "common/text.h"

namespace baton::git {
namespace fs = std::filesystem;

namespace {

constexpr Milliseconds lock_wait{60'000};

/// A directory that is removed again.
class ScratchDirectory {
  public:
    explicit ScratchDirectory(fs::path path) : path_(std::move(path)) { fs::create_directories(path_ / "pack"); }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] const fs::path& path() const { return path_; }

  private:
    fs::path path_;
};

struct Growing {
    std::string bytes;
    std::uint64_t most_bytes = 0;
    bool too_large = false;
};

int append_piece(void* piece, std::size_t size, void* growing_) {
    auto& growing = *static_cast<Growing*>(growing_);
    if (growing.bytes.size() + size > growing.most_bytes) {
        growing.too_large = true;
        return GIT_EUSER;
    }
    growing.bytes.append(static_cast<const char*>(piece), size);
    return 0;
}

std::size_t object_count(std::string_view pack) {
    // 'PACK', version, number of objects, each 4 bytes in network order (gitformat-pack).
    constexpr std::size_t header_bytes = 12;
    if (pack.size() < header_bytes || !pack.starts_with("PACK")) {
        throw Error(ErrorKind::invalid, "what was received is not a git pack");
    }
    std::size_t count = 0;
    for (std::size_t i = 8; i < header_bytes; ++i) count = count << 8U | static_cast<unsigned char>(pack[i]);
    return count;
}

/// Writes pack and index to `folder`; the name they got. libgit2 checks every object's and the pack's checksum.
std::string index_pack(std::string_view pack, const fs::path& folder, git_odb* odb) {
    git_indexer_options options = GIT_INDEXER_OPTIONS_INIT;
    IndexerHandle indexer;
    constexpr unsigned mode = 0444;
    check(git_indexer_new(Out(indexer), folder.c_str(), mode, odb, &options), "prepare for a pack");
    git_indexer_progress progress{};
    const auto refuse_broken = [](int code) {
        if (code >= 0) return;
        const git_error* last = git_error_last();
        if (last != nullptr && last->klass == GIT_ERROR_OS) check(code, "write a pack");
        throw Error(ErrorKind::invalid, fmt::format("the pack is corrupt: {}", last != nullptr ? last->message : "?"));
    };
    refuse_broken(git_indexer_append(indexer.get(), pack.data(), pack.size(), &progress));
    refuse_broken(git_indexer_commit(indexer.get(), &progress));
    return git_indexer_name(indexer.get());
}

struct OidHash {
    std::size_t operator()(const git_oid& oid) const noexcept {
        return std::hash<std::string_view>{}({reinterpret_cast<const char*>(oid.id), sizeof oid.id});
    }
};
struct OidEqual {
    bool operator()(const git_oid& left, const git_oid& right) const noexcept {
        return git_oid_equal(&left, &right) != 0;
    }
};

/// Walks from a commit over everything that it needs and that no reference of the repository vouches for.
class Connectivity {
  public:
    /// `repository` with `odb` has both sets of objects, `present` those from before the pack.
    Connectivity(git_repository* repository, git_odb* odb, git_odb* present)
        : repository_(repository), odb_(odb), present_(present) {}

    void check_commit(const CommitId& want) {
        const git_oid start = to_oid(want);
        check_new_commits(start);
        WalkHandle walk;
        check(git_revwalk_new(Out(walk), repository_), "walk the pack's history");
        check(git_revwalk_push(walk.get(), &start), "walk the pack's history");
        // References promise whole histories, so that the walk ends at what was here before.
        check(git_revwalk_hide_glob(walk.get(), "refs/*"), "walk the pack's history");
        git_oid oid{};
        int code = 0;
        while ((code = git_revwalk_next(&oid, walk.get())) == 0) check_content(oid);
        if (code != GIT_ITEROVER) {
            const git_error* last = git_error_last();
            throw Error(ErrorKind::invalid,
                        fmt::format("the pack lacks a part of the history: {}", last != nullptr ? last->message : "?"));
        }
    }

  private:
    [[noreturn]] static void lacking(std::string_view what, const git_oid& oid) {
        throw Error(ErrorKind::invalid, fmt::format("the pack lacks {} {}", what, to_commit_id(oid)));
    }

    /// The pack's own commits up to those that were here. By hand, since libgit2's walk leaks where a parent is
    /// missing.
    void check_new_commits(const git_oid& start) {
        std::unordered_set<git_oid, OidHash, OidEqual> seen;
        std::vector<git_oid> open{start};
        while (!open.empty()) {
            const git_oid next = open.back();
            open.pop_back();
            if (!seen.insert(next).second) continue;
            CommitHandle commit;
            if (git_commit_lookup(Out(commit), repository_, &next) < 0) lacking("commit", next);
            if (git_odb_exists_ext(present_, &next, GIT_ODB_LOOKUP_NO_REFRESH) != 0) continue;
            for (unsigned i = 0; i < git_commit_parentcount(commit.get()); ++i) {
                open.push_back(*git_commit_parent_id(commit.get(), i));
            }
        }
    }

    void check_content(const git_oid& oid) {
        CommitHandle commit;
        if (git_commit_lookup(Out(commit), repository_, &oid) < 0) lacking("commit", oid);
        std::vector<git_oid> trees{*git_commit_tree_id(commit.get())};
        while (!trees.empty()) {
            const git_oid next = trees.back();
            trees.pop_back();
            if (!seen_.insert(next).second) continue;
            TreeHandle tree;
            if (git_tree_lookup(Out(tree), repository_, &next) < 0) lacking("tree", next);
            check_entries(tree.get(), trees);
        }
    }

    void check_entries(git_tree* tree, std::vector<git_oid>& trees) {
        for (std::size_t i = 0; i < git_tree_entrycount(tree); ++i) {
            const git_tree_entry* entry = git_tree_entry_byindex(tree, i);
            const git_oid& id = *git_tree_entry_id(entry);
            const git_object_t type = git_tree_entry_type(entry);
            if (type == GIT_OBJECT_TREE) trees.push_back(id);
            if (type != GIT_OBJECT_BLOB || !seen_.insert(id).second) continue;
            std::size_t size = 0;
            git_object_t found = GIT_OBJECT_INVALID;
            if (git_odb_read_header(&size, &found, odb_, &id) < 0 || found != GIT_OBJECT_BLOB) lacking("file", id);
        }
    }

    git_repository* repository_;
    git_odb* odb_;
    git_odb* present_;
    std::unordered_set<git_oid, OidHash, OidEqual> seen_;
};

/// An object database of the mirror's objects and, where given, those of `apart` besides.
OdbHandle open_objects(git_repository* repository, const fs::path& apart) {
    OdbHandle odb;
    const fs::path objects = fs::path(git_repository_path(repository)) / "objects";
    check(git_odb_open(Out(odb), objects.c_str()), "open the objects");
    if (!apart.empty()) check(git_odb_add_disk_alternate(odb.get(), apart.c_str()), "open the pack's objects");
    return odb;
}

void move_into(const fs::path& from, const fs::path& folder, const std::string& name) {
    // The pack first: an index without its pack would be an error for every reader.
    for (const char* extension : {".pack", ".idx"}) {
        const std::string file = "pack-" + name + extension;
        if (::rename((from / file).c_str(), (folder / file).c_str()) != 0) {
            throw system_error(fmt::format("move {} into {}", file, folder.string()), errno);
        }
    }
    sync_directory(folder);
}

}  // namespace

std::string Repository::make_pack(const CommitId& want, const std::vector<CommitId>& have,
                                  std::uint64_t most_bytes) const {
    const CommitHandle newest = find_commit(repository_.get(), want);
    WalkHandle walk;
    check(git_revwalk_new(Out(walk), repository_.get()), "walk the history");
    check(git_revwalk_sorting(walk.get(), GIT_SORT_TIME), "walk the history");
    check(git_revwalk_push(walk.get(), git_commit_id(newest.get())), "walk the history");
    for (const CommitId& known : have) {
        const git_oid oid = to_oid(known);
        if (commit_exists(repository_.get(), oid)) check(git_revwalk_hide(walk.get(), &oid), "walk the history");
    }
    PackBuilderHandle builder;
    check(git_packbuilder_new(Out(builder), repository_.get()), "build a pack");
    check(git_packbuilder_insert_walk(builder.get(), walk.get()), "build a pack");
    Growing growing{{}, most_bytes, false};
    const int code = git_packbuilder_foreach(builder.get(), append_piece, &growing);
    if (growing.too_large) {
        throw Error(ErrorKind::too_large,
                    fmt::format("the pack for commit {} is larger than {} bytes", want, most_bytes));
    }
    check(code, "build a pack");
    return std::move(growing.bytes);
}

void Repository::add_pack(std::string_view pack, const CommitId& want) {
    [[maybe_unused]] const git_oid valid = to_oid(want);
    const FileLock lock = lock_mirror(path_, {}, now() + lock_wait);
    const bool empty = object_count(pack) == 0;
    // On the mirror's own file system, so that a rename takes the pack in.
    const ScratchDirectory scratch(path_ / fmt::format("incoming-{}", to_hex(random_bytes(8))));
    std::string name;
    const OdbHandle present = open_objects(repository_.get(), {});
    if (!empty) name = index_pack(pack, scratch.path() / "pack", present.get());
    {
        // The mirror's references over both sets of objects; this handle's own repository stays as it is.
        RepositoryHandle both;
        check(git_repository_open_bare(Out(both), path_.c_str()), fmt::format("open {}", path_.string()));
        const OdbHandle odb = open_objects(both.get(), scratch.path());
        check(git_repository_set_odb(both.get(), odb.get()), "open the pack's objects");
        Connectivity(both.get(), odb.get(), present.get()).check_commit(want);
    }
    if (!empty) move_into(scratch.path() / "pack", path_ / "objects" / "pack", name);
    OdbHandle odb;
    check(git_repository_odb(Out(odb), repository_.get()), "open the objects");
    check(git_odb_refresh(odb.get()), "read the new pack");
    set_kept_ref(want);
}

void Repository::keep(const CommitId& commit) {
    const FileLock lock = lock_mirror(path_, {}, now() + lock_wait);
    set_kept_ref(commit);
}

void Repository::set_kept_ref(const CommitId& commit) {
    const CommitHandle handle = find_commit(repository_.get(), commit);
    const std::string name = fmt::format("refs/baton/{}", commit);
    constexpr int overwrite = 1;
    ReferenceHandle reference;
    check(git_reference_create(Out(reference), repository_.get(), name.c_str(), git_commit_id(handle.get()), overwrite,
                               nullptr),
          fmt::format("set {}", name));
}

}  // namespace baton::git
