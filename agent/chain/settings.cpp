// SPDX-License-Identifier: MIT
// The rules by their names, for the simulation.
#include "agent/chain/settings.h"

#include <array>
#include <fmt/format.h>
#include <utility>

#include "common/error.h"

namespace baton::chain {
namespace {

struct Row {
    std::string_view name;
    bool Rules::*flag;
};
constexpr std::array<Row, 14> rows{{{"plain-chain", &Rules::permits},
                                    {"lease", &Rules::grants_never_expire},
                                    {"failed-not-carried", &Rules::failed_carried},
                                    {"no-second-look", &Rules::second_look},
                                    {"volatile-grants", &Rules::durable_grants},
                                    {"count-lanes", &Rules::lanes_numbered},
                                    {"no-sync", &Rules::sync},
                                    {"release-on-restart", &Rules::hold_over_restart},
                                    {"no-inquire", &Rules::inquire},
                                    {"no-revalidate", &Rules::revalidate},
                                    {"no-done", &Rules::done_numbers},
                                    {"no-target", &Rules::target_in_grants},
                                    {"wiped-keep-granting", &Rules::wiped_wait},
                                    {"forget-without-bar", &Rules::forget_bars}}};

}  // namespace

const std::vector<std::string>& rule_names() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> made;
        for (const auto& row : rows) made.emplace_back(row.name);
        return made;
    }();
    return names;
}

Rules rules_without(std::string_view name) {
    for (const auto& row : rows) {
        if (row.name != name) continue;
        Rules rules;
        rules.*row.flag = false;
        return rules;
    }
    throw Error(ErrorKind::invalid, fmt::format("'{}' is no rule of the protocol", name));
}

}  // namespace baton::chain
