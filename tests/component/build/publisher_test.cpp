// SPDX-License-Identifier: MIT
// Publishing: a reader never meets half a release, and what may be needed again is never cleared away.
#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <fstream>
#include <thread>

#include "agent/build/strategy/publisher.h"
#include "common/clock.h"
#include "common/error.h"
#include "common/file.h"
#include "common/process/process.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::build;
namespace fs = std::filesystem;

namespace {

const CommitId some_commit("0123456789abcdef0123456789abcdef01234567");

fs::path make(Publisher& publisher, const fs::path& workspace, const std::string& id,
              const std::vector<std::string>& shared = {}) {
    ReleaseRecord record;
    record.id = id;
    record.commit = some_commit;
    (void)publisher.stage_release(workspace, record, shared, {});
    return publisher.complete_release(record);
}

void go_live(Publisher& publisher, const fs::path& release, const config::Switch& how = {}) {
    publisher.begin_switch(release);
    publisher.publish(release, how, {});
    publisher.confirm();
}

std::string text_of(const fs::path& file) { return read_file(file, 1'000'000); }

}  // namespace

TEST_CASE("publish: a reader of current never misses a file nor meets two versions in one release") {
    test::TempDir dir;
    Publisher publisher(dir / "srv", std::nullopt);
    std::vector<fs::path> releases;
    for (int version = 0; version < 2; ++version) {
        for (int i = 0; i < 20; ++i) dir.write(fmt::format("work/file{}", i), std::to_string(version));
        releases.push_back(make(publisher, dir / "work", fmt::format("r{}", version)));
    }
    go_live(publisher, releases[0]);
    unsigned missing = 0;
    unsigned mixed = 0;
    unsigned reads = 0;
    {
        std::jthread reader([&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                std::error_code gone;
                const auto release = fs::canonical(dir / "srv/current", gone);
                if (gone) ++missing;
                std::string first;
                for (int i = 0; i < 20 && !gone; ++i) {
                    std::ifstream file(release / fmt::format("file{}", i));
                    std::string text;
                    if (!std::getline(file, text)) ++missing;
                    if (i == 0) first = text;
                    if (text != first) ++mixed;
                }
                ++reads;
            }
        });
        for (int i = 0; i < 200; ++i) publisher.publish(releases[static_cast<std::size_t>(i % 2)], {}, {});
    }
    REQUIRE(reads > 10);
    REQUIRE(missing == 0);
    REQUIRE(mixed == 0);
}

TEST_CASE("publish: rsync into a fixed directory follows content of the same size and time, and deletes what went") {
    test::TempDir dir;
    Publisher publisher(dir / "srv", std::nullopt);
    config::Switch how;
    how.publish = config::Publish::rsync;
    const auto one = dir.write("work/page", "one");
    dir.write("work/gone", "x");
    const auto time = fs::last_write_time(one);
    go_live(publisher, make(publisher, dir / "work", "r1"), how);
    REQUIRE(text_of(dir / "srv/live/page") == "one");
    dir.write("srv/live/__pycache__/page.pyc", "stale");
    dir.write("work/page", "two");
    fs::last_write_time(one, time);
    fs::remove(dir / "work/gone");
    go_live(publisher, make(publisher, dir / "work", "r2"), how);
    REQUIRE(text_of(dir / "srv/live/page") == "two");
    REQUIRE_FALSE(fs::exists(dir / "srv/live/gone"));
    REQUIRE_FALSE(fs::exists(dir / "srv/live/__pycache__"));
    REQUIRE(publisher.current() == dir / "srv/releases/r2");
}

TEST_CASE("publish: shared directories outlive releases and begin with what the repository has") {
    test::TempDir dir;
    Publisher publisher(dir / "srv", std::nullopt);
    dir.write("work/media/logo", "from the repository");
    dir.write("work/page", "x");
    go_live(publisher, make(publisher, dir / "work", "r1", {"media", "var/upload"}));
    dir.write("srv/current/media/users", "from a user");
    dir.write("srv/current/var/upload/file", "upload");
    go_live(publisher, make(publisher, dir / "work", "r2", {"media", "var/upload"}));
    REQUIRE(text_of(dir / "srv/current/media/logo") == "from the repository");
    REQUIRE(text_of(dir / "srv/current/media/users") == "from a user");
    REQUIRE(text_of(dir / "srv/current/var/upload/file") == "upload");
    ReleaseRecord record;
    record.id = "r3";
    REQUIRE_THROWS_AS(publisher.stage_release(dir / "work", record, {"../outside"}, {}), Error);
}

TEST_CASE("publish: users' files in a fixed directory are never deleted to make way for a shared link") {
    test::TempDir dir;
    Publisher publisher(dir / "srv", std::nullopt);
    config::Switch how;
    how.publish = config::Publish::rsync;
    how.shared = {"media"};
    dir.write("work/page", "x");
    dir.write("srv/live/media/photo", "precious");
    const auto release = make(publisher, dir / "work", "r1", how.shared);
    REQUIRE_THROWS_AS(publisher.publish(release, how, {}), Error);
    REQUIRE(text_of(dir / "srv/live/media/photo") == "precious");
}

TEST_CASE("publish: a real directory called current is not touched") {
    test::TempDir dir;
    Publisher publisher(dir / "srv", std::nullopt);
    dir.write("work/page", "x");
    dir.write("srv/current/page", "by hand");
    REQUIRE_THROWS_AS(publisher.publish(make(publisher, dir / "work", "r1"), {}, {}), Error);
    REQUIRE(text_of(dir / "srv/current/page") == "by hand");
}

TEST_CASE("publish: clearing away spares current, the ones to go back to and one in which a process lives") {
    test::TempDir dir;
    Publisher publisher(dir / "srv", std::nullopt);
    dir.write("work/page", "x");
    for (int i = 1; i <= 8; ++i) (void)make(publisher, dir / "work", fmt::format("r{}", i));
    const auto at = [&](int i) { return dir / fmt::format("srv/releases/r{}", i); };
    go_live(publisher, at(2));  // becomes the previous one
    go_live(publisher, at(3));  // the last good one
    publisher.begin_switch(at(4));
    publisher.publish(at(4), {}, {});
    process::Command sleeper;
    sleeper.argv = {"/bin/sleep", "60"};
    sleeper.environment = {"PATH=/usr/bin:/bin"};
    sleeper.directory = at(5);
    std::jthread living([&](const std::stop_token& stop) {
        (void)process::run(
            sleeper, [](std::string_view) {}, stop);
    });
    REQUIRE(test::eventually([&] {
        for (const auto& entry : fs::directory_iterator("/proc")) {
            std::error_code gone;
            if (fs::read_symlink(entry.path() / "cwd", gone) == at(5)) return true;
        }
        return false;
    }));
    publisher.prune(1);
    REQUIRE_FALSE(fs::exists(at(1)));
    for (const int kept : {2, 3, 4, 5, 8}) REQUIRE(fs::exists(at(kept)));
    for (const int gone : {6, 7}) REQUIRE_FALSE(fs::exists(at(gone)));
    REQUIRE_FALSE(publisher.record_of(at(1)));
    living.request_stop();
}

TEST_CASE("publish: a switch that was confirmed can be undone, back to the release before it") {
    test::TempDir dir;
    dir.write("work/page", "x");
    Publisher publisher(dir / "srv", std::nullopt);
    const auto first = make(publisher, dir / "work", "first");
    go_live(publisher, first);
    const auto second = make(publisher, dir / "work", "second");
    go_live(publisher, second);
    publisher.reopen_switch(first);  // not what is current
    REQUIRE_FALSE(publisher.switch_under_way());
    publisher.reopen_switch(second);
    REQUIRE(publisher.switch_under_way());
    REQUIRE(publisher.previous() == first);
    publisher.publish(*publisher.previous(), {}, {});
    publisher.settle_restored();
    REQUIRE(publisher.current() == first);
    // Undone for good, and not once more.
    publisher.reopen_switch(second);
    REQUIRE_FALSE(publisher.switch_under_way());
}

TEST_CASE("publish: a switch that was cut off twice still knows the release that was last proved") {
    test::TempDir dir;
    dir.write("work/page", "x");
    {
        Publisher publisher(dir / "srv", std::nullopt);
        go_live(publisher, make(publisher, dir / "work", "good"));
        publisher.begin_switch(make(publisher, dir / "work", "bad"));
        publisher.publish(dir / "srv/releases/bad", {}, {});
    }
    Publisher again(dir / "srv", std::nullopt);
    REQUIRE(again.switch_under_way());
    again.begin_switch(make(again, dir / "work", "newer"));
    REQUIRE(again.previous() == dir / "srv/releases/good");
    again.publish(dir / "srv/releases/newer", {}, {});
    again.confirm();
    REQUIRE_FALSE(again.switch_under_way());
    REQUIRE(again.previous() == dir / "srv/releases/newer");
    REQUIRE(again.find_release(some_commit)->id == "newer");
}
