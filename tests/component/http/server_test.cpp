// SPDX-License-Identifier: MIT
// The HTTP server as well-behaved clients see it, over real sockets.
#include "agent/http/server/server.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "raw_client.h"
#include "tests/support/eventually.h"

using namespace baton;
using namespace baton::http;
using test::ask;
using test::RawClient;
using test::status_in;

namespace {

/// Tells what of the request has arrived.
Response echo(Request&& request) {
    std::string text = request.method + " " + request.target + "\n";
    for (const std::string& segment : request.path) text += "segment=" + segment + "\n";
    for (const auto& [name, value] : request.all_arguments()) text += name + "=" + value + "\n";
    text += "x-test=" + request.header("X-Test") + "\n";
    text += "from=" + request.remote_address + "\n";
    text += "base=" + request.base_url() + "\n";
    text += "body=" + request.body + "\n";
    return Response::text(text);
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

TEST_CASE("server: a bare POST without a length is answered at once, as one with an empty body") {
    Server server({}, echo);
    server.start();
    const auto before = std::chrono::steady_clock::now();
    RawClient client(server.port());
    REQUIRE(client.send("POST /job/shop/build HTTP/1.1\r\nHost: h\r\nUser-Agent: curl\r\nAccept: */*\r\n\r\n"));
    const std::string response = client.read_response();
    CHECK(status_in(response) == 200);
    CHECK(has(response, "body=\n"));
    CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(4));  // httplib's own would wait for five
}

TEST_CASE("server: one connection carries many requests, pipelined ones too") {
    Server server({}, echo);
    server.start();
    RawClient client(server.port());
    for (int i = 0; i < 20; ++i) {
        REQUIRE(client.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
        REQUIRE(status_in(client.read_response()) == 200);
    }
    REQUIRE(client.send(
        "POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /two HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(has(client.read_response(), "body=abc"));
    CHECK(has(client.read_response(), "GET /two"));
    CHECK(server.counters().connections == 1);
    CHECK(server.counters().requests == 22);
}

TEST_CASE("server: header names go out in the letter case in which they were set") {
    Server server({}, [](Request&&) {
        Response response = Response::redirect("http://h/queue/item/7/");
        response.headers.set("X-Text-Size", "42");
        response.headers.set("x-lower", "a%0d%0ab");
        return response;
    });
    server.start();
    const std::string response = ask(server.port(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(status_in(response) == 302);
    CHECK(has(response, "\r\nLocation: http://h/queue/item/7/\r\n"));
    CHECK(has(response, "\r\nX-Text-Size: 42\r\n"));
    CHECK(has(response, "\r\nx-lower: a%0d%0ab\r\n"));
    CHECK(has(response, "\r\nContent-Length: 9\r\n"));
}

TEST_CASE("server: HEAD has the length of the body and no body") {
    Server server({}, [](Request&&) { return Response::text("12345"); });
    server.start();
    const std::string response = ask(server.port(), "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(status_in(response) == 200);
    CHECK(has(response, "Content-Length: 5\r\n"));
    CHECK(response.ends_with("\r\n\r\n"));
}

TEST_CASE("server: arguments come from the query first, then from urlencoded and multipart bodies") {
    Server server({}, echo);
    server.start();
    SECTION("urlencoded, larger than httplib's own limit for forms") {
        const std::string value(20'000, 'v');
        const std::string body = "b=two+words&c=%C3%A4&d=" + value;
        const std::string response =
            ask(server.port(),
                "POST /x%2Fy//z/?a=1&b=q&tree=jobs[name] HTTP/1.1\r\nHost: web1:7070\r\nConnection: close\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " +
                    std::to_string(body.size()) + "\r\n\r\n" + body);
        INFO(response.substr(0, 600));
        CHECK(has(response, "segment=x/y\nsegment=z\na=1\nb=q\ntree=jobs[name]\nb=two words\nc=\xC3\xA4\nd=vvv"));
        CHECK(has(response, "base=http://web1:7070\n"));
    }
    SECTION("multipart") {
        const std::string body =
            "--XX\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{\"a\":1}\r\n"
            "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\nContent-Type: "
            "text/plain\r\n\r\nline\r\n--XX--\r\n";
        const std::string response =
            ask(server.port(),
                "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=XX\r\n"
                "Content-Length: " +
                    std::to_string(body.size()) + "\r\n\r\n" + body);
        CHECK(has(response, "json={\"a\":1}\nf=line\n"));
    }
}

TEST_CASE("server: chunked bodies are taken, and Expect: 100-continue is answered first") {
    Server server({}, echo);
    server.start();
    RawClient client(server.port());
    REQUIRE(client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"));
    REQUIRE(client.read_until("HTTP/1.1 100 Continue\r\n\r\n"));
    REQUIRE(client.send("3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n"));
    REQUIRE(client.read_until("body=abc0123456789\n"));
}

TEST_CASE("server: header values stay as they were sent, and REMOTE_ADDR is nobody's to set") {
    Server server({}, echo);
    server.start();
    const std::string response = ask(server.port(),
                                     "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nREMOTE_ADDR: 6.6.6.6\r\n"
                                     "X-Forwarded-For: 6.6.6.6\r\nX-Test: a%0d%0aSet-Cookie: x\r\n\r\n");
    CHECK(has(response, "x-test=a%0d%0aSet-Cookie: x\n"));
    CHECK(has(response, "from=127.0.0.1\n"));
}

TEST_CASE("server: an Error becomes its status, any other exception a 500 that tells nothing") {
    Server server({}, [](Request&& request) -> Response {
        if (request.target == "/busy") throw Error(ErrorKind::busy, "come back");
        throw std::runtime_error("secret detail");
    });
    server.start();
    CHECK(status_in(ask(server.port(), "GET /busy HTTP/1.0\r\n\r\n")) == 503);
    const std::string response = ask(server.port(), "GET /x HTTP/1.0\r\n\r\n");
    CHECK(status_in(response) == 500);
    CHECK_FALSE(has(response, "secret"));
    CHECK(server.counters().handler_failures == 1);
}

TEST_CASE("server: a response header with a line end is a failure, not a second header") {
    Server server({}, [](Request&&) {
        Response response = Response::text("x");
        response.headers.set("X-A", "1\r\nX-Evil: 1");
        return response;
    });
    server.start();
    const std::string response = ask(server.port(), "GET / HTTP/1.0\r\n\r\n");
    CHECK(status_in(response) == 500);
    CHECK_FALSE(has(response, "X-Evil"));
}

TEST_CASE("server: a second server on the same address fails loudly") {
    Server first({}, echo);
    first.start();
    ServerOptions options;
    options.port = first.port();
    Server second(options, echo);
    try {
        second.start();
        FAIL("both have bound");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::conflict);
        CHECK(has(error.what(), "in use"));
    }
}

TEST_CASE("server: a stream arrives piece by piece, ends complete, and is told when the client leaves") {
    std::atomic<bool> left{false};
    std::atomic<int> go{0};
    Server server({}, [&](Request&& request) {
        if (request.target == "/short") {
            return Response::streamed("text/plain",
                                      [](Writer& out) { return out.write("one\n") && out.write("two\n"); });
        }
        return Response::events([&](Writer& out) {
            if (!out.write("data: 1\n\n")) return false;
            while (go == 0) std::this_thread::yield();
            left = test::eventually([&] { return !out.open(); });
            return false;
        });
    });
    server.start();
    CHECK(ask(server.port(), "GET /short HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
              .ends_with("4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"));
    CHECK(ask(server.port(), "GET /short HTTP/1.0\r\n\r\n").ends_with("\r\n\r\none\ntwo\n"));
    {
        RawClient follower(server.port());
        REQUIRE(follower.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n"));
        REQUIRE(follower.read_until("data: 1\n\n"));
        CHECK(has(follower.received(), "Content-Type: text/event-stream\r\n"));
        CHECK(server.counters().streams_now == 1);
    }
    go = 1;
    CHECK(test::eventually([&] { return left.load(); }));
    CHECK(test::eventually([&] { return server.counters().streams_now == 0; }));
}

TEST_CASE("server: a body limit can depend on the request") {
    ServerOptions options;
    options.body_limit = [](const Request& request) -> std::uint64_t {
        return request.target == "/pack" ? 4'000'000 : 10;
    };
    Server server(options, [](Request&& request) { return Response::text(std::to_string(request.body.size())); });
    server.start();
    const std::string body(3'000'000, 'x');
    const std::string rest = " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n" + body;
    CHECK(has(ask(server.port(), "POST /pack" + rest), "\r\n\r\n3000000"));
    CHECK(status_in(ask(server.port(), "POST /other" + rest)) == 413);
}

TEST_CASE("server: stop is quick with idle connections and streams open, and frees the port") {
    ServerOptions patient;
    patient.limits.stop_grace = std::chrono::minutes(1);
    Server server(patient, [](Request&& request) {
        if (request.target == "/") return Response::text("ok");
        return Response::events([](Writer& out) {
            if (!out.write("data: 1\n\n")) return false;
            return test::eventually([&] { return !out.open(); });
        });
    });
    server.start();
    const std::uint16_t port = server.port();
    RawClient idle(port);
    REQUIRE(idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    REQUIRE(status_in(idle.read_response()) == 200);
    RawClient silent(port);
    RawClient follower(port);
    REQUIRE(follower.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n"));
    REQUIRE(follower.read_until("data: 1"));
    const auto before = std::chrono::steady_clock::now();
    server.stop();
    CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(20));  // nobody's request was waited for
    ServerOptions options;
    options.port = port;
    Server next(options, echo);
    CHECK_NOTHROW(next.start());
}
