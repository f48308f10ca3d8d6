// SPDX-License-Identifier: MIT
// The tokens file: who may read, trigger or operate. Lines `name role sha256-of-the-secret`; no secret is
// kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace baton::config {

/// Each may do what the ones before it may.
enum class Role { read, trigger, operate };
[[nodiscard]] std::string_view to_text(Role role);
/// None for a text that names no role.
[[nodiscard]] std::optional<Role> parse_role(std::string_view text);

struct Token {
    std::string name;  ///< see is_valid_name()
    Role role = Role::read;
    std::string hash;  ///< SHA-256 of the secret, lower-case hexadecimal
    bool operator==(const Token&) const = default;
};

/// Reads the lines; blank ones and those that begin with `#` are skipped. ConfigError (fault.h) with all
/// faults; it repeats no word of the file, for each may be a secret that was written into the wrong place.
[[nodiscard]] std::vector<Token> parse_tokens(std::string_view text, std::string_view file_name);
/// The same from a file; Error(forbidden) when others than its owner may read it.
[[nodiscard]] std::vector<Token> load_tokens(const std::filesystem::path& path);

/// The token of that name and secret (HTTP Basic). The time taken tells nothing about either.
[[nodiscard]] std::optional<Token> check(const std::vector<Token>& tokens, std::string_view user,
                                         std::string_view secret);
/// The token with that secret (`Authorization: Bearer`).
[[nodiscard]] std::optional<Token> check_secret(const std::vector<Token>& tokens, std::string_view secret);

/// Makes a token and writes it to the file (mode 0600, created when missing, comments kept). The secret: its
/// only copy. Error(conflict) when the name is taken, Error(invalid) for a name that is none.
[[nodiscard]] std::string add_token(const std::filesystem::path& path, std::string_view name, Role role);
/// Takes a token out of the file. Error(not_found) that names the known ones.
void revoke_token(const std::filesystem::path& path, std::string_view name);

/// The file as a running agent uses it: read again when it has changed, so that a revoked token ends without
/// a restart. Safe to call from any thread.
class TokenGate {
  public:
    /// Reads the file; its Error leaves here, so that a faulty one is known at the start. No path: nobody has a token.
    explicit TokenGate(std::optional<std::filesystem::path> path);
    /// As the functions of the same name. While the file is faulty or gone, the tokens that were read last go on to
    /// count, or one slip in an editor would lock out everybody, and first of all who could help. The log tells of the
    /// fault once for each change of the file, and when it is good again.
    [[nodiscard]] std::optional<Token> check(std::string_view user, std::string_view secret);
    [[nodiscard]] std::optional<Token> check_secret(std::string_view secret);

  private:
    struct Stamp {
        std::int64_t modified_ns = -1;
        std::int64_t changed_ns = -1;  ///< a chmod changes nothing else
        std::int64_t size = -1;
        std::uint64_t inode = 0;
        bool operator==(const Stamp&) const = default;
    };
    [[nodiscard]] Stamp stamp() const;
    void refresh();
    void faulty(const Stamp& at, std::string reason);

    std::optional<std::filesystem::path> path_;
    std::mutex mutex_;
    Stamp read_at_;
    Stamp faulty_at_;
    std::string fault_;  ///< as it was told last; empty while the file is good
    std::vector<Token> tokens_;
};

}  // namespace baton::config
