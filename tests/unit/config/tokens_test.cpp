// SPDX-License-Identifier: MIT
// The tokens file: strict, private, and read again when it has changed.
#include "common/config/tokens.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "common/config/fault.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/text.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/config/samples.h"

using namespace baton;
using namespace baton::config;
using baton::test::TempDir;

TEST_CASE("tokens: a made token lets its holder in, by name and by secret alone") {
    const TempDir dir;
    const auto path = dir / "tokens";
    const std::string secret = add_token(path, "ann", Role::operate);
    const std::string other = add_token(path, "ci", Role::trigger);
    CHECK(secret != other);
    const auto tokens = load_tokens(path);
    REQUIRE(check(tokens, "ann", secret).has_value());
    CHECK(check(tokens, "ann", secret)->role == Role::operate);
    CHECK_FALSE(check(tokens, "ci", secret).has_value());
    CHECK_FALSE(check(tokens, "ann", secret + "x").has_value());
    CHECK_FALSE(check(tokens, "ann", "").has_value());
    REQUIRE(check_secret(tokens, other).has_value());
    CHECK(check_secret(tokens, other)->name == "ci");
    CHECK_FALSE(check_secret(tokens, "").has_value());
}

TEST_CASE("tokens: the file holds no secret and only its owner reads it") {
    const TempDir dir;
    const auto path = dir / "tokens";
    const std::string secret = add_token(path, "ann", Role::read);
    const std::string text = read_file(path, 10'000);
    CHECK(text.find(secret) == std::string::npos);
    CHECK(text.find("ann read " + sha256_hex(secret)) != std::string::npos);
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0600U);
    REQUIRE(::chmod(path.c_str(), 0644) == 0);
    try {
        static_cast<void>(load_tokens(path));
        FAIL("a file that everybody can read was accepted");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::forbidden);
    }
}

TEST_CASE("tokens: every fault of the file is named with its line") {
    const std::string hash(64, 'a');
    const std::string text = "# people\nann read " + hash + "\nbob admin " + hash + "\n\nAnn read " + hash +
                             "\nann trigger " + hash + "\ncarl read s3cret\ndora\n";
    const std::string report = baton::test::report_of([&] { return parse_tokens(text, "tokens"); });
    CHECK(report ==
          "tokens:3:1: the second word is not a role, expected read, trigger or operate\n"
          "tokens:5:1: the first word is not a name (write small letters, digits, '.', '_', '-', at most 63)\n"
          "tokens:6:1: the name comes twice, first in line 2\n"
          "tokens:7:1: the third word must be a SHA-256, 64 small hexadecimal digits (let baton token add "
          "write the line)\n"
          "tokens:8:1: expected three words, name role sha256-of-the-secret, got 1");
}

TEST_CASE("tokens: a name is taken once, and revoking leaves the rest and the comments") {
    const TempDir dir;
    const auto path = dir.write("tokens", "# ours\nold read " + std::string(64, 'b') + "\n", 0600);
    static_cast<void>(add_token(path, "ann", Role::read));
    CHECK_THROWS_WITH(add_token(path, "ann", Role::operate), Catch::Contains("exists already"));
    CHECK_THROWS_WITH(add_token(path, "An n", Role::operate), Catch::Contains("is not a name"));
    revoke_token(path, "ann");
    CHECK(read_file(path, 10'000) == "# ours\nold read " + std::string(64, 'b') + "\n");
    CHECK_THROWS_WITH(revoke_token(path, "ann"), "there is no token 'ann' (known: old)");
}

TEST_CASE("tokens: a fault repeats no word of its line, whatever the order") {
    const std::string hash(64, 'a');
    const std::string secret = "s3cret-of-ann";
    for (const auto& line : {"ann " + hash + " operate", hash + " ann operate", "ann " + secret + " " + hash,
                             secret + " operate ann", "ann operate " + secret, hash, "S3cret read " + hash}) {
        const std::string report = baton::test::report_of([&] { return parse_tokens(line + "\n", "tokens"); });
        INFO(report);
        CHECK(report.starts_with("tokens:1:1: "));
        CHECK(report.find(hash) == std::string::npos);
        CHECK(lower(report).find("s3cret") == std::string::npos);
    }
}

TEST_CASE("tokens: a running agent sees a revoked token at once") {
    const TempDir dir;
    const auto path = dir / "tokens";
    const std::string ann = add_token(path, "ann", Role::read);
    TokenGate gate(path);
    CHECK(gate.check("ann", ann).has_value());
    const std::string bob = add_token(path, "bob", Role::read);
    CHECK(gate.check_secret(bob).has_value());
    revoke_token(path, "ann");
    CHECK_FALSE(gate.check("ann", ann).has_value());
    CHECK(gate.check("bob", bob).has_value());
}

TEST_CASE("tokens: while the file is faulty or gone those read last count, and nobody else's") {
    const TempDir dir;
    const auto path = dir / "tokens";
    const std::string ann = add_token(path, "ann", Role::operate);
    const std::string good = read_file(path, 10'000);
    TokenGate gate(path);
    const auto holds = [&] {
        CHECK(gate.check("ann", ann) == gate.check_secret(ann));
        CHECK(gate.check_secret(ann).has_value());
        CHECK_FALSE(gate.check("ann", "x").has_value());
        CHECK_FALSE(gate.check_secret("x").has_value());
    };
    SECTION("its words in the wrong order") {
        write_file_atomically(path, good + "bob " + std::string(64, 'a') + " operate\n", 0600);
    }
    SECTION("a good line beside a bad one does not count") {
        write_file_atomically(path, "bob operate " + sha256_hex("x") + "\nnonsense\n", 0600);
    }
    SECTION("open to others") { std::filesystem::permissions(path, std::filesystem::perms(0644)); }
    SECTION("gone") { std::filesystem::remove(path); }
    holds();
    holds();
    // Good again, with another token: that is the one that counts.
    std::filesystem::remove(path);
    const std::string carl = add_token(path, "carl", Role::read);
    CHECK(gate.check_secret(carl).has_value());
    CHECK_FALSE(gate.check_secret(ann).has_value());
}

TEST_CASE("tokens: a chmod is enough to mend a file that was open to others") {
    const TempDir dir;
    const auto path = dir / "tokens";
    const std::string ann = add_token(path, "ann", Role::operate);
    TokenGate gate(path);
    const std::string bob = add_token(path, "bob", Role::read);
    std::filesystem::permissions(path, std::filesystem::perms(0644));
    CHECK_FALSE(gate.check_secret(bob).has_value());
    std::filesystem::permissions(path, std::filesystem::perms(0600));
    CHECK(gate.check_secret(bob).has_value());
}

TEST_CASE("tokens: a file that is faulty at the start is refused") {
    const TempDir dir;
    CHECK_THROWS_AS(TokenGate(dir.write("tokens", "nonsense\n", 0600)), ConfigError);
    CHECK_THROWS_AS(TokenGate(dir / "none"), Error);
}

TEST_CASE("tokens: without a file nobody has a token") {
    TokenGate gate(std::nullopt);
    CHECK_FALSE(gate.check("ann", "x").has_value());
    CHECK_FALSE(gate.check_secret("x").has_value());
}

TEST_CASE("tokens: roles are read strictly and print back") {
    for (const Role role : {Role::read, Role::trigger, Role::operate}) CHECK(parse_role(to_text(role)) == role);
    CHECK_FALSE(parse_role("Read").has_value());
    CHECK(Role::read < Role::trigger);
    CHECK(Role::trigger < Role::operate);
}
