// SPDX-License-Identifier: MIT
// The ledger as text for people.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "agent/cli/output.h"
#include "agent/cli/render.h"
#include "common/clock.h"
#include "common/text.h"

namespace baton::cli {
namespace {

double real_of(const json::Value& object, const char* name) {
    const auto found = object.is_object() ? object.find(name) : object.end();
    return object.is_object() && found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

std::string time_of(const json::Value& row, const char* name) { return to_text(Milliseconds{number_of(row, name)}); }

/// `0.0012 %`; small shares keep their two digits.
std::string percent(double share) { return share == 0 ? "0 %" : fmt::format("{:.2g} %", share * 100); }

std::string totals(const json::Value& list, const char* key, const char* title) {
    if (list.empty()) return "";
    std::vector<std::vector<std::string>> rows{
        {title, "DEPLOYS", "UNKNOWN", "DARK", "EXPOSED", "OUT", "DRAIN", "RESTART", "REJOIN", "CUT", "A REQUEST"}};
    for (const auto& total : list) {
        rows.push_back({escape_control(text_of(total, key)), std::to_string(number_of(total, "deploys")),
                        std::to_string(number_of(total, "unknown")), time_of(total, "dark_ms"),
                        time_of(total, "exposed_ms"), time_of(total, "out_ms"), time_of(total, "drain_ms"),
                        time_of(total, "restart_ms"), time_of(total, "rejoin_ms"),
                        std::to_string(number_of(total, "cut")), percent(real_of(total, "request_chance"))});
    }
    return "\n" + table(rows);
}

/// The assumptions that make the figures smaller than the worst; empty without any.
std::string assumed(const json::Value& ledger) {
    const auto* said = object_of(ledger, "assumptions");
    if (said == nullptr) return "";
    std::vector<std::string> parts;
    if (number_of(*said, "check_ms") > 0) {
        parts.push_back(fmt::format("a node is taken out after {} failed checks {} apart", number_of(*said, "fall"),
                                    time_of(*said, "check_ms")));
        if (number_of(*said, "check_fast_ms") != number_of(*said, "check_ms"))
            parts.back() += fmt::format(", {} after a failure", time_of(*said, "check_fast_ms"));
    }
    if (const auto share = said->find("dark_share"); share != said->end() && share->is_number())
        parts.push_back(fmt::format("a node that is down draws {} of all requests", percent(share->get<double>())));
    if (const auto retried = real_of(*said, "retried"); retried > 0)
        parts.push_back(fmt::format("{} of the failed requests are answered by another node", percent(retried)));
    return parts.empty() ? "" : fmt::format("Assumed: {}.\n", join(parts, "; "));
}

/// How many requests that was, where a rate was given.
std::string lost(const json::Value& ledger, const json::Value& sum) {
    const auto* said = object_of(ledger, "assumptions");
    const double rate = said != nullptr ? real_of(*said, "rate") : 0.0;
    if (rate <= 0) return "";
    return fmt::format("At {:g} requests a second that is {:.0f} failed requests.\n", rate,
                       real_of(sum, "expected_failed"));
}

}  // namespace

std::string render_ledger(const json::Value& ledger) {
    const auto* sum = object_of(ledger, "sum");
    const auto span = human_duration(Milliseconds{number_of(ledger, "until_ms") - number_of(ledger, "since_ms")});
    if (sum == nullptr || number_of(*sum, "deploys") == 0)
        return fmt::format("nothing was deployed in the last {}\n", span);
    std::string text = fmt::format(
        "In the last {}: {} switches of {} nodes, {} measured, {} assumed, {} unknown.\n"
        "The app was dark for {} on nodes in all, {} of it while they could be sent requests; {} requests were cut.\n"
        "Users lost as much as in {} of total outage: {} of all requests, and at most {} of visits of {} requests.\n",
        span, number_of(*sum, "deploys"), number_of(ledger, "nodes"), number_of(*sum, "measured"),
        number_of(*sum, "assumed"), number_of(*sum, "unknown"), time_of(*sum, "dark_ms"), time_of(*sum, "exposed_ms"),
        number_of(*sum, "cut"), to_text(Milliseconds{static_cast<std::int64_t>(real_of(*sum, "visible_ms"))}),
        percent(real_of(*sum, "request_chance")), percent(real_of(*sum, "visit_chance")),
        number_of(ledger, "visit_requests"));
    text += lost(ledger, *sum) + assumed(ledger);
    if (number_of(*sum, "assumed_exposed_ms") > 0) {
        text += fmt::format("Of that {} are assumed; measured alone, it is {} of all requests.\n",
                            time_of(*sum, "assumed_exposed_ms"), percent(real_of(*sum, "request_chance_measured")));
    }
    if (number_of(*sum, "unknown") > 0) {
        text += "What the unknown ones cost is in no figure here.\n";
    }
    text += totals(list_of(ledger, "by_node"), "node", "NODE");
    text += totals(list_of(ledger, "by_app"), "app", "APP");
    text += totals(list_of(ledger, "by_day"), "day", "DAY");
    text += totals(list_of(ledger, "by_rollout"), "rollout", "ROLLOUT");
    return text;
}

}  // namespace baton::cli
