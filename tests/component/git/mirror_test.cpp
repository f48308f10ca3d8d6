// SPDX-License-Identifier: MIT
// Fetching: force pushes, wrong repositories, what a killed fetch leaves, several at once, urls that are refused.
#include <catch2/catch.hpp>

#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <thread>

#include "common/file.h"
#include "common/git/repository.h"
#include "tests/component/git/support.h"

namespace baton::test {
namespace fs = std::filesystem;

TEST_CASE("mirror: a fetch brings the branch, the next one its new commit") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId first = work.commit_file("a", "1", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    CHECK(fetch(mirror) == first);
    CHECK(fetch(mirror) == first);
    const CommitId second = work.commit_file("a", "2", "second");
    CHECK(mirror.remote_tip({}, in(Milliseconds{60'000})) == second);
    CHECK(fetch(mirror) == second);
    CHECK(git::Repository(mirror.path()).is_ancestor(first, second));
}

TEST_CASE("mirror: a forced push is followed, and the old commit stays readable") {
    const TempDir dir;
    Work work(dir / "work");
    work.commit_file("a", "1", "first");
    const CommitId old = work.commit_file("a", "2", "old");
    const git::Mirror mirror = mirror_of(dir, work.path());
    REQUIRE(fetch(mirror) == old);
    const CommitId rewritten = work.commit("rewritten", {"--amend"});
    REQUIRE(rewritten != old);
    CHECK(fetch(mirror) == rewritten);
    const git::Repository repository(mirror.path());
    CHECK(repository.resolve("main") == rewritten);
    CHECK(repository.has_commit(old));
    CHECK_FALSE(repository.is_ancestor(old, rewritten));
}

TEST_CASE("mirror: a file url works as a path does, also for the bare repository's tip") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId tip = work.commit_file("a", "1", "first");
    run_tool({"git", "clone", "--quiet", "--bare", work.path().string(), (dir / "host.git").string()}, dir.path());
    const git::Mirror mirror = mirror_of(dir, "file://" + (dir / "host.git").string());
    CHECK(mirror.remote_tip({}, in(Milliseconds{60'000})) == tip);
    CHECK(fetch(mirror) == tip);
}

TEST_CASE("mirror: a branch that is not there is no tip, and an error of the fetch that names it") {
    const TempDir dir;
    Work work(dir / "work");
    work.commit_file("a", "1", "first");
    const git::Mirror mirror(dir / "m.git", git::Remote{work.path(), {}, dir / "home"}, "release");
    CHECK_FALSE(mirror.remote_tip({}, in(Milliseconds{60'000})).has_value());
    const Error error = error_of([&] { fetch(mirror); });
    CHECK(error.kind() == ErrorKind::not_found);
    CHECK(error.text().find("refs/heads/release") != std::string::npos);
    CHECK(error.text().find("check the app's branch") != std::string::npos);
}

TEST_CASE("mirror: a directory that is no repository is an error with git's words and what to do") {
    const TempDir dir;
    fs::create_directories(dir / "plain");
    const git::Mirror mirror = mirror_of(dir, dir / "plain");
    const Error error = error_of([&] { fetch(mirror); });
    CHECK(error.kind() == ErrorKind::not_found);
    CHECK(error.text().find("does not appear to be a git repository") != std::string::npos);
    CHECK(error.text().find("check the app's repository url") != std::string::npos);
    CHECK(error_of([&] { (void)mirror.remote_tip({}, in(Milliseconds{60'000})); }).kind() == ErrorKind::not_found);
}

TEST_CASE("mirror: a directory in the mirror's place that is no repository is left alone") {
    const TempDir dir;
    Work work(dir / "work");
    work.commit_file("a", "1", "first");
    dir.write("mirror.git/precious", "data");
    const Error error = error_of([&] { fetch(mirror_of(dir, work.path())); });
    CHECK(error.kind() == ErrorKind::corrupt);
    CHECK(read_file(dir / "mirror.git/precious", 10) == "data");
}

TEST_CASE("mirror: a broken mirror inside another repository leaves that one alone") {
    const TempDir dir;
    Work work(dir / "work");
    work.commit_file("a", "1", "first");
    Work around(dir.path());
    around.commit("around");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    // git takes it for a plain directory then.
    fs::remove_all(mirror.path() / "refs");
    CHECK_THROWS_AS(fetch(mirror), Error);
    CHECK(around.git({"for-each-ref", "refs/remotes"}).empty());
}

TEST_CASE("mirror: what a killed fetch left behind is removed, and the next fetch works") {
    const TempDir dir;
    Work work(dir / "work");
    work.commit_file("a", "1", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    const CommitId second = work.commit_file("a", "2", "second");
    const std::vector<std::string> left{"refs/remotes/origin/main.lock", "packed-refs.lock", "config.lock",
                                        "objects/pack/tmp_pack_Ab3dE5", "incoming-0011223344556677/pack/x"};
    for (const auto& name : left) dir.write("mirror.git/" + name, "half", 0600);
    CHECK(fetch(mirror) == second);
    for (const auto& name : left) {
        INFO(name);
        CHECK_FALSE(fs::exists(mirror.path() / name));
    }
}

TEST_CASE("mirror: fetches of one mirror at the same time all come to the same tip") {
    const TempDir dir;
    Work work(dir / "work");
    for (int i = 0; i < 5; ++i) work.commit_file("a", std::to_string(i), "commit");
    const CommitId tip = work.head();
    const git::Mirror mirror = mirror_of(dir, work.path());
    constexpr std::size_t fetchers = 4;
    std::vector<std::optional<CommitId>> tips(fetchers);
    {
        std::vector<std::jthread> threads;
        for (auto& slot : tips) {
            threads.emplace_back([&mirror, &slot] {
                try {
                    slot = fetch(mirror);
                } catch (const Error& error) {
                    slot = CommitId(error.text());
                }
            });
        }
    }
    for (const auto& slot : tips) CHECK(slot == tip);
}

TEST_CASE("mirror: a fetch that finds the mirror in use gives up at its deadline, or when it is told to stop") {
    const TempDir dir;
    Work work(dir / "work");
    work.commit_file("a", "1", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    const FileLock held = FileLock::acquire(dir / "mirror.git.lock");
    CHECK(error_of([&] { (void)mirror.fetch({}, in(Milliseconds{100})); }).kind() == ErrorKind::busy);
    std::stop_source stop;
    stop.request_stop();
    CHECK(error_of([&] { (void)mirror.fetch(stop.get_token(), in(Milliseconds{60'000})); }).kind() ==
          ErrorKind::cancelled);
}

TEST_CASE("mirror: urls that git would take for an option or a helper program, and bad branches, are refused") {
    const TempDir dir;
    for (const char* url : {"--upload-pack=touch /tmp/x", "-oProxyCommand=x", "ext::sh -c id", "fd::3", "relative/path",
                            "", "ftp://host/x", "https://", "file://host/x", "https://host/a\nb", "gopher://x/y",
                            "https://user:pass?word@host/x", "https://user:#1@host/x"}) {
        INFO(url);
        CHECK(error_of([&] { (void)mirror_of(dir, url); }).kind() == ErrorKind::invalid);
    }
    for (const char* url : {"https://host/x.git", "http://user:pw@host:8080/x", "ssh://git@host:22/x",
                            "git@host:x/y.git", "host:x.git", "git://host/x", "file:///x", "/x/y", "HTTPS://Host/x"}) {
        INFO(url);
        CHECK_NOTHROW((void)mirror_of(dir, url));
    }
    for (const char* branch : {"", "a..b", "x.lock", "a b", "a:b", "^x"}) {
        INFO(branch);
        CHECK(error_of([&] {
                  (void)git::Mirror(dir / "m", git::Remote{"/x", {}, dir / "home"}, branch);
              }).kind() == ErrorKind::invalid);
    }
}

TEST_CASE("mirror: nothing of the account's git configuration has a say") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId tip = work.commit_file("a", "1", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    // Would send every path of this machine elsewhere, if git read it.
    dir.write("home/.gitconfig", "[url \"/nowhere/\"]\n\tinsteadOf = /\n");
    CHECK(fetch(mirror) == tip);
}

TEST_CASE("mirror: a clean-up repacks a mirror of many packs, and all commits stay") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId first = work.commit_file("a", "0", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    constexpr int fetches = 6;
    for (int i = 1; i <= fetches; ++i) {
        work.commit_file("a", std::to_string(i), "more");
        fetch(mirror);
    }
    run_tool({"git", "config", "gc.autoPackLimit", "3"}, mirror.path());
    const auto packs = [&] {
        std::size_t count = 0;
        for (const auto& file : fs::directory_iterator(mirror.path() / "objects" / "pack"))
            count += file.path().extension() == ".pack";
        return count;
    };
    REQUIRE(packs() > 3);
    mirror.maintain({}, in(Milliseconds{30'000}));
    CHECK(packs() == 1);
    const git::Repository repository(mirror.path());
    CHECK(repository.is_ancestor(first, work.head()));
}

}  // namespace baton::test
