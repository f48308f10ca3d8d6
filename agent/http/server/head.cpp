// SPDX-License-Identifier: MIT
// Parsing request heads.
#include "agent/http/server/head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/format.h>

#include "common/text.h"

namespace baton::http {

namespace {

using net::same_token;

constexpr std::string_view line_end = "\r\n";

bool is_token(std::string_view text) {
    constexpr std::string_view others = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               others.find(c) != std::string_view::npos;
    });
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string_view take_line(std::string_view& text) {
    const std::size_t end = text.find(line_end);
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + line_end.size());
    return line;
}

/// `http://host/path` as proxies send it becomes `/path`.
std::string_view origin_form(std::string_view target) {
    if (target.starts_with('/')) return target;
    const std::size_t scheme = target.find("://");
    if (scheme == std::string_view::npos || scheme > 5) throw Refused{400, "the request target must begin with /"};
    const std::size_t path = target.find('/', scheme + 3);
    return path == std::string_view::npos ? std::string_view("/") : target.substr(path);
}

void parse_request_line(std::string_view line, RequestHead& head) {
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) throw Refused{400, "malformed request line"};
    const std::string_view method = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, last - first - 1);
    const std::string_view version = line.substr(last + 1);
    if (version != "HTTP/1.1" && version != "HTTP/1.0") {
        throw Refused{version.starts_with("HTTP/") ? 505 : 400, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
    }
    head.chunks_understood = version == "HTTP/1.1";
    if (!is_token(method)) throw Refused{400, "malformed method"};
    constexpr std::array<std::string_view, 7> known{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    if (std::ranges::find(known, method) == known.end()) throw Refused{405, "this method is not allowed"};
    const bool odd = std::ranges::any_of(target, [](char c) { return is_control(c) || c == ' ' || c == '#'; });
    if (target.empty() || odd) throw Refused{400, "malformed request target"};
    head.request.method = method;
    head.request.target = origin_form(target);
}

void parse_field(std::string_view line, net::HeaderList& headers) {
    const std::size_t colon = line.find(':');
    // A blank at the front would continue the line before, one before the colon would be read either way.
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
        throw Refused{400, "malformed header field"};
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    if (std::ranges::any_of(value, [](char c) { return is_control(c) && c != '\t'; })) {
        throw Refused{400, "a header value holds a control character"};
    }
    headers.add(std::string(line.substr(0, colon)), std::string(value));
}

void read_framing(RequestHead& head) {
    const net::HeaderList& headers = head.request.headers;
    if (headers.count("Content-Length") > 1 || headers.count("Transfer-Encoding") > 1) {
        throw Refused{400, "the length of the body is given twice"};
    }
    const auto length = headers.find("Content-Length");
    const auto coding = headers.find("Transfer-Encoding");
    if (length && coding) throw Refused{400, "both Content-Length and Transfer-Encoding"};
    if (length) {
        head.content_length = parse_whole(*length);
        if (!head.content_length) throw Refused{400, "malformed Content-Length"};
    }
    if (coding) {
        if (!head.chunks_understood) throw Refused{400, "Transfer-Encoding in HTTP/1.0"};
        if (!same_token(*coding, "chunked")) throw Refused{501, "the only Transfer-Encoding understood is chunked"};
        head.chunked = true;
    }
    const auto encoding = headers.find("Content-Encoding");
    if (encoding && !encoding->empty() && !same_token(*encoding, "identity")) {
        throw Refused{415, "compressed bodies are not accepted"};
    }
}

void read_connection(RequestHead& head) {
    const net::HeaderList& headers = head.request.headers;
    head.keep_alive = head.chunks_understood;
    for (const auto& [name, value] : headers.fields()) {
        if (!same_token(name, "Connection")) continue;
        for (const std::string& token : split(value, ',')) {
            if (same_token(trim(token), "close")) head.keep_alive = false;
        }
    }
    if (const auto expect = headers.find("Expect")) {
        if (!same_token(*expect, "100-continue")) throw Refused{417, "unknown expectation"};
        head.expects_continue = head.chunks_understood;
    }
}

void read_host(const RequestHead& head) {
    const net::HeaderList& headers = head.request.headers;
    const std::size_t count = headers.count("Host");
    if (count > 1 || (count == 0 && head.chunks_understood))
        throw Refused{400, "there must be exactly one Host header"};
    // URLs in answers are built from it, so it must be nothing but a host and a port.
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
    if (headers.get("Host").find_first_not_of(allowed) != std::string::npos)
        throw Refused{400, "malformed Host header"};
}

}  // namespace

RequestHead parse_head(std::string_view text, const ServerLimits& limits) {
    RequestHead head;
    const std::string_view line = take_line(text);
    if (line.size() > limits.request_line_bytes) throw Refused{414, "the request line is too long"};
    parse_request_line(line, head);
    while (!text.empty()) {
        if (head.request.headers.size() >= limits.header_fields) throw Refused{431, "too many header fields"};
        parse_field(take_line(text), head.request.headers);
    }
    read_host(head);
    read_framing(head);
    read_connection(head);
    try {
        Request& request = head.request;
        request.path = net::path_segments(request.target);
        if (const std::size_t mark = request.target.find('?'); mark != std::string::npos) {
            request.query = net::parse_query(std::string_view(request.target).substr(mark + 1));
        }
    } catch (const Error& error) {
        throw Refused{400, error.text()};
    }
    return head;
}

std::uint64_t parse_chunk_size(std::string_view line) {
    line = trim(line.substr(0, line.find(';')));
    std::uint64_t size = 0;
    const auto [end, fault] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
    constexpr std::size_t most_digits = 15;  // so that sums of sizes cannot overflow
    const bool whole =
        !line.empty() && line.size() <= most_digits && fault == std::errc{} && end == line.data() + line.size();
    if (!whole || line.front() == '-') throw Refused{400, "malformed chunk size"};
    return size;
}

}  // namespace baton::http
