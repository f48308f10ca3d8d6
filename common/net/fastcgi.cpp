// SPDX-License-Identifier: MIT
// FastCGI 1.0, as far as one GET needs it.
#include "common/net/fastcgi.h"

#include <Poco/Exception.h>
#include <Poco/Net/SocketAddress.h>
#include <Poco/Net/StreamSocket.h>
#include <Poco/URI.h>
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <map>

#include "common/error.h"
#include "common/net/transport.h"
#include "common/text.h"

namespace baton::net {
namespace {

enum RecordType : unsigned char {
    begin_request = 1,
    end_request = 3,
    params = 4,
    standard_input = 5,
    standard_output = 6
};

constexpr std::size_t head_bytes = 8;
constexpr char version = 1;
constexpr char request_id = 1;

void add_record(std::string& to, RecordType type, std::string_view content) {
    const auto size = static_cast<unsigned>(content.size());
    const std::array<char, head_bytes> head{version,
                                            static_cast<char>(type),
                                            0,
                                            request_id,
                                            static_cast<char>(size >> 8U),
                                            static_cast<char>(size & 0xffU),
                                            0,
                                            0};
    to.append(head.data(), head.size());
    to.append(content);
}

void add_length(std::string& to, std::size_t size) {
    if (size < 128) {
        to += static_cast<char>(size);
        return;
    }
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
        to += static_cast<char>(((size >> shift) & 0xffU) | (shift == 24U ? 0x80U : 0U));
    }
}

std::string request_of(const Poco::URI& uri) {
    const auto path = uri.getPath().empty() ? std::string("/") : uri.getPath();
    const std::map<std::string, std::string> variables{{"GATEWAY_INTERFACE", "CGI/1.1"},
                                                       {"REQUEST_METHOD", "GET"},
                                                       {"SERVER_PROTOCOL", "HTTP/1.1"},
                                                       {"SERVER_SOFTWARE", "baton"},
                                                       {"SERVER_NAME", uri.getHost()},
                                                       {"SERVER_PORT", "80"},
                                                       {"REMOTE_ADDR", "127.0.0.1"},
                                                       {"HTTP_HOST", uri.getHost()},
                                                       {"SCRIPT_NAME", ""},
                                                       {"PATH_INFO", path},
                                                       {"REQUEST_URI", uri.getPathAndQuery()},
                                                       {"QUERY_STRING", uri.getRawQuery()},
                                                       {"CONTENT_LENGTH", ""}};
    std::string pairs;
    for (const auto& [name, value] : variables) {
        add_length(pairs, name.size());
        add_length(pairs, value.size());
        pairs += name + value;
    }
    constexpr std::size_t most_record_bytes = 65'535;
    if (pairs.size() > most_record_bytes) throw Error(ErrorKind::invalid, "the URL is too long");
    std::string bytes;
    constexpr std::string_view responder("\0\1\0\0\0\0\0\0", 8);  // its role; the connection is not kept
    add_record(bytes, begin_request, responder);
    add_record(bytes, params, pairs);
    add_record(bytes, params, "");
    add_record(bytes, standard_input, "");
    return bytes;
}

class Exchange {
  public:
    Exchange(const Poco::Net::SocketAddress& address, Milliseconds limit) : until_(deadline_in(limit)) {
        socket_.connect(address, left());
    }
    void send(const std::string& bytes) {
        socket_.setSendTimeout(left());
        std::size_t sent = 0;
        while (sent < bytes.size()) {
            sent +=
                static_cast<std::size_t>(socket_.sendBytes(bytes.data() + sent, static_cast<int>(bytes.size() - sent)));
        }
    }
    std::string receive(std::size_t size) {
        std::string bytes(size, '\0');
        std::size_t have = 0;
        while (have < size) {
            socket_.setReceiveTimeout(left());
            const int got = socket_.receiveBytes(bytes.data() + have, static_cast<int>(size - have));
            if (got <= 0)
                throw Error(ErrorKind::unreachable, "the connection was closed before the answer was complete");
            have += static_cast<std::size_t>(got);
        }
        return bytes;
    }

  private:
    Poco::Timespan left() const {
        const auto rest = until_ - steady_now();
        if (rest <= Milliseconds(0)) throw Poco::TimeoutException();
        return Poco::Timespan(std::chrono::microseconds(rest).count());
    }
    Instant until_;
    Poco::Net::StreamSocket socket_;
};

std::string standard_output_of(Exchange& exchange, std::uint64_t most_bytes) {
    std::string output;
    while (true) {
        const auto head = exchange.receive(head_bytes);
        const auto number = [&](std::size_t at) {
            return static_cast<std::size_t>(static_cast<unsigned char>(head[at]));
        };
        if (head[0] != version) throw Error(ErrorKind::unreachable, "the answer is no FastCGI");
        const auto size = number(4) * 256 + number(5);
        const auto content = exchange.receive(size + number(6)).substr(0, size);
        if (number(1) == end_request) return output;
        if (number(1) != standard_output) continue;
        output += content;
        if (output.size() > most_bytes) throw Error(ErrorKind::too_large, "the answer is too long");
    }
}

HttpResponse parse(const std::string& output) {
    HttpResponse response;
    response.status = 200;
    // uwsgi answers with the status line of HTTP where others write `Status: `.
    std::size_t at = 0;
    while (at < output.size()) {
        const auto end = std::min(output.find('\n', at), output.size());
        const auto line = trim(std::string_view(output).substr(at, end - at));
        at = end + 1;
        if (line.empty()) break;
        const auto after = line.find(line.starts_with("HTTP/") ? ' ' : ':');
        if (after == std::string_view::npos) throw Error(ErrorKind::unreachable, "the answer has a malformed head");
        const auto value = trim(line.substr(after + 1));
        const auto name = lower(line.substr(0, after));
        if (name == "status" || name.starts_with("http/")) {
            const auto status = parse_whole(value.substr(0, value.find(' ')));
            if (!status || *status < 100 || *status > 599)
                throw Error(ErrorKind::unreachable, "the answer has no status");
            response.status = static_cast<int>(*status);
        }
    }
    response.body = at < output.size() ? output.substr(at) : std::string();
    return response;
}

}  // namespace

HttpResponse call_fastcgi(const std::string& url, Milliseconds deadline, std::uint64_t most_bytes) {
    return with_context(mask_url(url), [&] {
        try {
            const Poco::URI uri(url);
            if (uri.getScheme() != "fastcgi" || uri.getHost().empty() || uri.getPort() == 0) {
                throw Error(ErrorKind::invalid, "expected fastcgi://host:port/path");
            }
            Exchange exchange(Poco::Net::SocketAddress(uri.getHost(), uri.getPort()), deadline);
            exchange.send(request_of(uri));
            return parse(standard_output_of(exchange, most_bytes));
        } catch (const Poco::SyntaxException& error) {
            throw Error(ErrorKind::invalid, error.displayText());
        } catch (const Poco::TimeoutException&) {
            throw Error(ErrorKind::timeout, fmt::format("no answer within {}", to_text(deadline)));
        } catch (const Poco::Exception& error) {
            throw Error(ErrorKind::unreachable, error.displayText());
        }
    });
}

}  // namespace baton::net
