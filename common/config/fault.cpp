// SPDX-License-Identifier: MIT
// What is wrong with a configuration file, as text.
#include "common/config/fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace baton::config {
namespace {

// A file of the wrong kind would fill screens.
constexpr std::size_t most_faults_shown = 50;

std::vector<Fault> in_order(std::vector<Fault> faults) {
    std::ranges::stable_sort(faults, {}, [](const Fault& fault) { return std::tuple(fault.line, fault.column); });
    return faults;
}

std::string report_of(const std::vector<Fault>& faults) {
    const auto ordered = in_order(faults);
    std::string report;
    for (std::size_t i = 0; i < std::min(ordered.size(), most_faults_shown); ++i) {
        if (i > 0) report += '\n';
        report += ordered[i].text();
    }
    if (ordered.size() > most_faults_shown) {
        report += fmt::format("\n… and {} more faults", ordered.size() - most_faults_shown);
    }
    return report;
}

}  // namespace

std::string Fault::text() const {
    if (line == 0) return fmt::format("{}: {}", file, message);
    return fmt::format("{}:{}:{}: {}", file, line, column, message);
}

ConfigError::ConfigError(std::vector<Fault> faults)
    : Error(ErrorKind::invalid, report_of(faults)), faults_(in_order(std::move(faults))) {}

}  // namespace baton::config
