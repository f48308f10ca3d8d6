// SPDX-License-Identifier: MIT
// What a build left in files: its log, also while it is being written, and its artifacts.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fmt/format.h>
#include <thread>

#include "agent/engine/engine.h"
#include "agent/operations/operations.h"
#include "agent/store/store.h"
#include "common/error.h"
#include "common/file.h"

namespace fs = std::filesystem;

namespace baton::operations {
namespace {

using namespace std::chrono_literals;

constexpr auto log_poll = 50ms;

/// The end of the last whole UTF-8 character, so that no client gets half of one.
std::size_t character_border(std::string_view bytes) {
    std::size_t end = bytes.size();
    std::size_t back = 0;
    while (end > 0 && back < 3 && (static_cast<unsigned char>(bytes[end - 1]) & 0xC0U) == 0x80U) {
        --end;
        ++back;
    }
    if (end == 0) return bytes.size();
    const auto lead = static_cast<unsigned char>(bytes[end - 1]);
    const std::size_t needs = lead >= 0xF0 ? 3U : lead >= 0xE0 ? 2U : lead >= 0xC0 ? 1U : 0U;
    return back < needs ? end - 1 : bytes.size();
}

}  // namespace

LogPiece Operations::log(const AppName& app, unsigned number, std::uint64_t offset, std::size_t most_bytes,
                         Milliseconds wait, const std::stop_token& stop) const {
    const auto deadline = clock_.now() + wait;
    const auto path = engine_.paths(app).log(number);
    while (true) {
        const bool running = [&] {
            const auto record = store_.builds.get(app, number);
            if (!record) throw Error(ErrorKind::not_found, fmt::format("app '{}' has no build {}", app, number));
            return record->finished_ms == 0;
        }();
        LogPiece piece;
        piece.next = offset;
        const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        struct stat info {};
        if (fd && ::fstat(fd.get(), &info) == 0) {
            const auto size = static_cast<std::uint64_t>(info.st_size);
            if (offset > size) piece.next = offset = size;
            piece.bytes.resize(std::min<std::uint64_t>(most_bytes, size - offset));
            const ssize_t got = ::pread(fd.get(), piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(offset));
            if (got < 0) throw system_error("read the build's log", errno);
            piece.bytes.resize(static_cast<std::size_t>(got));
            const bool whole = !running && offset + piece.bytes.size() >= size;
            if (!whole) piece.bytes.resize(character_border(piece.bytes));
            piece.next = offset + piece.bytes.size();
            piece.more = !whole;
        } else {
            piece.more = running;
        }
        if (!piece.bytes.empty() || !piece.more || clock_.now() >= deadline || stop.stop_requested()) return piece;
        std::this_thread::sleep_for(log_poll);
    }
}

std::string Operations::artifact_path(const AppName& app, unsigned number, const std::string& relative) const {
    (void)config_.app(app);
    if (!store_.builds.get(app, number)) throw Error(ErrorKind::not_found, fmt::format("no build {}", number));
    const auto root = fs::weakly_canonical(engine_.paths(app).artifacts_of(number));
    const auto path = fs::weakly_canonical(root / relative);
    const auto inside = path.lexically_relative(root);
    if (inside.empty() || *inside.begin() == ".." || !fs::is_regular_file(path)) {
        throw Error(ErrorKind::not_found, fmt::format("build {} kept no file '{}'", number, relative));
    }
    return path.string();
}

}  // namespace baton::operations
