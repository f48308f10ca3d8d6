// SPDX-License-Identifier: MIT
// Points in time as text.
#include "common/time_text.h"

#include <Poco/DateTime.h>
#include <Poco/DateTimeFormat.h>
#include <Poco/DateTimeParser.h>
#include <Poco/Exception.h>
#include <string>

#include "common/clock.h"
#include "common/text.h"

namespace baton {

std::optional<WallTime> parse_iso8601(std::string_view text) {
    constexpr std::string_view whole = "0000-00-00T00:00:00.000";
    constexpr std::size_t to_the_day = 10;
    constexpr std::size_t to_the_minute = 16;
    constexpr std::size_t to_the_second = 19;
    if (text.ends_with('Z')) text.remove_suffix(1);
    const auto size = text.size();
    if (size != to_the_day && size != to_the_minute && size != to_the_second && size != whole.size()) {
        return std::nullopt;
    }
    std::string full = std::string(text) + std::string(whole.substr(size)) + "Z";
    if (full[to_the_day] == ' ') full[to_the_day] = 'T';
    try {
        int zone = 0;
        const auto parsed = Poco::DateTimeParser::parse(Poco::DateTimeFormat::ISO8601_FRAC_FORMAT, full, zone);
        const WallTime time = from_epoch_ms(parsed.timestamp().epochMicroseconds() / 1000);
        // Poco forgives a lot: what was understood must be what was written.
        if (to_iso8601(time) == full) return time;
    } catch (const Poco::Exception&) {
        return std::nullopt;
    }
    return std::nullopt;
}

}  // namespace baton
