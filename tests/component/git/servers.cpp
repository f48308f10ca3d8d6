// SPDX-License-Identifier: MIT
// A server of a few lines on a real socket: just enough of a git host to say no, or nothing.
#include "tests/component/git/servers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace baton::test {
namespace {

bool readable(int fd, int within_ms) {
    pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, within_ms) > 0;
}

}  // namespace

TinyServer::TinyServer(std::string reply)
    : reply_(std::move(reply)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 16) != 0 ||
        ::getsockname(listener_.get(), generic, &size) != 0) {
        throw std::runtime_error("no port for a test server");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
}

TinyServer::~TinyServer() = default;

std::string TinyServer::requests() {
    const std::scoped_lock hold(mutex_);
    return requests_;
}

void TinyServer::serve(const std::stop_token& stop) {
    std::vector<Fd> silent;
    constexpr int look_up_ms = 20;
    while (!stop.stop_requested()) {
        if (!readable(listener_.get(), look_up_ms)) continue;
        Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (connection) answer(std::move(connection), silent);
    }
}

void TinyServer::answer(Fd connection, std::vector<Fd>& silent) {
    ++connections_;
    if (reply_.empty()) {
        silent.push_back(std::move(connection));
        return;
    }
    std::string head;
    constexpr int patience_ms = 2'000;
    while (head.find("\r\n\r\n") == std::string::npos && readable(connection.get(), patience_ms)) {
        char buffer[4096];
        const ssize_t got = ::read(connection.get(), buffer, sizeof buffer);
        if (got <= 0) break;
        head.append(buffer, static_cast<std::size_t>(got));
    }
    {
        const std::scoped_lock hold(mutex_);
        requests_ += head;
    }
    [[maybe_unused]] const ssize_t sent = ::send(connection.get(), reply_.data(), reply_.size(), MSG_NOSIGNAL);
}

}  // namespace baton::test
