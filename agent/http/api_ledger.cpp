// SPDX-License-Identifier: MIT
// `GET /api/v1/ledger`.
#include "agent/http/api_ledger.h"

#include <charconv>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json.h"
#include "common/text.h"

namespace baton::http {
namespace {

std::optional<std::int64_t> whole_of(const Request& request, const char* name) {
    const auto text = request.arg(name);
    if (!text) return std::nullopt;
    const auto number = parse_whole(*text);
    constexpr std::uint64_t most = 253'402'300'800'000;  // the year 10000 in milliseconds
    if (!number || *number > most) throw Error(ErrorKind::invalid, fmt::format("'{}' must be a whole number", name));
    return static_cast<std::int64_t>(*number);
}

std::optional<double> number_of(const Request& request, const char* name) {
    const auto text = request.arg(name);
    if (!text) return std::nullopt;
    double number = 0;
    const auto* end = text->data() + text->size();
    const auto [stopped, fault] = std::from_chars(text->data(), end, number, std::chars_format::fixed);
    if (fault != std::errc() || stopped != end || !(number >= 0)) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' must be a number of at least 0", name));
    }
    return number;
}

std::optional<double> share_of(const Request& request, const char* name) {
    const auto share = number_of(request, name);
    if (share && *share > 1) throw Error(ErrorKind::invalid, fmt::format("'{}' must be a number from 0 to 1", name));
    return share;
}

operations::Assumptions assumptions_of(const Request& request) {
    operations::Assumptions assumptions;
    if (const auto interval = whole_of(request, "check_ms")) {
        operations::Detection detection;
        detection.interval_ms = *interval;
        detection.fast_ms = whole_of(request, "check_fast_ms").value_or(0);
        const auto fall = whole_of(request, "fall").value_or(detection.fall);
        if (fall > UINT16_MAX) throw Error(ErrorKind::invalid, "'fall' is too large");
        detection.fall = static_cast<unsigned>(fall);
        assumptions.detection = detection;
    } else if (request.arg("check_fast_ms") || request.arg("fall")) {
        throw Error(ErrorKind::invalid, "'fall' and 'check_fast_ms' need 'check_ms'");
    }
    assumptions.dark_share = share_of(request, "dark_share");
    assumptions.retried = share_of(request, "retried").value_or(0);
    assumptions.rate = number_of(request, "rate").value_or(0);
    return assumptions;
}

/// What was assumed, as it was understood: `null` where nothing was.
json::Value to_json(const operations::Assumptions& assumptions) {
    json::Value value{{"check_ms", nullptr}, {"check_fast_ms", nullptr}, {"fall", nullptr}, {"dark_share", nullptr}};
    if (const auto& detection = assumptions.detection) {
        value["check_ms"] = detection->interval_ms;
        value["check_fast_ms"] = detection->fast_ms > 0 ? detection->fast_ms : detection->interval_ms;
        value["fall"] = detection->fall;
    }
    if (assumptions.dark_share) value["dark_share"] = *assumptions.dark_share;
    value["retried"] = assumptions.retried;
    value["rate"] = assumptions.rate;
    return value;
}

json::Value to_json(const operations::LedgerTotal& total, const char* key) {
    json::Value value{{"deploys", total.deploys},
                      {"measured", total.measured},
                      {"assumed", total.assumed},
                      {"unknown", total.unknown},
                      {"at_ms", total.at_ms},
                      {"dark_ms", total.dark_ms},
                      {"exposed_ms", total.exposed_ms},
                      {"assumed_exposed_ms", total.assumed_exposed_ms},
                      {"out_ms", total.out_ms},
                      {"drain_ms", total.drain_ms},
                      {"restart_ms", total.restart_ms},
                      {"rejoin_ms", total.rejoin_ms},
                      {"cut", total.cut},
                      {"visible_ms", total.visible_ms},
                      {"request_chance", total.request_chance},
                      {"request_chance_measured", total.request_chance_measured},
                      {"visit_chance", total.visit_chance},
                      {"expected_failed", total.expected_failed}};
    if (key != nullptr) value[key] = total.key;
    return value;
}

json::Value to_json(const std::vector<operations::LedgerTotal>& totals, const char* key) {
    json::Value list = json::Value::array();
    for (const auto& total : totals) list.push_back(to_json(total, key));
    return list;
}

json::Value to_json(const operations::LedgerView::Row& row) {
    return {{"node", row.node},
            {"app", row.app},
            {"rollout", row.rollout},
            {"build", row.build},
            {"kind", row.kind},
            {"at_ms", row.at_ms},
            {"dark_ms", row.dark_ms},
            {"exposed_ms", row.exposed_ms},
            {"out_ms", row.out_ms},
            {"drain_ms", row.drain_ms},
            {"restart_ms", row.restart_ms},
            {"rejoin_ms", row.rejoin_ms},
            {"cut", row.cut},
            {"outages_ms", row.outages_ms}};
}

}  // namespace

Response ledger_response(const operations::Operations& operations, const Request& request) {
    const auto app = request.arg("app");
    const auto view = operations.ledger(app && !app->empty() ? std::optional(AppName(*app)) : std::nullopt,
                                        whole_of(request, "since_ms").value_or(0), assumptions_of(request));
    json::Value rows = json::Value::array();
    for (const auto& row : view.rows) rows.push_back(to_json(row));
    return Response::json({{"since_ms", view.since_ms},
                           {"until_ms", view.until_ms},
                           {"nodes", view.nodes},
                           {"apps", view.apps},
                           {"visit_requests", operations::visit_requests},
                           {"assumptions", to_json(view.assumptions)},
                           {"sum", to_json(view.total, nullptr)},
                           {"by_node", to_json(view.by_node, "node")},
                           {"by_app", to_json(view.by_app, "app")},
                           {"by_rollout", to_json(view.by_rollout, "rollout")},
                           {"by_day", to_json(view.by_day, "day")},
                           {"rows", rows}});
}

}  // namespace baton::http
