// SPDX-License-Identifier: MIT
// The HTTP client against servers that answer, dawdle, flood and fall silent.
#include "common/net/http_client.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "common/error.h"
#include "fake_server.h"

using namespace baton;
using namespace baton::net;
using namespace std::chrono_literals;
using test::FakePeer;
using test::FakeServer;

namespace {

ErrorKind kind_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.kind();
    }
    FAIL("no error");
    return ErrorKind::internal;
}

HttpClient client_with(Milliseconds deadline, std::uint64_t most = 1024 * 1024) {
    HttpClientOptions options;
    options.deadline = deadline;
    options.max_response_bytes = most;
    return HttpClient(options);
}

std::chrono::steady_clock::duration time_of(const std::function<void()>& work) {
    const auto before = std::chrono::steady_clock::now();
    work();
    return std::chrono::steady_clock::now() - before;
}

}  // namespace

TEST_CASE("client: a call sends what it is told, and gets status, headers and body as they were sent") {
    std::string seen;
    FakeServer server([&](FakePeer& peer) {
        seen = peer.read_request();
        peer.send(
            "HTTP/1.1 201 Created\r\nLocation: http://h/a%2Fb%0d%0aX\r\nX-Text-Size: 5\r\nContent-Length: "
            "5\r\n\r\n50%25");
    });
    HttpRequest request{"POST", server.url("/job/a%20b/build?x=1+2&t=%7B"), {{"X-One", "1"}}, "body", {}};
    request.headers.add("Content-Type", "application/json");
    const HttpResponse response = HttpClient().call(request);
    CHECK(response.status == 201);
    CHECK(response.headers.get("location") == "http://h/a%2Fb%0d%0aX");
    CHECK(response.headers.get("X-Text-Size") == "5");
    CHECK(response.body == "50%25");
    CHECK(seen.starts_with("POST /job/a%20b/build?x=1+2&t=%7B HTTP/1.1\r\n"));
    CHECK(seen.find("X-One: 1\r\n") != std::string::npos);
    CHECK(seen.find("Host: 127.0.0.1:") != std::string::npos);
    CHECK(seen.ends_with("\r\n\r\nbody"));
}

TEST_CASE("client: a redirect is an answer and is not followed") {
    FakeServer server([](FakePeer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    });
    CHECK(HttpClient().call({"GET", server.url(), {}, {}, {}}).status == 302);
}

TEST_CASE("client: a call ends at its deadline, however the server dawdles") {
    const auto took = [](const FakeServer& server) {
        return time_of([&] {
            CHECK(kind_of([&] {
                      (void)client_with(400ms).call({"GET", server.url(), {}, {}, {}});
                  }) == ErrorKind::timeout);
        });
    };
    SECTION("silence") {
        FakeServer server([](FakePeer& peer) { peer.hold(); });
        CHECK(took(server) < 20s);  // it would go on for ever
    }
    SECTION("a head byte by byte") {
        FakeServer server([](FakePeer& peer) {
            peer.send("HTTP/1.1 200 OK\r\nX: ");
            while (peer.send("x")) peer.pause(30ms);
        });
        CHECK(took(server) < 20s);  // it would go on for ever
    }
    SECTION("a body byte by byte") {
        FakeServer server([](FakePeer& peer) {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            while (peer.send("x")) peer.pause(30ms);
        });
        CHECK(took(server) < 20s);  // it would go on for ever
    }
}

TEST_CASE("client: an answer beyond the limits is cut, with and without a length, head or body") {
    const auto cut = [](const std::string& head, const std::string& piece) {
        std::atomic<std::uint64_t> sent{0};
        FakeServer server([&](FakePeer& peer) {
            peer.read_request();
            peer.send(head);
            for (int i = 0; i < 1000 && peer.send(piece); ++i) sent += piece.size();
        });
        CHECK(kind_of([&] {
                  (void)client_with(10s, 100'000).call({"GET", server.url(), {}, {}, {}});
              }) == ErrorKind::too_large);
        CHECK(sent < 50'000'000);
    };
    const std::string piece(100'000, 'x');
    cut("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", piece);
    cut("HTTP/1.1 200 OK\r\n\r\n", piece);
    cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "186a0\r\n" + piece + "\r\n");
    cut("HTTP/1.1 200 OK\r\nX: ", piece);
}

TEST_CASE("client: what is not there is unreachable, what breaks off too, and the text names the URL without secrets") {
    std::string url;
    {
        const FakeServer gone([](FakePeer&) {});
        url = gone.url("/x?token=secret");
    }
    CHECK(kind_of([&] { (void)HttpClient().call({"GET", url, {}, {}, {}}); }) == ErrorKind::unreachable);
    try {
        (void)HttpClient().call({"GET", url, {}, {}, {}});
    } catch (const Error& error) {
        const std::string text = error.what();
        CHECK(text.find("127.0.0.1") != std::string::npos);
        CHECK(text.find("secret") == std::string::npos);
    }
    FakeServer breaking([](FakePeer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    CHECK(kind_of([&] { (void)HttpClient().call({"GET", breaking.url(), {}, {}, {}}); }) == ErrorKind::unreachable);
    CHECK(kind_of([&] { (void)HttpClient().call({"GET", "ftp://x/", {}, {}, {}}); }) == ErrorKind::invalid);
    CHECK(kind_of([&] { (void)HttpClient().call({"GET", "http://x/a b", {}, {}, {}}); }) == ErrorKind::invalid);
    CHECK(kind_of([&] { (void)HttpClient().call({"GET", url, {{"A", "1\r\nB: 2"}}, {}, {}}); }) == ErrorKind::invalid);
}

TEST_CASE("client: a stream hands over each piece, and ends by the caller, by silence or by request") {
    FakeServer server([](FakePeer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        peer.hold();
    });
    std::string got;
    SECTION("by the caller") {
        const HttpResponse response = HttpClient().stream(
            {"GET", server.url(), {}, {}, {}},
            [&](std::string_view piece) {
                got += piece;
                return false;
            },
            60s);
        CHECK(response.status == 200);
        CHECK(got == "one");
    }
    SECTION("by silence") {
        CHECK(kind_of([&] {
                  (void)HttpClient().stream(
                      {"GET", server.url(), {}, {}, {}}, [](std::string_view) { return true; }, 200ms);
              }) == ErrorKind::timeout);
    }
    SECTION("by request") {
        std::stop_source stop;
        const auto took = time_of([&] {
            CHECK(kind_of([&] {
                      (void)HttpClient().stream(
                          {"GET", server.url(), {}, {}, {}}, [&](std::string_view) { return stop.request_stop(); }, 60s,
                          stop.get_token());
                  }) == ErrorKind::cancelled);
        });
        CHECK(took < 20s);
    }
}

TEST_CASE("client: a kept connection is used again, and a stale one is replaced for a GET only") {
    std::atomic<int> connections{0};
    std::atomic<int> per_connection{1000};
    FakeServer server([&](FakePeer& peer) {
        ++connections;
        for (int i = 0; i < per_connection && !peer.read_request().empty(); ++i) {
            if (!peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) return;
        }
    });
    std::string base = server.url();
    HttpConnection connection(base);
    for (int i = 0; i < 5; ++i) CHECK(connection.call({"GET", "/a", {}, {}, {}}).body == "ok");
    CHECK(connections == 1);
    per_connection = 1;  // from now on the server closes after each answer
    for (int i = 0; i < 5; ++i) CHECK(connection.call({"GET", "/a", {}, {}, {}}).body == "ok");
    CHECK(connections >= 4);
}
