// SPDX-License-Identifier: MIT
// Reading a mirror: names, ancestry, change lists, single files.
#include <catch2/catch.hpp>

#include "common/git/repository.h"
#include "tests/component/git/support.h"

namespace baton::test {

TEST_CASE("git: a branch, a tag, a prefix and a whole id lead to their commit, and nothing else does") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId first = work.commit_file("a", "1", "first");
    work.git({"tag", "-a", "v1", "-m", "annotated"});
    const CommitId second = work.commit_file("a", "2", "second");
    const git::Mirror mirror = mirror_of(dir, work.path());
    REQUIRE(fetch(mirror) == second);
    work.git({"push", "--quiet", mirror.path().string(), "v1"});

    const git::Repository repository(mirror.path());
    CHECK(repository.resolve("main") == second);
    CHECK(repository.resolve("refs/remotes/origin/main") == second);
    CHECK(repository.resolve("v1") == first);
    CHECK(repository.resolve(first.str()) == first);
    CHECK(repository.resolve(first.str().substr(0, 9)) == first);
    for (const char* nothing : {"", "nowhere", "main~1", "main@{1}", ":/first", "HEAD^", "--all", "../main", "fff",
                                "0000000000000000000000000000000000000000", "abcdef0123"}) {
        INFO(nothing);
        CHECK_FALSE(repository.resolve(nothing).has_value());
    }
    CHECK(repository.has_commit(first));
    CHECK_FALSE(repository.has_commit(CommitId("0000000000000000000000000000000000000001")));
}

TEST_CASE("git: a whole id means that commit even when a branch is called like it") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId first = work.commit_file("a", "1", "first");
    const CommitId second = work.commit_file("a", "2", "second");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    run_tool({"git", "update-ref", "refs/heads/" + first.str(), second.str()}, mirror.path());
    CHECK(git::Repository(mirror.path()).resolve(first.str()) == first);
}

TEST_CASE("git: ancestry holds along the history, for a commit itself, and not across branches") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId root = work.commit_file("a", "1", "root");
    work.git({"checkout", "--quiet", "-b", "side"});
    const CommitId side = work.commit_file("b", "1", "side");
    work.git({"checkout", "--quiet", "main"});
    const CommitId tip = work.commit_file("a", "2", "tip");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    run_tool({"git", "fetch", "--quiet", work.path().string(), "side:refs/heads/side"}, mirror.path());

    const git::Repository repository(mirror.path());
    CHECK(repository.is_ancestor(root, tip));
    CHECK(repository.is_ancestor(tip, tip));
    CHECK_FALSE(repository.is_ancestor(tip, root));
    CHECK_FALSE(repository.is_ancestor(side, tip));
    const Error error =
        error_of([&] { (void)repository.is_ancestor(CommitId("0000000000000000000000000000000000000001"), tip); });
    CHECK(error.kind() == ErrorKind::not_found);
}

TEST_CASE("git: a commit tells its author, its committer's time, its subject and its message") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId root = work.commit_file("a", "1", "root");
    const CommitId tip = work.commit("Sell more\nshoes\n\nBecause we can.\n");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    const git::CommitInfo info = git::Repository(mirror.path()).commit(tip);
    CHECK(info.id == tip);
    CHECK(info.parents == std::vector<CommitId>{root});
    CHECK(info.author_name == "Ann Author");
    CHECK(info.author_email == "ann@example.org");
    CHECK(info.committed == WallTime{std::chrono::seconds{1'700'000'002}});
    CHECK(info.subject == "Sell more shoes");
    CHECK(info.message == "Sell more\nshoes\n\nBecause we can.\n");
}

TEST_CASE("git: a change list is newest first, with each commit's added, edited and deleted paths") {
    const TempDir dir;
    Work work(dir / "work");
    work.write("keep", "1");
    const CommitId root = work.commit_file("old", "1", "root");
    const CommitId second = work.commit_file("docs/new", "1", "adds");
    work.write("keep", "2");
    std::filesystem::remove(work.path() / "old");
    const CommitId third = work.commit("edits and deletes");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);

    const git::Repository repository(mirror.path());
    const auto changes = repository.changes(root, third, 100);
    REQUIRE(changes.size() == 2);
    CHECK(changes[0].commit.id == third);
    CHECK(changes[1].commit.id == second);
    REQUIRE(changes[0].paths.size() == 2);
    CHECK(changes[0].paths[0].path == "keep");
    CHECK(to_text(changes[0].paths[0].type) == "edit");
    CHECK(changes[0].paths[1].path == "old");
    CHECK(to_text(changes[0].paths[1].type) == "delete");
    REQUIRE(changes[1].paths.size() == 1);
    CHECK(changes[1].paths[0].path == "docs/new");
    CHECK(to_text(changes[1].paths[0].type) == "add");

    const auto all = repository.changes({}, third, 100);
    REQUIRE(all.size() == 3);
    CHECK(all[2].paths.size() == 2);
    CHECK(repository.changes({}, third, 1).size() == 1);
    CHECK(repository.changes(third, third, 100).empty());
    CHECK(repository.changes(CommitId("0000000000000000000000000000000000000001"), third, 100).size() == 3);
}

TEST_CASE("git: a change list cuts a commit that touches very many files, and says so") {
    const TempDir dir;
    Work work(dir / "work");
    for (int i = 0; i < 310; ++i) work.write("f" + std::to_string(i), "x");
    const CommitId tip = work.commit("many");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    const auto changes = git::Repository(mirror.path()).changes({}, tip, 10);
    REQUIRE(changes.size() == 1);
    CHECK(changes[0].paths.size() == 300);
    CHECK(changes[0].paths_left_out == 10);
}

TEST_CASE("git: a file of a commit is read up to a limit; what is no regular file is refused") {
    const TempDir dir;
    Work work(dir / "work");
    work.write("ci/baton.yaml", "prepare: []\n");
    std::filesystem::create_symlink("/etc/passwd", work.path() / "link");
    const CommitId tip = work.commit("files");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    const git::Repository repository(mirror.path());
    CHECK(repository.read_blob(tip, "ci/baton.yaml", 100) == "prepare: []\n");
    CHECK(repository.read_blob(tip, "./ci/baton.yaml", 12) == "prepare: []\n");
    CHECK_FALSE(repository.read_blob(tip, "ci/none.yaml", 100).has_value());
    CHECK(error_of([&] { (void)repository.read_blob(tip, "ci/baton.yaml", 11); }).kind() == ErrorKind::too_large);
    CHECK(error_of([&] { (void)repository.read_blob(tip, "link", 100); }).kind() == ErrorKind::invalid);
    CHECK(error_of([&] { (void)repository.read_blob(tip, "ci", 100); }).kind() == ErrorKind::invalid);
}

TEST_CASE("git: no repository is an error that names the path") {
    const TempDir dir;
    const Error error = error_of([&] { const git::Repository repository(dir / "none"); });
    CHECK(error.kind() == ErrorKind::not_found);
    CHECK(error.text().find("none") != std::string::npos);
}

}  // namespace baton::test
