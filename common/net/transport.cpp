// SPDX-License-Identifier: MIT
// Waiting with poll(2), reading and writing without blocking.
#include "common/net/transport.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/error.h"

namespace baton::net {

namespace {

constexpr Milliseconds stop_check{100};

/// OpenSSL writes with write(2), which raises SIGPIPE on a broken connection; a library must not change the
/// process's handler, so the signal is held back and taken for the length of one call.
class SigpipeBlocked {
  public:
    SigpipeBlocked() {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        sigset_t pending;
        sigpending(&pending);
        was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    SigpipeBlocked(const SigpipeBlocked&) = delete;
    SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;
    ~SigpipeBlocked() {
        const timespec at_once{};
        if (!was_pending_) sigtimedwait(&pipe_, nullptr, &at_once);
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

  private:
    sigset_t pipe_{};
    sigset_t before_{};
    bool was_pending_ = false;
};

int as_int(std::size_t size) { return static_cast<int>(std::min<std::size_t>(size, INT_MAX)); }

Error broken(std::string_view what, int errno_value) {
    return {ErrorKind::unreachable, fmt::format("{}: {}", what, std::strerror(errno_value))};
}

}  // namespace

Instant steady_now() { return std::chrono::time_point_cast<Milliseconds>(std::chrono::steady_clock::now()); }

Transport::~Transport() = default;

void Transport::wait(Want want, Instant deadline) {
    pollfd entry{fd_, static_cast<short>(want == Want::read ? POLLIN : POLLOUT), 0};
    for (;;) {
        if (stop_.stop_requested()) throw Error(ErrorKind::cancelled, "stopped");
        Milliseconds left = deadline - steady_now();
        if (left.count() <= 0) throw Error(ErrorKind::timeout, "no answer in time");
        if (stop_.stop_possible()) left = std::min(left, stop_check);
        const int ready = ::poll(&entry, 1, static_cast<int>(std::min<Milliseconds::rep>(left.count(), 1'000'000)));
        if (ready > 0) return;
        if (ready < 0 && errno != EINTR) throw system_error("poll", errno);
    }
}

bool Transport::wait_readable(Instant deadline) {
    if (tls_ && SSL_pending(tls_.get()) > 0) return true;
    try {
        wait(Want::read, deadline);
        return true;
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::timeout) throw;
        return false;
    }
}

bool Transport::peer_gone() const {
    pollfd entry{fd_, POLLRDHUP, 0};
    return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

void Transport::handshake(int (*step)(ssl_st*), Instant deadline) {
    for (;;) {
        ERR_clear_error();
        int result = 0;
        int errno_value = 0;
        {
            const SigpipeBlocked guard;
            result = step(tls_.get());
            errno_value = errno;
        }
        if (result == 1) return;
        if (const long verdict = SSL_get_verify_result(tls_.get()); verdict != X509_V_OK) {
            throw Error(ErrorKind::unreachable, fmt::format("TLS: the certificate is not accepted: {}",
                                                            X509_verify_cert_error_string(verdict)));
        }
        if (!after_tls_call(result, errno_value, deadline)) {
            throw Error(ErrorKind::unreachable, "TLS: the other side closed the connection during the handshake");
        }
    }
}

void Transport::accept_tls(const TlsContext& context, Instant deadline) {
    context_ = context;
    tls_ = {SSL_new(context.get()), SSL_free};
    if (!tls_ || SSL_set_fd(tls_.get(), fd_) != 1)
        throw Error(ErrorKind::internal, fmt::format("TLS: {}", take_tls_error()));
    handshake(SSL_accept, deadline);
}

void Transport::connect_tls(const TlsContext& context, const std::string& host, Instant deadline) {
    context_ = context;
    tls_ = {SSL_new(context.get()), SSL_free};
    if (!tls_ || SSL_set_fd(tls_.get(), fd_) != 1)
        throw Error(ErrorKind::internal, fmt::format("TLS: {}", take_tls_error()));
    std::array<unsigned char, sizeof(in6_addr)> address{};
    const bool is_address = ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
                            ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
    if (is_address) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), host.c_str());
    } else {
        SSL_set_hostflags(tls_.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_set1_host(tls_.get(), host.c_str());
        // The SNI macro of OpenSSL casts as C does.
        SSL_ctrl(tls_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, const_cast<char*>(host.c_str()));
    }
    handshake(SSL_connect, deadline);
}

std::string Transport::peer_subject() const {
    if (!tls_) return {};
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(tls_.get()), X509_free);
    if (!certificate || SSL_get_verify_result(tls_.get()) != X509_V_OK) return {};
    const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
    X509_NAME_print_ex(out.get(), X509_get_subject_name(certificate.get()), 0, XN_FLAG_RFC2253);
    std::string text(static_cast<std::size_t>(BIO_pending(out.get())), '\0');
    const int length = BIO_read(out.get(), text.data(), as_int(text.size()));
    text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    return text;
}

bool Transport::after_tls_call(int result, int errno_value, Instant deadline) {
    switch (SSL_get_error(tls_.get(), result)) {
        case SSL_ERROR_WANT_READ: wait(Want::read, deadline); return true;
        case SSL_ERROR_WANT_WRITE: wait(Want::write, deadline); return true;
        case SSL_ERROR_ZERO_RETURN: return false;
        case SSL_ERROR_SYSCALL:
            if (ERR_peek_error() == 0 && errno_value == 0) return false;
            if (ERR_peek_error() == 0) throw broken("TLS", errno_value);
            [[fallthrough]];
        default: throw Error(ErrorKind::unreachable, fmt::format("TLS: {}", take_tls_error()));
    }
}

std::size_t Transport::read_some(char* buffer, std::size_t size, Instant deadline) {
    for (;;) {
        if (tls_) {
            ERR_clear_error();
            int result = 0;
            int errno_value = 0;
            {
                const SigpipeBlocked guard;
                errno = 0;
                result = SSL_read(tls_.get(), buffer, as_int(size));
                errno_value = errno;
            }
            if (result > 0) return static_cast<std::size_t>(result);
            if (!after_tls_call(result, errno_value, deadline)) return 0;
            continue;
        }
        const ssize_t got = ::recv(fd_, buffer, size, MSG_DONTWAIT);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) throw broken("receive", errno);
        wait(Want::read, deadline);
    }
}

void Transport::write_all(std::string_view bytes, Instant deadline) {
    while (!bytes.empty()) {
        if (tls_) {
            ERR_clear_error();
            int result = 0;
            int errno_value = 0;
            {
                const SigpipeBlocked guard;
                errno = 0;
                result = SSL_write(tls_.get(), bytes.data(), as_int(bytes.size()));
                errno_value = errno;
            }
            if (result > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(result));
            } else if (!after_tls_call(result, errno_value, deadline)) {
                throw Error(ErrorKind::unreachable, "send: the other side has closed the connection");
            }
            continue;
        }
        const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            wait(Want::write, deadline);
        } else if (errno != EINTR) {
            throw broken("send", errno);
        }
    }
}

void Transport::close_tls() noexcept {
    if (!tls_) return;
    const SigpipeBlocked guard;
    ERR_clear_error();
    if (SSL_is_init_finished(tls_.get()) == 1) SSL_shutdown(tls_.get());
    ERR_clear_error();
}

}  // namespace baton::net
