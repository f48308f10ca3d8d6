// SPDX-License-Identifier: MIT
// Builds: numbering, stages, permalinks, recovery, pruning.
#include <array>
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "agent/store/store.h"
#include "common/error.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::store;

namespace {

BuildRecord build(std::string app, std::int64_t started_ms = 1000) {
    BuildRecord record;
    record.app = AppName(std::move(app));
    record.rollout = {3, RolloutId("01ARZ3NDEKTSV4RRFFQ69G5FAV")};
    record.commit = CommitId(std::string(40, 'c'));
    record.stage = wire::Stage::fetch;
    record.started_ms = started_ms;
    record.stage_ms = started_ms;
    record.causes = {{wire::CauseKind::poll, "Started by a change of main", "", ""}};
    return record;
}

unsigned ended(Store& store, wire::BuildState state, const std::string& app = "shop") {
    const unsigned number = store.builds.insert(build(app));
    store.builds.finish(AppName(app), number, state, "", 2000);
    return number;
}

}  // namespace

TEST_CASE("builds: all fields of a build come back") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    BuildRecord record = build("shop");
    record.attempt = 2;
    record.kind = wire::RolloutKind::rollback;
    record.previous_commit = CommitId(std::string(40, 'b'));
    record.pipeline = "{\"test\":[]}";
    record.queue_id = 1'700'000'000'123;
    record.parameters = {{"ENV", "prod"}};
    record.number = store.builds.insert(record);
    record.stage = wire::Stage::switch_over;
    record.state = wire::BuildState::running;
    record.stage_ms = 1500;
    record.message = "waiting";
    record.release_path = "/srv/shop/releases/7";
    record.tests = TestTotals{905, 2, 3, 61'000};
    record.failing_tests = "[{\"name\":\"a\"}]";
    record.steps = "[1]";
    record.changes = "[2]";
    store.builds.save(record);
    const auto got = store.builds.get(AppName("shop"), record.number);
    REQUIRE(got.has_value());
    CHECK(got->number == 1);
    CHECK(got->rollout == record.rollout);
    CHECK(got->attempt == 2);
    CHECK(got->kind == wire::RolloutKind::rollback);
    CHECK(got->commit == record.commit);
    CHECK(got->previous_commit == record.previous_commit);
    CHECK(got->stage == wire::Stage::switch_over);
    CHECK(got->state == wire::BuildState::running);
    CHECK(got->stage_ms == 1500);
    CHECK(got->message == "waiting");
    CHECK(got->release_path == record.release_path);
    CHECK(got->pipeline == record.pipeline);
    CHECK(got->queue_id == record.queue_id);
    CHECK(got->tests == record.tests);
    CHECK(got->failing_tests == record.failing_tests);
    CHECK(got->steps == "[1]");
    CHECK(got->changes == "[2]");
    CHECK(got->causes == record.causes);
    CHECK(got->parameters == record.parameters);
    record.number = 2;
    CHECK_THROWS_AS(store.builds.save(record), Error);
}

TEST_CASE("builds: numbers begin at 1 in each app, grow by one, and next_number is right before the build starts") {
    const test::TempDir dir;
    {
        Store store(dir / "baton.db");
        CHECK(store.builds.next_number(AppName("shop")) == 1);
        CHECK(store.builds.insert(build("shop")) == 1);
        CHECK(store.builds.next_number(AppName("shop")) == 2);
        CHECK(store.builds.insert(build("shop")) == 2);
        CHECK(store.builds.insert(build("blog")) == 1);
    }
    Store store(dir / "baton.db");
    CHECK(store.builds.next_number(AppName("shop")) == 3);
    CHECK(store.builds.insert(build("shop")) == 3);
}

TEST_CASE("builds: a number is never used again, also when every build was pruned or a start was rolled back") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    for (int n = 0; n < 3; ++n) (void)ended(store, wire::BuildState::failed);
    CHECK(store.builds.prune(AppName("shop"), 0).size() == 3);
    CHECK(store.builds.insert(build("shop")) == 4);
    {
        Transaction scope(store.database);
        CHECK(store.builds.insert(build("shop")) == 5);
    }
    // Nobody was ever told of that 5: it did not exist.
    CHECK(store.builds.insert(build("shop")) == 5);
}

TEST_CASE("builds: numbers given to many threads at once are all different and without a gap") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    std::vector<unsigned> numbers(40);
    {
        std::vector<std::jthread> threads;
        for (std::size_t thread = 0; thread < 4; ++thread) {
            threads.emplace_back([&, thread] {
                for (std::size_t n = thread; n < numbers.size(); n += 4)
                    numbers[n] = store.builds.insert(build("shop"));
            });
        }
    }
    const std::set<unsigned> different(numbers.begin(), numbers.end());
    CHECK(different.size() == 40);
    CHECK(*different.begin() == 1);
    CHECK(*different.rbegin() == 40);
}

TEST_CASE("builds: a stage's time is when it began, not when its message last changed") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName app("shop");
    const unsigned number = store.builds.insert(build("shop"));
    store.builds.update_stage(app, number, wire::Stage::permit, wire::BuildState::waiting, "for web1", 2000);
    store.builds.update_stage(app, number, wire::Stage::permit, wire::BuildState::waiting, "for web2", 3000);
    auto got = store.builds.get(app, number);
    CHECK(got->stage == wire::Stage::permit);
    CHECK(got->state == wire::BuildState::waiting);
    CHECK(got->stage_ms == 2000);
    CHECK(got->message == "for web2");
    store.builds.update_stage(app, number, wire::Stage::switch_over, wire::BuildState::running, "", 4000);
    CHECK(store.builds.get(app, number)->stage_ms == 4000);
    store.builds.finish(app, number, wire::BuildState::restored, "unhealthy", 9000);
    got = store.builds.get(app, number);
    CHECK(got->stage == wire::Stage::done);
    CHECK(got->state == wire::BuildState::restored);
    CHECK(got->finished_ms == 9000);
    CHECK(got->message == "unhealthy");
    CHECK_THROWS_AS(store.builds.finish(app, 77, wire::BuildState::failed, "", 1), Error);
    CHECK_THROWS_AS(store.builds.update_stage(app, 77, wire::Stage::test, wire::BuildState::running, "", 1), Error);
}

TEST_CASE("builds: lists are newest first, with a limit and a page") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    for (int n = 0; n < 7; ++n) (void)ended(store, wire::BuildState::succeeded);
    (void)ended(store, wire::BuildState::succeeded, "blog");
    const auto numbers = [](const std::vector<BuildRecord>& records) {
        std::vector<unsigned> list;
        for (const BuildRecord& record : records) list.push_back(record.number);
        return list;
    };
    CHECK(numbers(store.builds.list(AppName("shop"), 3)) == std::vector<unsigned>{7, 6, 5});
    CHECK(numbers(store.builds.list(AppName("shop"), 3, 5)) == std::vector<unsigned>{4, 3, 2});
    CHECK(numbers(store.builds.list(AppName("shop"), 100, 3)) == std::vector<unsigned>{2, 1});
    CHECK(store.builds.newest(AppName("shop"))->number == 7);
    CHECK_FALSE(store.builds.newest(AppName("none")).has_value());
}

TEST_CASE("builds: the newest of some states answers permalinks") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName app("shop");
    const unsigned good = ended(store, wire::BuildState::succeeded);
    const unsigned bad = ended(store, wire::BuildState::failed);
    const unsigned restored = ended(store, wire::BuildState::restored);
    (void)ended(store, wire::BuildState::cancelled);
    const std::array success{wire::BuildState::succeeded};
    const std::array failures{wire::BuildState::failed, wire::BuildState::restored};
    const std::array stuck{wire::BuildState::stuck};
    CHECK(store.builds.newest(app, success)->number == good);
    CHECK(store.builds.newest(app, failures)->number == restored);
    CHECK(bad < restored);
    CHECK_FALSE(store.builds.newest(app, stuck).has_value());
    CHECK_FALSE(store.builds.newest(app, {}).has_value());
    CHECK(store.builds.for_rollout(app, RolloutId("01ARZ3NDEKTSV4RRFFQ69G5FAV"))->number == 4);
    CHECK_FALSE(store.builds.for_rollout(app, RolloutId("other")).has_value());
}

TEST_CASE("builds: the last green count is that of the newest succeeded build with a report") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName app("shop");
    CHECK_FALSE(store.builds.last_green_test_count(app).has_value());
    const auto with_tests = [&](wire::BuildState state, std::optional<unsigned> total) {
        BuildRecord record = build("shop");
        if (total) record.tests = TestTotals{*total, 0, 0, 1};
        const unsigned number = store.builds.insert(record);
        store.builds.finish(app, number, state, "", 2000);
    };
    with_tests(wire::BuildState::succeeded, 900);
    with_tests(wire::BuildState::failed, 3);
    with_tests(wire::BuildState::succeeded, std::nullopt);
    CHECK(store.builds.last_green_test_count(app) == 900U);
}

TEST_CASE("builds: a restarted agent finds every build that has no end") {
    const test::TempDir dir;
    {
        Store store(dir / "baton.db");
        (void)ended(store, wire::BuildState::succeeded);
        (void)store.builds.insert(build("shop"));
        (void)store.builds.insert(build("blog"));
    }
    Store store(dir / "baton.db");
    const auto open = store.builds.unfinished();
    REQUIRE(open.size() == 2);
    CHECK(open[0].app == AppName("blog"));
    CHECK(open[1].app == AppName("shop"));
    CHECK(open[1].number == 2);
}

TEST_CASE("builds: pruning keeps the newest, what runs, and the last that succeeded") {
    const test::TempDir dir;
    Store store(dir / "baton.db");
    const AppName app("shop");
    (void)ended(store, wire::BuildState::succeeded);                           // 1
    (void)ended(store, wire::BuildState::succeeded);                           // 2: the last good one
    const unsigned runs = store.builds.insert(build("shop"));                  // 3
    for (int n = 0; n < 5; ++n) (void)ended(store, wire::BuildState::failed);  // 4 to 8
    (void)ended(store, wire::BuildState::failed, "blog");
    std::vector<unsigned> pruned = store.builds.prune(app, 2);
    std::sort(pruned.begin(), pruned.end());
    CHECK(pruned == std::vector<unsigned>{1, 4, 5, 6});
    CHECK(store.builds.get(app, 2).has_value());
    CHECK(store.builds.get(app, runs).has_value());
    CHECK(store.builds.get(AppName("blog"), 1).has_value());
    CHECK(store.builds.prune(app, 2).empty());
}
