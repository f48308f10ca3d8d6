// SPDX-License-Identifier: MIT
// httplib's client speaks HTTP; connecting, TLS, deadlines and limits are ours, underneath it as its stream.
#include "common/net/http_client.h"

#include <httplib.h>

#include <Poco/Exception.h>
#include <Poco/URI.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/error.h"
#include "common/file.h"
#include "common/net/tls.h"
#include "common/net/transport.h"
#include "common/text.h"

// Class layouts depend on it: without the package's flags the program would link and corrupt its memory.
#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
#error "compile with the flags of pkg-config cpp-httplib"
#endif

namespace baton::net {

namespace {

constexpr std::size_t max_head_bytes = 64 * 1024;

struct Origin {
    std::string scheme;
    std::string host;
    std::uint16_t port = 0;
    std::string host_header;
    [[nodiscard]] bool secure() const { return scheme == "https"; }
};

struct Location {
    Origin origin;
    std::string target;
};

Location parse_url(const std::string& url) {
    const auto refuse = [&](std::string_view why) {
        return Error(ErrorKind::invalid, fmt::format("URL '{}': {}", escape_control(mask_url(url)), why));
    };
    const bool odd =
        std::ranges::any_of(url, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
    if (odd) throw refuse("blanks and control characters must be percent-encoded");
    try {
        const Poco::URI uri(url);
        Location location;
        Origin& origin = location.origin;
        origin.scheme = uri.getScheme();
        if (origin.scheme != "http" && origin.scheme != "https") throw refuse("expected http:// or https://");
        origin.host = uri.getHost();
        if (origin.host.size() > 1 && origin.host.front() == '[')
            origin.host = origin.host.substr(1, origin.host.size() - 2);
        if (origin.host.empty()) throw refuse("no host");
        origin.port = uri.getPort();
        if (origin.port == 0) throw refuse("no port");
        const bool usual = origin.port == (origin.secure() ? 443 : 80);
        const bool literal6 = origin.host.find(':') != std::string::npos;
        origin.host_header =
            (literal6 ? "[" + origin.host + "]" : origin.host) + (usual ? "" : fmt::format(":{}", origin.port));
        // The target as it was written, since signatures are made over it; Poco would encode it anew.
        const std::size_t begin = url.find_first_of("/?", url.find("://") + 3);
        if (begin != std::string::npos) location.target = url.substr(begin, url.find('#', begin) - begin);
        if (location.target.empty() || location.target.front() != '/') location.target.insert(0, 1, '/');
        return location;
    } catch (const Poco::Exception&) {
        throw refuse("not a URL");
    }
}

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses resolve(const Origin& origin) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    const std::string port = fmt::format("{}", origin.port);
    addrinfo* found = nullptr;
    // Loopback addresses are not "configured" for AI_ADDRCONFIG, so literals are taken first, without the resolver.
    hints.ai_flags = AI_NUMERICHOST;
    int fault = ::getaddrinfo(origin.host.c_str(), port.c_str(), &hints, &found);
    if (fault == EAI_NONAME) {
        hints.ai_flags = 0;
        fault = ::getaddrinfo(origin.host.c_str(), port.c_str(), &hints, &found);
    }
    if (fault != 0)
        throw Error(ErrorKind::unreachable, fmt::format("look up '{}': {}", origin.host, ::gai_strerror(fault)));
    return {found, freeaddrinfo};
}

/// A connected, non-blocking socket, or errno in `fault` (ETIMEDOUT when `deadline` passed).
Fd connect_one(const addrinfo& address, Instant deadline, int& fault) {
    Fd fd(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
    if (!fd) {
        fault = errno;
        return fd;
    }
    const int yes = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return fd;
    fault = errno;
    if (fault != EINPROGRESS) return Fd();
    pollfd entry{fd.get(), POLLOUT, 0};
    for (;;) {
        const Milliseconds left = deadline - steady_now();
        fault = ETIMEDOUT;
        if (left.count() <= 0) return Fd();
        const int ready = ::poll(&entry, 1, static_cast<int>(left.count()));
        if (ready > 0) break;
        if (ready < 0 && errno != EINTR) {
            fault = errno;
            return Fd();
        }
    }
    socklen_t length = sizeof fault;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &fault, &length);
    if (fault != 0) return Fd();
    return fd;
}

Fd connect_to(const Origin& origin, Instant deadline) {
    const Addresses addresses = resolve(origin);
    std::size_t left = 0;
    for (const addrinfo* entry = addresses.get(); entry != nullptr; entry = entry->ai_next) ++left;
    int fault = 0;
    for (const addrinfo* entry = addresses.get(); entry != nullptr; entry = entry->ai_next, --left) {
        const Instant now = steady_now();
        const Milliseconds share = (deadline - now) / static_cast<Milliseconds::rep>(left);
        if (Fd fd = connect_one(*entry, now + share, fault)) return fd;
    }
    throw Error(fault == ETIMEDOUT ? ErrorKind::timeout : ErrorKind::unreachable,
                fmt::format("connect to {}: {}", origin.host_header, std::strerror(fault)));
}

/// The limits of one call.
struct Limits {
    Instant deadline;                  ///< of the whole call
    std::optional<Milliseconds> idle;  ///< for a stream: the longest silence
    std::uint64_t max_bytes = 0;
    std::stop_token stop;
};

/// What httplib reads from and writes to. It never throws into httplib: the fault is kept and -1 returned.
class ClientStream final : public httplib::Stream {
  public:
    ClientStream(Transport& transport, int fd, const Limits& limits, std::exception_ptr& fault)
        : transport_(transport), fd_(fd), limits_(limits), fault_(fault) {}

    [[nodiscard]] bool is_readable() const override { return true; }
    [[nodiscard]] bool is_writable() const override { return fault_ == nullptr; }
    [[nodiscard]] socket_t socket() const override { return fd_; }
    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}
    [[nodiscard]] std::uint64_t received() const { return received_; }

    ssize_t write(const char* bytes, size_t size) override {
        return guarded([&] {
            // Head and body leave together: two small packets cost a delayed acknowledgement.
            unsent_.append(bytes, size);
            if (unsent_.size() > 64 * 1024) flush();
            return static_cast<ssize_t>(size);
        });
    }

    ssize_t read(char* bytes, size_t size) override {
        return guarded([&] {
            flush();
            if (!in_body_) return read_head(bytes, size);
            if (begin_ == end_ && !fill()) return ssize_t{0};
            const std::size_t count = std::min(size, end_ - begin_);
            std::memcpy(bytes, buffer_.data() + begin_, count);
            begin_ += count;
            return static_cast<ssize_t>(count);
        });
    }

  private:
    template <class Work>
    ssize_t guarded(Work&& work) {
        if (fault_) return -1;
        try {
            return work();
        } catch (...) {
            fault_ = std::current_exception();
            return -1;
        }
    }

    void flush() {
        if (unsent_.empty()) return;
        transport_.write_all(unsent_, limits_.deadline);
        unsent_.clear();
    }

    /// False at the end of the stream.
    bool fill() {
        const Instant deadline = limits_.idle ? deadline_in(*limits_.idle) : limits_.deadline;
        const std::size_t count = transport_.read_some(buffer_.data(), buffer_.size(), deadline);
        begin_ = 0;
        end_ = count;
        received_ += count;
        return count > 0;
    }

    /// One byte of the head. httplib percent-decodes header values, which would turn `%0d%0a` into a new line and
    /// change a Location; a `%` is handed over as `%25`, so that it comes out as it was sent.
    ssize_t read_head(char* bytes, size_t size) {
        if (size == 0) return 0;
        if (escaped_ > 0) {
            *bytes = "52"[--escaped_];
            return 1;
        }
        if (begin_ == end_ && !fill()) return 0;
        const char byte = buffer_[begin_++];
        if (++head_bytes_ > max_head_bytes) throw Error(ErrorKind::too_large, "the response's headers are too long");
        if (byte == '%') escaped_ = 2;
        follow_lines(byte);
        *bytes = byte;
        return 1;
    }

    void follow_lines(char byte) {
        if (byte != '\n') {
            if (byte != '\r') line_ += line_.size() < 16 ? std::string(1, byte) : std::string();
            empty_line_ = empty_line_ && byte == '\r';
            return;
        }
        if (first_line_) interim_ = line_.find(" 100") != std::string::npos;
        if (empty_line_ && !first_line_) {
            in_body_ = !interim_;
            first_line_ = true;
        } else {
            first_line_ = false;
        }
        line_.clear();
        empty_line_ = true;
    }

    Transport& transport_;
    const int fd_;
    const Limits& limits_;
    std::exception_ptr& fault_;
    std::string unsent_;
    std::array<char, 16 * 1024> buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::uint64_t received_ = 0;
    std::size_t head_bytes_ = 0;
    unsigned escaped_ = 0;
    std::string line_;
    bool first_line_ = true;
    bool interim_ = false;
    bool empty_line_ = true;
    bool in_body_ = false;
};

/// httplib's client with our connecting and our stream. The socket is httplib's to close, the TLS above it ours.
class Caller final : public httplib::ClientImpl {
  public:
    Caller(Origin origin, const HttpClientOptions& options)
        : httplib::ClientImpl(origin.host, origin.port), origin_(std::move(origin)), options_(options) {
        set_decompress(false);
        set_url_encode(false);
        set_follow_location(false);
    }

    HttpResponse run(const HttpRequest& request, const std::string& target, const Limits& limits,
                     const OnData* on_data) {
        limits_ = &limits;
        fault_ = nullptr;
        received_ = 0;
        bool ended_by_caller = false;
        HttpResponse response;
        httplib::Request sent = prepare(request, target);
        httplib::Response got;
        sent.response_handler = [&](const httplib::Response& head) {
            response.status = head.status;
            for (const auto& [name, value] : head.headers) response.headers.add(name, value);
            return true;
        };
        sent.content_receiver = [&](const char* bytes, size_t size, std::uint64_t, std::uint64_t) {
            return receive({bytes, size}, response, on_data, ended_by_caller);
        };
        httplib::Error outcome = httplib::Error::Success;
        const bool done = send(sent, got, outcome);
        limits_ = nullptr;
        if (fault_) std::rethrow_exception(fault_);
        if (!done && !ended_by_caller) throw failed(outcome);
        return response;
    }

    /// Whether the last call failed on a connection of an earlier one before any byte of an answer.
    [[nodiscard]] bool was_stale() const { return reused_ && received_ == 0; }
    void keep() { set_keep_alive(true); }

  protected:
    bool create_and_connect_socket(Socket& socket, httplib::Error& outcome) override {
        try {
            const Instant deadline = std::min(limits_->deadline, deadline_in(options_.connect_timeout));
            Fd fd = connect_to(origin_, deadline);
            auto transport = std::make_unique<Transport>(fd.get());
            transport->stop_with(limits_->stop);
            if (origin_.secure()) {
                // The files anew for each connection: certificates are renewed while this object lives on.
                with_context(fmt::format("connect to {}", origin_.host_header), [&] {
                    const auto& tls = options_.tls;
                    transport->connect_tls(client_tls_context(tls.ca_file, tls.certificate_file, tls.private_key_file),
                                           origin_.host, deadline);
                });
            }
            transport_ = std::move(transport);
            socket.sock = fd.release();
            fresh_ = true;
            return true;
        } catch (...) {
            fault_ = std::current_exception();
            outcome = httplib::Error::Connection;
            return false;
        }
    }

    void shutdown_ssl(Socket&, bool gracefully) override {
        if (transport_ && gracefully) transport_->close_tls();
        transport_.reset();
    }

  private:
    bool process_socket(const Socket& socket, std::function<bool(httplib::Stream&)> callback) override {
        reused_ = !std::exchange(fresh_, false);
        transport_->stop_with(limits_->stop);
        ClientStream stream(*transport_, socket.sock, *limits_, fault_);
        const bool done = callback(stream);
        received_ = stream.received();
        return done && !fault_;
    }

    httplib::Request prepare(const HttpRequest& request, const std::string& target) const {
        httplib::Request sent;
        sent.method = request.method;
        sent.path = target;
        sent.body = request.body;
        for (const auto& [name, value] : request.headers.fields()) {
            if (value.find_first_of("\r\n") != std::string::npos) {
                throw Error(ErrorKind::invalid, fmt::format("header {} holds a line end", name));
            }
            const bool ours =
                same_token(name, "Host") || same_token(name, "Content-Length") || same_token(name, "Connection");
            if (!ours) sent.headers.emplace(name, value);
        }
        sent.headers.emplace("Host", origin_.host_header);
        if (!sent.has_header("User-Agent")) sent.headers.emplace("User-Agent", "baton/" BATON_VERSION);
        if (!sent.has_header("Accept")) sent.headers.emplace("Accept", "*/*");
        if (!sent.has_header("Accept-Encoding")) sent.headers.emplace("Accept-Encoding", "identity");
        return sent;
    }

    bool receive(std::string_view bytes, HttpResponse& response, const OnData* on_data, bool& ended_by_caller) {
        try {
            if (on_data != nullptr && response.ok()) {
                ended_by_caller = !(*on_data)(bytes);
                return !ended_by_caller;
            }
            if (response.body.size() + bytes.size() > limits_->max_bytes) {
                throw Error(ErrorKind::too_large,
                            fmt::format("the response is larger than {} bytes", limits_->max_bytes));
            }
            response.body.append(bytes);
            return true;
        } catch (...) {
            fault_ = std::current_exception();
            return false;
        }
    }

    static Error failed(httplib::Error outcome) {
        if (outcome == httplib::Error::Read)
            return {ErrorKind::unreachable, "the connection was closed before the answer was complete"};
        return {ErrorKind::unreachable, fmt::format("HTTP failed: {}", httplib::to_string(outcome))};
    }

    const Origin origin_;
    const HttpClientOptions options_;
    std::unique_ptr<Transport> transport_;
    const Limits* limits_ = nullptr;  // of the call that is under way
    std::exception_ptr fault_;
    std::uint64_t received_ = 0;
    bool fresh_ = false;
    bool reused_ = false;
};

std::string context_of(const HttpRequest& request, std::string_view url) {
    return fmt::format("{} {}", request.method, escape_control(mask_url(url.substr(0, url.find('?')))));
}

Limits limits_for(const HttpRequest& request, const HttpClientOptions& options) {
    return {deadline_in(request.deadline.value_or(options.deadline)), std::nullopt, options.max_response_bytes, {}};
}

}  // namespace

HttpClient::HttpClient(HttpClientOptions options) : options_(std::move(options)) {}

HttpResponse HttpClient::call(const HttpRequest& request) const {
    return with_context(context_of(request, request.url), [&] {
        const Limits limits = limits_for(request, options_);
        const Location location = parse_url(request.url);
        Caller caller(location.origin, options_);
        return caller.run(request, location.target, limits, nullptr);
    });
}

HttpResponse HttpClient::stream(const HttpRequest& request, const OnData& on_data, Milliseconds idle,
                                std::stop_token stop) const {
    return with_context(context_of(request, request.url), [&] {
        Limits limits = limits_for(request, options_);
        limits.idle = idle;
        limits.stop = std::move(stop);
        const Location location = parse_url(request.url);
        Caller caller(location.origin, options_);
        return caller.run(request, location.target, limits, &on_data);
    });
}

class HttpConnection::Impl {
  public:
    Impl(const std::string& base_url, const HttpClientOptions& options)
        : base_url_(base_url), options_(options), caller_(parse_url(base_url).origin, options) {
        caller_.keep();
    }

    HttpResponse call(const HttpRequest& request) {
        const std::string url = base_url_ + request.url;
        return with_context(context_of(request, url), [&] {
            const std::string target = parse_url(url).target;
            const Limits limits = limits_for(request, options_);
            try {
                return caller_.run(request, target, limits, nullptr);
            } catch (const Error& error) {
                const bool repeatable = request.method == "GET" || request.method == "HEAD";
                if (error.kind() != ErrorKind::unreachable || !repeatable || !caller_.was_stale()) throw;
            }
            return caller_.run(request, target, limits, nullptr);
        });
    }

  private:
    const std::string base_url_;
    const HttpClientOptions options_;
    Caller caller_;
};

HttpConnection::HttpConnection(std::string base_url, HttpClientOptions options) {
    while (base_url.ends_with('/')) base_url.pop_back();
    impl_ = std::make_unique<Impl>(base_url, options);
}
HttpConnection::HttpConnection(HttpConnection&&) noexcept = default;
HttpConnection& HttpConnection::operator=(HttpConnection&&) noexcept = default;
HttpConnection::~HttpConnection() = default;

HttpResponse HttpConnection::call(const HttpRequest& request) { return impl_->call(request); }

}  // namespace baton::net
