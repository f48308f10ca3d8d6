// SPDX-License-Identifier: MIT
// Files, on the system's calls: each unread return code here would be a lost state later.
#include "common/file.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "common/digest.h"
#include "common/error.h"
#include "common/text.h"

namespace baton {
namespace {

namespace fs = std::filesystem;

Fd open_or_throw(const fs::path& path, int flags, unsigned mode = 0) {
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
    if (!fd) throw system_error(fmt::format("open {}", path.string()), errno);
    return fd;
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

fs::path beside(const fs::path& path) {
    return folder_of(path) / fmt::format(".{}.{}", path.filename().string(), to_hex(random_bytes(6)));
}

std::string read_all(int fd, const fs::path& path, std::uint64_t most_bytes) {
    std::string content;
    constexpr std::size_t piece = 64UL * 1024;
    while (true) {
        const std::size_t have = content.size();
        content.resize(have + piece);
        const ssize_t got = ::read(fd, content.data() + have, piece);
        if (got < 0 && errno != EINTR) throw system_error(fmt::format("read {}", path.string()), errno);
        content.resize(have + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        if (content.size() > most_bytes) {
            throw Error(ErrorKind::too_large, fmt::format("{} is larger than {} bytes", path.string(), most_bytes));
        }
        if (got == 0) return content;
    }
}

/// Throws system_error unless a rename(2) succeeded.
void rename_or_throw(const fs::path& from, const fs::path& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) {
        const int fault = errno;
        ::unlink(from.c_str());
        throw system_error(fmt::format("rename {} to {}", from.string(), to.string()), fault);
    }
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
}

int Fd::release() noexcept { return std::exchange(fd_, -1); }

void Fd::reset(int fd) noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
}

std::string read_file(const fs::path& path, std::uint64_t most_bytes) {
    const Fd fd = open_or_throw(path, O_RDONLY);
    return read_all(fd.get(), path, most_bytes);
}

std::string read_secret_file_whole(const fs::path& path, std::uint64_t most_bytes) {
    const Fd fd = open_or_throw(path, O_RDONLY);
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) throw system_error(fmt::format("stat {}", path.string()), errno);
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        throw Error(ErrorKind::forbidden,
                    fmt::format("{} holds a secret but is open to others (mode {:04o}): chmod 600 {}", path.string(),
                                info.st_mode & 07777U, path.string()));
    }
    return read_all(fd.get(), path, most_bytes);
}

std::string read_secret_file(const fs::path& path) {
    constexpr std::uint64_t longest_secret = 64ULL * 1024;
    const std::string content = read_secret_file_whole(path, longest_secret);
    std::string_view line = content;
    line = line.substr(0, line.find('\n'));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty())
        throw Error(ErrorKind::invalid, fmt::format("{} holds no secret: its first line is empty", path.string()));
    return std::string(line);
}

void write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) throw system_error("write", errno);
        bytes.remove_prefix(static_cast<std::size_t>(wrote));
    }
}

AtomicFile::AtomicFile(fs::path target, unsigned mode)
    : target_(std::move(target)),
      temporary_(beside(target_)),
      fd_(open_or_throw(temporary_, O_WRONLY | O_CREAT | O_EXCL, mode)) {
    // The mode is a promise (a secret's 0600, a unit's 0644), not a wish to be cut by the umask.
    if (::fchmod(fd_.get(), mode) != 0) throw system_error(fmt::format("chmod {}", temporary_.string()), errno);
}

AtomicFile::~AtomicFile() {
    if (fd_) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
    with_context(target_.string(), [&] { write_all(fd_.get(), bytes); });
}

void AtomicFile::commit() {
    if (::fsync(fd_.get()) != 0) throw system_error(fmt::format("fsync {}", temporary_.string()), errno);
    rename_or_throw(temporary_, target_);
    fd_.reset();
    sync_directory(folder_of(target_));
}

void write_file_atomically(const fs::path& path, std::string_view bytes, unsigned mode) {
    AtomicFile file(path, mode);
    file.write(bytes);
    file.commit();
}

void sync_directory(const fs::path& directory) {
    const Fd fd = open_or_throw(directory, O_RDONLY | O_DIRECTORY);
    if (::fsync(fd.get()) != 0) throw system_error(fmt::format("fsync {}", directory.string()), errno);
}

void replace_symlink(const fs::path& target, const fs::path& link) {
    const fs::path temporary = beside(link);
    if (::symlink(target.c_str(), temporary.c_str()) != 0) {
        throw system_error(fmt::format("symlink {}", temporary.string()), errno);
    }
    rename_or_throw(temporary, link);
    sync_directory(folder_of(link));
}

FileLock FileLock::acquire(const fs::path& path) {
    Fd fd = open_or_throw(path, O_RDWR | O_CREAT, 0600);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            throw Error(ErrorKind::busy, fmt::format("{} is locked by another process", path.string()));
        }
        throw system_error(fmt::format("lock {}", path.string()), errno);
    }
    return FileLock(std::move(fd));
}

FileLock FileLock::wait(const fs::path& path) {
    Fd fd = open_or_throw(path, O_RDWR | O_CREAT, 0600);
    while (::flock(fd.get(), LOCK_EX) != 0) {
        if (errno != EINTR) throw system_error(fmt::format("lock {}", path.string()), errno);
    }
    return FileLock(std::move(fd));
}

void remove_tree(const fs::path& path) {
    std::error_code fault;
    fs::remove_all(path, fault);
    if (!fault) return;
    // A tree of read-only directories (a Go module cache, a careful release): give ourselves the right, then again.
    if (fs::is_directory(fs::symlink_status(path))) {
        fs::permissions(path, fs::perms::owner_all, fs::perm_options::add, fault);
        const auto options = fs::directory_options::skip_permission_denied;
        for (fs::recursive_directory_iterator it(path, options, fault), end; !fault && it != end; it.increment(fault)) {
            if (it->is_directory() && !it->is_symlink()) {
                std::error_code ignored;
                fs::permissions(it->path(), fs::perms::owner_all, fs::perm_options::add, ignored);
            }
        }
    }
    fs::remove_all(path, fault);
    if (fault) throw system_error(fmt::format("remove {}", path.string()), fault.value());
}

}  // namespace baton
