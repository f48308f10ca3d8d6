// SPDX-License-Identifier: MIT
// Small work on text.
#include "common/text.h"

#include <Poco/DateTimeFormat.h>
#include <Poco/DateTimeFormatter.h>
#include <Poco/Timestamp.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/format.h>
#include <openssl/crypto.h>

#include "common/clock.h"

namespace baton {
namespace {

/// Length of the valid UTF-8 sequence at the front of `text`, 0 when there is none (RFC 3629).
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto continues = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0U) == 0x80U; };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        if (!continues(1) || !continues(2)) return 0;
        if (first == 0xE0 && byte(1) < 0xA0) return 0;  // overlong
        if (first == 0xED && byte(1) > 0x9F) return 0;  // surrogate
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        if (!continues(1) || !continues(2) || !continues(3)) return 0;
        if (first == 0xF0 && byte(1) < 0x90) return 0;
        if (first == 0xF4 && byte(1) > 0x8F) return 0;
        return 4;
    }
    return 0;
}

struct Unit {
    std::string_view name;
    std::int64_t milliseconds;
};
// Largest first, which is also the order in which they may stand.
constexpr std::array units{Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000}, Unit{"s", 1'000},
                           Unit{"ms", 1}};
constexpr std::int64_t longest_duration_ms = 366LL * 86'400'000;

std::size_t edit_distance(std::string_view left, std::string_view right) {
    std::vector<std::size_t> row(right.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= left.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= right.size(); ++j) {
            const std::size_t above = row[j];
            const std::size_t replaced = diagonal + (left[i - 1] == right[j - 1] ? 0U : 1U);
            row[j] = std::min({replaced, above + 1, row[j - 1] + 1});
            diagonal = above;
        }
    }
    return row.back();
}

}  // namespace

std::string_view trim(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n\f\v";
    const auto from = text.find_first_not_of(blanks);
    if (from == std::string_view::npos) return {};
    return text.substr(from, text.find_last_not_of(blanks) - from + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (true) {
        const auto at = text.find(separator);
        parts.emplace_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return result;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
    return fmt::format("{}", fmt::join(parts, separator));
}

std::string escape_control(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    while (!text.empty()) {
        const auto c = static_cast<unsigned char>(text.front());
        const std::size_t length = utf8_length(text);
        // C1 controls (U+0080 to U+009F) steer terminals as well.
        const bool c1 = length == 2 && c == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0;
        if (c == '\n') {
            result += "\\n";
        } else if (c == '\r') {
            result += "\\r";
        } else if (c == '\t') {
            result += "\\t";
        } else if (length == 0 || c < 0x20 || c == 0x7F) {
            result += fmt::format("\\x{:02x}", c);
        } else if (c1) {
            result += fmt::format("\\x{:02x}\\x{:02x}", c, static_cast<unsigned char>(text[1]));
        } else {
            result += text.substr(0, length);
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return result;
}

std::string valid_utf8(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) {
            result += "\xEF\xBF\xBD";
            text.remove_prefix(1);
        } else {
            result += text.substr(0, length);
            text.remove_prefix(length);
        }
    }
    return result;
}

std::string mask_url(std::string_view url) {
    const auto scheme = url.find("://");
    if (scheme == std::string_view::npos) return std::string(url);
    const auto host = scheme + 3;
    const auto at = url.substr(0, url.find('/', host)).rfind('@');
    if (at == std::string_view::npos || at < host) return std::string(url);
    return fmt::format("{}***{}", url.substr(0, host), url.substr(at));
}

std::string first_line(std::string_view text, std::size_t most) {
    text = trim(text.substr(0, text.find('\n')));
    if (text.size() <= most) return std::string(text);
    std::size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    return fmt::format("{}…", text.substr(0, end));
}

std::optional<std::string> nearest(std::string_view word, std::span<const std::string> known) {
    constexpr std::size_t farthest = 3;
    std::optional<std::string> best;
    std::size_t best_distance = std::min(farthest + 1, word.size());
    for (const auto& candidate : known) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

bool equal_constant_time(std::string_view left, std::string_view right) {
    return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

std::string to_hex(std::string_view bytes) {
    std::string result;
    result.reserve(bytes.size() * 2);
    for (const char c : bytes) fmt::format_to(std::back_inserter(result), "{:02x}", static_cast<unsigned char>(c));
    return result;
}

std::optional<std::string> from_hex(std::string_view hex) {
    if (hex.size() % 2 != 0) return std::nullopt;
    std::string result;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        unsigned value = 0;
        const char* end = hex.data() + i + 2;
        const auto [parsed, fault] = std::from_chars(hex.data() + i, end, value, 16);
        if (fault != std::errc{} || parsed != end) return std::nullopt;
        result.push_back(static_cast<char>(value));
    }
    return result;
}

std::optional<std::uint64_t> parse_whole(std::string_view text) {
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [parsed, fault] = std::from_chars(text.data(), end, value);
    if (text.empty() || fault != std::errc{} || parsed != end) return std::nullopt;
    return value;
}

std::optional<Milliseconds> parse_duration(std::string_view text) {
    if (text.empty()) return std::nullopt;
    std::int64_t total = 0;
    std::size_t next_unit = 0;
    while (!text.empty()) {
        const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
        const auto number = parse_whole(text.substr(0, digits));
        if (!number || *number > static_cast<std::uint64_t>(longest_duration_ms)) return std::nullopt;
        text.remove_prefix(digits);
        const auto letters = std::min(text.find_first_of("0123456789"), text.size());
        const auto unit = std::find_if(units.begin() + static_cast<std::ptrdiff_t>(next_unit), units.end(),
                                       [&](const Unit& u) { return u.name == text.substr(0, letters); });
        if (unit == units.end()) return std::nullopt;
        if (static_cast<std::int64_t>(*number) > longest_duration_ms / unit->milliseconds) return std::nullopt;
        total += static_cast<std::int64_t>(*number) * unit->milliseconds;
        if (total > longest_duration_ms) return std::nullopt;
        next_unit = static_cast<std::size_t>(unit - units.begin()) + 1;
        text.remove_prefix(letters);
    }
    return Milliseconds{total};
}

std::string to_text(Milliseconds duration) {
    std::int64_t rest = duration.count();
    std::string result;
    for (const Unit& unit : units) {
        if (rest >= unit.milliseconds) {
            result += fmt::format("{}{}", rest / unit.milliseconds, unit.name);
            rest %= unit.milliseconds;
        }
    }
    return result.empty() ? "0s" : result;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    struct SizeUnit {
        std::string_view name;
        std::uint64_t bytes;
    };
    constexpr std::array size_units{SizeUnit{"", 1},
                                    SizeUnit{"B", 1},
                                    SizeUnit{"KiB", 1ULL << 10},
                                    SizeUnit{"MiB", 1ULL << 20},
                                    SizeUnit{"GiB", 1ULL << 30},
                                    SizeUnit{"KB", 1'000},
                                    SizeUnit{"MB", 1'000'000},
                                    SizeUnit{"GB", 1'000'000'000}};
    constexpr std::uint64_t most = 1ULL << 50;
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = parse_whole(text.substr(0, digits));
    const auto* unit = std::ranges::find(size_units, text.substr(digits), &SizeUnit::name);
    if (!number || unit == size_units.end() || *number > most / unit->bytes) return std::nullopt;
    return *number * unit->bytes;
}

std::string to_iso8601(WallTime time) {
    const Poco::Timestamp stamp(to_epoch_ms(time) * 1000);
    return Poco::DateTimeFormatter::format(stamp, "%Y-%m-%dT%H:%M:%S.%iZ");
}

std::string human_duration(Milliseconds duration) {
    const std::int64_t seconds = std::max<std::int64_t>(duration.count(), 0) / 1000;
    constexpr std::int64_t minute = 60;
    constexpr std::int64_t hour = 60 * minute;
    constexpr std::int64_t day = 24 * hour;
    if (seconds < minute) return fmt::format("{}s", seconds);
    if (seconds < hour) return fmt::format("{}m{}s", seconds / minute, seconds % minute);
    if (seconds < day) return fmt::format("{}h{}m", seconds / hour, seconds % hour / minute);
    return fmt::format("{}d{}h", seconds / day, seconds % day / hour);
}

}  // namespace baton
