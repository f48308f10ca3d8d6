// SPDX-License-Identifier: MIT
// Commands that need no agent: check-config, keygen, token.
#include <cerrno>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "agent/cli/render.h"
#include "common/clock.h"
#include "common/config/load.h"
#include "common/config/tokens.h"
#include "common/error.h"
#include "common/file.h"
#include "common/net/cluster_keys.h"
#include "common/net/tls.h"
#include "common/text.h"

namespace baton::cli {
namespace {

/// Error for a CA file of a Jenkins that cannot be read here, or holds no certificate: its steward would not get a word
/// out of that Jenkins.
void check_authorities(const config::AgentConfig& agent, const std::string& file) {
    for (const auto& node : agent.nodes) {
        if (!node.jenkins || !node.jenkins->ca_file) continue;
        with_context(fmt::format("{}: 'ca_file' of {}", file, node.name),
                     [&] { (void)net::client_tls_context(node.jenkins->ca_file, std::nullopt, std::nullopt); });
    }
}

/// The effective configuration of one file; its warnings go to standard error. ConfigError, or Error where it
/// cannot be read.
std::string checked(const std::string& file) {
    const std::string text = read_file(file, config::most_config_bytes);
    std::vector<config::Fault> warnings;
    std::string effective;
    // A file of neither kind is read as agent.yaml when it is called so, for a report that names its faults.
    const auto kind = config::detect_kind(text).value_or(
        std::filesystem::path(file).filename() == "baton.yaml" ? config::FileKind::pipeline : config::FileKind::agent);
    switch (kind) {
        case config::FileKind::agent: {
            const auto agent = config::parse_agent_config(text, file);
            warnings = agent.warnings;
            check_authorities(agent, file);
            effective =
                fmt::format("# {}: an agent's configuration, hash {}\n{}", file, agent.hash, config::to_yaml(agent));
            break;
        }
        case config::FileKind::pipeline: {
            const auto pipeline = config::parse_pipeline(text, file);
            warnings = pipeline.warnings;
            effective = fmt::format("# {}: a pipeline\n{}", file, config::to_yaml(pipeline));
            break;
        }
    }
    for (const auto& warning : warnings) note(fmt::format("{} (warning)", warning.text()));
    return effective;
}

std::filesystem::path tokens_file_of(const TokenOptions& options) {
    if (options.file) return *options.file;
    const auto agent = config::load_agent_config(options.config);
    if (agent.security.tokens_file) return *agent.security.tokens_file;
    throw Error(
        ErrorKind::not_found,
        fmt::format("{} names no 'tokens_file' in 'security'; add one, or say --file FILE", options.config.string()));
}

/// A new generation in the file, which the person then copies; the agents see it by themselves.
int rotate(const KeygenOptions& options) {
    constexpr std::uint64_t most_key_file_bytes = 64UL * 1024;
    const WallTime now = SystemClock().wall();
    net::KeyRotation rotation;
    rotation.after = options.after;
    for (const auto& node : options.nodes) rotation.nodes.emplace_back(node);
    const FileLock lock = FileLock::wait(options.rotate->string() + ".lock");
    const std::string text = read_secret_file_whole(*options.rotate, most_key_file_bytes);
    struct stat owner {};
    if (::stat(options.rotate->c_str(), &owner) != 0) throw system_error(options.rotate->string(), errno);
    const std::string rotated = with_context(fmt::format("cluster key file {}", options.rotate->string()),
                                             [&] { return net::rotate_keys(text, rotation, now); });
    write_file_atomically(*options.rotate, rotated, 0600);
    // The agent may run as another user than root, who changes its key.
    if (::chown(options.rotate->c_str(), owner.st_uid, owner.st_gid) != 0 && owner.st_uid != ::geteuid()) {
        throw system_error(fmt::format("give {} back to its owner", options.rotate->string()), errno);
    }
    note(fmt::format(
        "{} has a new key, which signs from {} on; what it replaces is accepted until {}. Copy the file to "
        "every node before the first of these times; agents see it by themselves.",
        options.rotate->string(), to_iso8601(now + options.after), to_iso8601(now + options.after + net::key_overlap)));
    return exit_ok;
}

}  // namespace

int check_config(const CheckOptions& options) {
    bool good = true;
    for (const auto& file : options.files) {
        try {
            const std::string effective = checked(file);
            if (!options.quiet) print(effective);
        } catch (const Error& error) {
            // Each file has its report: the next one is looked at all the same.
            note(error.text());
            good = false;
        }
    }
    return good ? exit_ok : exit_failed;
}

int keygen(const KeygenOptions& options) {
    if (options.rotate) return rotate(options);
    print(net::generate_key_line(SystemClock().wall()) + "\n");
    if (on_terminal())
        note("Write this line to the cluster key file of every node, readable by its owner only (chmod 600).");
    return exit_ok;
}

int token_add(const TokenOptions& options) {
    const auto role = config::parse_role(options.role);
    if (!role)
        throw Error(ErrorKind::invalid,
                    fmt::format("'{}' is not a role, expected read, trigger or operate", options.role));
    const auto file = tokens_file_of(options);
    const std::string secret = config::add_token(file, options.name, *role);
    print(secret + "\n");
    note(fmt::format("This is the token's only copy: {} keeps a hash. Copy the line to the tokens file of every node.",
                     file.string()));
    return exit_ok;
}

int token_list(const TokenOptions& options) {
    const auto tokens = config::load_tokens(tokens_file_of(options));
    if (options.json) {
        json::Value list = json::Value::array();
        for (const auto& token : tokens) list.push_back({{"name", token.name}, {"role", config::to_text(token.role)}});
        print(json::dump({{"tokens", list}}) + "\n");
        return exit_ok;
    }
    std::vector<std::vector<std::string>> rows{{"NAME", "ROLE"}};
    for (const auto& token : tokens) rows.push_back({token.name, std::string(config::to_text(token.role))});
    print(tokens.empty() ? "there are no tokens\n" : table(rows));
    return exit_ok;
}

int token_revoke(const TokenOptions& options) {
    const auto file = tokens_file_of(options);
    config::revoke_token(file, options.name);
    note(fmt::format("'{}' is revoked in {}. Do the same on every other node.", options.name, file.string()));
    return exit_ok;
}

}  // namespace baton::cli
