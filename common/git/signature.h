// SPDX-License-Identifier: MIT
// Who signed a commit, and whether that is one of those who may.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>

#include "common/git/mirror.h"
#include "common/types.h"

namespace baton::git {

enum class SignatureKind { ssh, gpg };

struct SignatureCheck {
    enum class Verdict {
        good,  ///< signed by one of the allowed
        no_signature,
        other_kind,      ///< signed, but by gpg where ssh is asked for, or the reverse
        unknown_signer,  ///< a sound signature by someone who is not allowed, or a key that is not there
        bad,             ///< does not belong to this commit's content
        expired,         ///< signature or key is expired or revoked
    };
    Verdict verdict = Verdict::bad;
    std::string signer;  ///< principal or user id; empty if unknown
    std::string key;     ///< the key's fingerprint; empty if unknown
    std::string detail;  ///< one sentence for people: who signed, or why not and what to do
    [[nodiscard]] bool ok() const { return verdict == Verdict::good; }
};

/// Checks the commit's signature by git itself. `trusted_file` is an allowed-signers file (ssh; see ssh-keygen(1)) or
/// exported public keys (gpg; armoured or not); a signature of the other kind never counts.
/// Error(not_found) for an unknown commit or a missing file; timeout, cancelled, io.
[[nodiscard]] SignatureCheck verify_commit(const Mirror& mirror, const CommitId& commit, SignatureKind kind,
                                           const std::filesystem::path& trusted_file, const std::stop_token& stop,
                                           Instant deadline);

}  // namespace baton::git
