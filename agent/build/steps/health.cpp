// SPDX-License-Identifier: MIT
// Is the app healthy?
#include "agent/build/steps/health.h"

#include <condition_variable>
#include <fmt/format.h>
#include <mutex>

#include "common/clock.h"
#include "common/config/expand.h"
#include "common/error.h"
#include "common/net/fastcgi.h"
#include "common/text.h"

namespace baton::build {

namespace {

constexpr std::uint64_t most_answer_bytes = 1024 * 1024;

auto variables_of(const BuildSpec& spec, const StepContext& context) {
    return health_variables(spec, context.commit.empty() ? spec.rollout.commit : context.commit, context.port);
}

}  // namespace

void pause_for(Milliseconds time, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, time, [] { return false; });
    if (stop.stop_requested()) throw Error(ErrorKind::cancelled, "cancelled");
}

net::HttpResponse ask_address(const std::string& url, Milliseconds limit) {
    if (url.starts_with("fastcgi://")) return net::call_fastcgi(url, limit, most_answer_bytes);
    net::HttpClientOptions options;
    options.connect_timeout = options.deadline = limit;
    options.max_response_bytes = most_answer_bytes;
    net::HttpRequest request;
    request.url = url;
    return net::HttpClient(options).call(request);
}

HealthCheck::HealthCheck(const BuildSpec& spec, const config::Health& health, StepContext context)
    : spec_(spec), health_(health), context_(std::move(context)) {}

Probe HealthCheck::look(const std::stop_token& stop) const {
    if (stop.stop_requested()) throw Error(ErrorKind::cancelled, "cancelled");
    return health_.http.empty() ? look_command(stop) : look_http();
}

Probe HealthCheck::look_http() const {
    const auto variables = variables_of(spec_, context_);
    try {
        const auto answer = ask_address(config::expand(health_.http, variables), health_.timeout);
        if (answer.status != health_.expect_status) {
            return {false, fmt::format("status {}, expected {}", answer.status, health_.expect_status)};
        }
        const auto body = config::expand(health_.expect_body, variables);
        if (!body.empty() && answer.body.find(body) == std::string::npos) {
            return {false, fmt::format("the answer does not hold \"{}\": {}", escape_control(first_line(body)),
                                       escape_control(first_line(answer.body)))};
        }
        return {true, ""};
    } catch (const Error& error) {
        return {false, error.text()};
    }
}

Probe HealthCheck::look_command(const std::stop_token& stop) const {
    process::Command command;
    command.argv = {"/bin/sh", "-c", health_.command};
    command.environment = step_environment(spec_, context_, {});
    command.directory = context_.current.empty() ? spec_.workspace : context_.current;
    command.account = step_account(*spec_.app);
    command.timeout = health_.timeout;
    command.grace = Milliseconds(500);
    const auto answer = process::capture(command, stop, 16 * 1024);
    if (answer.result.end == process::Result::End::cancelled) throw Error(ErrorKind::cancelled, "cancelled");
    if (answer.result.ok()) return {true, ""};
    const auto said = escape_control(first_line(trim(answer.output)));
    return {false, said.empty() ? answer.result.describe() : fmt::format("{}: {}", answer.result.describe(), said)};
}

Probe HealthCheck::prove(const std::function<void(const Probe&)>& on_look, const std::stop_token& stop) const {
    const SystemClock clock;
    const auto deadline = clock.now() + health_.healthy_deadline;
    std::optional<Instant> healthy_since;
    Probe last{false, "never asked"};
    while (true) {
        const auto asked = clock.now();
        last = look(stop);
        on_look(last);
        const auto answered = clock.now();
        if (!last.healthy) healthy_since.reset();
        if (last.healthy && !healthy_since) healthy_since = answered;
        if (last.healthy && answered - *healthy_since >= health_.min_healthy_time) return last;
        if (answered >= deadline) break;
        // While it is still coming up, looking more often than asked costs nothing and saves users time out of service.
        const auto interval = healthy_since ? health_.interval : std::min(health_.interval, Milliseconds(200));
        auto next = asked + interval;
        if (healthy_since) next = std::min(next, *healthy_since + health_.min_healthy_time);
        next = std::min(std::max(next, answered + Milliseconds(1)), deadline);
        pause_for(std::max(next - clock.now(), Milliseconds(0)), stop);
    }
    const auto why = last.healthy ? fmt::format("not healthy for {} without a break", to_text(health_.min_healthy_time))
                                  : last.reason;
    return {false, fmt::format("not healthy within {}: {}", to_text(health_.healthy_deadline), why)};
}

unsigned HealthCheck::warm_up(const std::stop_token& stop) const {
    unsigned failed = 0;
    const auto variables = variables_of(spec_, context_);
    for (const auto& url : health_.warm_up) {
        if (stop.stop_requested()) throw Error(ErrorKind::cancelled, "cancelled");
        try {
            const auto limit = std::max(health_.timeout, Milliseconds(10'000));
            if (ask_address(config::expand(url, variables), limit).status >= 500) ++failed;
        } catch (const Error&) {
            ++failed;
        }
    }
    return failed;
}

}  // namespace baton::build
