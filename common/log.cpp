// SPDX-License-Identifier: MIT
// The daemon's log, on spdlog: the only mutable global of the program.
#include "common/log.h"

#include <algorithm>
#include <cstdlib>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "common/text.h"

namespace baton::log {
namespace {

/// `<3>` to `<7>`: syslog's priorities, which journald reads off the front of a line.
class PriorityFlag final : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
        std::string_view text = "<6>";
        if (message.level == spdlog::level::debug) text = "<7>";
        if (message.level == spdlog::level::warn) text = "<4>";
        if (message.level >= spdlog::level::err) text = "<3>";
        out.append(text.data(), text.data() + text.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return spdlog::details::make_unique<PriorityFlag>();
    }
};

spdlog::logger& sink() {
    static const auto logger = [] {
        auto made = std::make_shared<spdlog::logger>("baton", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
        // journald stamps the time itself.
        const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;  // NOLINT(concurrency-mt-unsafe): before threads
        formatter->add_flag<PriorityFlag>('*').set_pattern(journal ? "%*%v" : "%Y-%m-%dT%H:%M:%S.%eZ %l %v");
        made->set_formatter(std::move(formatter));
        made->set_level(spdlog::level::info);
        made->flush_on(spdlog::level::trace);
        return made;
    }();
    return *logger;
}

spdlog::level::level_enum spd_level(Level level) {
    switch (level) {
        case Level::debug: return spdlog::level::debug;
        case Level::info: return spdlog::level::info;
        case Level::warning: return spdlog::level::warn;
        case Level::error: return spdlog::level::err;
    }
    return spdlog::level::err;
}

std::string quoted(const std::string& value) {
    const std::string escaped = escape_control(value);
    if (!escaped.empty() && escaped.find_first_of(" \"=") == std::string::npos) return escaped;
    std::string result = "\"";
    for (const char c : escaped) {
        if (c == '"') result += '\\';
        result += c;
    }
    return result + '"';
}

}  // namespace

void set_level(Level level) { sink().set_level(spd_level(level)); }

void write(Level level, std::string_view component, std::string_view message, std::initializer_list<Field> fields) {
    spdlog::logger& logger = sink();
    if (!logger.should_log(spd_level(level))) return;
    std::string line = fmt::format("{} {}", component, message);
    for (const Field& field : fields) {
        if (!field.value.empty()) line += fmt::format(" {}={}", field.key, quoted(field.value));
    }
    logger.log(spd_level(level), "{}", line);
}

}  // namespace baton::log
