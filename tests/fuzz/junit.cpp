// SPDX-License-Identifier: MIT
// JUnit reports, written by whatever a test step runs.
#include "agent/build/reports/junit.h"
#include "tests/fuzz/fuzz.h"

void baton::fuzz::run(std::string_view input) {
    refused_or([&] {
        build::TestReport report = build::parse_junit(input);
        expect(report.bad.size() <= report.failed, "no more bad tests than failed ones");
        build::TestReport sum = report;
        sum.add(report);
        expect(sum.total == 2 * report.total && sum.failed == 2 * report.failed, "reports add up");
    });
}
