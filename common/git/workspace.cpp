// SPDX-License-Identifier: MIT
// A workspace is checked out by git from a private repository that borrows the mirror's objects, and is then freed
// of it: nothing in the mirror changes, so that any number of exports run side by side with a fetch.
#include "common/git/workspace.h"

#include <cerrno>
#include <fmt/format.h>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/file.h"
#include "common/git/handles.h"
#include "common/git/lock.h"
#include "common/git/program.h"
#include "common/git/repository.h"

namespace baton::git {
namespace fs = std::filesystem;

namespace {

/// `destination/.git`, with the mirror's objects as its own and the app's url as its origin, which is what relative
/// urls of submodules start from.
void make_private_repository(const fs::path& destination, const fs::path& mirror, const std::string& origin) {
    use_library();
    RepositoryHandle repository;
    check(git_repository_init(Out(repository), destination.c_str(), 0), fmt::format("make {}", destination.string()));
    const fs::path objects = fs::canonical(mirror / "objects");
    write_file_atomically(destination / ".git" / "objects" / "info" / "alternates", objects.string() + "\n");
    ConfigHandle config;
    check(git_repository_config(Out(config), repository.get()), "open the configuration");
    check(git_config_set_string(config.get(), "remote.origin.url", origin.c_str()), "write the configuration");
}

/// True when it was renamed; false when `from` is not there or lies on another file system.
bool move_if_possible(const fs::path& from, const fs::path& to) {
    if (::rename(from.c_str(), to.c_str()) == 0) return true;
    if (errno == ENOENT || errno == EXDEV || errno == ENOTEMPTY || errno == EEXIST) return false;
    throw system_error(fmt::format("rename {} to {}", from.string(), to.string()), errno);
}

/// git's links from a submodule's files to its repository. A tree cannot hold anything else called `.git`.
void remove_git_links(const fs::path& destination) {
    std::vector<fs::path> links;
    for (fs::recursive_directory_iterator it(destination), end; it != end; ++it) {
        if (it->path().filename() != ".git") continue;
        links.push_back(it->path());
        if (it->is_directory() && !it->is_symlink()) it.disable_recursion_pending();
    }
    for (const fs::path& link : links) remove_tree(link);
}

void add_submodules(const Mirror& mirror, const fs::path& destination, const std::stop_token& stop, Instant deadline) {
    // A path of this machine, named by a repository from elsewhere, would read what only the agent may read.
    const bool local = parse_remote_url(mirror.remote().url).local.has_value();
    const GitProgram git(mirror.remote(), local ? LocalPaths::allowed : LocalPaths::refused);
    const FileLock lock = lock_mirror(mirror.path(), stop, deadline, "modules.lock");
    // Lent to the workspace by rename, and taken back only after success: what a killed export had is fetched anew.
    const fs::path kept = mirror.path().string() + ".modules";
    const fs::path lent = destination / ".git" / "modules";
    move_if_possible(kept, lent);
    git.run({"submodule", "--quiet", "update", "--init", "--recursive", "--force"}, destination, stop, deadline);
    if (fs::is_directory(lent)) move_if_possible(lent, kept);
    remove_git_links(destination);
}

void write_tree(const Mirror& mirror, const CommitId& commit, const fs::path& destination, const std::stop_token& stop,
                Instant deadline) {
    const GitProgram git(mirror.remote());
    make_private_repository(destination, mirror.path(), git.url().plain);
    git.run({"checkout", "--quiet", "--force", "--detach", commit.str(), "--"}, destination, stop, deadline);
    if (fs::exists(fs::symlink_status(destination / ".gitmodules"))) {
        with_context("submodules", [&] { add_submodules(mirror, destination, stop, deadline); });
    }
    remove_tree(destination / ".git");
}

}  // namespace

void export_tree(const Mirror& mirror, const CommitId& commit, const fs::path& destination, const std::stop_token& stop,
                 Instant deadline) {
    if (!Repository(mirror.path()).has_commit(commit)) {
        throw Error(ErrorKind::not_found, fmt::format("commit {} is not in the mirror", commit));
    }
    if (fs::exists(fs::symlink_status(destination)) && !(fs::is_directory(destination) && fs::is_empty(destination))) {
        throw Error(ErrorKind::conflict, fmt::format("the workspace {} is not empty", destination.string()));
    }
    fs::create_directories(destination);
    try {
        write_tree(mirror, commit, destination, stop, deadline);
    } catch (const fs::filesystem_error& error) {
        remove_workspace(destination);
        throw Error(ErrorKind::io, fmt::format("write the workspace: {}", error.what()));
    } catch (...) {
        remove_workspace(destination);
        throw;
    }
}

void remove_workspace(const fs::path& destination) { remove_tree(destination); }

}  // namespace baton::git
