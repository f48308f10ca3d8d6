// SPDX-License-Identifier: MIT
// The ledger: what each deploy cost users.
#include "agent/store/ledger_store.h"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

#include "common/error.h"
#include "common/text.h"

namespace baton::store {

namespace {

/// `1040,2300`: a list of numbers that no statement looks into.
std::string joined(std::vector<std::int64_t> outages) {
    if (outages.size() > most_outages) {
        const auto kept = outages.begin() + (most_outages - 1);
        *kept = std::accumulate(kept, outages.end(), std::int64_t{0});
        outages.resize(most_outages);
    }
    return fmt::format("{}", fmt::join(outages, ","));
}

std::vector<std::int64_t> parse_outages(const std::string& text) {
    std::vector<std::int64_t> outages;
    if (text.empty()) return outages;
    for (const auto& word : split(text, ',')) {
        const auto ms = parse_whole(word);
        if (!ms) throw Error(ErrorKind::corrupt, fmt::format("the ledger holds '{}' as outages", text));
        outages.push_back(static_cast<std::int64_t>(*ms));
    }
    return outages;
}

}  // namespace

bool outages_add_up(const LedgerEntry& entry) {
    const auto& outages = entry.outages_ms;
    return outages.empty() || (outages.size() <= most_outages &&
                               std::accumulate(outages.begin(), outages.end(), std::int64_t{0}) == entry.exposed_ms);
}

std::string_view to_text(LedgerKind kind) {
    switch (kind) {
        case LedgerKind::measured: return "measured";
        case LedgerKind::assumed: return "assumed";
        case LedgerKind::unknown: return "unknown";
    }
    return "unknown";
}

LedgerKind parse_ledger_kind(std::string_view text) {
    for (const LedgerKind kind : {LedgerKind::measured, LedgerKind::assumed, LedgerKind::unknown}) {
        if (to_text(kind) == text) return kind;
    }
    throw Error(ErrorKind::invalid, fmt::format("'{}' is not measured, assumed or unknown", text));
}

void LedgerStore::put(const LedgerEntry& entry) {
    Transaction scope(database_);
    database_.run(
        "INSERT INTO ledger (node, app, rollout, build, dark_ms, exposed_ms, out_ms, drain_ms, restart_ms, "
        "rejoin_ms,"
        " cut, kind, at_ms, outages) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (node, app, rollout, build) DO UPDATE SET dark_ms = excluded.dark_ms,"
        " exposed_ms = excluded.exposed_ms, out_ms = excluded.out_ms, drain_ms = excluded.drain_ms,"
        " restart_ms = excluded.restart_ms, rejoin_ms = excluded.rejoin_ms, cut = excluded.cut, kind = "
        "excluded.kind,"
        " at_ms = excluded.at_ms, outages = excluded.outages",
        {entry.node.str(), entry.app.str(), entry.rollout.str(), entry.build, entry.dark_ms, entry.exposed_ms,
         entry.out_ms, entry.drain_ms, entry.restart_ms, entry.rejoin_ms, entry.cut, to_text(entry.kind), entry.at_ms,
         joined(entry.outages_ms)});
    database_.run("DELETE FROM ledger WHERE id <= (SELECT max(id) FROM ledger) - ?", {most_entries});
    scope.commit();
}

std::vector<LedgerEntry> LedgerStore::list(const AppName& app, std::int64_t since_ms, std::size_t limit) const {
    std::vector<LedgerEntry> entries;
    for (const Row& row :
         database_.query("SELECT node, app, rollout, build, dark_ms, exposed_ms, out_ms, drain_ms, restart_ms,"
                         " rejoin_ms, cut, kind, at_ms, outages FROM ledger WHERE at_ms >= ? AND (? = '' OR app = ?)"
                         " ORDER BY at_ms DESC, id DESC LIMIT ?",
                         {since_ms, app.str(), app.str(), limit})) {
        entries.push_back({NodeName(row.text(0)), AppName(row.text(1)), RolloutId(row.text(2)), row.number(3),
                           row.whole(4), row.whole(5), parse_outages(row.text(13)), row.whole(6), row.whole(7),
                           row.whole(8), row.whole(9), row.count(10), parse_ledger_kind(row.text(11)), row.whole(12)});
    }
    return entries;
}

std::vector<LedgerSum> LedgerStore::sums(LedgerGroup group, const AppName& app, std::int64_t since_ms) const {
    std::string_view key = "node";
    switch (group) {
        case LedgerGroup::node: break;
        case LedgerGroup::app: key = "app"; break;
        case LedgerGroup::day: key = "date(at_ms / 1000, 'unixepoch')"; break;
    }
    constexpr std::string_view known = "FILTER (WHERE kind <> 'unknown')";
    const auto sum = [&](std::string_view column) { return fmt::format("coalesce(sum({}) {}, 0)", column, known); };
    const std::string statement = fmt::format(
        "SELECT {} AS key, count(*), count(*) FILTER (WHERE kind = 'assumed'),"
        " count(*) FILTER (WHERE kind = 'unknown'), {}, {}, {}, {}, {}, {}, {}"
        " FROM ledger WHERE at_ms >= ? AND (? = '' OR app = ?) GROUP BY key ORDER BY key",
        key, sum("dark_ms"), sum("exposed_ms"), sum("out_ms"), sum("drain_ms"), sum("restart_ms"), sum("rejoin_ms"),
        sum("cut"));
    std::vector<LedgerSum> sums;
    for (const Row& row : database_.query(statement, {since_ms, app.str(), app.str()})) {
        sums.push_back({row.text(0), row.count(1), row.count(2), row.count(3), row.whole(4), row.whole(5), row.whole(6),
                        row.whole(7), row.whole(8), row.whole(9), row.count(10)});
    }
    return sums;
}

}  // namespace baton::store
