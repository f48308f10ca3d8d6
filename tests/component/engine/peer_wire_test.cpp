// SPDX-License-Identifier: MIT
// What agents write to each other about an app: both ways, and nothing malformed.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/engine/peer_wire.h"
#include "common/error.h"
#include "common/ulid.h"

using namespace baton;

namespace {

wire::Rollout rollout() {
    wire::Rollout made;
    made.app = AppName("shop");
    made.key = {3, make_rollout_id(WallTime{Milliseconds{1'000}}, 1, 2)};
    made.commit = CommitId("0123456789abcdef0123456789abcdef01234567");
    made.started_on = NodeName("web1");
    made.cause = {wire::CauseKind::poll, "Started by an SCM change", "", ""};
    made.subject = "Üben: \"quotes\"\n";
    return made;
}

}  // namespace

TEST_CASE("peer wire: an exchange comes back as it was sent") {
    engine::PeerExchange said;
    chain::Message handoff;
    handoff.header.incarnation = 7;
    handoff.body = chain::Handoff{rollout(), 1, 0, {NodeName("web9")}};
    said.messages = {handoff};
    wire::NodeProgress row;
    row.node = NodeName("web1");
    row.rollout = rollout().key;
    row.version = 12;
    row.stage = wire::Stage::verify;
    row.state = wire::BuildState::running;
    said.progress = {row};
    said.rollouts = {rollout()};
    said.wants_history = true;
    const auto heard = engine::parse_exchange(json::dump(engine::to_json(said)));
    CHECK(heard.messages == said.messages);
    CHECK(heard.progress == said.progress);
    CHECK(heard.rollouts == said.rollouts);
    CHECK(heard.wants_history);
}

TEST_CASE("peer wire: a handoff goes to the remote trigger that curl uses, everything else to the peers' path") {
    chain::Message message;
    message.body = chain::Handoff{rollout(), 0, 0, {}};
    CHECK(engine::to_letter(AppName("shop"), message).first == "/job/shop/build");
    message.body = chain::Ask{};
    CHECK(engine::to_letter(AppName("shop"), message).first == "/peer/v1/chain/shop");
}

TEST_CASE("peer wire: what is no exchange is refused") {
    CHECK(engine::parse_exchange("{}").messages.empty());
    for (const auto* bad : {"", "[]", "null", R"({"messages":{}})", R"({"messages":[1]})", R"({"progress":[{}]})",
                            R"({"rollouts":["x"]})", R"({"want_history":"yes"})"}) {
        INFO(bad);
        CHECK_THROWS_AS(engine::parse_exchange(bad), Error);
    }
}
