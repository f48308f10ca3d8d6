// SPDX-License-Identifier: MIT
// The commands, each a function from its options to an exit status; Errors leave them.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/cli/cli.h"
#include "agent/cli/client.h"
#include "common/types.h"

namespace baton::cli {

// --- on this machine ---

struct CheckOptions {
    std::vector<std::string> files;
    bool quiet = false;  ///< faults and warnings only
};
[[nodiscard]] int check_config(const CheckOptions& options);

struct KeygenOptions {
    std::optional<std::filesystem::path> rotate;  ///< a key file that gets a new generation; none: print a first line
    std::vector<std::string> nodes;               ///< rotate: each gets a key of its own
    Milliseconds after{60 * 60 * 1000};           ///< rotate: when the new key begins to sign
};
[[nodiscard]] int keygen(const KeygenOptions& options);

/// The tokens file itself, or the agent.yaml that names it.
struct TokenOptions {
    std::optional<std::filesystem::path> file;
    std::filesystem::path config = "/etc/baton/agent.yaml";
    std::string name;
    std::string role = "read";
    bool json = false;
};
[[nodiscard]] int token_add(const TokenOptions& options);
[[nodiscard]] int token_list(const TokenOptions& options);
[[nodiscard]] int token_revoke(const TokenOptions& options);

// --- on an agent ---

struct StatusOptions {
    std::string app;  ///< empty: all
    bool watch = false;
    bool json = false;
};
[[nodiscard]] int status(const Connection& connection, const StatusOptions& options);

struct LogOptions {
    std::string app;
    std::string build = "last";
    bool follow = false;
};
[[nodiscard]] int log(const Connection& connection, const LogOptions& options);

struct ListOptions {
    std::string app;
    bool audit = false;  ///< history: who did what instead of rollouts
    unsigned limit = 20;
    bool json = false;
};
[[nodiscard]] int history(const Connection& connection, const ListOptions& options);
[[nodiscard]] int audit(const Connection& connection, const ListOptions& options);

struct LedgerOptions {
    std::string app;
    Milliseconds since{0};  ///< how far back; 0: as far as the agent says, 30 days
    /// What no agent can measure, as the API has it; none: the careful assumption.
    std::optional<Milliseconds> check;
    std::optional<Milliseconds> check_fast;
    std::optional<unsigned> fall;
    std::optional<double> dark_share;
    std::optional<double> retried;
    std::optional<double> rate;
    bool json = false;
};
[[nodiscard]] int ledger(const Connection& connection, const LedgerOptions& options);

struct TriggerOptions {
    std::string app;
    std::string commit;  ///< empty: the branch's tip
    std::map<std::string, std::string> parameters;
    /// Those whose values are read from files, `-` for standard input: no other process sees them.
    std::map<std::string, std::string> parameter_files;
    bool force = false;
    bool wait = false;
    Milliseconds timeout{60 * 60 * 1000};  ///< of the waiting
    bool json = false;
};
[[nodiscard]] int trigger(const Connection& connection, const TriggerOptions& options);

/// An order to one app: `verb` is the path's last segment.
struct OrderOptions {
    std::string app;
    std::string reason;
    std::string commit;
    std::string rollout;      ///< empty: the one that status shows
    Milliseconds lasting{0};        ///< freeze: how long; 0: as `until` says
    std::optional<WallTime> until;  ///< freeze: nothing is until unfrozen
};
[[nodiscard]] int order(const Connection& connection, const std::string& verb, const OrderOptions& options);
/// An order about a node: forget, accept.
[[nodiscard]] int node_order(const Connection& connection, const std::string& verb, const std::string& node,
                             const std::string& reason);

}  // namespace baton::cli
