// SPDX-License-Identifier: MIT
// Who asked for what, and when.
#include "agent/store/audit_store.h"

namespace baton::store {

void AuditStore::append(const AuditEntry& entry) {
    Transaction scope(database_);
    database_.run("INSERT INTO audit (at_ms, who, address, action, app, detail) VALUES (?, ?, ?, ?, ?, ?)",
                  {entry.at_ms, entry.who, entry.address, entry.action, entry.app.str(), entry.detail});
    database_.run("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", {most_entries});
    scope.commit();
}

std::vector<AuditEntry> AuditStore::list(std::size_t limit, const AppName& app) const {
    std::vector<AuditEntry> entries;
    for (const Row& row :
         database_.query("SELECT id, at_ms, who, address, action, app, detail FROM audit WHERE ? = '' OR app = ?"
                         " ORDER BY id DESC LIMIT ?",
                         {app.str(), app.str(), limit})) {
        entries.push_back(
            {row.count(0), row.whole(1), row.text(2), row.text(3), row.text(4), AppName(row.text(5)), row.text(6)});
    }
    return entries;
}

}  // namespace baton::store
