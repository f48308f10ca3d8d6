// SPDX-License-Identifier: MIT
// Files: what a crash, a forgotten commit or an open secret leaves.
#include "common/file.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <sys/stat.h>

#include "common/error.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

ErrorKind kind_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.kind();
    }
    FAIL("no error");
    return ErrorKind::internal;
}

std::size_t files_in(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator{}));
}

}  // namespace

TEST_CASE("file: an atomic file that is not committed changes nothing and leaves nothing") {
    const test::TempDir dir;
    const auto path = dir.write("state", "old");
    {
        AtomicFile file(path);
        file.write("new");
    }
    CHECK(read_file(path, 100) == "old");
    CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("file: a committed atomic file replaces the old content and keeps its promise of a mode") {
    const test::TempDir dir;
    const auto path = dir.write("state", "old");
    write_file_atomically(path, "new", 0600);
    CHECK(read_file(path, 100) == "new");
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 07777U) == 0600);
    CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("file: a file beyond the limit is refused, one at the limit is read") {
    const test::TempDir dir;
    const auto path = dir.write("big", std::string(1000, 'x'));
    CHECK(read_file(path, 1000).size() == 1000);
    CHECK(kind_of([&] { (void)read_file(path, 999); }) == ErrorKind::too_large);
    CHECK(kind_of([&] { (void)read_file(dir / "none", 10); }) == ErrorKind::not_found);
}

TEST_CASE("file: a secret that others can read is refused, with what to do") {
    const test::TempDir dir;
    const auto open = dir.write("open", "secret\n", 0640);
    CHECK(kind_of([&] { (void)read_secret_file(open); }) == ErrorKind::forbidden);
    CHECK_THROWS_WITH(read_secret_file(open), Contains("chmod 600"));
    CHECK(read_secret_file(dir.write("closed", "secret\nrest", 0600)) == "secret");
    CHECK(kind_of([&] { (void)read_secret_file(dir.write("empty", "\n", 0600)); }) == ErrorKind::invalid);
}

TEST_CASE("file: a symbolic link is replaced in one step, also over a file") {
    const test::TempDir dir;
    replace_symlink("releases/1", dir / "current");
    replace_symlink("releases/2", dir / "current");
    CHECK(fs::read_symlink(dir / "current") == "releases/2");
    CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("file: a lock is held by one, and free again after its owner") {
    const test::TempDir dir;
    {
        const auto lock = FileLock::acquire(dir / "lock");
        CHECK(kind_of([&] { (void)FileLock::acquire(dir / "lock"); }) == ErrorKind::busy);
    }
    CHECK_NOTHROW(FileLock::acquire(dir / "lock"));
}

TEST_CASE("file: a tree is removed, and what its links point to is not") {
    const test::TempDir dir;
    dir.write("kept/file", "x");
    dir.write("tree/sub/file", "x");
    fs::create_directory_symlink(dir / "kept", dir / "tree/link");
    fs::permissions(dir / "tree/sub", fs::perms::owner_read | fs::perms::owner_exec);
    remove_tree(dir / "tree");
    CHECK_FALSE(fs::exists(dir / "tree"));
    CHECK(fs::exists(dir / "kept/file"));
    CHECK_NOTHROW(remove_tree(dir / "tree"));
}
