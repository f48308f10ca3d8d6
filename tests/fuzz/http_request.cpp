// SPDX-License-Identifier: MIT
// Bytes as they come over a connection: head after head with its body, the way a session reads them.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/http/server/reader.h"
#include "common/file.h"
#include "tests/fuzz/fuzz.h"

namespace {

void read_all_requests(baton::http::ServerShared& shared, int fd) {
    using namespace baton;
    net::Transport transport(fd);
    http::RequestReader reader(shared, transport);
    const Instant soon = net::deadline_in(Milliseconds{1'000});
    while (auto head = reader.read_head(soon)) {
        http::BodyShare share(shared);
        reader.read_body(*head, share);
        fuzz::expect(head->request.body.size() <= shared.options.limits.body_bytes, "the body keeps its limit");
        fuzz::expect(head->request.headers.size() <= shared.options.limits.header_fields, "so do the fields");
        for (const auto& segment : head->request.path) {
            fuzz::expect(segment != ".." && segment.find('\0') == std::string::npos, "no path leads out");
        }
        for (const auto& [name, value] : head->request.headers.fields()) {
            fuzz::expect(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos, "no line ends");
        }
        fuzz::refused_or([&] { (void)head->request.all_arguments(); });
        (void)head->request.base_url();
        if (!head->keep_alive) return;
    }
}

}  // namespace

void baton::fuzz::run(std::string_view input) {
    static http::ServerShared& shared = *new http::ServerShared{};  // never gone: the process ends by _exit
    shared.options.limits.body_bytes = 2'000;
    int ends[2] = {-1, -1};
    expect(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "a pair of sockets");
    const Fd ours(ends[0]);
    const Fd theirs(ends[1]);
    [[maybe_unused]] const auto sent = ::send(theirs.get(), input.data(), input.size(), MSG_NOSIGNAL);
    ::shutdown(theirs.get(), SHUT_WR);
    try {
        read_all_requests(shared, ours.get());
    } catch (const Error&) {
    } catch (const http::Refused& refused) {
        expect(refused.status >= 400 && refused.status < 600 && !refused.why.empty(), "a refusal says why");
    }
    expect(shared.body_bytes == 0, "every share is given back");
}
