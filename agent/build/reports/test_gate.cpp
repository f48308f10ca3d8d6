// SPDX-License-Identifier: MIT
// Whether a test step has really passed.
#include "agent/build/reports/test_gate.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <set>
#include <span>
#include <sys/stat.h>

#include "common/error.h"
#include "common/text.h"

namespace baton::build {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_matches = 10'000;
constexpr unsigned most_depth = 40;

void match(const fs::path& folder, std::span<const std::string> segments, unsigned depth, std::set<fs::path>& found) {
    if (segments.empty() || depth > most_depth) return;
    const bool any_depth = segments.front() == "**";
    if (any_depth) match(folder, segments.subspan(1), depth, found);
    std::error_code unreadable;
    for (const auto& entry : fs::directory_iterator(folder, unreadable)) {
        std::error_code gone;
        const auto type = entry.symlink_status(gone).type();
        const bool is_folder = type == fs::file_type::directory;
        const auto name = entry.path().filename().string();
        if (any_depth) {
            if (is_folder && name != ".git") match(entry.path(), segments, depth + 1, found);
            continue;
        }
        if (::fnmatch(segments.front().c_str(), name.c_str(), FNM_PERIOD) != 0) continue;
        if (segments.size() > 1) {
            if (is_folder) match(entry.path(), segments.subspan(1), depth + 1, found);
        } else if (type == fs::file_type::regular) {
            found.insert(entry.path());
            if (found.size() > most_matches) {
                throw Error(ErrorKind::too_large, fmt::format("more than {} files match", most_matches));
            }
        }
    }
}

std::string patterns_text(const std::vector<std::string>& patterns) { return join(patterns, ", "); }

}  // namespace

std::vector<fs::path> find_files(const fs::path& base, const std::vector<std::string>& patterns) {
    std::set<fs::path> found;
    for (const auto& pattern : patterns) {
        std::vector<std::string> segments;
        for (const auto& segment : split(pattern, '/')) {
            if (segment.empty() || segment == ".") continue;
            if (segment == "..") {
                throw Error(ErrorKind::invalid, fmt::format("the pattern '{}' leads out of the workspace", pattern));
            }
            // Two in a row mean what one means, and would double the work with each.
            if (segment == "**" && !segments.empty() && segments.back() == "**") continue;
            segments.push_back(segment);
        }
        match(base, segments, 0, found);
    }
    return {found.begin(), found.end()};
}

TestGate::TestGate(fs::path workspace, std::vector<std::string> patterns)
    : workspace_(std::move(workspace)), patterns_(std::move(patterns)) {
    for (const auto& file : find_files(workspace_, patterns_)) before_[file] = stamp_of(file);
}

TestGate::Stamp TestGate::stamp_of(const fs::path& file) {
    struct stat found {};
    if (::lstat(file.c_str(), &found) != 0) return {};
    return {found.st_ino, std::int64_t{found.st_ctim.tv_sec} * 1'000'000'000 + found.st_ctim.tv_nsec};
}

TestReport TestGate::read_new_reports() const {
    TestReport whole;
    std::size_t fresh = 0;
    const auto files = find_files(workspace_, patterns_);
    for (const auto& file : files) {
        const auto old = before_.find(file);
        if (old != before_.end() && old->second == stamp_of(file)) continue;
        ++fresh;
        try {
            whole.add(read_junit(file));
        } catch (const Error& error) {
            throw Error(ErrorKind::step_failed, error.text());
        }
    }
    if (fresh == 0 && files.empty()) {
        throw Error(ErrorKind::step_failed,
                    fmt::format("no test report matches {}: the step passes only with one", patterns_text(patterns_)));
    }
    if (fresh == 0) {
        throw Error(ErrorKind::step_failed,
                    fmt::format("the test report that matches {} is older than this step", patterns_text(patterns_)));
    }
    return whole;
}

void require_passed(const TestReport& report, std::optional<unsigned> min_tests) {
    if (report.failed > 0) {
        std::string names;
        for (std::size_t i = 0; i < report.bad.size() && i < 3; ++i) {
            names += fmt::format("{}{}", i == 0 ? ": " : ", ", report.bad[i].name);
        }
        throw Error(ErrorKind::step_failed, fmt::format("{} of {} tests failed{}{}", report.failed, report.total, names,
                                                        report.failed > 3 && !report.bad.empty() ? ", …" : ""));
    }
    const auto ran = report.total - std::min(report.skipped, report.total);
    const auto least = min_tests.value_or(1);
    if (ran < least) {
        throw Error(ErrorKind::step_failed,
                    fmt::format("only {} tests ran ({} skipped), at least {} must", ran, report.skipped, least));
    }
}

void require_not_shrunk(const TestReport& whole, std::optional<unsigned> last_green_tests) {
    if (!last_green_tests) return;
    const auto least = (std::uint64_t{*last_green_tests} * 9 + 9) / 10;
    if (whole.total < least) {
        throw Error(ErrorKind::step_failed,
                    fmt::format("{} tests, the last green run had {}: at least {} are expected; say min_tests where "
                                "fewer are right",
                                whole.total, *last_green_tests, least));
    }
}

}  // namespace baton::build
