// SPDX-License-Identifier: MIT
// Signatures, judged by git with ssh-keygen or gpg; the program for the other kind is taken away.
#include "common/git/signature.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <vector>

#include "common/digest.h"
#include "common/error.h"
#include "common/file.h"
#include "common/git/handles.h"
#include "common/git/lock.h"
#include "common/git/program.h"
#include "common/process/process.h"
#include "common/text.h"

namespace baton::git {
namespace fs = std::filesystem;

namespace {

using Verdict = SignatureCheck::Verdict;

/// A key ring of its own, holding just the allowed keys: then "known to gpg" means "allowed".
class KeyRing {
  public:
    explicit KeyRing(const fs::path& parent) : path_(parent / fmt::format("gpg-{}", to_hex(random_bytes(6)))) {
        fs::create_directories(path_);
        fs::permissions(path_, fs::perms::owner_all);
    }
    KeyRing(const KeyRing&) = delete;
    KeyRing& operator=(const KeyRing&) = delete;
    ~KeyRing() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }

    void import(const fs::path& keys, const std::stop_token& stop, Instant deadline) const {
        constexpr unsigned mode = 0600;
        write_file_atomically(path_ / "gpg.conf", "trust-model always\nno-autostart\nno-auto-key-retrieve\n", mode);
        process::Command command;
        command.argv = {"gpg", "--batch", "--quiet", "--no-tty", "--import", fs::absolute(keys).string()};
        command.environment = {variable(), "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"};
        command.timeout = std::max(Milliseconds{1}, std::chrono::duration_cast<Milliseconds>(deadline - now()));
        const auto [result, output] = process::capture(command, stop);
        if (result.end == process::Result::End::cancelled) throw Error(ErrorKind::cancelled, "cancelled");
        if (!result.ok()) {
            throw Error(ErrorKind::invalid, fmt::format("gpg cannot read the keys in {}: {}: {}", keys.string(),
                                                        result.describe(), escape_control(first_line(output))));
        }
    }
    [[nodiscard]] std::string variable() const { return "GNUPGHOME=" + path_.string(); }

  private:
    fs::path path_;
};

enum class Found { nothing, ssh, gpg, other };

/// What kind of signature the commit bears, by its first line, which is what git goes by as well.
Found kind_of_signature(const fs::path& mirror, const CommitId& commit) {
    use_library();
    RepositoryHandle repository;
    check(git_repository_open_bare(Out(repository), mirror.c_str()), fmt::format("open {}", mirror.string()));
    const CommitHandle present = find_commit(repository.get(), commit);
    git_oid oid = to_oid(commit);
    git_buf signature = GIT_BUF_INIT;
    git_buf content = GIT_BUF_INIT;
    const int code = git_commit_extract_signature(&signature, &content, repository.get(), &oid, nullptr);
    const std::string text = code == 0 ? std::string(signature.ptr, signature.size) : std::string();
    git_buf_dispose(&signature);
    git_buf_dispose(&content);
    if (code == GIT_ENOTFOUND) return Found::nothing;
    check(code, fmt::format("read the signature of {}", commit));
    if (text.starts_with("-----BEGIN SSH SIGNATURE-----")) return Found::ssh;
    if (text.starts_with("-----BEGIN PGP SIGNATURE-----") || text.starts_with("-----BEGIN PGP MESSAGE-----"))
        return Found::gpg;
    return Found::other;
}

Verdict verdict_of(char status) {
    switch (status) {  // the letters of git-log(1)'s %G?
        case 'G': return Verdict::good;
        case 'N': return Verdict::no_signature;
        case 'U':
        case 'E': return Verdict::unknown_signer;
        case 'X':
        case 'Y':
        case 'R': return Verdict::expired;
        default: return Verdict::bad;
    }
}

std::string explain(const SignatureCheck& check, const CommitId& commit, const fs::path& trusted_file) {
    const std::string id = commit.str().substr(0, 12);
    switch (check.verdict) {
        case Verdict::good: return fmt::format("commit {} is signed by {}", id, check.signer);
        case Verdict::no_signature: return fmt::format("commit {} is not signed", id);
        case Verdict::other_kind:
            return fmt::format("commit {} is signed, but not by the kind of key that is asked for", id);
        case Verdict::unknown_signer:
            return fmt::format("commit {} is signed by a key that {} does not allow{}{}", id, trusted_file.string(),
                               check.key.empty() ? "" : ": ", check.key);
        case Verdict::expired:
            return fmt::format("commit {}: the signature or its key {} has expired or is revoked", id, check.key);
        case Verdict::bad: return fmt::format("commit {} has a signature that does not fit its content", id);
    }
    return {};
}

SignatureCheck read_answer(const std::string& output, const std::string& mark) {
    SignatureCheck check;
    const std::size_t start = output.find(mark);
    if (start == std::string::npos) throw Error(ErrorKind::io, "git told nothing about the signature");
    const auto fields = split(std::string_view(output).substr(start + mark.size()), '\n');
    if (fields.empty() || fields[0].size() != 1) throw Error(ErrorKind::io, "git told nothing about the signature");
    check.verdict = verdict_of(fields[0].front());
    if (fields.size() > 1) check.key = escape_control(trim(fields[1]));
    if (fields.size() > 2) check.signer = escape_control(trim(fields[2]));
    return check;
}

}  // namespace

SignatureCheck verify_commit(const Mirror& mirror, const CommitId& commit, SignatureKind kind,
                             const fs::path& trusted_file, const std::stop_token& stop, Instant deadline) {
    SignatureCheck check;
    const Found found = kind_of_signature(mirror.path(), commit);
    std::error_code fault;
    if (!fs::is_regular_file(trusted_file, fault)) {
        throw Error(ErrorKind::not_found,
                    fmt::format("the file of allowed signers {} does not exist", trusted_file.string()));
    }
    const bool ssh = kind == SignatureKind::ssh;
    if (found != (ssh ? Found::ssh : Found::gpg)) {
        check.verdict = found == Found::nothing ? Verdict::no_signature : Verdict::other_kind;
        check.detail = explain(check, commit, trusted_file);
        return check;
    }
    const GitProgram git(mirror.remote());
    // The signature itself tells git which program checks it, so the others must not be there to say yes.
    const std::string refuse = "/bin/false";
    const std::string mark = to_hex(random_bytes(8)) + "=";
    const std::vector<std::string> arguments{"-c",
                                             "gpg.x509.program=" + refuse,
                                             "-c",
                                             ssh ? "gpg.program=" + refuse : "gpg.program=gpg",
                                             "-c",
                                             ssh ? "gpg.openpgp.program=" + refuse : "gpg.openpgp.program=gpg",
                                             "-c",
                                             ssh ? "gpg.ssh.program=ssh-keygen" : "gpg.ssh.program=" + refuse,
                                             "-c",
                                             "gpg.ssh.allowedSignersFile=" + fs::absolute(trusted_file).string(),
                                             "log",
                                             "-1",
                                             "--no-show-signature",
                                             fmt::format("--format={}%G?%n%GF%n%GS", mark),
                                             commit.str(),
                                             "--"};
    std::vector<std::string> environment;
    std::optional<KeyRing> ring;
    if (!ssh) {
        ring.emplace(mirror.remote().home);
        ring->import(trusted_file, stop, deadline);
        environment.push_back(ring->variable());
    }
    const auto answer = git.ask(arguments, mirror.path(), stop, deadline, environment);
    if (answer.status != 0) throw git.failure(fmt::format("check the signature of {}", commit), answer);
    check = read_answer(answer.output, mark);
    // Without an allowed signer there is nobody to name, whatever the letter says.
    if (check.ok() && check.signer.empty()) check.verdict = Verdict::unknown_signer;
    check.detail = explain(check, commit, trusted_file);
    return check;
}

}  // namespace baton::git
