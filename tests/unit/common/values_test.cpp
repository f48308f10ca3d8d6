// SPDX-License-Identifier: MIT
// Errors, names, ids, digests and JSON: the vocabulary of everything else.
#include <catch2/catch.hpp>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>

#include "common/clock.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/json.h"
#include "common/text.h"
#include "common/types.h"
#include "common/ulid.h"

using namespace baton;
using Catch::Matchers::Contains;

TEST_CASE("error: context is put in front on the way up, and the kind stays") {
    try {
        with_context("fetch app \"shop\"", [] { throw system_error("connect", ECONNREFUSED); });
        FAIL("no error");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::unreachable);
        CHECK(error.text() == "fetch app \"shop\": connect: Connection refused");
    }
}

TEST_CASE("error: kinds are read back from their names, and from nothing else") {
    CHECK(parse_error_kind(to_text(ErrorKind::step_failed)) == ErrorKind::step_failed);
    CHECK_THROWS_AS(parse_error_kind("Timeout"), Error);
}

TEST_CASE("types: a name is safe in a path, a URL and a log") {
    CHECK(is_valid_name("web1.example-x_2"));
    for (const auto* bad : {"", ".hidden", "-x", "Web", "a/b", "a b", "a\n"}) CHECK_FALSE(is_valid_name(bad));
    CHECK_FALSE(is_valid_name(std::string(64, 'a')));
    CHECK(is_commit_id("0123456789abcdef0123456789abcdef01234567"));
    CHECK_FALSE(is_commit_id("0123456789ABCDEF0123456789abcdef01234567"));
}

TEST_CASE("ulid: ids sort by time, keep their 80 bits of chance, and are never twice the same") {
    const auto early = make_rollout_id(from_epoch_ms(1'000), 0xFFFF, ~0ULL);
    const auto late = make_rollout_id(from_epoch_ms(1'001), 0, 0);
    CHECK(early < late);
    CHECK(early.str() == "00000000Z8ZZZZZZZZZZZZZZZZ");
    CHECK(make_rollout_id(from_epoch_ms(1'000), 0, 33).str() == "00000000Z80000000000000011");
    std::set<RolloutId> seen;
    for (int i = 0; i < 1'000; ++i) seen.insert(new_rollout_id(from_epoch_ms(5)));
    CHECK(seen.size() == 1'000);
    CHECK(is_rollout_id(early.str()));
    CHECK_FALSE(is_rollout_id("01ARZ3NDEKTSV4RRFFQ69G5FAI"));
}

TEST_CASE("digest: SHA-256, HMAC and base 64 agree with published vectors") {
    CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")) ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    CHECK(base64_encode("foobar") == "Zm9vYmFy");
    CHECK(base64_decode("Zm9vYg==") == "foob");
    CHECK_THROWS_AS(base64_decode("Zm9v!mFy"), Error);
    CHECK_THROWS_AS(base64_decode("Zm9"), Error);
}

TEST_CASE("json: a document that could hurt later is refused now") {
    CHECK_THROWS_WITH(json::parse(R"({"a":1,"a":2})"), Contains("'a' comes twice"));
    CHECK_THROWS_WITH(json::parse(std::string(65, '[') + std::string(65, ']')), Contains("deeper than 64"));
    CHECK_NOTHROW(json::parse(std::string(64, '[') + std::string(64, ']')));
    CHECK_THROWS_WITH(json::parse("{\"a\":\n tru}"), Contains("line 2"));
    CHECK_THROWS_AS(json::parse("\"\xff\""), Error);
    CHECK_THROWS_AS(json::parse("{} x"), Error);
    // A slip of the pen beside a password does not bring it into an answer.
    CHECK_THROWS_WITH(json::parse(R"({"PASSWORD": "hush\q"})"), Contains("line 1") && !Contains("hush"));
}

TEST_CASE("json: members are read strictly, and errors name them") {
    const auto value = json::parse(R"({"name":"x","count":3,"minus":-3,"on":true,"none":null})");
    CHECK(json::text(value, "name") == "x");
    CHECK(json::whole(value, "count") == 3);
    CHECK(json::number_or(value, "minus", 0) == -3);
    CHECK(json::flag(value, "on"));
    CHECK(json::text_or(value, "none", "fallback") == "fallback");
    CHECK_THROWS_WITH(json::text(value, "count"), "'count' must be a string");
    CHECK_THROWS_WITH(json::whole(value, "minus"), "'minus' must be a whole number");
    CHECK_THROWS_WITH(json::flag(value, "missing"), "'missing' is missing");
    CHECK(json::dump(json::Value{{"a", "\xff"}}) == "{\"a\":\"\xEF\xBF\xBD\"}");
}
