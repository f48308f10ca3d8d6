// SPDX-License-Identifier: MIT
// Git hosts that are silent, away or want credentials: deadlines, kinds of errors, and that no secret gets out.
#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <fmt/format.h>

#include "common/digest.h"
#include "common/file.h"
#include "common/git/program.h"
#include "tests/component/git/servers.h"
#include "tests/component/git/support.h"
#include "tests/support/eventually.h"

namespace baton::test {
namespace {

constexpr std::string_view wants_password =
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\nConnection: "
    "close\r\n\r\n";

struct Timed {
    Error error;
    Milliseconds took;
};

Timed timed_error(const std::function<void()>& work) {
    const auto start = in(Milliseconds{0});
    Error error = error_of(work);
    return {std::move(error), in(Milliseconds{0}) - start};
}

std::string basic(const std::string& user, const std::string& password) {
    return "Authorization: Basic " + base64_encode(user + ":" + password);
}

}  // namespace

TEST_CASE("git host: one that takes the connection and never answers is given up on at the deadline") {
    TinyServer silent("");
    const TempDir dir;
    for (const std::string scheme : {"git", "http"}) {
        INFO(scheme);
        const git::Mirror mirror =
            mirror_of(dir, fmt::format("{}://127.0.0.1:{}/x.git", scheme, silent.port()), scheme);
        constexpr Milliseconds limit{700};
        const auto fetched = timed_error([&] { (void)mirror.fetch({}, in(limit)); });
        CHECK(fetched.error.kind() == ErrorKind::timeout);
        CHECK(fetched.error.text().find("no answer within") != std::string::npos);
        CHECK(fetched.took >= limit);
        CHECK(fetched.took < Milliseconds{20'000});
        const auto asked = timed_error([&] { (void)mirror.remote_tip({}, in(limit)); });
        CHECK(asked.error.kind() == ErrorKind::timeout);
        CHECK(asked.took < Milliseconds{20'000});
    }
}

TEST_CASE("git host: a fetch from a silent one ends when it is told to stop") {
    TinyServer silent("");
    const TempDir dir;
    const git::Mirror mirror = mirror_of(dir, fmt::format("git://127.0.0.1:{}/x.git", silent.port()));
    std::stop_source stop;
    bool connected = false;
    std::jthread stopper([&] {
        connected = eventually([&] { return silent.connections() > 0; });
        stop.request_stop();
    });
    const auto fetched = timed_error([&] { (void)mirror.fetch(stop.get_token(), in(Milliseconds{180'000})); });
    stopper.join();
    CHECK(connected);
    CHECK(fetched.error.kind() == ErrorKind::cancelled);
    CHECK(fetched.took < Milliseconds{100'000});
    // What the ended fetch held is free: the same mirror fetches from a host that answers.
    Work work(dir / "work");
    const CommitId tip = work.commit_file("a", "1", "first");
    CHECK(fetch(mirror_of(dir, work.path())) == tip);
}

TEST_CASE("git host: one that is away is unreachable, with git's words") {
    std::uint16_t free_port = 0;
    {
        const TinyServer gone("");
        free_port = gone.port();
    }
    const TempDir dir;
    for (const std::string scheme : {"git", "http"}) {
        const git::Mirror mirror = mirror_of(dir, fmt::format("{}://127.0.0.1:{}/x.git", scheme, free_port), scheme);
        const Error error = error_of([&] { fetch(mirror); });
        INFO(error.text());
        CHECK(error.kind() == ErrorKind::unreachable);
        CHECK((error.text().find("onnection refused") != std::string::npos ||
               error.text().find("Couldn't connect") != std::string::npos ||
               error.text().find("Failed to connect") != std::string::npos));
    }
}

TEST_CASE("git host: a wrong password is an unauthorized error without the password in it") {
    TinyServer host{std::string(wants_password)};
    const TempDir dir;
    const auto file = dir.write("password", "s3cr3t-in-a-file\n", 0600);
    const std::string url = fmt::format("http://127.0.0.1:{}/x.git", host.port());
    const git::Mirror mirror = mirror_of(dir, url, "mirror", {"deploy", file, {}, {}});
    const Error error = error_of([&] { fetch(mirror); });
    INFO(error.text());
    CHECK(error.kind() == ErrorKind::unauthorized);
    CHECK(error.text().find("s3cr3t") == std::string::npos);
    CHECK(error.text().find("check the app's credentials") != std::string::npos);
    CHECK(host.requests().find(basic("deploy", "s3cr3t-in-a-file")) != std::string::npos);
}

TEST_CASE("git host: a password in the url reaches the host, but neither arguments nor messages") {
    TinyServer host{std::string(wants_password)};
    const TempDir dir;
    const std::string url = fmt::format("http://dep%40loy:s3cr3t%2Furl@127.0.0.1:{}/x.git", host.port());
    const git::Mirror mirror = mirror_of(dir, url);
    const Error error = error_of([&] { (void)mirror.remote_tip({}, in(Milliseconds{20'000})); });
    INFO(error.text());
    CHECK(error.kind() == ErrorKind::unauthorized);
    CHECK(error.text().find("s3cr3t") == std::string::npos);
    CHECK(host.requests().find(basic("dep@loy", "s3cr3t/url")) != std::string::npos);
    CHECK(git::parse_remote_url(url).plain == fmt::format("http://127.0.0.1:{}/x.git", host.port()));
    CHECK(git::display_url(url) == fmt::format("http://***@127.0.0.1:{}/x.git", host.port()));
}

TEST_CASE("git host: a redirect to another host does not take the password along") {
    TinyServer other{std::string(wants_password)};
    TinyServer host(
        fmt::format("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{}/x.git/info/refs?service=git-upload-pack\r\n"
                    "Content-Length: 0\r\nConnection: close\r\n\r\n",
                    other.port()));
    const TempDir dir;
    const auto file = dir.write("password", "s3cr3t\n", 0600);
    const git::Mirror mirror =
        mirror_of(dir, fmt::format("http://127.0.0.1:{}/x.git", host.port()), "mirror", {"deploy", file, {}, {}});
    CHECK(error_of([&] { fetch(mirror); }).kind() == ErrorKind::unauthorized);
    CHECK(other.requests().find("GET /x.git/info/refs") != std::string::npos);
    CHECK(other.requests().find("Authorization") == std::string::npos);
}

TEST_CASE("git host: without credentials it is asked once, and nobody is prompted") {
    TinyServer host{std::string(wants_password)};
    const TempDir dir;
    const git::Mirror mirror = mirror_of(dir, fmt::format("http://127.0.0.1:{}/x.git", host.port()));
    const Error error = error_of([&] { fetch(mirror); });
    INFO(error.text());
    CHECK(error.kind() == ErrorKind::unauthorized);
    CHECK(host.requests().find("Authorization") == std::string::npos);
}

TEST_CASE("git host: a password file that others may read is refused before anything is asked") {
    TinyServer host{std::string(wants_password)};
    const TempDir dir;
    const auto file = dir.write("password", "s3cr3t\n", 0644);
    const std::string url = fmt::format("http://127.0.0.1:{}/x.git", host.port());
    CHECK(error_of([&] {
              fetch(mirror_of(dir, url, "mirror", {"deploy", file, {}, {}}));
          }).kind() == ErrorKind::forbidden);
    CHECK(error_of([&] {
              fetch(mirror_of(dir, url, "mirror", {"deploy", dir / "none", {}, {}}));
          }).kind() == ErrorKind::not_found);
    CHECK(host.requests().empty());
}

TEST_CASE("git host: over ssh, a missing key file is named, and a host that is away is unreachable") {
    std::uint16_t free_port = 0;
    {
        const TinyServer gone("");
        free_port = gone.port();
    }
    const TempDir dir;
    const std::string url = fmt::format("ssh://git@127.0.0.1:{}/x.git", free_port);
    const Error missing = error_of([&] { fetch(mirror_of(dir, url, "mirror", {"", {}, dir / "no-key", {}})); });
    CHECK(missing.kind() == ErrorKind::not_found);
    CHECK(missing.text().find("no-key") != std::string::npos);
    const auto hosts = dir.write("known hosts", "", 0600);
    const Error away = error_of([&] { fetch(mirror_of(dir, url, "mirror", {"", {}, {}, hosts})); });
    INFO(away.text());
    CHECK(away.kind() == ErrorKind::unreachable);
}

TEST_CASE("git host: urls with credentials are masked wherever they stand in a text") {
    CHECK(git::mask_urls_in("fatal: 'https://u:p@h/x' and ssh://git@h2/y: no") ==
          "fatal: 'https://***@h/x' and ssh://***@h2/y: no");
    CHECK(git::mask_urls_in("https://u:p@ss@h/") == "https://***@h/");
    CHECK(git::mask_urls_in("https://h/a@b") == "https://h/a@b");
    CHECK(git::mask_urls_in("no url at all @ home") == "no url at all @ home");
}

}  // namespace baton::test
