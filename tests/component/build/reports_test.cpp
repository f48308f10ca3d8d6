// SPDX-License-Identifier: MIT
// Test reports: what real runners write, what broken ones write, and the gate that reads them.
#include <catch2/catch.hpp>
#include <functional>

#include "agent/build/reports/junit.h"
#include "agent/build/reports/test_gate.h"
#include "common/error.h"
#include "common/process/process.h"
#include "tests/support/temp_dir.h"

using namespace baton;
using namespace baton::build;

namespace {

int run_in(const std::filesystem::path& directory, const std::string& command) {
    process::Command step;
    step.argv = {"/bin/sh", "-c", command};
    step.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8"};
    step.directory = directory;
    step.timeout = Milliseconds(60'000);
    const auto done = process::capture(step, {});
    INFO(done.output);
    REQUIRE(done.result.end == process::Result::End::exited);
    return done.result.status;
}

ErrorKind kind_of(const std::function<void()>& work, std::string* text = nullptr) {
    try {
        work();
    } catch (const Error& error) {
        if (text != nullptr) *text = error.text();
        return error.kind();
    }
    FAIL("nothing was thrown");
    return ErrorKind::internal;
}

}  // namespace

TEST_CASE("junit: what pytest writes is read, with the failing test's name and message") {
    test::TempDir dir;
    dir.write("test_shop.py",
              "import pytest\n"
              "def test_good(): pass\n"
              "def test_bad(): assert 1 == 2, 'one is not <two> & more'\n"
              "@pytest.mark.skip(reason='not now')\n"
              "def test_later(): pass\n"
              "@pytest.fixture\n"
              "def broken(): raise RuntimeError('no table')\n"
              "def test_error(broken): pass\n");
    REQUIRE(run_in(dir.path(),
                   "/usr/bin/python3 -m pytest -q -p no:cacheprovider -p no:django --junitxml=report.xml") == 1);
    const auto report = read_junit(dir / "report.xml");
    REQUIRE(report.total == 4);
    REQUIRE(report.failed == 2);
    REQUIRE(report.skipped == 1);
    REQUIRE(report.bad.size() == 2);
    REQUIRE(report.bad[0].name == "test_bad");
    REQUIRE(report.bad[0].class_name == "test_shop");
    REQUIRE(report.bad[0].message.find("one is not <two> & more") != std::string::npos);
    REQUIRE(report.bad[1].outcome == TestCase::Outcome::error);
    REQUIRE(report.bad[1].message.find("no table") != std::string::npos);
}

TEST_CASE("junit: what unittest's XML runner writes, as Django's does, is read") {
    test::TempDir dir;
    dir.write("test_a.py",
              "import unittest\n"
              "class Cart(unittest.TestCase):\n"
              "    def test_sum(self): self.assertEqual(2, 1 + 1)\n"
              "    def test_tax(self): self.fail('tax is off')\n"
              "    @unittest.expectedFailure\n"
              "    def test_known(self): self.fail('known')\n");
    REQUIRE(run_in(dir.path(), "/usr/bin/python3 -m xmlrunner discover -o reports") == 1);
    TestReport whole;
    for (const auto& file : find_files(dir.path(), {"reports/*.xml"})) whole.add(read_junit(file));
    REQUIRE(whole.total == 3);
    REQUIRE(whole.failed == 1);
    REQUIRE(whole.bad.at(0).message.find("tax is off") != std::string::npos);
}

TEST_CASE("junit: a failure that only the suite's count shows is believed") {
    const auto report =
        parse_junit("<testsuite tests='2' failures='1'><testcase name='a'/><testcase name='b'/></testsuite>");
    REQUIRE(report.total == 2);
    REQUIRE(report.failed == 1);
}

TEST_CASE("junit: counts of nested suites are not added up twice") {
    const auto report = parse_junit(
        "<testsuites><testsuite failures='1'><testsuite failures='1'><testcase name='a'><failure "
        "message='m'/></testcase>"
        "</testsuite></testsuite></testsuites>");
    REQUIRE(report.failed == 1);
    REQUIRE(report.bad.at(0).message == "m");
}

TEST_CASE("junit: what is no report is refused, and so is a document type") {
    std::string text;
    REQUIRE(kind_of([] { (void)parse_junit("<testsuite><testcase name='a'>"); }, &text) == ErrorKind::invalid);
    REQUIRE(text.find("line 1") != std::string::npos);
    REQUIRE(kind_of([] { (void)parse_junit(""); }) == ErrorKind::invalid);
    REQUIRE(kind_of([] { (void)parse_junit("<html><body/></html>"); }, &text) == ErrorKind::invalid);
    REQUIRE(text.find("<html>") != std::string::npos);
    REQUIRE(kind_of([] {
                (void)parse_junit(
                    "<!DOCTYPE t [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><testsuite><testcase name='a'>"
                    "<failure>&x;</failure></testcase></testsuite>");
            }) == ErrorKind::invalid);
    REQUIRE(kind_of([] { (void)parse_junit(std::string(100, '\0')); }) == ErrorKind::invalid);
    std::string deep = "<testsuite>";
    for (int i = 0; i < 100; ++i) deep += "<testsuite>";
    for (int i = 0; i < 100; ++i) deep += "</testsuite>";
    REQUIRE(kind_of([&] { (void)parse_junit(deep + "</testsuite>"); }) == ErrorKind::invalid);
}

TEST_CASE("junit: of thousands of failures some hundreds are named and all are counted") {
    std::string xml = "<testsuite>";
    for (int i = 0; i < 2'000; ++i)
        xml += "<testcase name='t" + std::to_string(i) + "'><failure message='" + std::string(9'000, 'x') +
               "'/></testcase>";
    const auto report = parse_junit(xml + "</testsuite>");
    REQUIRE(report.failed == 2'000);
    REQUIRE(report.bad.size() == 300);
    REQUIRE(report.bad_cut);
    REQUIRE(report.bad[0].message.size() < 5'000);
}

TEST_CASE("gate: a report that was there before the step does not count, whatever its time says") {
    test::TempDir dir;
    dir.write("reports/old.xml", "<testsuite><testcase name='a'/></testsuite>");
    const TestGate gate(dir.path(), {"reports/*.xml"});
    // A tool may set any time it likes.
    REQUIRE(run_in(dir.path(), "true") == 0);
    std::string text;
    REQUIRE(kind_of([&] { (void)gate.read_new_reports(); }, &text) == ErrorKind::step_failed);
    REQUIRE(text.find("older than this step") != std::string::npos);
    dir.write("reports/old.xml", "<testsuite><testcase name='a'/><testcase name='b'/></testsuite>");
    REQUIRE(run_in(dir.path(), "touch -d 2001-01-01 reports/old.xml") == 0);
    REQUIRE(gate.read_new_reports().total == 2);
}

TEST_CASE("gate: no report, a broken one, failures and too few tests each close it") {
    test::TempDir dir;
    const TestGate gate(dir.path(), {"reports/**/*.xml"});
    std::string text;
    REQUIRE(kind_of([&] { (void)gate.read_new_reports(); }, &text) == ErrorKind::step_failed);
    REQUIRE(text.find("no test report matches") != std::string::npos);
    dir.write("reports/deep/er/a.xml", "<testsuite><testcase name='a'>");
    REQUIRE(kind_of([&] { (void)gate.read_new_reports(); }) == ErrorKind::step_failed);
    dir.write("reports/deep/er/a.xml",
              "<testsuite><testcase name='a'/><testcase name='b'><skipped/></testcase></testsuite>");
    const auto report = gate.read_new_reports();
    REQUIRE(report.total == 2);
    require_passed(report, std::nullopt);
    require_passed(report, 1);
    REQUIRE(kind_of([&] { require_passed(report, 2); }) == ErrorKind::step_failed);  // a skipped test did not run
    REQUIRE(kind_of([&] { require_passed(TestReport{}, std::nullopt); }) == ErrorKind::step_failed);
    REQUIRE(kind_of([&] {
                require_passed(parse_junit("<testsuite><testcase name='x'><error/></testcase></testsuite>"), 1);
            }) == ErrorKind::step_failed);
}

TEST_CASE("gate: a suite that lost more than a tenth of its tests does not pass") {
    TestReport report;
    report.total = 810;
    require_not_shrunk(report, 900);
    require_not_shrunk(report, std::nullopt);
    report.total = 809;
    REQUIRE(kind_of([&] { require_not_shrunk(report, 900); }) == ErrorKind::step_failed);
}

TEST_CASE("gate: a report behind a symbolic link is not read") {
    test::TempDir dir;
    dir.write("outside/secret.xml", "<testsuite><testcase name='a'/></testsuite>");
    dir.write("work/keep", "");
    std::filesystem::create_symlink(dir / "outside", dir / "work/reports");
    std::filesystem::create_symlink(dir / "outside/secret.xml", dir / "work/one.xml");
    REQUIRE(find_files(dir / "work", {"reports/*.xml", "*.xml", "**/*.xml"}).empty());
    REQUIRE(kind_of([&] { (void)find_files(dir / "work", {"../outside/*.xml"}); }) == ErrorKind::invalid);
}
