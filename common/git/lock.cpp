// SPDX-License-Identifier: MIT
// The mirror's lock, and what a killed holder of it left behind.
#include "common/git/lock.h"

#include <chrono>
#include <condition_variable>
#include <fmt/format.h>
#include <mutex>
#include <vector>

#include "common/error.h"

namespace baton::git {
namespace fs = std::filesystem;

namespace {

/// Waits up to `pause`; true when `stop` came.
bool pause_or_stop(const std::stop_token& stop, Milliseconds pause) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock hold(mutex);
    wake.wait_for(hold, stop, pause, [] { return false; });
    return stop.stop_requested();
}

bool is_lock(const fs::path& file) { return file.extension() == ".lock"; }
/// Written by git index-pack and repack, renamed when they are whole.
bool is_half_pack(const fs::path& file) {
    const std::string name = file.filename().string();
    return name.starts_with("tmp_") || name.starts_with(".tmp-") || name.starts_with("pack_git2_");
}

template <class Iterator, class Wanted>
void collect(const fs::path& folder, const Wanted& wanted, std::vector<fs::path>& found) {
    std::error_code fault;
    for (Iterator it(folder, fault), end; !fault && it != end; it.increment(fault)) {
        std::error_code ignored;
        if (it->symlink_status(ignored).type() == fs::file_type::regular && wanted(it->path())) {
            found.push_back(it->path());
        }
    }
}

}  // namespace

Instant now() { return std::chrono::time_point_cast<Milliseconds>(std::chrono::steady_clock::now()); }

FileLock lock_mirror(const fs::path& mirror, const std::stop_token& stop, Instant deadline, std::string_view which) {
    const fs::path file = fmt::format("{}.{}", mirror.string(), which);
    fs::create_directories(file.parent_path());
    // flock(2) has no time-out, so it is asked again and again; rarely at all, for a mirror has few writers.
    constexpr Milliseconds pause{10};
    while (true) {
        try {
            return FileLock::acquire(file);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::busy) throw;
        }
        if (now() >= deadline) {
            throw Error(ErrorKind::busy, fmt::format("{} is in use by another fetch; try again", mirror.string()));
        }
        if (pause_or_stop(stop, pause)) throw Error(ErrorKind::cancelled, "cancelled while waiting for the mirror");
    }
}

std::size_t clean_up_mirror(const fs::path& mirror) {
    std::vector<fs::path> found;
    collect<fs::directory_iterator>(mirror, is_lock, found);
    collect<fs::directory_iterator>(mirror / "objects" / "info", is_lock, found);
    collect<fs::recursive_directory_iterator>(mirror / "refs", is_lock, found);
    const auto left_over = [](const fs::path& file) { return is_lock(file) || is_half_pack(file); };
    collect<fs::directory_iterator>(mirror / "objects" / "pack", left_over, found);
    for (const auto& entry : fs::directory_iterator(mirror)) {
        // A peer's pack that was being checked apart (Repository::add_pack).
        if (entry.is_directory() && entry.path().filename().string().starts_with("incoming-"))
            found.push_back(entry.path());
    }
    std::size_t removed = 0;
    for (const auto& file : found) {
        std::error_code fault;
        if (fs::remove_all(file, fault) > 0 && !fault) ++removed;
        if (fault) {
            throw Error(ErrorKind::io, fmt::format("remove the left-over {}: {}", file.string(), fault.message()));
        }
    }
    return removed;
}

}  // namespace baton::git
