// SPDX-License-Identifier: MIT
// httplib's server, hardened: it gets a request that we have read and judged, and writes the response. Everything
// that its own reading does without a limit (lines, fields, bodies, decompression, ranges) it never sees.
#include "agent/http/server/session.h"

#include <httplib.h>

#include <algorithm>
#include <fmt/format.h>
#include <sys/socket.h>

#include "agent/http/server/reader.h"
#include "common/log.h"
#include "common/text.h"

// Class layouts depend on it: without the package's flags the program would link and corrupt its memory.
#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
#error "compile with the flags of pkg-config cpp-httplib"
#endif

namespace baton::http {

namespace {

/// httplib reads the canonical head from here, and its response is gathered into few packets.
class SessionStream final : public httplib::Stream {
  public:
    SessionStream(net::Transport& transport, int fd, Milliseconds write_deadline)
        : transport_(transport), fd_(fd), write_deadline_(write_deadline) {}

    void offer(std::string head) {
        head_ = std::move(head);
        position_ = 0;
        immediate_ = false;
        unsent_.clear();
    }
    /// From now on each write leaves at once: a follower waits for it.
    [[nodiscard]] bool stream_from_here() {
        immediate_ = true;
        return flush();
    }
    [[nodiscard]] bool flush() {
        if (failed_) return false;
        try {
            // A deadline a piece: who reads slowly gets all of it, who reads nothing is given up.
            constexpr std::size_t piece_bytes = 256 * 1024;
            for (std::string_view rest = unsent_; !rest.empty(); rest.remove_prefix(std::min(rest.size(), piece_bytes)))
                transport_.write_all(rest.substr(0, piece_bytes), net::deadline_in(write_deadline_));
            unsent_.clear();
            return true;
        } catch (const Error&) {
            failed_ = true;  // the client is gone or does not read; there is nobody left to tell
            return false;
        }
    }

    [[nodiscard]] bool is_readable() const override { return position_ < head_.size(); }
    [[nodiscard]] bool is_writable() const override { return !failed_; }
    [[nodiscard]] socket_t socket() const override { return fd_; }
    void get_remote_ip_and_port(std::string&, int&) const override {}
    void get_local_ip_and_port(std::string&, int&) const override {}

    ssize_t read(char* bytes, size_t size) override {
        const std::size_t count = std::min(size, head_.size() - position_);
        head_.copy(bytes, count, position_);
        position_ += count;
        return static_cast<ssize_t>(count);
    }
    ssize_t write(const char* bytes, size_t size) override {
        constexpr std::size_t gather_bytes = 64 * 1024;
        if (failed_) return -1;
        unsent_.append(bytes, size);
        if ((immediate_ || unsent_.size() >= gather_bytes) && !flush()) return -1;
        return static_cast<ssize_t>(size);
    }

  private:
    net::Transport& transport_;
    const int fd_;
    const Milliseconds write_deadline_;
    std::string head_;
    std::size_t position_ = 0;
    std::string unsent_;
    bool immediate_ = false;
    bool failed_ = false;
};

class SinkWriter final : public Writer {
  public:
    SinkWriter(httplib::DataSink& sink, const net::Transport& transport, std::stop_token stop)
        : sink_(sink), transport_(transport), stop_(std::move(stop)) {}
    bool write(std::string_view bytes) override {
        if (!open()) return false;
        return bytes.empty() || sink_.write(bytes.data(), bytes.size());  // an empty chunk would end the stream
    }
    bool open() const override { return !stop_.stop_requested() && sink_.is_writable() && !transport_.peer_gone(); }
    std::stop_token stopping() const override { return stop_; }

  private:
    httplib::DataSink& sink_;
    const net::Transport& transport_;
    const std::stop_token stop_;
};

/// A place among the followers for as long as the object lives.
class StreamPlace {
  public:
    StreamPlace(ServerShared& shared, std::string address) : shared_(shared), address_(std::move(address)) {
        const std::lock_guard lock(shared_.followers_mutex);
        const std::size_t before = shared_.followers[address_]++;
        taken_ = shared_.streams.fetch_add(1) < shared_.options.limits.streams &&
                 before < shared_.options.limits.streams_per_address;
    }
    StreamPlace(const StreamPlace&) = delete;
    StreamPlace& operator=(const StreamPlace&) = delete;
    ~StreamPlace() {
        const std::lock_guard lock(shared_.followers_mutex);
        shared_.streams.fetch_sub(1);
        if (--shared_.followers[address_] == 0) shared_.followers.erase(address_);
    }
    [[nodiscard]] bool taken() const { return taken_; }

  private:
    ServerShared& shared_;
    const std::string address_;
    bool taken_ = false;
};

bool is_framing(std::string_view name) {
    using net::same_token;
    return same_token(name, "Content-Length") || same_token(name, "Transfer-Encoding") ||
           same_token(name, "Connection") || same_token(name, "Keep-Alive");
}

/// A server a connection: httplib's settings and handlers are per object, so nothing is shared between threads.
class Session final : private httplib::Server {
  public:
    Session(ServerShared& shared, int fd, const std::string& remote_address,
            const std::function<void(SessionState)>& enter)
        : shared_(shared),
          fd_(fd),
          remote_address_(remote_address),
          enter_(enter),
          transport_(fd),
          stream_(transport_, fd, shared.options.limits.write_deadline),
          reader_(shared, transport_) {
        svr_sock_ = fd;  // httplib ends a stream at once when it believes that it does not listen
        keep_alive_timeout_sec_ = std::chrono::duration_cast<std::chrono::seconds>(limits().idle_timeout).count();
        keep_alive_max_count_ = limits().requests_per_connection;
        set_pre_routing_handler([this](const httplib::Request&, httplib::Response& response) {
            respond(response);
            return HandlerResponse::Handled;
        });
    }

    void run(const net::TlsContext& tls) {
        if (tls) {
            transport_.accept_tls(tls, net::deadline_in(limits().header_deadline));
            subject_ = transport_.peer_subject();
        }
        for (std::size_t served = 0; served < limits().requests_per_connection; ++served) {
            const bool last = served + 1 == limits().requests_per_connection;
            if (!serve_one(served == 0, last)) break;
        }
        transport_.close_tls();
        ::shutdown(fd_, SHUT_WR);
        if (!shared_.stop.stop_requested()) reader_.drain_briefly();
    }

  private:
    [[nodiscard]] const ServerLimits& limits() const { return shared_.options.limits; }

    /// False when the connection is to close.
    bool serve_one(bool first, bool last) {
        BodyShare share(shared_);
        bool keep = false;
        answer_.reset();
        try {
            auto head = next_head(first);
            if (!head) return false;
            if (head->chunked || head->content_length.value_or(0) > 0) enter_(SessionState::reading_body);
            reader_.read_body(*head, share);
            enter_(SessionState::busy);
            keep = head->keep_alive && !last && !shared_.stop.stop_requested();
            method_ = head->request.method;
            chunks_understood_ = head->chunks_understood;
            head->request.remote_address = remote_address_;
            head->request.certificate_subject = subject_;
            head->request.secure = transport_.secure();
            request_ = std::move(head->request);
            ++shared_.requests;
        } catch (const Refused& refused) {
            ++shared_.refused_requests;
            enter_(SessionState::busy);
            method_ = "GET";
            chunks_understood_ = true;
            answer_ = shared_.refusal(refused.status, refused.why, reader_.target());
            if (refused.status == 405) answer_->headers.set("Allow", "GET, HEAD, POST");
        }
        stream_.offer(fmt::format("{} / HTTP/1.1\r\n{}\r\n", method_, keep ? "" : "Connection: close\r\n"));
        bool closed = false;
        const bool written = process_request(stream_, !keep, closed, nullptr);
        return stream_.flush() && written && keep;
    }

    std::optional<RequestHead> next_head(bool first) {
        if (first || reader_.has_bytes()) {
            enter_(SessionState::reading_head);
        } else {
            enter_(SessionState::idle);
            if (!transport_.wait_readable(net::deadline_in(limits().idle_timeout))) return std::nullopt;
            if (shared_.stop.stop_requested()) return std::nullopt;
            enter_(SessionState::reading_head);
        }
        return reader_.read_head(net::deadline_in(limits().header_deadline));
    }

    /// Called by httplib once it has read the canonical head.
    void respond(httplib::Response& out) { fill_in(out, answer_ ? std::move(*answer_) : handle()); }

    void fill_in(httplib::Response& out, Response answer) {
        out.status = answer.status;
        std::string type;
        for (const auto& [name, value] : answer.headers.fields()) {
            if (is_framing(name)) continue;
            if (net::same_token(name, "Content-Type")) {
                type = value;
            } else {
                out.headers.emplace(name, value);
            }
        }
        // httplib would promise ranges, which are not served.
        if (method_ == "HEAD" && !out.has_header("Accept-Ranges")) out.headers.emplace("Accept-Ranges", "none");
        if (answer.stream) {
            start_stream(out, type.empty() ? "application/octet-stream" : type, std::move(answer.stream));
            return;
        }
        out.body = std::move(answer.body);
        if (!type.empty()) out.headers.emplace("Content-Type", type);
    }

    Response handle() {
        try {
            Response answer = shared_.handler(std::move(request_));
            for (const auto& [name, value] : answer.headers.fields()) {
                constexpr std::string_view never("\r\n\0", 3);
                if (name.find_first_of(never) != std::string::npos || value.find_first_of(never) != std::string::npos) {
                    throw Error(ErrorKind::internal,
                                fmt::format("header {} of a response holds a line end", escape_control(name)));
                }
            }
            return answer;
        } catch (const Error& error) {
            const int status = status_of(error.kind());
            if (status != 500) return shared_.refusal(status, error.what(), reader_.target());
            log_failure(error.what());
        } catch (const std::exception& error) {
            log_failure(error.what());
        } catch (...) {
            log_failure("an exception of an unknown type");
        }
        return shared_.refusal(500, "internal error, see the agent's log", reader_.target());
    }

    void log_failure(std::string_view what) {
        ++shared_.handler_failures;
        log::error("http", "request failed", {{"method", method_}, {"address", remote_address_}, {"error", what}});
    }

    void start_stream(httplib::Response& out, const std::string& type, StreamFunction function) {
        auto place = std::make_shared<StreamPlace>(shared_, remote_address_);
        if (!place->taken()) {
            Response full = shared_.refusal(503, "too many followers, try again later", reader_.target());
            full.headers.set("Retry-After", "5");
            out.headers.clear();
            fill_in(out, std::move(full));
            return;
        }
        auto provider = [this, place, run = std::move(function)](size_t, httplib::DataSink& sink) {
            if (!stream_.stream_from_here()) return false;
            SinkWriter writer(sink, transport_, shared_.stop.get_token());
            try {
                const bool complete = run(writer);
                if (complete) sink.done();
                return complete;
            } catch (const std::exception& error) {
                log_failure(error.what());
            } catch (...) {
                log_failure("an exception of an unknown type");
            }
            return false;
        };
        if (chunks_understood_) {
            out.set_chunked_content_provider(type, std::move(provider));
        } else {
            out.set_content_provider(type, std::move(provider));  // until the connection closes
        }
    }

    ServerShared& shared_;
    const int fd_;
    const std::string& remote_address_;
    const std::function<void(SessionState)>& enter_;
    net::Transport transport_;
    SessionStream stream_;
    RequestReader reader_;
    std::string subject_;
    // Of the request that is being served:
    Request request_;
    std::string method_;
    bool chunks_understood_ = true;
    std::optional<Response> answer_;  // set when it is refused before the handler
};

}  // namespace

void serve_connection(ServerShared& shared, int fd, const std::string& remote_address, const net::TlsContext& tls,
                      const std::function<void(SessionState)>& enter) noexcept {
    try {
        Session(shared, fd, remote_address, enter).run(tls);
    } catch (const Error& error) {
        // Clients come and go in the middle of things: nothing for the log of a healthy agent.
        log::debug("http", "connection ended", {{"address", remote_address}, {"error", error.what()}});
    } catch (const std::exception& error) {
        log::error("http", "connection failed", {{"address", remote_address}, {"error", error.what()}});
    }
}

}  // namespace baton::http
