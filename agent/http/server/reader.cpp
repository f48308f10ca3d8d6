// SPDX-License-Identifier: MIT
// Reading requests.
#include "agent/http/server/reader.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace baton::http {

namespace {

constexpr std::size_t read_size = 16 * 1024;

/// A deadline that passes is the client's fault here.
template <class Work>
auto in_time(Work&& work) -> decltype(work()) {
    try {
        return work();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::timeout) throw;
        throw Refused{408, "the request did not arrive in time"};
    }
}

/// Finds the end of the head in `text` from `from` on; refuses line ends that proxies read in different ways.
std::optional<std::size_t> find_head_end(std::string_view text, std::size_t from) {
    for (std::size_t at = text.find('\n', from); at != std::string_view::npos; at = text.find('\n', at + 1)) {
        if (at == 0 || text[at - 1] != '\r') throw Refused{400, "a line of the head ends without CR"};
        if (at >= 3 && text[at - 2] == '\n') return at - 3;
    }
    return std::nullopt;
}

/// The second word of the first line, which may be cut.
std::string guess_target(std::string_view received) {
    constexpr std::size_t most_bytes = 512;  // enough to tell whose path it is
    const std::string_view line = received.substr(0, received.find("\r\n"));
    const std::size_t first = line.find(' ');
    if (first == std::string_view::npos) return {};
    const std::string_view rest = line.substr(first + 1);
    return std::string(rest.substr(0, std::min(rest.find(' '), most_bytes)));
}

}  // namespace

void BodyShare::take(std::uint64_t bytes) {
    const std::uint64_t own = std::min(bytes, spare_);
    spare_ -= own;
    bytes -= own;
    if (bytes == 0) return;
    const std::uint64_t before = shared_.body_bytes.fetch_add(bytes);
    taken_ += bytes;
    if (before + bytes > shared_.options.limits.all_bodies_bytes)
        throw Refused{503, "too many bodies at once, try again"};
}

void BodyShare::release() noexcept {
    shared_.body_bytes.fetch_sub(taken_);
    taken_ = 0;
}

bool RequestReader::fill(Instant deadline) {
    std::array<char, read_size> bytes;
    const std::size_t count = transport_.read_some(bytes.data(), bytes.size(), deadline);
    buffer_.append(bytes.data(), count);
    return count > 0;
}

std::optional<RequestHead> RequestReader::read_head(Instant deadline) {
    target_.clear();
    try {
        auto head = read_whole_head(deadline);
        if (head) target_ = head->request.target;
        return head;
    } catch (const Refused&) {
        target_ = guess_target(buffer_);
        throw;
    }
}

std::optional<RequestHead> RequestReader::read_whole_head(Instant deadline) {
    return in_time([&]() -> std::optional<RequestHead> {
        std::size_t seen = 0;
        for (;;) {
            // An empty line before the request line is left over from sloppy clients (RFC 9112, 2.2).
            if (seen == 0 && buffer_.starts_with("\r\n")) buffer_.erase(0, 2);
            if (const auto end = find_head_end(buffer_, seen)) {
                if (*end > limits_.header_bytes) throw Refused{431, "the request's head is too long"};
                RequestHead head = parse_head(std::string_view(buffer_).substr(0, *end), limits_);
                buffer_.erase(0, *end + 4);
                return head;
            }
            seen = buffer_.size();
            // A TLS greeting on the plain port and other noise: an answer now instead of at the deadline.
            const bool letter = buffer_.empty() || buffer_[0] == '\r' || (buffer_[0] >= 'A' && buffer_[0] <= 'Z');
            if (!letter) throw Refused{400, "this is not HTTP"};
            if (buffer_.size() > limits_.header_bytes) throw Refused{431, "the request's head is too long"};
            if (buffer_.size() > limits_.request_line_bytes && buffer_.find('\n') == std::string::npos) {
                throw Refused{414, "the request line is too long"};
            }
            if (buffer_.empty()) {
                if (!transport_.wait_readable(deadline)) return std::nullopt;
            }
            if (!fill(deadline)) {
                if (buffer_.empty()) return std::nullopt;
                throw Refused{400, "the request breaks off"};
            }
        }
    });
}

void RequestReader::read_body(RequestHead& head, BodyShare& share) {
    if (!head.chunked && head.content_length.value_or(0) == 0) return;
    const std::uint64_t limit = body_limit_ ? body_limit_(head.request) : limits_.body_bytes;
    if (head.content_length.value_or(0) > limit) {
        throw Refused{413, fmt::format("the body is larger than {} bytes", limit)};
    }
    const Instant deadline = net::deadline_in(limits_.body_deadline);
    in_time([&] {
        if (head.expects_continue && buffer_.empty()) transport_.write_all("HTTP/1.1 100 Continue\r\n\r\n", deadline);
        if (head.chunked) {
            read_chunked(head.request.body, limit, share, deadline);
        } else {
            read_exactly(*head.content_length, head.request.body, share, deadline);
        }
    });
}

void RequestReader::read_exactly(std::uint64_t count, std::string& body, BodyShare& share, Instant deadline) {
    while (count > 0) {
        if (buffer_.empty() && !fill(deadline)) throw Refused{400, "the body breaks off"};
        const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, buffer_.size()));
        share.take(part);
        body.append(buffer_, 0, part);
        buffer_.erase(0, part);
        count -= part;
    }
}

std::string RequestReader::read_line(std::size_t most_bytes, Instant deadline) {
    for (;;) {
        if (const std::size_t end = buffer_.find("\r\n"); end != std::string::npos && end <= most_bytes) {
            std::string line = buffer_.substr(0, end);
            buffer_.erase(0, end + 2);
            return line;
        }
        if (buffer_.size() > most_bytes + 2) throw Refused{400, "a line of the chunked body is too long"};
        if (!fill(deadline)) throw Refused{400, "the body breaks off"};
    }
}

void RequestReader::read_chunked(std::string& body, std::uint64_t limit, BodyShare& share, Instant deadline) {
    constexpr std::size_t most_line_bytes = 256;
    constexpr std::size_t spare_frame_bytes = 16 * 1024;
    std::uint64_t frame_bytes = 0;
    for (;;) {
        const std::string line = read_line(most_line_bytes, deadline);
        // Framing may cost some of what it carries, but not a megabyte of extensions a byte.
        frame_bytes += line.size() + 4;
        if (frame_bytes > spare_frame_bytes + 8 * static_cast<std::uint64_t>(body.size()))
            throw Refused{400, "chunks too small"};
        const std::uint64_t size = parse_chunk_size(line);
        if (size == 0) break;
        if (body.size() + size > limit) throw Refused{413, fmt::format("the body is larger than {} bytes", limit)};
        read_exactly(size, body, share, deadline);
        if (!read_line(0, deadline).empty()) throw Refused{400, "malformed chunk"};
    }
    // Trailers are read and dropped: nobody here may rely on a header that came after the body was judged.
    for (std::size_t fields = 0;; ++fields) {
        if (fields > limits_.header_fields) throw Refused{431, "too many trailer fields"};
        if (read_line(limits_.request_line_bytes, deadline).empty()) return;
    }
}

void RequestReader::drain_briefly() {
    constexpr Milliseconds patience{1'000};
    constexpr std::size_t most_bytes = 1024 * 1024;
    const Instant deadline = net::deadline_in(patience);
    std::array<char, read_size> bytes;
    buffer_.clear();
    for (std::size_t total = 0; total < most_bytes;) {
        const std::size_t count = transport_.read_some(bytes.data(), bytes.size(), deadline);
        if (count == 0) return;
        total += count;
    }
}

}  // namespace baton::http
