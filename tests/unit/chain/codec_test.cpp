// SPDX-License-Identifier: MIT
// The durable state and the messages as JSON.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/chain/durable.h"
#include "agent/chain/message.h"
#include "agent/chain/settings.h"
#include "common/error.h"
#include "common/json.h"

using namespace baton;
using namespace baton::chain;

namespace {

wire::Rollout some_rollout(char digit = '1') {
    wire::Rollout rollout;
    rollout.app = AppName("shop");
    rollout.key = {2, RolloutId(std::string("01HF7YATT3VCZAQQBSHRAAT4M") + digit)};
    rollout.commit = CommitId(std::string(40, digit));
    rollout.started_on = NodeName("web1");
    return rollout;
}

const Ticket big_ticket{0xFFFFFFFFFFFFFFFFULL, 7};

Durable full_durable() {
    Durable d = fresh_durable(0xFEDCBA9876543210ULL);
    const auto rollout = some_rollout();
    d.may_grant = true;
    d.seq = 9;
    d.phase = Phase::out;
    d.claim = Claim{big_ticket, 2, rollout, OutStage::neighbours, 3, true, true, "because"};
    d.owed = rollout.key;
    d.current = some_rollout('2');
    d.previous = some_rollout('3');
    d.interrupted = rollout.target();
    d.interruptions = 1;
    d.forced = rollout.target();
    d.forced_by = "ann";
    d.duty = Duty{rollout.target(), 3, 2, true};
    d.known[rollout.key] = Known{rollout, true, true, true, 2, {NodeName("web2")}, true, true, NodeName("web3"),
                                OrderNote{"ann", "fine", 12}};
    d.failed[rollout.key] =
        Failure{2, FailureKind::halted, NodeName("web1"), "ann", "looks \"wrong\"\n", 5, rollout.commit};
    d.once[rollout.key] = OnceState{1, NodeName("web1"), true, true, 6};
    d.bad[rollout.commit] = BadCommit{"rolled back", 7, rollout.target(), true};
    d.grants = {Grant{1, NodeName("web2"), big_ticket, rollout.target(), true},
                Grant{1, NodeName("web3"), {3, 4}, {}, false}};
    d.done[NodeName("web2")] = {3, 4};
    d.freeze = {4, FreezeNote{"ann", "lunch", 8, 9}};
    d.identities[NodeName("web2")] = {2, 0, OrderNote{"ann", "burnt", 13}};
    d.identities[NodeName("web3")] = {1, 7};
    d.barred = {5, 0xFFFFFFFFFFFFFFFFULL};
    d.spreads[3] = Spread{"forget", 1, {NodeName("web1")}};
    d.next_order = 4;
    return d;
}

Message with(Body body) {
    Message message;
    const auto full = full_durable();
    message.header.incarnation = full.incarnation;
    message.header.run = 0xFFFFFFFFFFFFFFFEULL;
    message.header.config_hash = "c0ffee";
    message.header.status = {
        some_rollout().target(), some_rollout().commit, some_rollout('2').target(), Phase::asking, true, false, true,
        OrderNote{"ann", "a new \"disk\"", 11}};
    message.header.failed = full.failed;
    message.header.once = full.once;
    message.header.freeze = full.freeze;
    Known known;
    known.rollout = some_rollout();
    known.skipped = {NodeName("web9")};
    message.header.rollouts = {known};
    message.body = std::move(body);
    return message;
}

Message through_text(const Message& message) { return parse_message(json::parse(json::dump(to_json(message)))); }

}  // namespace

TEST_CASE("chain: a durable state with everything in it reads back as it was") {
    const auto full = full_durable();
    CHECK(parse_durable(json::parse(json::dump(to_json(full)))) == full);
    const auto fresh = fresh_durable(1);
    CHECK_FALSE(fresh.may_grant);
    CHECK(parse_durable(json::parse(json::dump(to_json(fresh)))) == fresh);
}

TEST_CASE("chain: a durable state with a contradiction or a missing member is refused") {
    auto value = to_json(full_durable());
    value["course"]["phase"] = "idle";
    CHECK_THROWS_WITH(parse_durable(value), Catch::Contains("'phase'"));
    value = to_json(full_durable());
    value.erase("grants");
    CHECK(parse_durable(value).grants.empty());  // absent lists are empty: an older agent had none
    value.erase("seq");
    CHECK_THROWS_WITH(parse_durable(value), Catch::Contains("'seq'"));
}

TEST_CASE("chain: every message reads back as it was") {
    const auto rollout = some_rollout();
    const auto full = full_durable();
    Whole whole;
    whole.grants = full.grants;
    whole.claim = full.grants.front();
    whole.done = full.done;
    whole.failed = full.failed;
    whole.once = full.once;
    whole.bad = full.bad;
    whole.identities = full.identities;
    whole.barred = full.barred;
    whole.voices[NodeName("web2")] = {Voice{7, 8, "10.0.0.12:7070", true, 250}, Voice{9, 0, "", false, 0}};
    const std::vector<Body> bodies{Unknown{},
                                   Ask{big_ticket, 1, 2, rollout.target(), true},
                                   Granted{big_ticket, 2, rollout.target()},
                                   Denied{big_ticket, 2, NodeName("web3"), "web3 is out of service"},
                                   Release{big_ticket},
                                   Inquire{big_ticket},
                                   Handoff{rollout, 1, 2, {NodeName("web2")}},
                                   HandoffAck{rollout.target(), true},
                                   HeadsUp{rollout},
                                   Sync{0xFFFFFFFFFFFFFFFFULL, true, whole},
                                   Tell{{1, 2}, whole},
                                   Told{{1, 2}}};
    REQUIRE(bodies.size() == std::variant_size_v<Body>);
    for (const auto& body : bodies) {
        const auto message = with(body);
        INFO(body_name(message));
        CHECK(through_text(message) == message);
    }
}

TEST_CASE("chain: of a newer agent's message what is known is taken and the rest ignored") {
    auto value = to_json(with(Release{big_ticket}));
    value["header"]["protocol"] = protocol_version + 1;
    value["header"]["weather"] = "fine";
    value["release"]["why"] = "done";
    CHECK(std::get<Release>(parse_message(value).body) == Release{big_ticket});
    value["sing"] = value["release"];
    value.erase("release");
    const auto unknown = parse_message(value);
    CHECK(std::holds_alternative<Unknown>(unknown.body));
    CHECK(unknown.header.failed.size() == 1);
}

TEST_CASE("chain: a protocol that is too new or too old is refused with what to do") {
    auto value = to_json(with(Release{big_ticket}));
    value["header"]["protocol"] = protocol_version + 2;
    CHECK_THROWS_WITH(parse_message(value), Catch::Contains("upgrade one step at a time"));
    value["header"]["protocol"] = oldest_protocol_version - 1;
    CHECK_THROWS_WITH(parse_message(value), Catch::Contains("upgrade one step at a time"));
}

TEST_CASE("chain: a hostile message is an error and nothing else") {
    const auto good = to_json(with(Ask{big_ticket, 1, 2, some_rollout().target(), true}));
    for (const auto& text : {R"({})", R"([])", R"({"header":1})", R"({"header":{"protocol":1}})"}) {
        CHECK_THROWS_AS(parse_message(json::parse(text)), Error);
    }
    auto value = good;
    value["ask"]["ticket"]["seq"] = -1;
    CHECK_THROWS_AS(parse_message(value), Error);
    value = good;
    value["ask"]["lane"] = 1ULL << 40U;
    CHECK_THROWS_AS(parse_message(value), Error);
    value = good;
    value["header"]["failed"] = json::Value(5'000, json::Value::object());
    CHECK_THROWS_AS(parse_message(value), Error);
    value = good;
    value["header"]["status"]["phase"] = "asleep";
    CHECK_THROWS_AS(parse_message(value), Error);
}

TEST_CASE("chain: every rule has a name, and leaving one out leaves the others") {
    CHECK(rule_names().size() == 14);
    CHECK_FALSE(rules_without("plain-chain").permits);
    CHECK(rules_without("plain-chain").inquire);
    CHECK_THROWS_AS(rules_without("gravity"), Error);
}
