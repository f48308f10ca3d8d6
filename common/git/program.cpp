// SPDX-License-Identifier: MIT
// Running git: every flag and variable here closes a door (a prompt, a hook, a foreign configuration, a helper).
#include "common/git/program.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fmt/format.h>

#include "common/file.h"
#include "common/git/lock.h"
#include "common/process/process.h"
#include "common/text.h"

namespace baton::git {
namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_output_bytes = 256UL * 1024;
constexpr std::size_t most_message_lines = 6;

/// safe.directory has to come from a file: git forgets `-c` when it starts upload-pack for a path of this machine.
/// The paths are those of the agent's configuration, never those of a stranger. LFS is required, so that its absence
/// is an error and not a tree of pointer files.
constexpr std::string_view git_config = R"([safe]
	directory = *
[filter "lfs"]
	clean = git-lfs clean -- %f
	smudge = git-lfs smudge -- %f
	process = git-lfs filter-process
	required = true
)";

/// git runs it with `get`, `store` or `erase`, and only for the host that it is bound to.
constexpr std::string_view credential_helper = R"sh(#!/bin/sh
[ "$1" = get ] || exit 0
if [ -n "$BATON_GIT_PASSWORD_FILE" ]; then
    IFS= read -r password < "$BATON_GIT_PASSWORD_FILE" || [ -n "$password" ] || exit 1
    password=${password%"$(printf '\r')"}
else
    password=$BATON_GIT_PASSWORD
fi
printf 'username=%s\npassword=%s\n' "$BATON_GIT_USERNAME" "$password"
)sh";

void ensure_content(const fs::path& file, std::string_view content, unsigned mode) {
    std::error_code fault;
    if (fs::exists(file, fault) && fs::file_size(file, fault) == content.size() &&
        read_file(file, content.size()) == content) {
        return;
    }
    write_file_atomically(file, content, mode);
}

/// One word for sh, whatever is in it.
std::string quoted(const std::string& text) {
    std::string result = "'";
    for (const char c : text) {
        if (c == '\'')
            result += "'\\''";
        else
            result += c;
    }
    return result + "'";
}

void require_file(const fs::path& file, std::string_view what) {
    std::error_code fault;
    if (!fs::is_regular_file(file, fault)) {
        throw Error(ErrorKind::not_found, fmt::format("the {} {} does not exist", what, file.string()));
    }
}

std::string ssh_command(const MirrorCredentials& credentials) {
    std::string command =
        "ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=15 -oServerAliveCountMax=3 "
        "-oStrictHostKeyChecking=yes";
    if (credentials.known_hosts_file) {
        require_file(*credentials.known_hosts_file, "known hosts file");
        // ssh splits the option's value at blanks by itself, hence the second pair of quotes.
        command += " -oUserKnownHostsFile=" + quoted('"' + fs::absolute(*credentials.known_hosts_file).string() + '"');
    }
    if (credentials.ssh_key_file) {
        require_file(*credentials.ssh_key_file, "ssh key");
        command += " -oIdentitiesOnly=yes -i " + quoted(fs::absolute(*credentials.ssh_key_file).string());
    }
    return command;
}

void inherit(std::vector<std::string>& environment, const char* name) {
    if (const char* value = std::getenv(name); value != nullptr)
        environment.push_back(fmt::format("{}={}", name, value));
}

std::vector<std::string> base_environment(const Remote& remote, const fs::path& home) {
    std::vector<std::string> environment{"HOME=" + home.string(),
                                         "LC_ALL=C",
                                         "GIT_TERMINAL_PROMPT=0",
                                         "GIT_ASKPASS=/bin/false",
                                         "SSH_ASKPASS=/bin/false",
                                         "GIT_CONFIG_NOSYSTEM=1",
                                         "GIT_CONFIG_GLOBAL=" + (home / "gitconfig").string(),
                                         "GIT_NO_REPLACE_OBJECTS=1",
                                         "GIT_SSH_VARIANT=ssh",
                                         "GIT_SSH_COMMAND=" + ssh_command(remote.credentials)};
    const char* path = std::getenv("PATH");
    environment.push_back(fmt::format("PATH={}", path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin"));
    // How this machine reaches the outside world is the administrator's business.
    for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy",
                             "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "TMPDIR"}) {
        inherit(environment, name);
    }
    if (!remote.credentials.ssh_key_file) inherit(environment, "SSH_AUTH_SOCK");
    return environment;
}

std::vector<std::string> base_arguments(LocalPaths local_paths) {
    std::vector<std::string> arguments{"git"};
    const auto set = [&](std::string value) {
        arguments.emplace_back("-c");
        arguments.push_back(std::move(value));
    };
    set("protocol.allow=never");
    for (const char* scheme : {"https", "http", "ssh", "git"}) set(fmt::format("protocol.{}.allow=always", scheme));
    set(fmt::format("protocol.file.allow={}", local_paths == LocalPaths::allowed ? "always" : "never"));
    set("core.hooksPath=/dev/null");
    set("core.fsmonitor=false");
    set("advice.detachedHead=false");
    set("credential.helper=");
    // A connection that has died without a word; one that drips is ended by the deadline.
    set("http.lowSpeedLimit=1");
    set("http.lowSpeedTime=60");
    // One synced pack a fetch instead of loose objects that a power loss turns into empty files.
    set("transfer.unpackLimit=1");
    set("core.fsync=committed,derived-metadata,reference");
    set("gc.autoDetach=false");
    return arguments;
}

/// Whether any of the words is in the text.
bool has_any(const std::string& text, std::initializer_list<std::string_view> words) {
    return std::ranges::any_of(words, [&](std::string_view word) { return text.find(word) != std::string::npos; });
}

struct Cause {
    ErrorKind kind;
    std::string_view advice;
};

Cause cause_of(const std::string& output) {
    if (has_any(output, {"Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"})) {
        return {ErrorKind::unauthorized,
                "the host's ssh key is not in the known hosts file, or has changed: check it, "
                "then add it with ssh-keyscan"};
    }
    if (has_any(output,
                {"Authentication failed", "Permission denied", "could not read Username", "could not read Password",
                 "unable to read askpass", "returned error: 401", "returned error: 403", "HTTP 401", "HTTP 403",
                 "HTTP Basic: Access denied", "Too many authentication failures"})) {
        return {ErrorKind::unauthorized, "check the app's credentials (username, password_file or ssh_key_file)"};
    }
    if (has_any(output, {"ouldn't find remote ref", "no such ref", "Remote branch"})) {
        return {ErrorKind::not_found, "check the app's branch"};
    }
    if (has_any(output, {"No space left on device", "Disk quota exceeded", "Read-only file system"})) {
        return {ErrorKind::io, "make room, then try again"};
    }
    if (has_any(output, {"Could not resolve", "Connection refused", "Connection timed out", "Connection reset",
                         "Couldn't connect to server", "unable to connect", "No route to host",
                         "Network is unreachable", "early EOF", "hung up", "Operation too slow", "Connection closed",
                         "Recv failure", "Empty reply from server", "returned error: 5"})) {
        return {ErrorKind::unreachable, "the git host does not answer as it should; the next try may succeed"};
    }
    if (has_any(output, {"epository not found", "does not appear to be a git repository", "does not exist",
                         "returned error: 404", "' not found", "access denied or repository not exported"})) {
        return {ErrorKind::not_found, "check the app's repository url"};
    }
    if (has_any(output, {"transport '", "protocol '"}))
        return {ErrorKind::forbidden, "this kind of url is not allowed here"};
    if (has_any(output, {"bad object", "object file", "loose object", "is corrupt", "missing blob", "missing tree",
                         "unable to read tree", "unable to read sha1"})) {
        return {ErrorKind::corrupt, "if it happens again remove the mirror: it is fetched anew"};
    }
    return {ErrorKind::unreachable, "see git's message"};
}

}  // namespace

GitProgram::GitProgram(const Remote& remote, LocalPaths local_paths)
    : url_(parse_remote_url(remote.url)), home_(fs::absolute(remote.home)) {
    const MirrorCredentials& credentials = remote.credentials;
    fs::create_directories(home_);
    fs::permissions(home_, fs::perms::owner_all);
    constexpr unsigned mode = 0600;
    ensure_content(home_ / "gitconfig", git_config, mode);
    ensure_content(home_ / "credential-helper", credential_helper, mode);
    arguments_ = base_arguments(local_paths);
    environment_ = base_environment(remote, home_);

    password_ = url_.password;
    if (credentials.password_file) password_ = read_secret_file(*credentials.password_file);
    if (url_.scope.empty() || password_.empty()) return;
    // Bound to scheme, host and port: neither a redirect nor a submodule elsewhere gets to see it.
    arguments_.emplace_back("-c");
    arguments_.push_back(
        fmt::format("credential.{}.helper=!/bin/sh {}", url_.scope, quoted((home_ / "credential-helper").string())));
    std::string username = credentials.username.empty() ? url_.username : credentials.username;
    if (username.empty()) username = "git";  // what forges take beside a token
    environment_.push_back("BATON_GIT_USERNAME=" + username);
    // The password of a url has no file; the environment of a process is seen by its own account only, arguments by
    // all.
    environment_.push_back(credentials.password_file
                               ? "BATON_GIT_PASSWORD_FILE=" + fs::absolute(*credentials.password_file).string()
                               : "BATON_GIT_PASSWORD=" + password_);
}

GitProgram::Answer GitProgram::ask(const std::vector<std::string>& arguments, const fs::path& directory,
                                   const std::stop_token& stop, Instant deadline,
                                   const std::vector<std::string>& more_environment) const {
    process::Command command;
    command.argv = arguments_;
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.environment = environment_;
    command.environment.insert(command.environment.end(), more_environment.begin(), more_environment.end());
    command.directory = directory;
    // A broken mirror must not make git look for another repository in the directories above.
    command.environment.push_back("GIT_CEILING_DIRECTORIES=" + fs::weakly_canonical(directory).parent_path().string());
    const std::string what = describe(arguments);
    command.timeout = std::chrono::duration_cast<Milliseconds>(deadline - now());
    if (command.timeout <= Milliseconds{0})
        throw Error(ErrorKind::timeout, fmt::format("{}: no time is left for it", what));
    command.grace = Milliseconds{1'000};

    Answer answer;
    const auto keep_the_end = [&](std::string_view piece) {
        answer.output.append(piece);
        if (answer.output.size() > 2 * most_output_bytes)
            answer.output.erase(0, answer.output.size() - most_output_bytes);
    };
    const process::Result result = process::run(command, keep_the_end, stop);
    answer.status = result.status;
    switch (result.end) {
        case process::Result::End::exited: return answer;
        case process::Result::End::timed_out:
            throw Error(ErrorKind::timeout,
                        fmt::format("{}: no answer within {}: is the git host up, and reachable from here?", what,
                                    human_duration(command.timeout)));
        case process::Result::End::cancelled: throw Error(ErrorKind::cancelled, fmt::format("{}: cancelled", what));
        case process::Result::End::signalled:
        case process::Result::End::not_started: break;
    }
    throw Error(ErrorKind::io, fmt::format("{}: {}: {}", what, result.describe(),
                                           result.message.empty() ? "is git installed?" : mask(result.message)));
}

std::string GitProgram::run(const std::vector<std::string>& arguments, const fs::path& directory,
                            const std::stop_token& stop, Instant deadline) const {
    Answer answer = ask(arguments, directory, stop, deadline);
    if (answer.status != 0) {
        throw failure(describe(arguments), answer);
    }
    return std::move(answer.output);
}

std::string GitProgram::describe(const std::vector<std::string>& arguments) const {
    std::size_t command = 0;
    while (command + 2 < arguments.size() && arguments[command] == "-c") command += 2;
    return fmt::format("git {} of {}", arguments[command], mask_urls_in(url_.plain));
}

Error GitProgram::failure(std::string_view what, const Answer& answer) const {
    std::vector<std::string> lines;
    for (const std::string& line : split(answer.output, '\n')) {
        const std::string_view words = trim(line);
        // Advice for a person at a terminal, which does not hold for an agent.
        if (words.empty() || words.starts_with("hint:") || words.starts_with("Please make sure you have") ||
            words.starts_with("and the repository exists")) {
            continue;
        }
        lines.push_back(escape_control(mask(std::string(words))));
    }
    if (lines.size() > most_message_lines) lines.erase(lines.begin(), lines.end() - most_message_lines);
    const Cause cause = cause_of(answer.output);
    const std::string said = lines.empty() ? fmt::format("exit status {}", answer.status) : join(lines, "; ");
    return Error(cause.kind, fmt::format("{}: {} ({})", what, said, cause.advice));
}

std::string GitProgram::mask(std::string text) const {
    constexpr std::size_t shortest = 4;  // shorter ones would mask half of any text
    if (password_.size() >= shortest) {
        for (std::size_t at = 0; (at = text.find(password_, at)) != std::string::npos;)
            text.replace(at, password_.size(), "***");
    }
    return mask_urls_in(text);
}

}  // namespace baton::git
