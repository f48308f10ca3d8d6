// SPDX-License-Identifier: MIT
// Small facts per app that must survive a restart.
#include "agent/store/flag_store.h"

namespace baton::store {

void FlagStore::set(const AppName& app, std::string_view key, std::string_view value) {
    database_.run(
        "INSERT INTO flags (app, key, value) VALUES (?, ?, ?)"
        " ON CONFLICT (app, key) DO UPDATE SET value = excluded.value",
        {app.str(), key, value});
}

std::optional<std::string> FlagStore::get(const AppName& app, std::string_view key) const {
    const Rows rows = database_.query("SELECT value FROM flags WHERE app = ? AND key = ?", {app.str(), key});
    if (rows.empty()) return std::nullopt;
    return rows.front().text(0);
}

bool FlagStore::has(const AppName& app, std::string_view key) const { return get(app, key).has_value(); }

bool FlagStore::erase(const AppName& app, std::string_view key) {
    return database_.run("DELETE FROM flags WHERE app = ? AND key = ?", {app.str(), key}) > 0;
}

std::map<std::string, std::string> FlagStore::all(const AppName& app, std::string_view prefix) const {
    std::map<std::string, std::string> flags;
    // substr() rather than LIKE: a key may hold % and _.
    for (const Row& row :
         database_.query("SELECT key, value FROM flags WHERE app = ? AND substr(key, 1, length(?)) = ?",
                         {app.str(), prefix, prefix})) {
        flags.emplace(row.text(0), row.text(1));
    }
    return flags;
}

}  // namespace baton::store
