// SPDX-License-Identifier: MIT
// A whole connection: what a client sends, through reading, the handler and httplib, to the bytes that go back.
#include <sys/socket.h>

#include <array>
#include <string>

#include "agent/http/server/session.h"
#include "common/file.h"
#include "tests/fuzz/fuzz.h"

namespace {

baton::http::Response echo(baton::http::Request&& request) {
    using namespace baton;
    if (request.target.starts_with("/stream")) {
        return http::Response::events([](http::Writer& out) { return out.write("data: 1\n\n"); });
    }
    http::Response response = http::Response::text(request.target + "\n" + request.body);
    for (const auto& [name, value] : request.all_arguments()) response.headers.add("X-Argument", name + "=" + value);
    return response;
}

std::string received(int fd) {
    std::string text;
    std::array<char, 16384> bytes;
    for (ssize_t got = 0; (got = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;) {
        text.append(bytes.data(), static_cast<std::size_t>(got));
    }
    return text;
}

baton::http::ServerShared& server() {
    static baton::http::ServerShared& shared = *new baton::http::ServerShared{};  // the process ends by _exit
    shared.options.limits.body_bytes = 2'000;
    shared.options.limits.header_deadline = baton::Milliseconds{1'000};
    shared.options.limits.body_deadline = baton::Milliseconds{1'000};
    shared.options.limits.write_deadline = baton::Milliseconds{1'000};
    shared.handler = echo;
    return shared;
}

}  // namespace

void baton::fuzz::run(std::string_view input) {
    static http::ServerShared& shared = server();
    int ends[2] = {-1, -1};
    expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "a pair of sockets");
    const Fd ours(ends[0]);
    const Fd theirs(ends[1]);
    [[maybe_unused]] const auto sent = ::send(theirs.get(), input.data(), input.size(), MSG_NOSIGNAL);
    ::shutdown(theirs.get(), SHUT_WR);
    const auto failures = shared.handler_failures.load();
    http::serve_connection(shared, ours.get(), "127.0.0.1", nullptr, [](http::SessionState) {});
    const std::string answer = received(theirs.get());
    expect(answer.empty() || answer.starts_with("HTTP/1.1 "), "what comes back is HTTP");
    const auto head = answer.substr(0, answer.find("\r\n\r\n"));
    expect(head.find('\0') == std::string::npos, "no NUL in a head");
    expect(head.find("\r\nEXCEPTION_WHAT") == std::string::npos, "httplib tells nothing of the inside");
    expect(shared.body_bytes == 0 && shared.streams == 0 && shared.followers.empty(), "every share is given back");
    // An argument with a line end cannot become a header: that is a failure of the handler, and nothing else is.
    expect(shared.handler_failures == failures || answer.find(" 500 ") != std::string::npos, "failures are answered");
}
