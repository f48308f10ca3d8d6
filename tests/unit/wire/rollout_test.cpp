// SPDX-License-Identifier: MIT
// Rollouts and progress on the wire.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json.h"
#include "common/wire/rollout.h"

using namespace baton;
using namespace baton::wire;

namespace {

Rollout some_rollout() {
    Rollout rollout;
    rollout.app = AppName("shop");
    rollout.key = {3, RolloutId("01HF7YATT3VCZAQQBSHRAAT4MJ")};
    rollout.attempt = 2;
    rollout.commit = CommitId(std::string(40, 'a'));
    rollout.kind = RolloutKind::rollback;
    rollout.started_on = NodeName("web1");
    rollout.started_ms = 1'700'000'000'123;
    rollout.cause = {CauseKind::webhook, "Started by GitHub push by ann", "ann", "192.0.2.7"};
    rollout.author = "Ann <ann@example.org>";
    rollout.subject = "Baskets: \"one\" less\n";
    rollout.parameters = {{"DEEP", "yes"}, {"EMPTY", ""}};
    rollout.by_name = true;
    rollout.undoes = CommitId(std::string(40, 'b'));
    return rollout;
}

std::string error_of(const json::Value& value) {
    try {
        (void)parse_rollout(value);
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::invalid);
        return error.text();
    }
    return "no error";
}

}  // namespace

TEST_CASE("wire: a rollout reads back as it was written, through text") {
    const auto rollout = some_rollout();
    CHECK(parse_rollout(json::parse(json::dump(to_json(rollout)))) == rollout);
}

TEST_CASE("wire: a node's progress reads back as it was written") {
    const NodeProgress progress{NodeName("web2"),
                                some_rollout().key,
                                7,
                                12,
                                Stage::switch_over,
                                BuildState::running,
                                11,
                                12,
                                13,
                                "permit",
                                "broken",
                                CommitId(std::string(40, 'c'))};
    CHECK(parse_node_progress(json::parse(json::dump(to_json(progress)))) == progress);
}

TEST_CASE("wire: members that a newer agent adds are ignored") {
    auto value = to_json(some_rollout());
    value["mood"] = {{"good", true}};
    CHECK(parse_rollout(value) == some_rollout());
}

TEST_CASE("wire: a missing or wrong member is named") {
    auto value = to_json(some_rollout());
    value.erase("epoch");
    CHECK_THAT(error_of(value), Catch::Contains("'epoch'"));
    value = to_json(some_rollout());
    value["commit"] = "HEAD";
    CHECK_THAT(error_of(value), Catch::Contains("'commit'"));
    value = to_json(some_rollout());
    value["id"] = "../../etc";
    CHECK_THAT(error_of(value), Catch::Contains("'id'"));
    value = to_json(some_rollout());
    value["app"] = "Shop Shop";
    CHECK_THAT(error_of(value), Catch::Contains("'app'"));
    value = to_json(some_rollout());
    value["kind"] = "sideways";
    CHECK_THAT(error_of(value), Catch::Contains("sideways"));
    value = to_json(some_rollout());
    value["attempt"] = 1ULL << 40U;
    CHECK_THAT(error_of(value), Catch::Contains("'attempt'"));
    value = to_json(some_rollout());
    value["parameters"] = {{"DEEP", 1}};
    CHECK_THAT(error_of(value), Catch::Contains("'DEEP'"));
    CHECK_THAT(error_of(json::Value::array()), Catch::Contains("object"));
}

TEST_CASE("wire: every stage, state, kind and cause has a word that reads back") {
    for (int i = 0; i <= static_cast<int>(Stage::done); ++i) {
        const auto stage = static_cast<Stage>(i);
        CHECK(parse_stage(to_text(stage)) == stage);
    }
    for (int i = 0; i <= static_cast<int>(BuildState::stuck); ++i) {
        const auto state = static_cast<BuildState>(i);
        CHECK(parse_build_state(to_text(state)) == state);
    }
    for (int i = 0; i <= static_cast<int>(CauseKind::failure); ++i) {
        const auto cause = static_cast<CauseKind>(i);
        CHECK(parse_cause_kind(to_text(cause)) == cause);
    }
    CHECK(parse_rollout_kind(to_text(RolloutKind::rollback)) == RolloutKind::rollback);
    CHECK(to_text(Stage::switch_over) == "switch");
    CHECK_THROWS_AS(parse_stage("switch_over"), Error);
}

TEST_CASE("wire: rollouts are ordered by epoch, then id, and a retry is newer than what it retries") {
    const RolloutKey old{1, RolloutId("01HF7YATT3VCZAQQBSHRAAT4MJ")};
    const RolloutKey later{1, RolloutId("01HF7YATT4VCZAQQBSHRAAT4MJ")};
    const RolloutKey after_clock_jump{2, RolloutId("01AAAAAAAAVCZAQQBSHRAAT4MJ")};
    CHECK(old < later);
    CHECK(later < after_clock_jump);
    CHECK(Target{old, 1} < Target{old, 2});
    CHECK(Target{old, 2} < Target{later, 1});
}
