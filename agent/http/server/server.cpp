// SPDX-License-Identifier: MIT
// Listening and accepting. What happens on a connection is in server_session.cpp.
#include "agent/http/server/server.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <thread>

#include "agent/http/server/registry.h"
#include "agent/http/server/session.h"
#include "agent/http/server/workers.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/net/transport.h"

namespace baton::http {

namespace {

constexpr int backlog = 512;  // httplib's own is 5: a burst of clients would wait for SYN retransmits
constexpr Milliseconds worker_idle{10'000};
constexpr Milliseconds accept_pause{100};  // after "too many open files": it does not go away at once
constexpr Milliseconds refused_lingers{500};
constexpr std::size_t most_lingering = 64;

std::string numeric_address(const sockaddr_storage& storage) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (storage.ss_family == AF_INET) {
        sockaddr_in address{};
        std::memcpy(&address, &storage, sizeof address);
        ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
    } else if (storage.ss_family == AF_INET6) {
        sockaddr_in6 address{};
        std::memcpy(&address, &storage, sizeof address);
        ::inet_ntop(AF_INET6, &address.sin6_addr, text.data(), text.size());
    }
    std::string address = text.data();
    constexpr std::string_view mapped = "::ffff:";
    if (address.starts_with(mapped) && address.find('.') != std::string::npos) address.erase(0, mapped.size());
    return address;
}

Fd bind_one(const addrinfo& address, int& fault) {
    Fd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
    // SO_REUSEPORT, httplib's default, would let a second agent take a share of our connections without a word.
    const int yes = 1;
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        ::bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 || ::listen(fd.get(), backlog) != 0) {
        fault = errno;
        return Fd();
    }
    return fd;
}

Fd listen_on(const std::string& host, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const std::string service = fmt::format("{}", port);
    if (const int fault = ::getaddrinfo(host.c_str(), service.c_str(), &hints, &found); fault != 0) {
        throw Error(ErrorKind::invalid, fmt::format("listen on '{}': {}", host, ::gai_strerror(fault)));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
    int fault = 0;
    for (const addrinfo* entry = addresses.get(); entry != nullptr; entry = entry->ai_next) {
        if (Fd fd = bind_one(*entry, fault)) return fd;
    }
    const std::string where = fmt::format("listen on {}:{}", host, port);
    if (fault == EADDRINUSE)
        throw Error(ErrorKind::conflict, where + ": the address is in use; does another agent run here?");
    if (fault == EADDRNOTAVAIL) throw Error(ErrorKind::invalid, where + ": this machine does not have that address");
    throw system_error(where, fault);
}

std::uint16_t bound_port(int fd) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    void* raw = &storage;
    if (::getsockname(fd, static_cast<sockaddr*>(raw), &length) != 0) throw system_error("getsockname", errno);
    sockaddr_in address{};  // the port stands in the same place of a sockaddr_in6
    std::memcpy(&address, &storage, sizeof address);
    return ntohs(address.sin_port);
}

/// The bytes that say that there is no place, made once: nothing is to be worked out while it is crowded.
std::string full_answer(const Response& response) {
    std::string text = fmt::format("HTTP/1.1 {} Service Unavailable\r\nRetry-After: 1\r\n", response.status);
    for (const auto& [name, value] : response.headers.fields()) text += fmt::format("{}: {}\r\n", name, value);
    return text + fmt::format("Content-Length: {}\r\nConnection: close\r\n\r\n{}", response.body.size(), response.body);
}

}  // namespace

class Server::Impl {
  public:
    Impl(ServerOptions options, Handler handler) : registry_(shared_.options.limits), workers_(worker_idle) {
        shared_.options = std::move(options);
        shared_.handler = std::move(handler);
    }
    ~Impl() { stop(); }

    void start() {
        if (shared_.options.tls) reload_tls();
        listener_ = listen_on(shared_.options.host, shared_.options.port);
        port_ = bound_port(listener_.get());
        full_ = full_answer(shared_.refusal(503, "too many connections", ""));
        wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!wake_) throw system_error("eventfd", errno);
        acceptor_ = std::jthread([this] { accept_all(); });
    }

    void stop() {
        const std::lock_guard lock(stop_mutex_);
        if (stopped_) return;
        stopped_ = true;
        shared_.stop.request_stop();
        if (acceptor_.joinable()) {
            const std::uint64_t one = 1;
            // The counter cannot be full, so this write does not fail.
            (void)!::write(wake_.get(), &one, sizeof one);
            acceptor_.join();
        }
        listener_.reset();
        registry_.shut_down(shared_.options.limits.stop_grace);
        workers_.stop();
    }

    void reload_tls() {
        if (!shared_.options.tls) return;
        const ServerTls& files = *shared_.options.tls;
        net::TlsContext fresh =
            net::server_tls_context(files.certificate_file, files.private_key_file, files.client_ca_file);
        const std::lock_guard lock(tls_mutex_);
        tls_ = std::move(fresh);
    }

    [[nodiscard]] std::uint16_t port() const { return port_; }

    [[nodiscard]] ServerCounters counters() const {
        return {shared_.connections,         registry_.size(),         shared_.streams,         shared_.requests,
                shared_.refused_connections, shared_.refused_requests, shared_.handler_failures};
    }

  private:
    void accept_all() {
        while (!shared_.stop.stop_requested()) {
            std::array<pollfd, 2> entries{pollfd{listener_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
            const int patience = lingering_.empty() ? -1 : static_cast<int>(refused_lingers.count() / 4);
            ::poll(entries.data(), entries.size(), patience);
            close_lingering();
            if (entries[0].revents == 0) continue;
            accept_one();
        }
        lingering_.clear();
    }

    void accept_one() {
        sockaddr_storage peer{};
        socklen_t length = sizeof peer;
        void* raw = &peer;
        // CLOEXEC in the same call: a step that is spawned meanwhile must not inherit a client's connection.
        Fd fd(::accept4(listener_.get(), static_cast<sockaddr*>(raw), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
            log::warning("http", "cannot accept a connection", {{"error", std::strerror(errno)}});
            pollfd entry{wake_.get(), POLLIN, 0};
            ::poll(&entry, 1, static_cast<int>(accept_pause.count()));
            return;
        }
        const int yes = 1;
        ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        serve(std::move(fd), numeric_address(peer));
    }

    void serve(Fd fd, const std::string& address) {
        ConnectionRegistry::Handle handle;
        if (!registry_.admit(fd.get(), address, handle)) {
            refuse(std::move(fd));
            return;
        }
        ++shared_.connections;
        const int raw = fd.release();
        try {
            workers_.submit([this, raw, handle] {
                const Fd owned(raw);  // closed after its entry is gone
                net::TlsContext tls;
                {
                    const std::lock_guard lock(tls_mutex_);
                    tls = tls_;
                }
                serve_connection(shared_, raw, handle->address, tls,
                                 [&](SessionState state) { registry_.enter(handle, state); });
                registry_.remove(handle);
            });
        } catch (const Error& error) {
            registry_.remove(handle);
            log::warning("http", "cannot serve a connection", {{"error", error.what()}});
            refuse(Fd(raw));
        }
    }

    /// Says 503 without waiting. The socket stays open for a moment, or the reset that follows closing would
    /// overtake the answer.
    void refuse(Fd fd) {
        ++shared_.refused_connections;
        if (shared_.options.tls) return;
        if (::send(fd.get(), full_.data(), full_.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
        ::shutdown(fd.get(), SHUT_WR);
        if (lingering_.size() >= most_lingering) lingering_.pop_front();
        lingering_.push_back({std::move(fd), net::deadline_in(refused_lingers)});
    }

    void close_lingering() {
        const Instant now = net::steady_now();
        while (!lingering_.empty() && lingering_.front().until <= now) lingering_.pop_front();
    }

    struct Lingering {
        Fd fd;
        Instant until;
    };

    ServerShared shared_;
    ConnectionRegistry registry_;
    std::mutex tls_mutex_;
    net::TlsContext tls_;  // under tls_mutex_
    Fd listener_;
    Fd wake_;
    std::uint16_t port_ = 0;
    std::string full_;                 // what is sent when there is no place; made by start()
    std::deque<Lingering> lingering_;  // the accepting thread's
    std::mutex stop_mutex_;
    bool stopped_ = false;  // under stop_mutex_
    Workers workers_;
    std::jthread acceptor_;
};

Server::Server(ServerOptions options, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler))) {}
Server::~Server() = default;
void Server::start() { impl_->start(); }
std::uint16_t Server::port() const { return impl_->port(); }
void Server::stop() { impl_->stop(); }
void Server::reload_tls() { impl_->reload_tls(); }
ServerCounters Server::counters() const { return impl_->counters(); }

}  // namespace baton::http
