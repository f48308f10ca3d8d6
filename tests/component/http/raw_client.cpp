// SPDX-License-Identifier: MIT
// Raw sockets for tests.
#include "raw_client.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "common/error.h"

namespace baton::test {

RawClient::RawClient(std::uint16_t port, const std::string& from)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, from.c_str(), &address.sin_addr);
    void* raw = &address;
    if (::bind(fd_.get(), static_cast<sockaddr*>(raw), sizeof address) != 0) throw system_error("bind", errno);
    address.sin_port = htons(port);
    ::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (::connect(fd_.get(), static_cast<sockaddr*>(raw), sizeof address) != 0) throw system_error("connect", errno);
}

bool RawClient::send(std::string_view bytes) {
    while (!bytes.empty()) {
        pollfd entry{fd_.get(), POLLOUT, 0};
        if (::poll(&entry, 1, 10'000) <= 0) return false;
        const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (sent < 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

unsigned RawClient::retransmits() const {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) throw system_error("TCP_INFO", errno);
    return info.tcpi_total_retrans;
}

bool RawClient::receive_some(std::chrono::steady_clock::time_point deadline) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{fd_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&entry, 1, static_cast<int>(left.count())) <= 0) return false;
    std::array<char, 16384> buffer;
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return false;
    received_.append(buffer.data(), static_cast<std::size_t>(got));
    return true;
}

std::string RawClient::read_all(std::chrono::milliseconds within) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    while (receive_some(deadline)) continue;
    return std::exchange(received_, {});
}

bool RawClient::read_until(std::string_view text, std::chrono::milliseconds within) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    while (received_.find(text) == std::string::npos) {
        if (!receive_some(deadline)) return false;
    }
    return true;
}

std::string RawClient::read_response(std::chrono::milliseconds within) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    if (!read_until("\r\n\r\n", within)) return std::exchange(received_, {});
    const std::size_t head = received_.find("\r\n\r\n") + 4;
    std::size_t length = 0;
    constexpr std::string_view name = "Content-Length: ";
    if (const std::size_t at = received_.find(name); at < head) {
        std::from_chars(received_.data() + at + name.size(), received_.data() + head, length);
    }
    while (received_.size() < head + length && receive_some(deadline)) continue;
    std::string response = received_.substr(0, head + length);
    received_.erase(0, response.size());
    return response;
}

int status_in(std::string_view response) {
    int status = 0;
    constexpr std::size_t offset = std::string_view("HTTP/1.1 ").size();
    if (response.size() > offset + 3) std::from_chars(response.data() + offset, response.data() + offset + 3, status);
    return status;
}

std::string ask(std::uint16_t port, std::string_view request, std::chrono::milliseconds within) {
    RawClient client(port);
    client.send(request);
    return client.read_all(within);
}

std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace baton::test
