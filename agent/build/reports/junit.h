// SPDX-License-Identifier: MIT
// JUnit XML: totals, and the failing tests by name with their messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace baton::build {

struct TestCase {
    enum class Outcome { passed, failed, error, skipped };
    std::string suite;
    std::string class_name;
    std::string name;
    double seconds = 0;
    Outcome outcome = Outcome::passed;
    std::string message;
};

struct TestReport {
    unsigned total = 0;
    unsigned failed = 0;  ///< failures and errors
    unsigned skipped = 0;
    double seconds = 0;
    std::vector<TestCase> bad;  ///< failed or in error, at most a few hundred, messages cut
    bool bad_cut = false;       ///< more failed than `bad` names
    void add(const TestReport& other);
};

/// Reads one report. Error(invalid) for what is no JUnit XML, too_large beyond 64 MiB. Entities are not resolved.
[[nodiscard]] TestReport read_junit(const std::filesystem::path& file);
[[nodiscard]] TestReport parse_junit(std::string_view xml);

}  // namespace baton::build
