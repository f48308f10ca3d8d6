// SPDX-License-Identifier: MIT
// Files: read with a limit, written so that a crash leaves the old or the new, secrets, locks, descriptors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace baton {

/// Owns a file descriptor. Move only.
class Fd {
  public:
    Fd() = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept;
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int release() noexcept;
    void reset(int fd = -1) noexcept;

  private:
    int fd_ = -1;
};

/// The whole file. Error not_found/forbidden/io, or too_large beyond `most_bytes`.
[[nodiscard]] std::string read_file(const std::filesystem::path& path, std::uint64_t most_bytes);

/// The file's first line without its end. Error(forbidden) when group or others may read it, Error(invalid) when
/// it is empty: a secret that everybody can read is none.
[[nodiscard]] std::string read_secret_file(const std::filesystem::path& path);
/// The same check, and the whole content: for a file with a line an entry.
[[nodiscard]] std::string read_secret_file_whole(const std::filesystem::path& path, std::uint64_t most_bytes);

/// Replaces a file: a temporary beside it, fsync, rename(2), fsync of the directory. Nothing happens to the target
/// until commit(); without it the destructor removes the temporary.
class AtomicFile {
  public:
    explicit AtomicFile(std::filesystem::path target, unsigned mode = 0644);
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;
    ~AtomicFile();
    void write(std::string_view bytes);
    void commit();

  private:
    std::filesystem::path target_;
    std::filesystem::path temporary_;
    Fd fd_;
};

/// AtomicFile in one call.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes, unsigned mode = 0644);
/// Makes a rename or unlink in `directory` durable.
void sync_directory(const std::filesystem::path& directory);
/// `link` comes to point to `target` in one step, whatever it was: symlink to a temporary name, rename(2), fsync.
void replace_symlink(const std::filesystem::path& target, const std::filesystem::path& link);
/// All bytes to `fd`, or Error(io).
void write_all(int fd, std::string_view bytes);

/// An exclusive flock(2) on a file that is created when missing. Released by the destructor and by death.
class FileLock {
  public:
    /// Error(busy) when another process holds it.
    [[nodiscard]] static FileLock acquire(const std::filesystem::path& path);
    /// Waits until it is free.
    [[nodiscard]] static FileLock wait(const std::filesystem::path& path);

  private:
    explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

/// Removes the whole tree, also where directories lack the write bit. Never follows a symbolic link.
void remove_tree(const std::filesystem::path& path);

}  // namespace baton
