// SPDX-License-Identifier: MIT
// Password parameters: sealed with the cluster key, opened by every node that has it, shown to nobody.
#include <catch2/catch.hpp>

#include "agent/engine/parameter_seal.h"
#include "common/clock.h"

using namespace baton;
using engine::Parameters;
using engine::ParameterSeal;

namespace {

config::App app_with_parameters() {
    config::App app;
    app.name = AppName("shop");
    config::Parameter password;
    password.name = "PASSWORD";
    password.type = config::Parameter::Type::password;
    config::Parameter text;
    text.name = "TEXT";
    app.parameters = {password, text};
    return app;
}

ParameterSeal seal_with(const std::string& key_file, const char* self, const Clock& clock) {
    return {std::make_shared<net::ClusterKeyRing>(net::ClusterKeys::parse(key_file)), NodeName(self), clock};
}

}  // namespace

TEST_CASE("parameter seal: a password is not readable on the way and comes out on another node") {
    const SystemClock clock;
    const auto app = app_with_parameters();
    const auto key = net::generate_key_line(clock.wall());
    const auto web1 = seal_with(key, "web1", clock);
    const Parameters given{{"PASSWORD", "let me in"}, {"TEXT", "sealed:a:b"}};
    const auto sealed = web1.seal(app, given);
    CHECK(sealed.at("PASSWORD").starts_with("sealed:"));
    CHECK(sealed.at("PASSWORD").find("let me in") == std::string::npos);
    CHECK(sealed.at("TEXT") == "sealed:a:b");
    // The same value is the same request; another is not.
    CHECK(web1.seal(app, given) == sealed);
    CHECK(web1.seal(app, {{"PASSWORD", "let me out"}}).at("PASSWORD") != sealed.at("PASSWORD"));
    CHECK(web1.seal(app, {{"PASSWORD", ""}}).at("PASSWORD").empty());

    const auto opened = seal_with(key, "web2", clock).open(app, sealed);
    CHECK(opened.parameters == given);
    CHECK(opened.unreadable.empty());
    CHECK(engine::without_secrets(&app, sealed).at("PASSWORD") == "****");
    CHECK(engine::without_secrets(&app, given).at("PASSWORD") == "****");
    CHECK(engine::without_secrets(&app, {{"PASSWORD", ""}}).at("PASSWORD").empty());
    // The app may be gone from the configuration, and its builds are still shown.
    CHECK(engine::without_secrets(nullptr, sealed).at("PASSWORD") == "****");
}

TEST_CASE("parameter seal: what an earlier generation of the key sealed can be read as long as the file has it") {
    const SystemClock clock;
    const auto app = app_with_parameters();
    const auto key = net::generate_key_line(clock.wall());
    const auto sealed = seal_with(key, "web1", clock).seal(app, {{"PASSWORD", "let me in"}});
    const auto rotated = net::rotate_keys(key, {{}, Milliseconds{0}}, clock.wall());
    const auto after = seal_with(rotated, "web1", clock);
    CHECK(after.open(app, sealed).parameters.at("PASSWORD") == "let me in");
    CHECK(after.seal(app, {{"PASSWORD", "let me in"}}) != sealed);

    const auto other = seal_with(net::generate_key_line(clock.wall()), "web1", clock).open(app, sealed);
    CHECK_FALSE(other.parameters.contains("PASSWORD"));
    CHECK(other.unreadable.find("PASSWORD") != std::string::npos);
    CHECK(other.unreadable.find("trigger again") != std::string::npos);
}

TEST_CASE("parameter seal: a sealed value serves in its own place only") {
    const SystemClock clock;
    auto app = app_with_parameters();
    const auto seal = seal_with(net::generate_key_line(clock.wall()), "web1", clock);
    const auto sealed = seal.seal(app, {{"PASSWORD", "let me in"}});
    app.name = AppName("blog");
    const auto moved = seal.open(app, sealed);
    CHECK(moved.parameters.empty());
    CHECK(moved.unreadable.find("PASSWORD") != std::string::npos);
}
