// SPDX-License-Identifier: MIT
// The ledger between agents: what one says is what the other reads, and nonsense is refused.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/engine/peer_wire.h"
#include "common/error.h"

using namespace baton;
using namespace baton::engine;

namespace {

json::Value valid() {
    PeerExchange said;
    store::LedgerEntry entry;
    entry.node = NodeName("web2");
    entry.rollout = RolloutId("01HZZZZZZZZZZZZZZZZZZZZZZZ");
    entry.build = 7;
    entry.dark_ms = 1'040;
    entry.exposed_ms = 1'000;
    entry.outages_ms = {700, 300};
    entry.out_ms = 5'000;
    entry.drain_ms = 3'000;
    entry.restart_ms = 1'300;
    entry.rejoin_ms = 900;
    entry.cut = 3;
    entry.kind = store::LedgerKind::assumed;
    entry.at_ms = 1'763'942'400'000;
    said.ledger = {entry};
    return to_json(said);
}

}  // namespace

TEST_CASE("peer ledger: a row arrives as it was sent") {
    const auto heard = parse_exchange(json::dump(valid()));
    REQUIRE(heard.ledger.size() == 1);
    const auto& row = heard.ledger[0];
    CHECK(row.node == NodeName("web2"));
    CHECK(row.rollout == RolloutId("01HZZZZZZZZZZZZZZZZZZZZZZZ"));
    CHECK(row.build == 7);
    CHECK(row.dark_ms == 1'040);
    CHECK(row.exposed_ms == 1'000);
    CHECK(row.outages_ms == std::vector<std::int64_t>{700, 300});
    CHECK(row.out_ms == 5'000);
    CHECK(row.drain_ms == 3'000);
    CHECK(row.restart_ms == 1'300);
    CHECK(row.rejoin_ms == 900);
    CHECK(row.cut == 3);
    CHECK(row.kind == store::LedgerKind::assumed);
    CHECK(row.at_ms == 1'763'942'400'000);
}

TEST_CASE("peer ledger: a row that makes no sense is refused") {
    const auto refused = [](const char* member, const json::Value& value) {
        auto said = valid();
        said["ledger"][0][member] = value;
        CHECK_THROWS_AS(parse_exchange(json::dump(said)), Error);
    };
    refused("node", "../etc");
    refused("kind", "guessed");
    refused("dark_ms", -1);
    refused("dark_ms", 400LL * 86'400'000);
    refused("exposed_ms", "many");
    refused("outages_ms", {700, 301});
    refused("outages_ms", {1'001, -1});
    refused("outages_ms", 1'000);
    refused("build", 5'000'000'000);
    refused("cut", 5'000'000'000);
    refused("at_ms", 1e18);
    CHECK_NOTHROW(parse_exchange(json::dump(valid())));
}

TEST_CASE("peer ledger: an agent of before tells no outages apart") {
    auto said = valid();
    said["ledger"][0].erase("outages_ms");
    CHECK(parse_exchange(json::dump(said)).ledger.at(0).outages_ms.empty());
}
