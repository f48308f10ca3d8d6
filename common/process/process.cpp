// SPDX-License-Identifier: MIT
// Accounts, results as text, output into memory, and what a dead agent left behind.
#include "common/process/process.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <cstring>

#include "common/error.h"
#include "common/process/parameters.h"
#include "common/process/tree.h"
#include "common/text.h"

namespace baton::process {
namespace {

constexpr std::size_t most_account_bytes = 1 << 20;
constexpr int most_groups = 65'536;  // the kernel's NGROUPS_MAX

std::vector<unsigned> groups_of(const char* name, gid_t primary) {
    int count = 32;
    std::vector<gid_t> groups(32);
    while (::getgrouplist(name, primary, groups.data(), &count) < 0) {
        if (count > most_groups)
            throw Error(ErrorKind::too_large, fmt::format("user '{}' is in too many groups", name));
        groups.resize(static_cast<std::size_t>(count));
    }
    groups.resize(static_cast<std::size_t>(count));
    return {groups.begin(), groups.end()};
}

std::string signal_name(int signal) {
    const char* text = ::sigdescr_np(signal);
    return text != nullptr ? text : "unknown";
}

}  // namespace

Account find_account(const std::string& user_name) {
    std::string buffer(1024, '\0');
    passwd entry{};
    passwd* found = nullptr;
    int error = ERANGE;
    while ((error = ::getpwnam_r(user_name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
           buffer.size() < most_account_bytes) {
        buffer.resize(buffer.size() * 2);
    }
    // Which error stands for "no such user" differs from one name service to the next.
    if (found == nullptr && (error == 0 || error == ENOENT || error == ESRCH)) {
        throw Error(ErrorKind::not_found, fmt::format("no user '{}' on this machine", user_name));
    }
    if (found == nullptr) throw system_error(fmt::format("look up user '{}'", user_name), error);
    Account account;
    account.uid = entry.pw_uid;
    account.gid = entry.pw_gid;
    account.groups = groups_of(entry.pw_name, entry.pw_gid);
    account.home = entry.pw_dir;
    account.name = entry.pw_name;
    return account;
}

std::string Result::describe() const {
    const auto with_message = [this](std::string text) { return message.empty() ? text : text + message; };
    switch (end) {
        case End::exited: return with_message(fmt::format("exit status {}", status));
        case End::signalled: return with_message(fmt::format("killed by signal {} ({})", status, signal_name(status)));
        case End::timed_out: return message.empty() ? "timed out" : message;
        case End::cancelled: return with_message("cancelled");
        case End::not_started: return fmt::format("could not be started: {}", message.empty() ? "unknown" : message);
    }
    return "unknown";
}

Captured capture(const Command& command, const std::stop_token& stop, std::size_t most_bytes) {
    Captured captured;
    const auto keep = [&](std::string_view bytes) {
        captured.output.append(bytes.substr(0, most_bytes - captured.output.size()));
    };
    captured.result = run(command, keep, stop);
    return captured;
}

std::size_t end_leftovers(const std::string& owner) {
    return end_by_environment(fmt::format("{}={}", owner_variable, owner), keep_entry);
}

}  // namespace baton::process
