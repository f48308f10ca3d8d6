// SPDX-License-Identifier: MIT
// What deploys cost users: sums over the ledger, and the share of requests that they are expected to have failed.
//
// A node of N with weight w that is exposed (dark while the load balancer could send to it) for e of a time T loses
// w e / T of all requests. With equal weights the nodes of a rollout that are exposed for g each lose g / T together,
// whatever N is; k rollouts a day lose k g / 86400 s.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"

namespace baton::store {
struct LedgerEntry;
}

namespace baton::operations {

/// A load balancer that checks by itself: every `interval_ms`, every `fast_ms` after a first failure (0: the same),
/// down after `fall` failures. It ends an exposure that lasts longer than it takes to notice.
struct Detection {
    std::int64_t interval_ms = 2'000;
    std::int64_t fast_ms = 0;
    unsigned fall = 3;
};

/// What the ledger cannot measure. The defaults are the careful ones: nothing detects, nothing is retried.
struct Assumptions {
    std::optional<Detection> detection;
    std::optional<double>
        dark_share;      ///< of all requests that a dark node draws; none: 1/N. 0.8 was measured of leastconn
    double retried = 0;  ///< share of failed requests that another node answers instead
    double rate = 0;     ///< requests a second of all that is summed; 0: not known, and no number of failed ones
};

/// E[min(T, Det)] in ms of an outage that begins at any moment between two checks. Pure.
[[nodiscard]] double expected_exposure_ms(std::int64_t outage_ms, const std::optional<Detection>& detection);

/// Chance that one of `requests` meets what a single one meets with `chance`, if they are independent. Those of one
/// visit are not: they meet the same outage or none, so this is the most that it can be. Pure.
[[nodiscard]] double chance_of_any(double chance, unsigned requests);

/// Requests of one visit, as the figure `visit_chance` has them.
constexpr unsigned visit_requests = 50;

/// Rows added up. Unknown ones count in `deploys` and `unknown` only: their figures are lower bounds, and no sum.
struct LedgerTotal {
    std::string key;  ///< node, app, rollout, or day `2026-11-23` in UTC; empty for the whole
    std::uint64_t deploys = 0;
    std::uint64_t measured = 0;
    std::uint64_t assumed = 0;
    std::uint64_t unknown = 0;
    std::int64_t at_ms = 0;    ///< of the newest row
    std::int64_t dark_ms = 0;  ///< of nodes: the sum over nodes, as one would add up outages of machines
    std::int64_t exposed_ms = 0;
    std::int64_t assumed_exposed_ms = 0;  ///< the part of it that nobody measured
    std::int64_t out_ms = 0;
    std::int64_t drain_ms = 0;
    std::int64_t restart_ms = 0;
    std::int64_t rejoin_ms = 0;
    std::uint64_t cut = 0;
    double visible_ms = 0;               ///< of users: a total outage of this length would have cost them the same
    double request_chance = 0;           ///< that one request of the period met downtime: the share expected to fail
    double request_chance_measured = 0;  ///< the same from measured rows only
    double visit_chance = 0;             ///< that one of 50 requests did, at most
    double expected_failed = 0;  ///< requests, at the assumed rate; what was `cut` may come to it, or has been finished
};

struct LedgerView {
    std::int64_t since_ms = 0;
    std::int64_t until_ms = 0;
    unsigned nodes = 0;  ///< that share the requests of an app
    unsigned apps = 0;   ///< that share all requests, taken as equally much asked
    Assumptions assumptions;
    LedgerTotal total;
    std::vector<LedgerTotal> by_node;
    std::vector<LedgerTotal> by_app;
    std::vector<LedgerTotal> by_rollout;  ///< newest first, at most most_rollouts
    std::vector<LedgerTotal> by_day;      ///< each day's chances are those of a request of that day
    struct Row {
        std::string node, app, rollout, kind;
        unsigned build = 0;
        std::int64_t at_ms = 0, dark_ms = 0, exposed_ms = 0, out_ms = 0, drain_ms = 0, restart_ms = 0, rejoin_ms = 0;
        std::uint64_t cut = 0;
        std::vector<std::int64_t> outages_ms;  ///< exposed_ms, outage by outage; empty: not told apart
    };
    std::vector<Row> rows;  ///< newest first, at most most_rows
    static constexpr std::size_t most_rollouts = 100;
    static constexpr std::size_t most_rows = 200;
};

/// The view of some rows (newest first) over [since, until). `apps` is the number of apps whose requests are meant, 1
/// where one was asked for. Pure. Error(invalid) for assumptions that make no sense.
[[nodiscard]] LedgerView add_up(const std::vector<store::LedgerEntry>& rows, std::int64_t since_ms,
                                std::int64_t until_ms, unsigned nodes, unsigned apps, const Assumptions& assumptions);

}  // namespace baton::operations
