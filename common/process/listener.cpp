// SPDX-License-Identifier: MIT
// Listening sockets: opening, naming, passing on.
#include "common/process/listener.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/error.h"
#include "common/process/pidfd.h"
#include "common/text.h"

namespace baton::process {
namespace {

namespace fs = std::filesystem;

/// As systemd's own default: the kernel cuts it down to net.core.somaxconn.
constexpr int backlog = 4096;
constexpr std::size_t most_message_bytes = 16UL * 1024;

/// The one place where the socket calls' untyped addresses are cast.
template <class Address>
const sockaddr* plain(const Address& address) {
    return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}
template <class Address>
sockaddr* plain(Address& address) {
    return static_cast<sockaddr*>(static_cast<void*>(&address));
}

sockaddr_un unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        throw Error(ErrorKind::invalid, fmt::format("the path of a socket has at most {} characters: {}",
                                                    sizeof address.sun_path - 1, path));
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

Fd new_socket(int family) {
    Fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) throw system_error("socket", errno);
    return fd;
}

Error taken(const std::string& where) {
    return {ErrorKind::conflict,
            fmt::format("{} is in use by another program; end it, or let it listen elsewhere", where)};
}

Fd listen_on_path(const std::string& path) {
    const auto address = unix_address(path);
    struct stat found {};
    if (::lstat(path.c_str(), &found) == 0) {
        // A socket that outlived its program, as after a power cut. Anything else is somebody's file.
        if (!S_ISSOCK(found.st_mode)) throw Error(ErrorKind::conflict, fmt::format("{} is no socket", path));
        if (::connect(new_socket(AF_UNIX).get(), plain(address), sizeof address) == 0) throw taken(path);
        if (::unlink(path.c_str()) != 0) throw system_error(fmt::format("remove {}", path), errno);
    }
    Fd fd = new_socket(AF_UNIX);
    // Of one thread only: a holder has no other.
    const mode_t before = ::umask(0111);
    const int bound = ::bind(fd.get(), plain(address), sizeof address);
    const int error = errno;
    ::umask(before);
    if (bound != 0) throw system_error(fmt::format("bind {}", path), error);
    if (::listen(fd.get(), backlog) != 0) throw system_error(fmt::format("listen on {}", path), errno);
    return fd;
}

struct FreeAddresses {
    void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Addresses resolve(const std::string& where) {
    const auto colon = where.rfind(':');
    auto host = where.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    const auto port = colon == std::string::npos ? std::nullopt : parse_whole(where.substr(colon + 1));
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (!port || *port > 65535 || host.empty() ||
        ::getaddrinfo(host.c_str(), std::to_string(*port).c_str(), &hints, &found) != 0) {
        throw Error(ErrorKind::invalid,
                    fmt::format("'{}' is neither ADDRESS:PORT with a numeric address nor the path of a socket", where));
    }
    return Addresses(found);
}

Fd listen_on_address(const std::string& where) {
    const auto addresses = resolve(where);
    Fd fd = new_socket(addresses->ai_family);
    const int yes = 1;
    // Against TIME_WAIT of an earlier life only: two who listen at once are still refused.
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0)
        throw system_error("setsockopt", errno);
    if (::bind(fd.get(), addresses->ai_addr, addresses->ai_addrlen) != 0) {
        if (errno == EADDRINUSE) throw taken(where);
        throw system_error(fmt::format("bind {}", where), errno);
    }
    if (::listen(fd.get(), backlog) != 0) {
        if (errno == EADDRINUSE) throw taken(where);
        throw system_error(fmt::format("listen on {}", where), errno);
    }
    return fd;
}

std::string text_of(const sockaddr* address, socklen_t size) {
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    if (::getnameinfo(address, size, host.data(), host.size(), port.data(), port.size(),
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return {};
    }
    const bool v6 = address->sa_family == AF_INET6;
    return v6 ? fmt::format("[{}]:{}", host.data(), port.data()) : fmt::format("{}:{}", host.data(), port.data());
}

/// `where` as listening_where() would say it: `[0::1]:80` is `[::1]:80`.
std::string normal(const std::string& where) {
    if (where.starts_with('/')) return where;
    const auto addresses = resolve(where);
    return text_of(addresses->ai_addr, addresses->ai_addrlen);
}

}  // namespace

Fd listen_on(const std::string& where) {
    return where.starts_with('/') ? listen_on_path(where) : listen_on_address(where);
}

std::string listening_where(int fd) {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0) return {};
    sockaddr_storage address{};
    size = sizeof address;
    if (::getsockname(fd, plain(address), &size) != 0) return {};
    if (address.ss_family != AF_UNIX) return text_of(plain(address), size);
    sockaddr_un path{};
    std::memcpy(&path, &address, sizeof path);
    return {path.sun_path, ::strnlen(path.sun_path, sizeof path.sun_path)};
}

std::uint16_t port_of(std::string_view where) {
    if (where.starts_with('/')) return 0;
    const auto colon = where.rfind(':');
    const auto port = colon == std::string_view::npos ? std::nullopt : parse_whole(where.substr(colon + 1));
    return port && *port <= 65535 ? static_cast<std::uint16_t>(*port) : std::uint16_t{0};
}

bool same_address(const std::string& one, const std::string& other) {
    return !one.empty() && !other.empty() && normal(one) == normal(other);
}

Fd take_listener(pid_t pid, const std::string& where) {
    const Fd pidfd = open_pidfd(pid);
    const auto wanted = normal(where);
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid), gone)) {
        std::error_code unreadable;
        if (!fs::read_symlink(entry.path(), unreadable).string().starts_with("socket:")) continue;
        const auto number = parse_whole(entry.path().filename().string());
        if (!number) continue;
        Fd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), static_cast<int>(*number), 0)));
        if (fd && listening_where(fd.get()) == wanted) return fd;
    }
    return {};
}

void send_message(int socket, std::string_view text, int fd) {
    iovec part{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
    if (fd >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    if (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) throw system_error("send", errno);
}

ReceivedMessage receive_message(int socket) {
    ReceivedMessage received;
    received.text.resize(most_message_bytes);
    iovec part{received.text.data(), received.text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (count < 0) throw system_error("receive", errno);
    received.text.resize(static_cast<std::size_t>(count));
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
        received.fd = Fd(fd);
    }
    return received;
}

}  // namespace baton::process
