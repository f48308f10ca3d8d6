// SPDX-License-Identifier: MIT
// What the chain protocol promised, a row an app, and whose state directory this is.
#include "agent/store/chain_state_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "common/error.h"

namespace baton::store {

namespace {

constexpr std::string_view set_meta =
    "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// Names a file for as long as it lives: a rename keeps it, a copy has another. On file systems that know no time of
/// birth the inode alone has to do.
std::string file_identity(const std::filesystem::path& file) {
    struct statx found {};
    if (::statx(AT_FDCWD, file.c_str(), 0, STATX_INO | STATX_BTIME, &found) != 0) {
        throw system_error(fmt::format("look at {}", file.string()), errno);
    }
    const bool born = (found.stx_mask & STATX_BTIME) != 0;
    return fmt::format("{}:{}.{:09}", found.stx_ino, born ? found.stx_btime.tv_sec : 0,
                       born ? found.stx_btime.tv_nsec : 0);
}

}  // namespace

void ChainStateStore::save(const AppName& app, std::string_view state) {
    database_.run(
        "INSERT INTO chain_state (app, state) VALUES (?, ?) ON CONFLICT (app) DO UPDATE SET state = "
        "excluded.state",
        {app.str(), state});
}

std::optional<std::string> ChainStateStore::load(const AppName& app) const {
    const Rows rows = database_.query("SELECT state FROM chain_state WHERE app = ?", {app.str()});
    if (rows.empty()) return std::nullopt;
    return rows.front().text(0);
}

void ChainStateStore::erase(const AppName& app) { database_.run("DELETE FROM chain_state WHERE app = ?", {app.str()}); }

AgentIdentity ChainStateStore::claim(const NodeName& node, std::string_view boot_id) {
    Transaction scope(database_);
    AgentIdentity before = identity();
    if (!before.node.empty() && before.node != node) {
        throw Error(ErrorKind::conflict,
                    fmt::format("the state directory of {} belongs to node '{}', and this is node '{}': a copied "
                                "state directory would count its permits twice. Give this node an empty state_dir, "
                                "or start with --node {} where it belongs",
                                database_.file().string(), before.node, node, before.node));
    }
    const auto file = file_identity(database_.file());
    before.copied = !before.file.empty() && before.file != file;
    if (before.copied) database_.run("DELETE FROM chain_state");
    database_.run(set_meta, {"file", file});
    database_.run(set_meta, {"node", node.str()});
    database_.run(set_meta, {"boot_id", boot_id});
    scope.commit();
    return before;
}

AgentIdentity ChainStateStore::identity() const {
    AgentIdentity identity;
    for (const Row& row : database_.query("SELECT key, value FROM meta")) {
        if (row.text(0) == "state_id") identity.state_id = row.text(1);
        if (row.text(0) == "node") identity.node = NodeName(row.text(1));
        if (row.text(0) == "boot_id") identity.boot_id = row.text(1);
        if (row.text(0) == "file") identity.file = row.text(1);
    }
    return identity;
}

}  // namespace baton::store
