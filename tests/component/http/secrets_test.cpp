// SPDX-License-Identifier: MIT
// Files of secrets with a fault: whoever asks is told nothing of them, and does not pay for them.
#include <catch2/catch.hpp>

#include "agent/http/access/access.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/file.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::http;

namespace {

/// A node with one app, a tokens file and a trigger token.
class Node {
  public:
    Node() {
        config.self = NodeName("web1");
        config.security.tokens_file = dir / "tokens";
        ann = config::add_token(dir / "tokens", "ann", config::Role::operate);
        app.name = AppName("shop");
        app.triggers.token_file = dir.write("shop.token", "open sesame\n", 0600);
        app.triggers.webhook_secret_files = {dir.write("new", "new secret\n", 0600),
                                             dir.write("old", "old secret\n", 0600)};
        access.emplace(config, verifier, clock);
    }

    [[nodiscard]] static Request by(const std::string& authorization) {
        Request request;
        request.method = "GET";
        request.remote_address = "10.0.0.1";
        request.headers.set("Authorization", authorization);
        return request;
    }
    [[nodiscard]] std::string bearer() const { return "Bearer " + ann; }
    [[nodiscard]] std::string basic() const { return "Basic " + base64_encode("ann:" + ann); }
    [[nodiscard]] std::optional<config::Role> role(const std::string& authorization) {
        return access->identify(by(authorization)).role;
    }
    /// How that is refused, or "let in".
    [[nodiscard]] std::string refusal(const std::string& authorization) {
        try {
            (void)access->identify(by(authorization));
            return "let in";
        } catch (const Error& error) {
            return std::string(to_text(error.kind())) + ": " + error.text();
        }
    }
    [[nodiscard]] std::string trigger(const std::string& token) {
        Request request;
        request.method = "GET";
        request.remote_address = "10.0.0.1";
        request.query = {{"token", token}};
        try {
            return access->check_app_token(app, request) == Access::AppToken::right ? "right" : "not right";
        } catch (const Error& error) {
            return std::string(to_text(error.kind())) + ": " + error.text();
        }
    }

    test::TempDir dir;
    config::AgentConfig config;
    config::App app;
    std::string ann;
    SystemClock clock;
    net::PeerVerifier verifier{net::ClusterKeys::parse(net::generate_key_line(from_epoch_ms(0))), NodeName("web1"),
                               clock};
    std::optional<Access> access;
};

constexpr unsigned often = FailureBrake::free_failures + 5;
const std::string cannot_check = "busy: this agent cannot check the token now; its log tells why";

}  // namespace

TEST_CASE("access: a fault in the tokens file locks out nobody, and lets nobody in") {
    Node node;
    const auto file = node.dir / "tokens";
    const std::string hash = sha256_hex("bob's");
    SECTION("its words in the wrong order") {
        write_file_atomically(file, read_file(file, 10'000) + "bob " + hash + " operate\n", 0600);
    }
    SECTION("open to others") { std::filesystem::permissions(file, std::filesystem::perms(0644)); }
    SECTION("gone") { std::filesystem::remove(file); }
    for (unsigned i = 0; i < often; ++i) {
        CHECK(node.role(node.bearer()) == config::Role::operate);
        CHECK(node.role(node.basic()) == config::Role::operate);
    }
    CHECK(node.access->brake().failures() == 0);
    const std::string wrong = "unauthorized: wrong name or token";
    CHECK(node.refusal("Bearer bob's") == wrong);
    CHECK(node.refusal("Basic " + base64_encode("bob:bob's")) == wrong);
    CHECK(node.refusal("Basic " + base64_encode("ann:bob's")) == wrong);
    CHECK(node.refusal("Basic !!") == wrong);
    CHECK(node.refusal("Basic " + base64_encode("no colon")) == wrong);
    CHECK(node.access->brake().failures() == 5);
}

TEST_CASE("access: a tokens file that is faulty at the start is refused there") {
    Node node;
    write_file_atomically(node.dir / "tokens", "nonsense\n", 0600);
    CHECK_THROWS_WITH(Access(node.config, node.verifier, node.clock), Catch::Contains("tokens:1:1:"));
}

TEST_CASE("access: a trigger token that cannot be read is told without its file, and is nobody's failure") {
    Node node;
    const auto file = node.dir / "shop.token";
    REQUIRE(node.trigger("open sesame") == "right");
    SECTION("empty") { write_file_atomically(file, "", 0600); }
    SECTION("open to others") { std::filesystem::permissions(file, std::filesystem::perms(0644)); }
    SECTION("gone") { std::filesystem::remove(file); }
    for (unsigned i = 0; i < often; ++i) {
        CHECK(node.trigger("open sesame") == cannot_check);
        CHECK(node.trigger("") == cannot_check);
    }
    CHECK(node.access->brake().failures() == 0);
    write_file_atomically(file, "open sesame\n", 0600);
    CHECK(node.trigger("open sesame") == "right");
    CHECK(node.trigger("") == "not right");
    CHECK(node.access->brake().failures() == 1);
}

TEST_CASE("access: one webhook secret that cannot be read does not take the others away") {
    Node node;
    CHECK(node.access->webhook_secrets(node.app) == std::vector<std::string>{"new secret", "old secret"});
    std::filesystem::remove(node.dir / "new");
    CHECK(node.access->webhook_secrets(node.app) == std::vector<std::string>{"old secret"});
}
