// SPDX-License-Identifier: MIT
// The scripted server.
#include "fake_server.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/error.h"

namespace baton::test {

namespace {

constexpr int slice_ms = 20;

bool ready(int fd, short events, const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        pollfd entry{fd, events, 0};
        if (::poll(&entry, 1, slice_ms) > 0) return true;
    }
    return false;
}

std::size_t announced_length(std::string_view head) {
    constexpr std::string_view name = "Content-Length: ";
    const std::size_t at = head.find(name);
    return at == std::string_view::npos ? 0 : std::stoul(std::string(head.substr(at + name.size(), 10)));
}

}  // namespace

std::string FakePeer::read_request() {
    for (;;) {
        const std::size_t end = buffer_.find("\r\n\r\n");
        if (end != std::string::npos) {
            const std::size_t whole = end + 4 + announced_length(std::string_view(buffer_).substr(0, end));
            if (buffer_.size() >= whole) {
                std::string request = buffer_.substr(0, whole);
                buffer_.erase(0, whole);
                return request;
            }
        }
        std::array<char, 4096> bytes;
        if (!ready(fd_.get(), POLLIN, stop_)) return {};
        const ssize_t got = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
        if (got <= 0) return {};
        buffer_.append(bytes.data(), static_cast<std::size_t>(got));
    }
}

bool FakePeer::send(std::string_view bytes) {
    while (!bytes.empty()) {
        if (!ready(fd_.get(), POLLOUT, stop_)) return false;
        const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) return false;
        if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

void FakePeer::hold() {
    std::array<char, 4096> bytes;
    while (ready(fd_.get(), POLLIN, stop_) && ::recv(fd_.get(), bytes.data(), bytes.size(), 0) > 0) continue;
}

void FakePeer::pause(std::chrono::milliseconds duration) {
    const auto until = std::chrono::steady_clock::now() + duration;
    pollfd nothing{-1, 0, 0};
    while (!stop_.stop_requested() && std::chrono::steady_clock::now() < until) ::poll(&nothing, 1, 5);
}

FakeServer::FakeServer(std::function<void(FakePeer&)> serve)
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    void* raw = &address;
    if (::bind(listener_.get(), static_cast<sockaddr*>(raw), length) != 0 || ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), static_cast<sockaddr*>(raw), &length) != 0) {
        throw system_error("fake server", errno);
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this, serve = std::move(serve)](const std::stop_token& stop) {
        while (ready(listener_.get(), POLLIN, stop)) {
            Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!fd) continue;
            FakePeer peer(std::move(fd), stop);
            serve(peer);
        }
    });
}

std::string FakeServer::url(std::string_view target) const {
    return fmt::format("http://127.0.0.1:{}{}", port_, target);
}

}  // namespace baton::test
