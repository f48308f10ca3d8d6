// SPDX-License-Identifier: MIT
// The mirror: made in one step, fetched under its lock, asked cheaply.
#include "common/git/mirror.h"

#include <cerrno>
#include <fmt/format.h>
#include <utility>

#include "common/digest.h"
#include "common/error.h"
#include "common/file.h"
#include "common/git/handles.h"
#include "common/git/lock.h"
#include "common/git/program.h"
#include "common/git/repository.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::git {
namespace fs = std::filesystem;

namespace {

/// To be called under the mirror's lock. A mirror appears whole or not at all: made beside, then renamed.
void make_if_missing(const fs::path& path) {
    std::error_code fault;
    if (fs::exists(path / "HEAD", fault)) return;
    if (fs::exists(path, fault) && !fs::is_empty(path, fault)) {
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} is not a git repository: remove it, and it is fetched anew", path.string()));
    }
    use_library();
    const fs::path fresh = fmt::format("{}.{}.new", path.string(), to_hex(random_bytes(6)));
    git_repository_init_options options = GIT_REPOSITORY_INIT_OPTIONS_INIT;
    options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH | GIT_REPOSITORY_INIT_NO_REINIT;
    constexpr unsigned private_mode = 0700;
    options.mode = private_mode;
    RepositoryHandle handle;
    check(git_repository_init_ext(Out(handle), fresh.c_str(), &options), fmt::format("make {}", fresh.string()));
    handle.reset();
    if (::rename(fresh.c_str(), path.c_str()) != 0) {
        const int error = errno;
        remove_tree(fresh);
        throw system_error(fmt::format("rename {} to {}", fresh.string(), path.string()), error);
    }
    sync_directory(path.parent_path());
}

std::optional<CommitId> local_tip(const fs::path& path, const std::string& branch) {
    // A bare repository, or the .git of one with files.
    std::error_code fault;
    const fs::path inside = path / ".git";
    return Repository(fs::is_directory(inside, fault) ? inside : path).resolve("refs/heads/" + branch);
}

std::optional<CommitId> find_ref(const std::string& listing, const std::string& name) {
    for (const std::string& line : split(listing, '\n')) {
        const std::size_t tab = line.find('\t');
        if (tab == std::string::npos || std::string_view(line).substr(tab + 1) != name) continue;
        if (const std::string id = line.substr(0, tab); is_commit_id(id)) return CommitId(id);
    }
    return std::nullopt;
}

}  // namespace

Mirror::Mirror(fs::path path, Remote remote, std::string branch)
    : path_(std::move(path)), remote_(std::move(remote)), branch_(std::move(branch)) {
    [[maybe_unused]] const RemoteUrl valid = parse_remote_url(remote_.url);
    use_library();
    int sound = 0;
    const std::string name = "refs/heads/" + branch_;
    if (git_reference_name_is_valid(&sound, name.c_str()) < 0 || sound == 0) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' cannot be the name of a branch", branch_));
    }
}

void Mirror::ensure_exists(const std::stop_token& stop, Instant deadline) const {
    const FileLock lock = lock_mirror(path_, stop, deadline);
    make_if_missing(path_);
}

CommitId Mirror::fetch(const std::stop_token& stop, Instant deadline) const {
    const GitProgram git(remote_);
    const FileLock lock = lock_mirror(path_, stop, deadline);
    make_if_missing(path_);
    if (const std::size_t removed = clean_up_mirror(path_); removed > 0) {
        log::warning("git", "removed what a killed fetch left behind",
                     {{"mirror", path_.string()}, {"files", removed}});
    }
    const std::string name = "refs/remotes/origin/" + branch_;
    git.run({"fetch", "--quiet", "--no-tags", "--prune", "--no-write-fetch-head", "--no-auto-maintenance",
             "--no-recurse-submodules", "--", git.url().plain, fmt::format("+refs/heads/{}:{}", branch_, name)},
            path_, stop, deadline);
    const auto tip = Repository(path_).resolve(name);
    if (!tip) throw Error(ErrorKind::not_found, fmt::format("branch '{}' leads to no commit", branch_));
    return *tip;
}

std::optional<CommitId> Mirror::remote_tip(const std::stop_token& stop, Instant deadline) const {
    const RemoteUrl url = parse_remote_url(remote_.url);
    if (url.local) {
        return with_context(fmt::format("look at {}", display_url(remote_.url)),
                            [&] { return local_tip(*url.local, branch_); });
    }
    const GitProgram git(remote_);
    const std::string name = "refs/heads/" + branch_;
    const auto answer = git.ask({"ls-remote", "--exit-code", "--", git.url().plain, name}, git.home(), stop, deadline);
    constexpr int no_such_ref = 2;
    if (answer.status == no_such_ref) return std::nullopt;
    if (answer.status != 0)
        throw git.failure(fmt::format("git ls-remote of {}", mask_urls_in(git.url().plain)), answer);
    return find_ref(answer.output, name);
}

void Mirror::maintain(const std::stop_token& stop, Instant deadline) const {
    const GitProgram git(remote_);
    const FileLock lock = lock_mirror(path_, stop, deadline);
    clean_up_mirror(path_);
    git.run({"gc", "--auto", "--quiet"}, path_, stop, deadline);
}

}  // namespace baton::git
