// SPDX-License-Identifier: MIT
// The build's log: secrets stay out of it, and it has an end.
#include <catch2/catch.hpp>

#include "agent/build/steps/build_log.h"
#include "agent/build/steps/masker.h"
#include "common/file.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::build;

TEST_CASE("masker: a secret is masked wherever the chunks are cut") {
    const std::string text = "before hunter2secret after hunter2secret";
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        for (std::size_t second = cut; second <= text.size(); ++second) {
            Masker masker({"hunter2secret"});
            auto shown = masker.feed(text.substr(0, cut));
            shown += masker.feed(text.substr(cut, second - cut));
            shown += masker.feed(text.substr(second));
            shown += masker.flush();
            REQUIRE(shown == "before **** after ****");
        }
    }
}

TEST_CASE("masker: of overlapping secrets nothing shows") {
    Masker masker({"abcdef", "defghi", "abcd"});
    std::string shown;
    for (const char c : std::string("xabcdefghiy abcd abce")) shown += masker.feed(std::string(1, c));
    shown += masker.flush();
    REQUIRE(shown == "x****y **** abce");
}

TEST_CASE("masker: what looked like a secret and was none comes out in the end") {
    Masker masker({"password"});
    REQUIRE(masker.feed("pass").empty());
    REQUIRE(masker.feed("port") == "passport");
    REQUIRE(masker.feed("passwor").empty());
    REQUIRE(masker.flush() == "passwor");
}

TEST_CASE("masker: lines of a key and the percent-encoded form are masked, short texts are not") {
    Masker masker({"line one\nline two", "p@ss/word", "ab"});
    auto shown = masker.feed("line two, http://u:p%40ss%2Fword@h, ab");
    shown += masker.flush();
    REQUIRE(shown == "****, http://u:****@h, ab");
}

TEST_CASE("log: output ends at the cap, with a word about it, and markers go on") {
    test::TempDir dir;
    {
        BuildLog log(dir / "log", 1'024, {"sesame99"});
        log.line("stage test");
        for (int i = 0; i < 100; ++i) log.output(std::string(100, 'x') + "\n");
        log.end_output();
        log.line("step done with sesame99\x1b[31m");
    }
    const auto text = read_file(dir / "log", 1 << 20);
    REQUIRE(text.size() < 1'400);
    REQUIRE(text.starts_with("[baton] stage test\n"));
    REQUIRE(text.find("the log has reached its limit of 1KiB") != std::string::npos);
    REQUIRE(text.find("step done with ****\\x1b[31m\n") != std::string::npos);
    BuildLog again(dir / "log", 1'024, {});
    again.output("more");
    REQUIRE(read_file(dir / "log", 1 << 20).find("more") == std::string::npos);
}

TEST_CASE("log: output is in the file as soon as it came") {
    test::TempDir dir;
    BuildLog log(dir / "log", 1 << 20, {});
    log.output("half a li");
    REQUIRE(read_file(dir / "log", 1'000) == "half a li");
    log.output("ne\xff\n");
    log.line("x");
    REQUIRE(read_file(dir / "log", 1'000) == "half a line\xff\n[baton] x\n");
}
