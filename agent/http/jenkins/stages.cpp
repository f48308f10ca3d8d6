// SPDX-License-Identifier: MIT
// A build's stages in the form of Jenkins' stage view.
#include "agent/http/jenkins/stages.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/http/jenkins/model.h"

namespace baton::http {

namespace {

using Json = nlohmann::ordered_json;

struct Span {
    std::string name;
    std::int64_t started_ms = 0;
    std::int64_t finished_ms = 0;
    bool running = false;
    bool good = true;
};

/// Steps of the same stage, in a row, are one.
std::vector<Span> spans_of(const operations::BuildView& build) {
    std::vector<Span> spans;
    for (const operations::StepView& step : build.steps) {
        if (spans.empty() || spans.back().name != step.stage)
            spans.push_back({step.stage, step.started_ms, 0, false, true});
        Span& span = spans.back();
        span.running = span.running || (step.finished_ms == 0 && build.running());
        span.finished_ms = std::max(span.finished_ms, step.finished_ms);
        span.good = span.good && (step.outcome.empty() || step.outcome == "ok");
    }
    return spans;
}

std::string_view status_of_result(std::string_view result) {
    if (result.empty()) return "IN_PROGRESS";
    if (result == "SUCCESS") return "SUCCESS";
    return result == "ABORTED" ? "ABORTED" : "FAILED";
}

}  // namespace

Json stages_of(const operations::BuildView& build) {
    const std::string_view result = result_of(build);
    Json stages = Json::array();
    std::size_t id = 0;
    for (const Span& span : spans_of(build)) {
        const std::string_view status = span.running          ? "IN_PROGRESS"
                                        : span.good           ? "SUCCESS"
                                        : result == "ABORTED" ? "ABORTED"
                                                              : "FAILED";
        const std::int64_t duration = std::max<std::int64_t>(0, span.finished_ms - span.started_ms);
        stages.push_back({{"id", fmt::format("{}", ++id)},
                          {"name", span.name},
                          {"status", status},
                          {"startTimeMillis", span.started_ms},
                          {"durationMillis", duration}});
    }
    const std::int64_t end = build.running() ? build.started_ms : build.finished_ms;
    return {{"id", fmt::format("{}", build.number)},
            {"name", fmt::format("#{}", build.number)},
            {"status", status_of_result(result)},
            {"startTimeMillis", build.started_ms},
            {"endTimeMillis", end},
            {"durationMillis", end - build.started_ms},
            {"stages", stages}};
}

}  // namespace baton::http
