// SPDX-License-Identifier: MIT
// What deploys cost users.
#include "agent/operations/ledger.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <map>

#include "agent/operations/operations.h"
#include "agent/store/store.h"
#include "common/error.h"
#include "common/text.h"

namespace baton::operations {
namespace {

constexpr std::int64_t day_ms = 86'400'000;
constexpr std::int64_t default_days = 30;
constexpr double most_rate = 1e9;

/// What turns milliseconds of a node into chances of a request.
struct Scale {
    double node_share = 1;  ///< of an app's requests that a dark node draws
    double not_retried = 1;
    double apps = 1;
    Assumptions assumptions;
};

Scale scale_of(unsigned nodes, unsigned apps, const Assumptions& assumptions) {
    const auto is_share = [](double share) { return share >= 0 && share <= 1; };
    if (!is_share(assumptions.retried) || (assumptions.dark_share && !is_share(*assumptions.dark_share))) {
        throw Error(ErrorKind::invalid, "a share of requests must lie between 0 and 1");
    }
    if (!(assumptions.rate >= 0 && assumptions.rate <= most_rate)) {
        throw Error(ErrorKind::invalid, fmt::format("a rate must be from 0 to {} requests a second", most_rate));
    }
    const auto& detection = assumptions.detection;
    if (detection && (detection->interval_ms <= 0 || detection->interval_ms > day_ms || detection->fast_ms < 0 ||
                      detection->fast_ms > day_ms || detection->fall == 0 || detection->fall > 1000)) {
        throw Error(ErrorKind::invalid,
                    "a load balancer's checks must be some milliseconds apart, and at least one must fail");
    }
    Scale scale;
    scale.node_share = assumptions.dark_share.value_or(1.0 / std::max(nodes, 1U));
    scale.not_retried = 1 - assumptions.retried;
    scale.apps = std::max(apps, 1U);
    scale.assumptions = assumptions;
    return scale;
}

/// Each outage is noticed for itself: a load balancer that has taken the node out of one sends to it again after it.
double noticed_ms(const store::LedgerEntry& row, const Scale& scale) {
    const auto& detection = scale.assumptions.detection;
    if (row.outages_ms.empty()) return expected_exposure_ms(row.exposed_ms, detection);
    double sum = 0;
    for (const auto outage : row.outages_ms) sum += expected_exposure_ms(outage, detection);
    return sum;
}

/// One group while it grows.
struct Sum {
    LedgerTotal total;
    double measured_visible_ms = 0;
    double rate = 0;

    void add(const store::LedgerEntry& row, const Scale& scale) {
        rate = scale.assumptions.rate;
        ++total.deploys;
        total.at_ms = std::max(total.at_ms, row.at_ms);
        if (row.kind == store::LedgerKind::unknown) {
            ++total.unknown;
            return;
        }
        const bool measured = row.kind == store::LedgerKind::measured;
        ++(measured ? total.measured : total.assumed);
        total.dark_ms += row.dark_ms;
        total.exposed_ms += row.exposed_ms;
        if (!measured) total.assumed_exposed_ms += row.exposed_ms;
        total.out_ms += row.out_ms;
        total.drain_ms += row.drain_ms;
        total.restart_ms += row.restart_ms;
        total.rejoin_ms += row.rejoin_ms;
        total.cut += row.cut;
        const double visible = noticed_ms(row, scale) * scale.node_share * scale.not_retried / scale.apps;
        total.visible_ms += visible;
        if (measured) measured_visible_ms += visible;
    }

    [[nodiscard]] LedgerTotal over(std::int64_t period_ms) const {
        auto done = total;
        const auto chance = [&](double visible_ms) {
            return period_ms <= 0 ? 0.0 : std::min(visible_ms / static_cast<double>(period_ms), 1.0);
        };
        done.request_chance = chance(total.visible_ms);
        done.request_chance_measured = chance(measured_visible_ms);
        done.visit_chance = chance_of_any(done.request_chance, visit_requests);
        done.expected_failed = total.visible_ms / 1000 * rate;
        return done;
    }
};

using Key = std::function<std::string(const store::LedgerEntry&)>;

std::vector<LedgerTotal> grouped(const std::vector<store::LedgerEntry>& rows, const Key& key, const Scale& scale,
                                 std::int64_t period_ms) {
    std::map<std::string, Sum> sums;
    for (const auto& row : rows) {
        auto& sum = sums[key(row)];
        sum.add(row, scale);
    }
    std::vector<LedgerTotal> totals;
    for (const auto& [name, sum] : sums) {
        totals.push_back(sum.over(period_ms));
        totals.back().key = name;
    }
    return totals;
}

LedgerView::Row to_view(const store::LedgerEntry& row) {
    return {row.node.str(), row.app.str(), row.rollout.str(), std::string(store::to_text(row.kind)),
            row.build,      row.at_ms,     row.dark_ms,       row.exposed_ms,
            row.out_ms,     row.drain_ms,  row.restart_ms,    row.rejoin_ms,
            row.cut,        row.outages_ms};
}

}  // namespace

double expected_exposure_ms(std::int64_t outage_ms, const std::optional<Detection>& detection) {
    const double outage = static_cast<double>(outage_ms);
    if (!detection) return outage;
    // Noticed between `least` and `least + interval` after it began, evenly spread: the phase is chance.
    const double interval = static_cast<double>(detection->interval_ms);
    const double fast = detection->fast_ms > 0 ? static_cast<double>(detection->fast_ms) : interval;
    const double least = (detection->fall - 1) * fast;
    if (outage <= least) return outage;
    if (outage >= least + interval) return least + interval / 2;
    return outage - (outage - least) * (outage - least) / (2 * interval);
}

double chance_of_any(double chance, unsigned requests) {
    if (chance >= 1) return requests > 0 ? 1.0 : 0.0;
    // 1 - (1 - p)^n without losing the digits of a small p.
    return -std::expm1(requests * std::log1p(-chance));
}

LedgerView add_up(const std::vector<store::LedgerEntry>& rows, std::int64_t since_ms, std::int64_t until_ms,
                  unsigned nodes, unsigned apps, const Assumptions& assumptions) {
    const auto scale = scale_of(nodes, apps, assumptions);
    // A request to one app meets that app's outages only.
    auto own = scale;
    own.apps = 1;
    const auto period_ms = until_ms - since_ms;
    LedgerView view;
    view.since_ms = since_ms;
    view.until_ms = until_ms;
    view.nodes = nodes;
    view.apps = apps;
    view.assumptions = assumptions;
    Sum total;
    for (const auto& row : rows) total.add(row, scale);
    view.total = total.over(period_ms);
    view.by_node = grouped(
        rows, [](const auto& row) { return row.node.str(); }, scale, period_ms);
    view.by_app = grouped(
        rows, [](const auto& row) { return row.app.str(); }, own, period_ms);
    view.by_day = grouped(
        rows, [](const auto& row) { return to_iso8601(from_epoch_ms(row.at_ms)).substr(0, 10); }, scale, day_ms);
    view.by_rollout = grouped(
        rows, [](const auto& row) { return row.rollout.str(); }, own, period_ms);
    std::ranges::sort(view.by_rollout, [](const auto& a, const auto& b) { return a.at_ms > b.at_ms; });
    if (view.by_rollout.size() > LedgerView::most_rollouts) view.by_rollout.resize(LedgerView::most_rollouts);
    for (const auto& row : rows) {
        if (view.rows.size() == LedgerView::most_rows) break;
        view.rows.push_back(to_view(row));
    }
    return view;
}

LedgerView Operations::ledger(const std::optional<AppName>& app, std::int64_t since_ms,
                              const Assumptions& assumptions) const {
    if (app) (void)config_.app(*app);
    const auto now = to_epoch_ms(clock_.wall());
    const auto since = since_ms > 0 ? since_ms : now - default_days * day_ms;
    if (since >= now) throw Error(ErrorKind::invalid, "'since_ms' lies in the future");
    auto rows = store_.ledger.list(app.value_or(AppName()), since, store::LedgerStore::most_entries);
    const auto members = std::ranges::count_if(
        config_.nodes, [](const config::Node& node) { return node.role == config::NodeRole::member; });
    return add_up(rows, since, now, static_cast<unsigned>(members),
                  app ? 1U : static_cast<unsigned>(config_.apps.size()), assumptions);
}

}  // namespace baton::operations
