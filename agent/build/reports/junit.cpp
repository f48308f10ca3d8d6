// SPDX-License-Identifier: MIT
// JUnit XML, read with Poco's SAX parser.
#include "agent/build/reports/junit.h"

#include <Poco/SAX/Attributes.h>
#include <Poco/SAX/DefaultHandler.h>
#include <Poco/SAX/LexicalHandler.h>
#include <Poco/SAX/SAXException.h>
#include <Poco/SAX/SAXParser.h>
#include <Poco/XML/XMLException.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "common/error.h"
#include "common/file.h"
#include "common/text.h"

namespace baton::build {

namespace {

constexpr std::uint64_t most_report_bytes = 64ULL * 1024 * 1024;
constexpr std::size_t most_bad = 300;              ///< failing tests kept by name
constexpr std::size_t most_message_bytes = 4'096;  ///< of each
constexpr std::size_t most_name_bytes = 500;
constexpr unsigned most_depth = 32;

std::string cut(std::string_view text, std::size_t most) {
    if (text.size() <= most) return valid_utf8(text);
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
    return valid_utf8(text.substr(0, most)) + "…";
}

double seconds_of(const std::string& text) {
    double value = 0;
    // Some writers group thousands: 1,234.5
    std::string plain = text;
    std::erase(plain, ',');
    const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
    if (error != std::errc{} || end == plain.data() || !std::isfinite(value) || value < 0) return 0;
    return value;
}

unsigned count_of(const std::string& text) {
    const auto value = parse_whole(text).value_or(0);
    return static_cast<unsigned>(std::min<std::uint64_t>(value, 100'000'000));
}

class Handler final : public Poco::XML::DefaultHandler, public Poco::XML::LexicalHandler {
  public:
    void startElement(const Poco::XML::XMLString&, const Poco::XML::XMLString& local, const Poco::XML::XMLString& full,
                      const Poco::XML::Attributes& attributes) override {
        const auto& name = local.empty() ? full : local;
        if (depth_ == 0) root_ = name;
        if (++depth_ > most_depth) too_deep_ = true;
        if (name == "testsuite") begin_suite(attributes);
        if (name == "testcase") begin_case(attributes);
        if (in_case_ && (name == "failure" || name == "error" || name == "skipped")) begin_mark(name, attributes);
    }

    void endElement(const Poco::XML::XMLString&, const Poco::XML::XMLString& local,
                    const Poco::XML::XMLString& full) override {
        const auto& name = local.empty() ? full : local;
        --depth_;
        if (name == "testsuite" && !suites_.empty()) suites_.pop_back();
        if (name == "failure" || name == "error" || name == "skipped") in_mark_ = false;
        if (name == "testcase" && in_case_) end_case();
    }

    void characters(const Poco::XML::XMLChar text[], int start, int length) override {
        if (!in_mark_ || case_.message.size() >= most_message_bytes + 4) return;
        const auto room = most_message_bytes + 4 - case_.message.size();
        case_.message.append(text + start, std::min(static_cast<std::size_t>(length), room));
    }

    void startDTD(const Poco::XML::XMLString&, const Poco::XML::XMLString&, const Poco::XML::XMLString&) override {
        has_dtd_ = true;
    }
    void endDTD() override {}
    void startEntity(const Poco::XML::XMLString&) override {}
    void endEntity(const Poco::XML::XMLString&) override {}
    void startCDATA() override {}
    void endCDATA() override {}
    void comment(const Poco::XML::XMLChar[], int, int) override {}

    TestReport finish() {
        if (has_dtd_) throw Error(ErrorKind::invalid, "a document type is not allowed in a test report");
        if (too_deep_) throw Error(ErrorKind::invalid, "elements are nested too deep for a test report");
        if (root_ != "testsuites" && root_ != "testsuite") {
            throw Error(ErrorKind::invalid,
                        fmt::format("the root element is <{}>, expected <testsuites> or <testsuite>", cut(root_, 60)));
        }
        // A suite may own up to failures that no test case of it shows: believe the worse of the two.
        report_.failed = std::max(report_.failed, claimed_failures_);
        return std::move(report_);
    }

  private:
    void begin_suite(const Poco::XML::Attributes& attributes) {
        if (suites_.empty()) {
            claimed_failures_ += count_of(attributes.getValue("failures")) + count_of(attributes.getValue("errors"));
        }
        suites_.push_back(cut(attributes.getValue("name"), most_name_bytes));
    }

    void begin_case(const Poco::XML::Attributes& attributes) {
        in_case_ = true;
        case_ = TestCase{};
        case_.suite = suites_.empty() ? "" : suites_.back();
        case_.class_name = cut(attributes.getValue("classname"), most_name_bytes);
        case_.name = cut(attributes.getValue("name"), most_name_bytes);
        case_.seconds = seconds_of(attributes.getValue("time"));
    }

    void begin_mark(const std::string& name, const Poco::XML::Attributes& attributes) {
        using enum TestCase::Outcome;
        const auto outcome = name == "failure" ? failed : name == "error" ? error : skipped;
        // One test may hold several marks (its body failed, then its tear-down): a failure outweighs a skip.
        if (case_.outcome == passed || case_.outcome == skipped) case_.outcome = outcome;
        in_mark_ = report_.bad.size() < most_bad;
        if (in_mark_ && case_.message.size() < most_message_bytes) {
            case_.message += cut(attributes.getValue("message"), most_message_bytes);
            if (!case_.message.empty()) case_.message += '\n';
        }
    }

    void end_case() {
        in_case_ = false;
        ++report_.total;
        report_.seconds += case_.seconds;
        if (case_.outcome == TestCase::Outcome::skipped) ++report_.skipped;
        if (case_.outcome != TestCase::Outcome::failed && case_.outcome != TestCase::Outcome::error) return;
        ++report_.failed;
        if (report_.bad.size() >= most_bad) {
            report_.bad_cut = true;
            return;
        }
        case_.message = cut(trim(case_.message), most_message_bytes);
        report_.bad.push_back(std::move(case_));
    }

    TestReport report_;
    TestCase case_;
    std::vector<std::string> suites_;
    std::string root_;
    unsigned depth_ = 0;
    unsigned claimed_failures_ = 0;
    bool in_case_ = false;
    bool in_mark_ = false;
    bool has_dtd_ = false;
    bool too_deep_ = false;
};

}  // namespace

void TestReport::add(const TestReport& other) {
    total += other.total;
    failed += other.failed;
    skipped += other.skipped;
    seconds += other.seconds;
    bad_cut = bad_cut || other.bad_cut;
    for (const auto& test : other.bad) {
        if (bad.size() >= most_bad) {
            bad_cut = true;
            break;
        }
        bad.push_back(test);
    }
}

TestReport parse_junit(std::string_view xml) {
    if (trim(xml).empty()) throw Error(ErrorKind::invalid, "the test report is empty");
    Handler handler;
    try {
        Poco::XML::SAXParser parser;
        parser.setFeature(Poco::XML::XMLReader::FEATURE_NAMESPACES, false);
        parser.setFeature(Poco::XML::XMLReader::FEATURE_EXTERNAL_GENERAL_ENTITIES, false);
        parser.setFeature(Poco::XML::XMLReader::FEATURE_EXTERNAL_PARAMETER_ENTITIES, false);
        parser.setContentHandler(&handler);
        parser.setProperty(Poco::XML::XMLReader::PROPERTY_LEXICAL_HANDLER,
                           static_cast<Poco::XML::LexicalHandler*>(&handler));
        parser.parseMemoryNP(xml.data(), xml.size());
    } catch (const Poco::XML::SAXParseException& error) {
        throw Error(ErrorKind::invalid, fmt::format("line {}, column {}: {}", error.getLineNumber(),
                                                    error.getColumnNumber(), escape_control(error.message())));
    } catch (const Poco::Exception& error) {
        throw Error(ErrorKind::invalid, escape_control(error.displayText()));
    }
    return handler.finish();
}

TestReport read_junit(const std::filesystem::path& file) {
    return with_context(fmt::format("read the test report {}", file.string()),
                        [&] { return parse_junit(read_file(file, most_report_bytes)); });
}

}  // namespace baton::build
