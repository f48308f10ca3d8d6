// SPDX-License-Identifier: MIT
// The arithmetic of the ledger: what exposure costs users.
#include <catch2/catch.hpp>

#include "agent/operations/ledger.h"
#include "agent/store/ledger_store.h"
#include "common/error.h"

using namespace baton;
using namespace baton::operations;
using store::LedgerEntry;
using store::LedgerKind;

namespace {

constexpr std::int64_t day = 86'400'000;
constexpr std::int64_t monday = 1'763'942'400'000;  // 2025-11-24, midnight in UTC

LedgerEntry row(const char* node, const char* rollout, std::int64_t exposed_ms, LedgerKind kind = LedgerKind::measured,
                std::int64_t at_ms = monday + 1'000) {
    LedgerEntry entry;
    entry.node = NodeName(node);
    entry.app = AppName("shop");
    entry.rollout = RolloutId(rollout);
    entry.build = 1;
    entry.dark_ms = exposed_ms + 100;
    entry.exposed_ms = exposed_ms;
    entry.restart_ms = 1'300;
    entry.cut = 2;
    entry.kind = kind;
    entry.at_ms = at_ms;
    return entry;
}

}  // namespace

TEST_CASE("ledger: equal exposure on every node costs k g / 86400 a day, however many nodes there are") {
    for (const unsigned nodes : {1U, 3U, 10U}) {
        std::vector<LedgerEntry> rows;
        for (unsigned rollout = 0; rollout < 5; ++rollout) {
            for (unsigned node = 0; node < nodes; ++node) {
                rows.push_back(
                    row(("web" + std::to_string(node)).c_str(), ("R" + std::to_string(rollout)).c_str(), 1'500));
            }
        }
        const auto view = add_up(rows, monday, monday + day, nodes, 1, {});
        CHECK(view.total.deploys == 5 * nodes);
        CHECK(view.total.exposed_ms == 1'500 * 5 * nodes);
        CHECK(view.total.visible_ms == Approx(5 * 1'500));
        CHECK(view.total.request_chance == Approx(5 * 1.5 / 86'400));
        REQUIRE(view.by_day.size() == 1);
        CHECK(view.by_day[0].key == "2025-11-24");
        CHECK(view.by_day[0].request_chance == Approx(5 * 1.5 / 86'400));
        CHECK(view.by_node.size() == nodes);
        CHECK(view.by_node[0].request_chance == Approx(5 * 1.5 / 86'400 / nodes));
        CHECK(view.by_rollout.size() == 5);
    }
}

TEST_CASE("ledger: measured and assumed are told apart, and unknown is counted and never added") {
    const auto view = add_up({row("web1", "R1", 1'000), row("web2", "R1", 500, LedgerKind::assumed),
                              row("web1", "R2", 700'000, LedgerKind::unknown)},
                             monday, monday + day, 2, 1, {});
    CHECK(view.total.deploys == 3);
    CHECK(view.total.measured == 1);
    CHECK(view.total.assumed == 1);
    CHECK(view.total.unknown == 1);
    CHECK(view.total.exposed_ms == 1'500);
    CHECK(view.total.assumed_exposed_ms == 500);
    CHECK(view.total.dark_ms == 1'700);
    CHECK(view.total.restart_ms == 2'600);
    CHECK(view.total.cut == 4);
    CHECK(view.total.request_chance == Approx(750.0 / day));
    CHECK(view.total.request_chance_measured == Approx(500.0 / day));
    REQUIRE(view.by_rollout.size() == 2);
    CHECK(view.by_rollout[1].unknown + view.by_rollout[0].unknown == 1);
    CHECK(view.rows.size() == 3);
    CHECK(view.rows[2].kind == "unknown");
    CHECK(view.rows[2].exposed_ms == 700'000);
}

TEST_CASE("ledger: a day's chance is that of a request of that day, the whole's that of the period") {
    const auto view = add_up({row("web1", "R2", 4'000, LedgerKind::measured, monday + day + 5),
                              row("web1", "R1", 2'000, LedgerKind::measured, monday + day - 5)},
                             monday, monday + 10 * day, 1, 1, {});
    REQUIRE(view.by_day.size() == 2);
    CHECK(view.by_day[0].request_chance == Approx(2.0 / 86'400));
    CHECK(view.by_day[1].key == "2025-11-25");
    CHECK(view.by_day[1].request_chance == Approx(4.0 / 86'400));
    CHECK(view.total.request_chance == Approx(6.0 / 864'000));
    CHECK(view.by_rollout[0].key == "R2");
}

TEST_CASE("ledger: over several apps an outage of one hits a request with that app's part of the traffic") {
    const auto both = add_up({row("web1", "R1", 3'000)}, monday, monday + day, 3, 2, {});
    CHECK(both.total.request_chance == Approx(0.5 / 86'400));
    CHECK(both.by_app[0].request_chance == Approx(1.0 / 86'400));
}

TEST_CASE("ledger: a visit of fifty requests is met with 1 - (1 - p)^50, also for the smallest p") {
    CHECK(chance_of_any(0.01, 50) == Approx(0.394993).epsilon(1e-5));
    CHECK(chance_of_any(1e-12, 50) == Approx(5e-11).epsilon(1e-6));
    CHECK(chance_of_any(0, 50) == 0);
    CHECK(chance_of_any(1, 50) == 1);
    CHECK(chance_of_any(0.3, 1) == Approx(0.3));
    const auto view = add_up({row("web1", "R1", 10'000)}, 0, day, 1, 1, {});
    CHECK(view.total.visit_chance == Approx(chance_of_any(10.0 / 86'400, 50)));
}

TEST_CASE("ledger: a load balancer's own checks end an exposure after (fall - 1) to fall intervals") {
    const Detection checks{2'000, 0, 3};
    // The outages that were measured in the lab, beside what 285 requests a second lost in eight of them.
    CHECK(expected_exposure_ms(820, checks) * 0.285 * 8 / 3 == Approx(625).epsilon(0.01));
    CHECK(expected_exposure_ms(2'640, checks) * 0.285 * 8 / 3 == Approx(2'010).epsilon(0.01));
    CHECK(expected_exposure_ms(4'650, checks) * 0.285 * 8 / 3 == Approx(3'453).epsilon(0.01));
    CHECK(expected_exposure_ms(6'690, checks) * 0.285 * 8 / 3 == Approx(3'799).epsilon(0.01));
    CHECK(expected_exposure_ms(9'630, checks) * 0.285 * 8 / 3 == Approx(3'799).epsilon(0.01));
    CHECK(expected_exposure_ms(60'000, std::nullopt) == 60'000);
    CHECK(expected_exposure_ms(60'000, Detection{2'000, 250, 3}) == 1'500);
    CHECK(expected_exposure_ms(500, Detection{2'000, 250, 3}) == 500);
    CHECK(expected_exposure_ms(100, Detection{2'000, 0, 1}) == Approx(97.5));
}

TEST_CASE("ledger: a load balancer notices each outage of a switch anew") {
    // Checked every 2 s, down after 3 failures: noticed 4 to 6 s after the beginning, evenly spread. A release that was
    // down for 5 s and the one before, put back, for another 3 s:
    //   E[5 s] = 5 - (5 - 4)^2 / (2 * 2) = 4.75 s, E[3 s] = 3 s (never noticed); together 7.75 s.
    // Of the sum, 8 s, the balancer would have borne E[8 s] = 4 + 2 / 2 = 5 s: too little by 2.75 s.
    auto switched = row("web1", "R1", 8'000);
    switched.outages_ms = {5'000, 3'000};
    Assumptions assumptions;
    CHECK(add_up({switched}, 0, day, 1, 1, assumptions).total.visible_ms == Approx(8'000));
    assumptions.detection = Detection{2'000, 0, 3};
    CHECK(add_up({switched}, 0, day, 1, 1, assumptions).total.visible_ms == Approx(7'750));
    CHECK(add_up({switched}, 0, day, 5, 1, assumptions).total.visible_ms == Approx(1'550));
    CHECK(add_up({switched}, 0, day, 1, 1, assumptions).rows.at(0).outages_ms == std::vector<std::int64_t>{5'000, 3'000});
    // Not told apart: taken as one.
    switched.outages_ms.clear();
    CHECK(add_up({switched}, 0, day, 1, 1, assumptions).total.visible_ms == Approx(5'000));
}

TEST_CASE("ledger: retries save their share, and a balancer that prefers the dead node costs as many times more") {
    const std::vector<LedgerEntry> rows{row("web1", "R1", 1'000)};
    Assumptions assumptions;
    assumptions.retried = 0.9;
    CHECK(add_up(rows, 0, day, 2, 1, assumptions).total.visible_ms == Approx(50));
    assumptions.retried = 0;
    assumptions.dark_share = 0.8;
    CHECK(add_up(rows, 0, day, 2, 1, assumptions).total.visible_ms == Approx(800));
    assumptions.detection = Detection{100, 0, 2};
    CHECK(add_up(rows, 0, day, 2, 1, assumptions).total.visible_ms == Approx(120));
}

TEST_CASE("ledger: with a rate the visible time is a number of failed requests, that of the spec's measured rollout") {
    // Three outages of 1.04 s under 200 requests a second and no detection: 216 were predicted with those in flight,
    // 223 counted.
    const std::vector<LedgerEntry> rows{row("web1", "R1", 1'040), row("web2", "R1", 1'040), row("web3", "R1", 1'040)};
    Assumptions assumptions;
    CHECK(add_up(rows, 0, day, 3, 1, assumptions).total.expected_failed == 0);
    assumptions.rate = 200;
    const auto view = add_up(rows, 0, day, 3, 1, assumptions);
    CHECK(view.total.expected_failed == Approx(208));
    CHECK(view.by_node[0].expected_failed == Approx(208.0 / 3));
    CHECK(view.by_rollout[0].expected_failed == Approx(208));
    CHECK(view.assumptions.rate == 200);
    assumptions.rate = -1;
    CHECK_THROWS_AS(add_up(rows, 0, day, 3, 1, assumptions), Error);
}

TEST_CASE("ledger: assumptions that make no sense are refused") {
    Assumptions assumptions;
    assumptions.retried = 1.5;
    CHECK_THROWS_AS(add_up({}, 0, day, 2, 1, assumptions), Error);
    assumptions.retried = 0;
    assumptions.detection = Detection{0, 0, 3};
    CHECK_THROWS_AS(add_up({}, 0, day, 2, 1, assumptions), Error);
    assumptions.detection = Detection{2'000, 0, 0};
    CHECK_THROWS_AS(add_up({}, 0, day, 2, 1, assumptions), Error);
}

TEST_CASE("ledger: nothing deployed is nothing lost") {
    const auto view = add_up({}, 0, day, 0, 0, {});
    CHECK(view.total.deploys == 0);
    CHECK(view.total.request_chance == 0);
    CHECK(view.total.visit_chance == 0);
    CHECK(view.by_day.empty());
}
