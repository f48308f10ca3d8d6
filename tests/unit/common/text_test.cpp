// SPDX-License-Identifier: MIT
// Small work on text: every rule with a case on each side of it.
#include "common/text.h"
#include "common/time_text.h"

#include <catch2/catch.hpp>

#include "common/clock.h"

using namespace baton;
using namespace std::chrono_literals;

TEST_CASE("text: durations are read strictly and printed so that they read back") {
    CHECK(parse_duration("30s") == 30s);
    CHECK(parse_duration("1h30m") == 90min);
    CHECK(parse_duration("250ms") == 250ms);
    CHECK(parse_duration("1m500ms") == 60'500ms);
    CHECK(parse_duration("0s") == 0ms);
    for (const auto* bad :
         {"", "5", "m", "5 m", "5min", "30m1h", "1h1h", "-5s", "1.5h", "367d", "99999999999999999999s"}) {
        INFO(bad);
        CHECK_FALSE(parse_duration(bad));
    }
    for (const auto value : {0ms, 1ms, 999ms, 1s + 0ms, 90min + 0ms, 86'400'000ms, 3'723'004ms}) {
        CHECK(parse_duration(to_text(Milliseconds{value})) == value);
    }
}

TEST_CASE("text: sizes are read strictly") {
    CHECK(parse_size("512") == 512);
    CHECK(parse_size("64KiB") == 65'536);
    CHECK(parse_size("64MiB") == 67'108'864);
    CHECK(parse_size("2GB") == 2'000'000'000);
    for (const auto* bad : {"", "MiB", "64 MiB", "64mib", "-1", "1.5MiB", "99999999GiB"}) {
        INFO(bad);
        CHECK_FALSE(parse_size(bad));
    }
}

TEST_CASE("text: control characters cannot forge a second line or steer a terminal") {
    CHECK(escape_control("a\nb\x1b[31m\x7f") == "a\\nb\\x1b[31m\\x7f");
    CHECK(escape_control("grün…") == "grün…");
    CHECK(escape_control("\xff\xc0\xaf") == "\\xff\\xc0\\xaf");
    CHECK(escape_control("\xc2\x9b"
                         "31m") == "\\xc2\\x9b31m");
    CHECK(valid_utf8("ok\xff\xed\xa0\x80") == "ok\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST_CASE("text: credentials in a URL are masked, and nothing else is") {
    CHECK(mask_url("https://ann:secret@host/x@y") == "https://***@host/x@y");
    CHECK(mask_url("https://tok@en@host") == "https://***@host");
    CHECK(mask_url("https://host/a@b") == "https://host/a@b");
    CHECK(mask_url("git@host:repo.git") == "git@host:repo.git");
}

TEST_CASE("text: the nearest known word is offered only when it is near") {
    const std::vector<std::string> known{"timeout", "interval", "repository"};
    CHECK(nearest("timeuot", known) == "timeout");
    CHECK(nearest("repositry", known) == "repository");
    CHECK_FALSE(nearest("health", known));
    CHECK_FALSE(nearest("xy", known));
}

TEST_CASE("text: a first line is cut between characters") {
    CHECK(first_line("subject\n\nbody") == "subject");
    CHECK(first_line("grün", 3) == "gr…");
}

TEST_CASE("text: hexadecimal goes both ways and refuses the rest") {
    CHECK(to_hex(std::string("\x00\xff", 2)) == "00ff");
    CHECK(from_hex("00ff") == std::string("\x00\xff", 2));
    CHECK_FALSE(from_hex("0"));
    CHECK_FALSE(from_hex("0g"));
}

TEST_CASE("text: times are printed for machines and for people") {
    const auto read = [](std::string_view text) {
        const auto time = parse_iso8601(text);
        return time ? to_iso8601(*time) : "none";
    };
    CHECK(read("2026-11-23T12:45:09.123Z") == "2026-11-23T12:45:09.123Z");
    CHECK(read("2026-11-23 12:45:09") == "2026-11-23T12:45:09.000Z");
    CHECK(read("2028-02-29T12:45") == "2028-02-29T12:45:00.000Z");
    CHECK(read("2026-11-23") == "2026-11-23T00:00:00.000Z");
    for (const auto* wrong : {"", "Z", "2026-02-29", "2026-13-01", "2026-11-23T24:01", "2026-11-23T12:60", "26-11-23",
                              "2026-11-23T12", "2026-11-23T12:45+01:00", "2026/11/23", "2026-1-23T", "tomorrow!!"}) {
        INFO(wrong);
        CHECK(read(wrong) == "none");
    }
    CHECK(to_iso8601(from_epoch_ms(1'795'437'909'123)) == "2026-11-23T12:45:09.123Z");
    CHECK(human_duration(4min + 10s) == "4m10s");
    CHECK(human_duration(3s + 900ms) == "3s");
    CHECK(human_duration(74h) == "3d2h");
}
