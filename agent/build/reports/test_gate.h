// SPDX-License-Identifier: MIT
// Whether a test step has really passed: its exit status is not enough.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/build/reports/junit.h"

namespace baton::build {

/// Files below `base` that match a pattern of path segments: `*`, `?` and `[…]` within a segment, `**` for any number
/// of them. Sorted. Regular files only; symbolic links are neither read nor entered: a report is written by the commit
/// under test, and read with the agent's rights. Error(too_large) beyond 10,000 matches.
[[nodiscard]] std::vector<std::filesystem::path> find_files(const std::filesystem::path& base,
                                                            const std::vector<std::string>& patterns);

/// Looks at the reports before and after a test step. What counts as new does not depend on clocks or on times
/// that a tool may set: the kernel's change time and inode must differ from those before the step.
class TestGate {
  public:
    /// To be made right before the step starts.
    TestGate(std::filesystem::path workspace, std::vector<std::string> patterns);

    /// After the step: reads the new reports. Error(step_failed) when there is none or one cannot be read.
    [[nodiscard]] TestReport read_new_reports() const;

  private:
    struct Stamp {
        std::uint64_t inode = 0;
        std::int64_t changed_ns = 0;
        auto operator<=>(const Stamp&) const = default;
    };
    [[nodiscard]] static Stamp stamp_of(const std::filesystem::path& file);

    std::filesystem::path workspace_;
    std::vector<std::string> patterns_;
    std::map<std::filesystem::path, Stamp> before_;
};

/// Error(step_failed) when something failed in `report`, or less was run than must be: `min_tests` counts those that
/// ran (skipped ones did not); none asks for at least one.
void require_passed(const TestReport& report, std::optional<unsigned> min_tests);

/// Error(step_failed) when a build has fewer than 90 % of the tests of the last green one: `manage.py test` exits
/// with 0 when it finds no test at all, and a moved folder loses half of a suite as quietly.
void require_not_shrunk(const TestReport& whole, std::optional<unsigned> last_green_tests);

}  // namespace baton::build
