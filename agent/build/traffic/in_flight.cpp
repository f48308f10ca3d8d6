// SPDX-License-Identifier: MIT
// Requests in flight.
#include "agent/build/traffic/in_flight.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>
#include <utility>

#include "common/error.h"
#include "common/text.h"

namespace baton::build {

namespace {

/// The kernel prints each 32-bit word of an address in the machine's own byte order.
std::string words_hex(const void* bytes, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t word = 0;
        std::memcpy(&word, static_cast<const char*>(bytes) + i * sizeof word, sizeof word);
        text += fmt::format("{:08X}", word);
    }
    return text;
}

struct HostHex {
    std::string v4;  ///< as in tcp; empty: cannot be there
    std::string v6;  ///< as in tcp6
};

HostHex host_hex(const std::string& host) {
    in_addr v4{};
    in6_addr v6{};
    if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
        const std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        std::array<std::uint8_t, 16> mapped{};
        std::memcpy(mapped.data(), prefix.data(), prefix.size());
        std::memcpy(mapped.data() + prefix.size(), &v4, sizeof v4);
        return {words_hex(&v4, 1), words_hex(mapped.data(), 4)};
    }
    if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) return {"", words_hex(&v6, 4)};
    throw Error(ErrorKind::invalid, fmt::format("in_flight_host '{}' is no IP address", host));
}

std::string read_table(const char* path) {
    // Files of /proc have no size to go by; they are read until they end.
    std::ifstream file(path);
    if (!file) {
        if (!std::filesystem::exists(path)) return {};  // IPv6 is switched off
        throw Error(ErrorKind::io, fmt::format("cannot read {}", path));
    }
    std::ostringstream text;
    text << file.rdbuf();
    return std::move(text).str();
}

struct Connection {
    std::string_view local;
    std::string_view remote;
    std::string_view state;
};

/// Each line of such a table but the first, which names the columns.
template <class Call>
void each_connection(std::string_view table, Call&& call) {
    std::size_t at = table.find('\n');
    while (at != std::string_view::npos) {
        const auto end = table.find('\n', at + 1);
        const auto line = table.substr(at + 1, end == std::string_view::npos ? end : end - at - 1);
        at = end;
        std::array<std::string_view, 4> fields;  // number, local, remote, state
        std::size_t field = 0;
        for (std::size_t from = 0; field < fields.size();) {
            from = line.find_first_not_of(' ', from);
            if (from == std::string_view::npos) break;
            const auto to = std::min(line.find(' ', from), line.size());
            fields[field++] = line.substr(from, to - from);
            from = to;
        }
        if (field == fields.size()) call(Connection{fields[1], fields[2], fields[3]});
    }
}

/// An end of a connection as these tables write it. A busy machine has tens of thousands of lines (TIME_WAIT), and is
/// looked at several times a second: each costs a comparison and nothing else.
class End {
  public:
    End(std::string_view host_hex_text, std::uint16_t port)
        : text_(fmt::format("{}:{:04X}", host_hex_text, port)), any_host_(host_hex_text.empty()) {}
    [[nodiscard]] bool is(std::string_view end) const { return any_host_ ? end.ends_with(text_) : end == text_; }

  private:
    std::string text_;
    bool any_host_;
};

}  // namespace

unsigned count_established(std::string_view table, std::uint16_t port, std::string_view host_hex_text) {
    constexpr std::string_view established = "01";
    const End here(host_hex_text, port);
    unsigned count = 0;
    each_connection(table, [&](const Connection& one) {
        if (one.state == established && here.is(one.local)) ++count;
    });
    return count;
}

std::set<std::string> connections_at(std::uint16_t port, const std::string& host) {
    constexpr std::string_view listening = "0A";
    std::set<std::string> found;
    const auto collect = [&](const std::string& table, std::string_view hex) {
        const End here(hex, port);
        each_connection(table, [&](const Connection& one) {
            if (one.state == listening) return;
            if (!here.is(one.local) && !here.is(one.remote)) return;
            // Both ends of one connection, seen from either, are the same text.
            const auto [low, high] = std::minmax(one.local, one.remote);
            found.insert(fmt::format("{} {}", low, high));
        });
    };
    const auto hex = host.empty() ? HostHex{} : host_hex(host);
    if (host.empty() || !hex.v4.empty()) collect(read_table("/proc/net/tcp"), hex.v4);
    collect(read_table("/proc/net/tcp6"), hex.v6);
    return found;
}

unsigned requests_in_flight(std::uint16_t port, const std::string& host) {
    unsigned count = 0;
    if (host.empty()) {
        count += count_established(read_table("/proc/net/tcp"), port, "");
        count += count_established(read_table("/proc/net/tcp6"), port, "");
        return count;
    }
    const auto hex = host_hex(host);
    if (!hex.v4.empty()) count += count_established(read_table("/proc/net/tcp"), port, hex.v4);
    return count + count_established(read_table("/proc/net/tcp6"), port, hex.v6);
}

}  // namespace baton::build
