// SPDX-License-Identifier: MIT
// The tokens file: who may read, trigger or operate.
#include "common/config/tokens.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "common/config/fault.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/text.h"
#include "common/types.h"

namespace baton::config {
namespace {

constexpr std::uint64_t most_tokens_bytes = 1024 * 1024;
constexpr std::size_t secret_bytes = 32;
// Shows in a leak scanner's report, and to people, what the text is.
constexpr std::string_view secret_prefix = "baton_";

struct RoleName {
    std::string_view name;
    Role role;
};
constexpr std::array role_names{RoleName{"read", Role::read}, RoleName{"trigger", Role::trigger},
                                RoleName{"operate", Role::operate}};

std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    std::string spaced(line);
    std::ranges::replace(spaced, '\t', ' ');
    for (auto& word : split(trim(spaced), ' ')) {
        if (!word.empty()) words.push_back(std::move(word));
    }
    return words;
}

bool is_comment(std::string_view line) { return trim(line).empty() || trim(line).front() == '#'; }

bool is_hash(std::string_view text) {
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// What is wrong with one line; empty for a good one, which goes to `token`. No word of it is repeated: with its words in
/// the wrong order, or written by a person, any of them may be a hash or the secret itself.
std::string read_token_line(std::string_view line, Token& token) {
    const auto words = words_of(line);
    if (words.size() != 3)
        return fmt::format("expected three words, name role sha256-of-the-secret, got {}", words.size());
    if (!is_valid_name(words[0])) {
        return "the first word is not a name (write small letters, digits, '.', '_', '-', at most 63)";
    }
    const auto role = parse_role(words[1]);
    if (!role) return "the second word is not a role, expected read, trigger or operate";
    if (!is_hash(words[2])) {
        return "the third word must be a SHA-256, 64 small hexadecimal digits (let baton token add write the "
               "line)";
    }
    token = Token{words[0], *role, words[2]};
    return {};
}

FileLock lock_for(const std::filesystem::path& path) {
    std::filesystem::path lock = path;
    lock += ".lock";
    return FileLock::wait(lock);
}

std::string whole_file_or_nothing(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return {};
    return read_secret_file_whole(path, most_tokens_bytes);
}

}  // namespace

std::string_view to_text(Role role) { return role_names.at(static_cast<std::size_t>(role)).name; }

std::optional<Role> parse_role(std::string_view text) {
    const auto* found = std::ranges::find(role_names, text, &RoleName::name);
    if (found == role_names.end()) return std::nullopt;
    return found->role;
}

std::vector<Token> parse_tokens(std::string_view text, std::string_view file_name) {
    std::vector<Token> tokens;
    std::vector<unsigned> lines;  // of the tokens
    std::vector<Fault> faults;
    unsigned number = 0;
    for (const auto& line : split(text, '\n')) {
        ++number;
        if (is_comment(line)) continue;
        Token token;
        std::string fault = read_token_line(line, token);
        const auto same = std::ranges::find(tokens, token.name, &Token::name);
        if (fault.empty() && same != tokens.end()) {
            const auto first = lines[static_cast<std::size_t>(same - tokens.begin())];
            fault = fmt::format("the name comes twice, first in line {}", first);
        }
        if (fault.empty()) {
            tokens.push_back(std::move(token));
            lines.push_back(number);
        } else {
            faults.push_back({std::string(file_name), number, 1, std::move(fault)});
        }
    }
    if (!faults.empty()) throw ConfigError(std::move(faults));
    return tokens;
}

std::vector<Token> load_tokens(const std::filesystem::path& path) {
    return parse_tokens(read_secret_file_whole(path, most_tokens_bytes), path.string());
}

std::optional<Token> check(const std::vector<Token>& tokens, std::string_view user, std::string_view secret) {
    const std::string hash = sha256_hex(secret);
    const Token* found = nullptr;
    // No early way out, and both are compared for each: the time must not tell which names exist.
    for (const auto& token : tokens) {
        const bool name = equal_constant_time(token.name, user);
        const bool right = equal_constant_time(token.hash, hash);
        if (name && right) found = &token;
    }
    if (found == nullptr || secret.empty()) return std::nullopt;
    return *found;
}

std::optional<Token> check_secret(const std::vector<Token>& tokens, std::string_view secret) {
    const std::string hash = sha256_hex(secret);
    const Token* found = nullptr;
    for (const auto& token : tokens) {
        if (equal_constant_time(token.hash, hash)) found = &token;
    }
    if (found == nullptr || secret.empty()) return std::nullopt;
    return *found;
}

std::string add_token(const std::filesystem::path& path, std::string_view name, Role role) {
    if (!is_valid_name(name)) {
        throw Error(ErrorKind::invalid,
                    fmt::format("'{}' is not a name for a token (write small letters, digits, '.', '_', '-')",
                                escape_control(first_line(name))));
    }
    const FileLock lock = lock_for(path);
    std::string text = whole_file_or_nothing(path);
    const auto tokens = parse_tokens(text, path.string());
    if (std::ranges::find(tokens, name, &Token::name) != tokens.end()) {
        throw Error(ErrorKind::conflict,
                    fmt::format("the token '{}' exists already; revoke it first, or take another name", name));
    }
    if (text.empty()) text = "# name role sha256-of-the-secret; written by: baton token add\n";
    if (text.back() != '\n') text += '\n';
    const std::string secret = std::string(secret_prefix) + to_hex(random_bytes(secret_bytes));
    text += fmt::format("{} {} {}\n", name, to_text(role), sha256_hex(secret));
    write_file_atomically(path, text, 0600);
    return secret;
}

void revoke_token(const std::filesystem::path& path, std::string_view name) {
    const FileLock lock = lock_for(path);
    const std::string text = read_secret_file_whole(path, most_tokens_bytes);
    std::vector<std::string> known;
    for (const auto& token : parse_tokens(text, path.string())) known.push_back(token.name);
    if (std::ranges::find(known, name) == known.end()) {
        throw Error(ErrorKind::not_found,
                    fmt::format("there is no token '{}' (known: {})", escape_control(first_line(name)),
                                known.empty() ? "none" : join(known, ", ")));
    }
    std::vector<std::string> kept;
    for (auto& line : split(text, '\n')) {
        const bool its = !is_comment(line) && words_of(line).front() == name;
        if (!its) kept.push_back(std::move(line));
    }
    write_file_atomically(path, join(kept, "\n"), 0600);
}

TokenGate::TokenGate(std::optional<std::filesystem::path> path) : path_(std::move(path)) {
    if (!path_) return;
    const std::scoped_lock lock(mutex_);
    read_at_ = stamp();
    tokens_ = load_tokens(*path_);
}

TokenGate::Stamp TokenGate::stamp() const {
    struct stat status {};
    if (::stat(path_->c_str(), &status) != 0) return Stamp{};
    const auto nanoseconds = [](const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; };
    return Stamp{nanoseconds(status.st_mtim), nanoseconds(status.st_ctim), status.st_size, status.st_ino};
}

void TokenGate::refresh() {
    if (!path_) return;
    const Stamp now = stamp();
    if (fault_.empty() && now == read_at_) return;
    // A faulty one is read again for every request: what kept it from being read may leave no trace on the file.
    try {
        tokens_ = load_tokens(*path_);
        read_at_ = now;
    } catch (const ConfigError& error) {
        const auto more = error.faults().size() - 1;
        return faulty(now, error.faults().front().text() + (more > 0 ? fmt::format(" (and {} more)", more) : ""));
    } catch (const Error& error) {
        return faulty(now, error.text());
    }
    if (fault_.empty()) return;
    fault_.clear();
    log::info("access", "the tokens file is good again", {{"file", path_->string()}, {"tokens", tokens_.size()}});
}

void TokenGate::faulty(const Stamp& at, std::string reason) {
    if (at == faulty_at_ && reason == fault_) return;
    faulty_at_ = at;
    fault_ = std::move(reason);
    log::error("access", "the tokens file is faulty; the tokens that were read last still count",
               {{"file", path_->string()}, {"reason", fault_}});
}

std::optional<Token> TokenGate::check(std::string_view user, std::string_view secret) {
    const std::scoped_lock lock(mutex_);
    refresh();
    return config::check(tokens_, user, secret);
}

std::optional<Token> TokenGate::check_secret(std::string_view secret) {
    const std::scoped_lock lock(mutex_);
    refresh();
    return config::check_secret(tokens_, secret);
}

}  // namespace baton::config
