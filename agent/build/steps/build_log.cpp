// SPDX-License-Identifier: MIT
// The log of one build.
#include "agent/build/steps/build_log.h"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "common/error.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::build {

namespace {

std::string human_size(std::uint64_t bytes) {
    if (bytes >= 1024 * 1024 && bytes % (1024 * 1024) == 0) return fmt::format("{}MiB", bytes / (1024 * 1024));
    if (bytes >= 1024 && bytes % 1024 == 0) return fmt::format("{}KiB", bytes / 1024);
    return fmt::format("{} bytes", bytes);
}

}  // namespace

BuildLog::BuildLog(const std::filesystem::path& file, std::uint64_t most_bytes, const std::vector<std::string>& secrets)
    : file_(file), masker_(secrets), secrets_(secrets), most_bytes_(most_bytes) {
    fd_ = Fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    if (!fd_) throw system_error(fmt::format("open the build's log {}", file.string()), errno);
    struct stat found {};
    if (::fstat(fd_.get(), &found) != 0) throw system_error("stat the build's log", errno);
    written_ = static_cast<std::uint64_t>(found.st_size);
}

void BuildLog::output(std::string_view bytes) { append(masker_.feed(bytes)); }

void BuildLog::end_output() { append(masker_.flush()); }

void BuildLog::append(std::string_view bytes) {
    if (bytes.empty() || cut_) return;
    const auto room = most_bytes_ > written_ ? most_bytes_ - written_ : 0;
    write(bytes.substr(0, room));
    if (bytes.size() > room) {
        cut_ = true;
        line(fmt::format("the log has reached its limit of {}: the rest of the output is not kept",
                         human_size(most_bytes_)));
    }
}

void BuildLog::line(std::string_view text) {
    // A masker of its own, since the one of the output may be in the middle of a secret.
    Masker masker(secrets_);
    auto masked = masker.feed(text);
    masked += masker.flush();
    write(fmt::format("{}[baton] {}\n", at_line_start_ ? "" : "\n", escape_control(masked)));
}

void BuildLog::write(std::string_view bytes) {
    if (bytes.empty()) return;
    try {
        write_all(fd_.get(), bytes);
        written_ += bytes.size();
        at_line_start_ = bytes.back() == '\n';
    } catch (const Error& error) {
        if (!lost_)
            log::error("build", "output of a build is lost", {{"log", file_.string()}, {"error", error.what()}});
        lost_ = true;
    }
}

}  // namespace baton::build
