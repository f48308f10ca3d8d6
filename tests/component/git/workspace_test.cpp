// SPDX-License-Identifier: MIT
// Workspaces: what a checkout would write, with nothing of git left in it.
#include <catch2/catch.hpp>

#include <fmt/format.h>
#include <thread>

#include "common/file.h"
#include "common/git/repository.h"
#include "common/git/workspace.h"
#include "tests/component/git/support.h"

namespace baton::test {
namespace fs = std::filesystem;

namespace {

void export_now(const git::Mirror& mirror, const CommitId& commit, const fs::path& destination) {
    git::export_tree(mirror, commit, destination, {}, in(Milliseconds{60'000}));
}

bool has_git(const fs::path& tree) {
    for (const auto& entry : fs::recursive_directory_iterator(tree)) {
        if (entry.path().filename() == ".git") return true;
    }
    return false;
}

std::string content(const fs::path& file) { return read_file(file, 1'000'000); }

}  // namespace

TEST_CASE("workspace: files, symbolic links, executable bits and attributes are as a checkout has them") {
    const TempDir dir;
    Work work(dir / "work");
    work.write(".gitattributes",
               "*.bat text eol=crlf\n*.ver ident\n*.u16 text working-tree-encoding=UTF-16LE\nx.secret export-ignore\n");
    work.write("run.bat", "a\nb\n");
    work.write("id.ver", "$Id$\n");
    work.write("x.secret", "part of a checkout\n");
    work.write("bin/tool", "#!/bin/sh\n", 0755);
    work.write("plain", "data\n");
    work.write("wide.u16", std::string("h\0i\0\n\0", 6));
    fs::create_symlink("../plain", work.path() / "bin" / "link");
    fs::create_symlink("/does/not/exist", work.path() / "dangling");
    const CommitId tip = work.commit("tree");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    const fs::path out = dir / "builds" / "7";
    export_now(mirror, tip, out);

    CHECK(content(out / "run.bat") == "a\r\nb\r\n");
    CHECK(content(out / "id.ver").starts_with("$Id: "));
    CHECK(content(out / "x.secret") == "part of a checkout\n");
    CHECK(content(out / "wide.u16") == std::string("h\0i\0\n\0", 6));
    CHECK(fs::read_symlink(out / "bin" / "link") == "../plain");
    CHECK(fs::read_symlink(out / "dangling") == "/does/not/exist");
    CHECK((fs::status(out / "bin" / "tool").permissions() & fs::perms::owner_exec) != fs::perms::none);
    CHECK((fs::status(out / "plain").permissions() & fs::perms::owner_exec) == fs::perms::none);
    CHECK_FALSE(has_git(out));
}

TEST_CASE("workspace: an older commit is exported as it was, also when the mirror is gone afterwards") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId first = work.commit_file("a", "1", "first");
    const CommitId second = work.commit_file("a", "2", "second");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    export_now(mirror, first, dir / "one");
    export_now(mirror, second, dir / "two");
    remove_tree(mirror.path());
    CHECK(content(dir / "one" / "a") == "1");
    CHECK(content(dir / "two" / "a") == "2");
}

TEST_CASE("workspace: submodules come along, recursively, at the commits that the tree names") {
    const TempDir dir;
    Work inner(dir / "inner");
    inner.commit_file("deep", "inner\n", "inner");
    Work lib(dir / "lib");
    lib.git({"submodule", "--quiet", "add", "../inner", "nested"});
    lib.write("lib.txt", "one\n");
    lib.commit("lib");
    Work work(dir / "work");
    work.git({"submodule", "--quiet", "add", "../lib", "vendor/lib"});
    const CommitId tip = work.commit("with a submodule");
    lib.commit_file("lib.txt", "two\n", "newer than what is wanted");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);

    export_now(mirror, tip, dir / "one");
    CHECK(content(dir / "one/vendor/lib/lib.txt") == "one\n");
    CHECK(content(dir / "one/vendor/lib/nested/deep") == "inner\n");
    CHECK_FALSE(has_git(dir / "one"));

    // The next build needs nobody for what is here already.
    fs::rename(dir / "lib", dir / "lib-away");
    fs::rename(dir / "inner", dir / "inner-away");
    export_now(mirror, tip, dir / "two");
    CHECK(content(dir / "two/vendor/lib/lib.txt") == "one\n");
    CHECK(content(dir / "two/vendor/lib/nested/deep") == "inner\n");
    CHECK_FALSE(has_git(dir / "two"));
    fs::rename(dir / "lib-away", dir / "lib");
    fs::rename(dir / "inner-away", dir / "inner");

    // And a newer commit of the submodule is fetched into what was kept.
    work.git({"-C", "vendor/lib", "fetch", "--quiet", "origin"});
    work.git({"-C", "vendor/lib", "checkout", "--quiet", "origin/main"});
    const CommitId newer = work.commit("newer submodule");
    fetch(mirror);
    export_now(mirror, newer, dir / "three");
    CHECK(content(dir / "three/vendor/lib/lib.txt") == "two\n");
}

TEST_CASE("workspace: a submodule that cannot be had is an error, and nothing is left") {
    const TempDir dir;
    Work lib(dir / "lib");
    lib.commit_file("lib.txt", "one\n", "lib");
    Work work(dir / "work");
    work.git({"submodule", "--quiet", "add", "../lib", "lib"});
    const CommitId tip = work.commit("with a submodule");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    fs::rename(dir / "lib", dir / "away");
    const Error error = error_of([&] { export_now(mirror, tip, dir / "out"); });
    INFO(error.text());
    CHECK(error.text().starts_with("submodules: "));
    CHECK(error.kind() == ErrorKind::not_found);
    CHECK_FALSE(fs::exists(dir / "out"));
    fs::rename(dir / "away", dir / "lib");
    CHECK_NOTHROW(export_now(mirror, tip, dir / "out"));
}

TEST_CASE("workspace: a repository from elsewhere cannot read paths of this machine by a submodule") {
    const TempDir dir;
    Work secret(dir / "secret");
    secret.commit_file("key", "private\n", "secret");
    Work work(dir / "work");
    work.git({"submodule", "--quiet", "add", (dir / "secret").string(), "loot"});
    const CommitId tip = work.commit("steals");
    const git::Mirror local = mirror_of(dir, work.path());
    fetch(local);
    // The same mirror, said to come from a host.
    const git::Mirror foreign(local.path(), git::Remote{"https://git.example.org/x.git", {}, dir / "home"}, "main");
    const Error error = error_of([&] { export_now(foreign, tip, dir / "out"); });
    INFO(error.text());
    CHECK(error.text().find("transport 'file' not allowed") != std::string::npos);
    CHECK(error.kind() == ErrorKind::forbidden);
    CHECK_FALSE(fs::exists(dir / "out"));
}

TEST_CASE("workspace: a directory with something in it, and a commit that is not there, are refused") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId tip = work.commit_file("a", "1", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    dir.write("full/precious", "data");
    CHECK(error_of([&] { export_now(mirror, tip, dir / "full"); }).kind() == ErrorKind::conflict);
    CHECK(content(dir / "full/precious") == "data");
    fs::create_directories(dir / "empty");
    CHECK_NOTHROW(export_now(mirror, tip, dir / "empty"));
    CHECK(content(dir / "empty/a") == "1");
    const CommitId nowhere("0000000000000000000000000000000000000001");
    CHECK(error_of([&] { export_now(mirror, nowhere, dir / "out"); }).kind() == ErrorKind::not_found);
    CHECK_FALSE(fs::exists(dir / "out"));
}

TEST_CASE("workspace: a required filter that is not there fails the export instead of writing something else") {
    const TempDir dir;
    Work work(dir / "work");
    work.write(".gitattributes", "*.bin filter=lfs -text\n");
    // A pointer file, as a repository with large files holds it.
    work.write("big.bin", fmt::format("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n",
                                      std::string(64, 'a')));
    const CommitId tip = work.commit("large file");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    const Error error = error_of([&] { export_now(mirror, tip, dir / "out"); });
    INFO(error.text());
    CHECK(error.text().find("lfs") != std::string::npos);
    CHECK_FALSE(fs::exists(dir / "out"));
}

TEST_CASE("workspace: an export past its deadline, or told to stop, leaves nothing") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId tip = work.commit_file("a", "1", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    CHECK(error_of([&] { git::export_tree(mirror, tip, dir / "out", {}, in(Milliseconds{0})); }).kind() ==
          ErrorKind::timeout);
    CHECK_FALSE(fs::exists(dir / "out"));
    std::stop_source stop;
    stop.request_stop();
    CHECK(error_of([&] {
              git::export_tree(mirror, tip, dir / "out", stop.get_token(), in(Milliseconds{60'000}));
          }).kind() == ErrorKind::cancelled);
    CHECK_FALSE(fs::exists(dir / "out"));
}

TEST_CASE("workspace: exports run side by side with each other and with a fetch") {
    const TempDir dir;
    Work work(dir / "work");
    for (int i = 0; i < 50; ++i) work.write(fmt::format("d{}/f{}", i % 5, i), std::to_string(i));
    const CommitId tip = work.commit("files");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    std::vector<std::string> faults(4);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < faults.size(); ++i) {
            threads.emplace_back([&, i] {
                try {
                    if (i == 0)
                        fetch(mirror);
                    else
                        export_now(mirror, tip, dir / fmt::format("out{}", i));
                } catch (const std::exception& error) {
                    faults[i] = error.what();
                }
            });
        }
    }
    for (const auto& fault : faults) CHECK(fault.empty());
    for (std::size_t i = 1; i < faults.size(); ++i) CHECK(content(dir / fmt::format("out{}/d4/f49", i)) == "49");
}

TEST_CASE("workspace: it is removed with all that a build made of it, read-only directories included") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId tip = work.commit_file("a/b", "1", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    export_now(mirror, tip, dir / "out");
    fs::permissions(dir / "out/a", fs::perms::owner_read | fs::perms::owner_exec);
    git::remove_workspace(dir / "out");
    CHECK_FALSE(fs::exists(dir / "out"));
    CHECK_NOTHROW(git::remove_workspace(dir / "out"));
}

}  // namespace baton::test
