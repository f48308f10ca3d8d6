// SPDX-License-Identifier: MIT
// Packs between the mirrors of two nodes: taken in whole, or not at all.
#include <catch2/catch.hpp>

#include "common/file.h"
#include "common/git/repository.h"
#include "tests/component/git/support.h"

namespace baton::test {
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t plenty = 100'000'000;

/// A host with three commits; the first node's mirror has them all, the second's only the first.
struct TwoNodes {
    TwoNodes() {
        work.write("lib/deep/file", "shared");
        base = work.commit_file("a", "1", "base");
        (void)fetch(behind);
        middle = work.commit_file("a", "2", "middle");
        work.write("lib/deep/file", "changed");
        tip = work.commit_file("new/b", "3", "tip");
        (void)fetch(ahead);
    }
    TempDir dir;
    Work work{dir / "work"};
    git::Mirror ahead = mirror_of(dir, work.path(), "ahead");
    git::Mirror behind = mirror_of(dir, work.path(), "behind");
    CommitId base, middle, tip;
};

std::size_t entries(const fs::path& folder) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder)) ++count;
    return count;
}

/// A pack of `objects` (ids, one a line) exactly, by git itself.
std::string pack_of(const git::Mirror& mirror, const std::string& objects) {
    const fs::path list = mirror.path().parent_path() / "objects.txt";
    write_file_atomically(list, objects + "\n");
    const std::string name = run_tool({"sh", "-c", "git pack-objects -q \"$1\" < \"$2\"", "sh",
                                       (mirror.path().parent_path() / "made").string(), list.string()},
                                      mirror.path());
    return read_file(mirror.path().parent_path() / ("made-" + name + ".pack"), plenty);
}

/// Nothing of a refused pack is there, and the repository is sound.
void check_untouched(const TwoNodes& nodes, std::size_t files_before) {
    const git::Repository repository(nodes.behind.path());
    CHECK_FALSE(repository.has_commit(nodes.tip));
    CHECK_FALSE(repository.resolve("refs/baton/" + nodes.tip.str()).has_value());
    CHECK(entries(nodes.behind.path() / "objects" / "pack") == files_before);
    for (const auto& entry : fs::directory_iterator(nodes.behind.path())) {
        CHECK_FALSE(entry.path().filename().string().starts_with("incoming-"));
    }
    CHECK_NOTHROW(run_tool({"git", "fsck", "--strict"}, nodes.behind.path()));
}

}  // namespace

TEST_CASE("packs: a node that is behind takes a peer's pack, and has all that the commit needs") {
    TwoNodes nodes;
    const std::string pack = git::Repository(nodes.ahead.path()).make_pack(nodes.tip, {nodes.base}, plenty);
    git::Repository repository(nodes.behind.path());
    REQUIRE_FALSE(repository.has_commit(nodes.tip));
    repository.add_pack(pack, nodes.tip);
    CHECK(repository.has_commit(nodes.tip));
    CHECK(repository.is_ancestor(nodes.base, nodes.tip));
    CHECK(repository.read_blob(nodes.tip, "new/b", 10) == "3");
    CHECK(repository.resolve("refs/baton/" + nodes.tip.str()) == nodes.tip);
    CHECK_NOTHROW(run_tool({"git", "fsck", "--strict", "--no-dangling"}, nodes.behind.path()));
    // What is referred to survives a clean-up that removes all the rest.
    run_tool({"git", "gc", "--quiet", "--prune=now"}, nodes.behind.path());
    CHECK(git::Repository(nodes.behind.path()).read_blob(nodes.tip, "lib/deep/file", 10) == "changed");
}

TEST_CASE("packs: an empty mirror takes a whole history, and one that has it all takes an empty pack") {
    TwoNodes nodes;
    const git::Repository ahead(nodes.ahead.path());
    const git::Mirror fresh = mirror_of(nodes.dir, nodes.work.path(), "fresh");
    fresh.ensure_exists({}, in(Milliseconds{60'000}));
    git::Repository repository(fresh.path());
    repository.add_pack(ahead.make_pack(nodes.tip, {}, plenty), nodes.tip);
    CHECK(repository.changes({}, nodes.tip, 10).size() == 3);
    CHECK_NOTHROW(repository.add_pack(ahead.make_pack(nodes.tip, {nodes.tip}, plenty), nodes.tip));
    CHECK_NOTHROW(run_tool({"git", "fsck", "--strict"}, fresh.path()));
}

TEST_CASE("packs: what the other has is left out, also when it names commits that are unknown here") {
    TwoNodes nodes;
    const git::Repository ahead(nodes.ahead.path());
    const auto whole = ahead.make_pack(nodes.tip, {}, plenty).size();
    const auto part = ahead.make_pack(nodes.tip, {nodes.middle}, plenty).size();
    CHECK(part < whole);
    CHECK(ahead.make_pack(nodes.tip, {CommitId("0000000000000000000000000000000000000001"), nodes.middle}, plenty)
              .size() == part);
}

TEST_CASE("packs: a corrupt pack is refused and leaves nothing behind") {
    TwoNodes nodes;
    const auto before = entries(nodes.behind.path() / "objects" / "pack");
    const std::string pack = git::Repository(nodes.ahead.path()).make_pack(nodes.tip, {nodes.base}, plenty);
    git::Repository repository(nodes.behind.path());
    std::string flipped = pack;
    flipped[pack.size() / 2] = static_cast<char>(flipped[pack.size() / 2] ^ 0x55);
    std::string trailer = pack;
    trailer.back() = static_cast<char>(trailer.back() ^ 1);
    for (const std::string& broken : {flipped, trailer, pack.substr(0, pack.size() / 2), pack.substr(0, 12),
                                      std::string("PACK"), std::string(), std::string("not a pack at all")}) {
        CHECK(error_of([&] { repository.add_pack(broken, nodes.tip); }).kind() == ErrorKind::invalid);
    }
    check_untouched(nodes, before);
    // And the sound one is still welcome.
    CHECK_NOTHROW(repository.add_pack(pack, nodes.tip));
}

TEST_CASE("packs: a pack that lacks a commit, a tree or a file is refused and leaves nothing behind") {
    TwoNodes nodes;
    const auto before = entries(nodes.behind.path() / "objects" / "pack");
    const auto id = [&](const std::string& what) { return nodes.work.git({"rev-parse", what}); };
    const std::string tip = nodes.tip.str();
    const std::string trees =
        id(tip + "^{tree}") + "\n" + id(tip + ":new") + "\n" + id(tip + ":lib") + "\n" + id(tip + ":lib/deep");
    const std::string files = id(tip + ":new/b") + "\n" + id(tip + ":lib/deep/file") + "\n" + id(tip + ":a");
    const std::string middle = nodes.middle.str() + "\n" + id(nodes.middle.str() + "^{tree}");
    git::Repository repository(nodes.behind.path());
    const auto refusal = [&](const std::string& objects) {
        const std::string pack = pack_of(nodes.ahead, objects);
        const Error error = error_of([&] { repository.add_pack(pack, nodes.tip); });
        CHECK(error.kind() == ErrorKind::invalid);
        return error.text();
    };
    CHECK(refusal(tip + "\n" + trees + "\n" + files).find("lacks commit " + nodes.middle.str()) != std::string::npos);
    CHECK(refusal(tip + "\n" + middle + "\n" + files).find("lacks tree") != std::string::npos);
    CHECK(refusal(tip + "\n" + middle + "\n" + trees).find("lacks file") != std::string::npos);
    CHECK(refusal(middle).find("lacks commit") != std::string::npos);
    check_untouched(nodes, before);
    repository.add_pack(pack_of(nodes.ahead, tip + "\n" + middle + "\n" + trees + "\n" + files), nodes.tip);
    CHECK(repository.has_commit(nodes.tip));
}

TEST_CASE("packs: a pack beyond the limit is not made") {
    TwoNodes nodes;
    const git::Repository ahead(nodes.ahead.path());
    const auto size = ahead.make_pack(nodes.tip, {}, plenty).size();
    CHECK(ahead.make_pack(nodes.tip, {}, size).size() == size);
    CHECK(error_of([&] { (void)ahead.make_pack(nodes.tip, {}, size - 1); }).kind() == ErrorKind::too_large);
}

TEST_CASE("packs: a commit that is kept survives a clean-up after a forced push") {
    TwoNodes nodes;
    git::Repository(nodes.ahead.path()).keep(nodes.tip);
    nodes.work.git({"reset", "--quiet", "--hard", nodes.base.str()});
    (void)fetch(nodes.ahead);
    run_tool({"git", "gc", "--quiet", "--prune=now"}, nodes.ahead.path());
    CHECK(git::Repository(nodes.ahead.path()).has_commit(nodes.tip));
}

}  // namespace baton::test
