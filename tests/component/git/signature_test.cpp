// SPDX-License-Identifier: MIT
// Signed commits: allowed, foreign, missing, tampered with, of the other kind.
#include <catch2/catch.hpp>

#include <fmt/format.h>

#include "common/file.h"
#include "common/git/signature.h"
#include "common/text.h"
#include "tests/component/git/support.h"

namespace baton::test {
namespace {

using Verdict = git::SignatureCheck::Verdict;

/// An ssh key pair of its own; the public line.
std::string make_ssh_key(const TempDir& dir, const std::string& name) {
    run_tool({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", (dir / name).string()}, dir.path());
    return std::string(trim(read_file(dir / (name + ".pub"), 10'000)));
}

CommitId commit_signed_with(Work& work, const TempDir& dir, const std::string& key, const std::string& message) {
    work.git({"config", "gpg.format", "ssh"});
    work.git({"config", "user.signingKey", (dir / key).string()});
    return work.commit(message, {"-S"});
}

git::SignatureCheck verify(const git::Mirror& mirror, const CommitId& commit, git::SignatureKind kind,
                           const std::filesystem::path& trusted) {
    return git::verify_commit(mirror, commit, kind, trusted, {}, in(Milliseconds{30'000}));
}

/// The same commit with one word of its content changed, and its old signature.
CommitId tamper(Work& work, const CommitId& commit) {
    std::string raw = work.git({"cat-file", "commit", commit.str()}) + "\n";
    const std::string from = "Ann Author";
    raw.replace(raw.find(from), from.size(), "Eve Author");
    write_file_atomically(work.path() / ".git" / "tampered", raw);
    const CommitId made(work.git({"hash-object", "-t", "commit", "-w", ".git/tampered"}));
    work.git({"reset", "--quiet", "--hard", made.str()});
    return made;
}

}  // namespace

TEST_CASE("signatures: by ssh, only a sound signature of an allowed signer is good") {
    const TempDir dir;
    const std::string ann = make_ssh_key(dir, "ann");
    make_ssh_key(dir, "eve");
    const auto allowed = dir.write("allowed", fmt::format("ann@example.org {}\n", ann));
    Work work(dir / "work");
    const CommitId plain = work.commit_file("a", "1", "unsigned");
    const CommitId good = commit_signed_with(work, dir, "ann", "by ann");
    const CommitId foreign = commit_signed_with(work, dir, "eve", "by eve");
    const CommitId again = commit_signed_with(work, dir, "ann", "by ann again");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);

    const auto by_ann = verify(mirror, good, git::SignatureKind::ssh, allowed);
    CHECK(by_ann.ok());
    CHECK(by_ann.signer == "ann@example.org");
    CHECK(by_ann.key.starts_with("SHA256:"));
    CHECK(by_ann.detail.find("signed by ann@example.org") != std::string::npos);
    CHECK(verify(mirror, again, git::SignatureKind::ssh, allowed).ok());

    const auto by_nobody = verify(mirror, plain, git::SignatureKind::ssh, allowed);
    CHECK(by_nobody.verdict == Verdict::no_signature);
    CHECK(by_nobody.detail.find("is not signed") != std::string::npos);
    const auto by_eve = verify(mirror, foreign, git::SignatureKind::ssh, allowed);
    CHECK(by_eve.verdict == Verdict::unknown_signer);
    CHECK(by_eve.key.starts_with("SHA256:"));

    const CommitId changed = tamper(work, again);
    fetch(mirror);
    const auto tampered = verify(mirror, changed, git::SignatureKind::ssh, allowed);
    CHECK_FALSE(tampered.ok());
    CHECK(tampered.verdict == Verdict::bad);
    CHECK_FALSE(verify(mirror, good, git::SignatureKind::ssh, dir.write("nobody", "# no one\n")).ok());
}

TEST_CASE("signatures: a key that the allowed signers gave another purpose or another time does not count") {
    const TempDir dir;
    const std::string ann = make_ssh_key(dir, "ann");
    Work work(dir / "work");
    work.commit_file("a", "1", "unsigned");
    const CommitId good = commit_signed_with(work, dir, "ann", "by ann");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    const auto file = dir.write("file", fmt::format("ann@example.org namespaces=\"file\" {}\n", ann));
    CHECK_FALSE(verify(mirror, good, git::SignatureKind::ssh, file).ok());
    // The commits of these tests are of November 2023.
    const auto later = dir.write("later", fmt::format("ann@example.org valid-after=\"20240101\" {}\n", ann));
    CHECK_FALSE(verify(mirror, good, git::SignatureKind::ssh, later).ok());
    const auto then =
        dir.write("then", fmt::format("ann@example.org namespaces=\"git\",valid-before=\"20240101\" {}\n", ann));
    CHECK(verify(mirror, good, git::SignatureKind::ssh, then).ok());
}

TEST_CASE("signatures: by gpg, only keys of the given file count, and neither kind passes for the other") {
    const TempDir dir;
    std::filesystem::create_directories(dir / "gnupg");
    std::filesystem::permissions(dir / "gnupg", std::filesystem::perms::owner_all);
    const std::vector<std::string> home{"GNUPGHOME=" + (dir / "gnupg").string()};
    for (const char* user : {"Ann <ann@example.org>", "Eve <eve@example.org>"}) {
        run_tool(
            {"gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "never"},
            dir.path(), home);
    }
    const auto armoured = dir.write(
        "ann.asc", run_tool({"gpg", "--batch", "--armor", "--export", "ann@example.org"}, dir.path(), home) + "\n");
    run_tool({"gpg", "--batch", "--output", (dir / "ann.gpg").string(), "--export", "ann@example.org"}, dir.path(),
             home);
    Work work(dir / "work");
    work.commit_file("a", "1", "unsigned");
    const auto commit = [&](const std::string& who) {
        work.git({"commit", "--quiet", "--allow-empty", "-m", "by " + who, "-S" + who}, home);
        return work.head();
    };
    const CommitId good = commit("ann@example.org");
    const CommitId foreign = commit("eve@example.org");
    const std::string key = make_ssh_key(dir, "ssh");
    const auto allowed = dir.write("allowed", fmt::format("ann@example.org {}\n", key));
    const CommitId by_ssh = commit_signed_with(work, dir, "ssh", "by ssh");
    run_tool({"gpgconf", "--kill", "all"}, dir.path(), home);
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);

    for (const auto& file : {armoured, dir / "ann.gpg"}) {
        const auto by_ann = verify(mirror, good, git::SignatureKind::gpg, file);
        INFO(by_ann.detail);
        CHECK(by_ann.ok());
        CHECK(by_ann.signer == "Ann <ann@example.org>");
    }
    CHECK(verify(mirror, foreign, git::SignatureKind::gpg, armoured).verdict == Verdict::unknown_signer);
    CHECK(verify(mirror, by_ssh, git::SignatureKind::gpg, armoured).verdict == Verdict::other_kind);
    CHECK(verify(mirror, good, git::SignatureKind::ssh, allowed).verdict == Verdict::other_kind);
    CHECK(verify(mirror, by_ssh, git::SignatureKind::ssh, allowed).ok());
    const Error error =
        error_of([&] { (void)verify(mirror, good, git::SignatureKind::gpg, dir.write("junk", "junk\n")); });
    CHECK(error.kind() == ErrorKind::invalid);
}

TEST_CASE("signatures: a missing file of signers and an unknown commit are errors, not answers") {
    const TempDir dir;
    Work work(dir / "work");
    const CommitId tip = work.commit_file("a", "1", "first");
    const git::Mirror mirror = mirror_of(dir, work.path());
    fetch(mirror);
    CHECK(error_of([&] { (void)verify(mirror, tip, git::SignatureKind::ssh, dir / "none"); }).kind() ==
          ErrorKind::not_found);
    CHECK(error_of([&] {
              (void)verify(mirror, CommitId("0000000000000000000000000000000000000001"), git::SignatureKind::ssh,
                           dir.write("allowed", "\n"));
          }).kind() == ErrorKind::not_found);
}

}  // namespace baton::test
