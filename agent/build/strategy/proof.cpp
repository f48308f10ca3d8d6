// SPDX-License-Identifier: MIT
// The proof that a switch asks for.
#include "agent/build/strategy/proof.h"

#include <fmt/format.h>

#include "agent/build/steps/health.h"
#include "common/error.h"
#include "common/log.h"

namespace baton::build {

namespace {

void look_until_proved(SwitchTools& tools, const config::Health& health, const StepContext& context,
                       const std::stop_token& leave) {
    const HealthCheck check(tools.spec, health, context);
    std::string said;
    bool healthy = false;
    const auto on_look = [&](const Probe& probe) {
        if (probe.healthy && !healthy) tools.meter.healthy();
        healthy = probe.healthy;
        const auto now = probe.healthy ? std::string("healthy") : "not healthy: " + probe.reason;
        if (now != said) tools.log.line(now);
        if (now != said) tools.listener.waits_for(probe.healthy ? "proof of health" : now);
        said = now;
        // Told to the load balancer only when proved: a first good answer may be followed by a crash.
    };
    const auto proved = check.prove(on_look, leave);
    tools.listener.waits_for("");
    if (!proved.healthy) throw Error(ErrorKind::step_failed, proved.reason);
}

}  // namespace

bool names_release(const Runnable& what) {
    const auto& health = what.pipeline.health;
    if (!health) return false;
    if (health->command.empty()) return health->expect_body.find("${GIT_COMMIT}") != std::string::npos;
    return health->command.find("GIT_COMMIT") != std::string::npos ||
           health->command.find("BATON_RELEASE_DIR") != std::string::npos;
}

void prove(SwitchTools& tools, Runnable& what, ProofOf length, const std::stop_token& leave) {
    what.context.stage = wire::Stage::verify;
    tools.log.line("stage verify");
    tools.listener.stage_began(wire::Stage::verify);
    if (!what.pipeline.health) {
        tools.log.line("no health check: taken as healthy");
        return;
    }
    auto health = *what.pipeline.health;
    if (length == ProofOf::one_answer) health.min_healthy_time = Milliseconds(0);
    look_until_proved(tools, health, what.context, leave);
}

void prove_at(SwitchTools& tools, const Runnable& what, const std::string& address, ProofOf length) {
    if (address.empty() || !what.pipeline.health) return;
    auto health = *what.pipeline.health;
    health.http = address;
    health.command.clear();
    if (length == ProofOf::one_answer) health.min_healthy_time = Milliseconds(0);
    tools.log.line(fmt::format("asking as users do: {}", address));
    with_context("through the front", [&] { look_until_proved(tools, health, what.context, {}); });
}

void warm_up(SwitchTools& tools, const Runnable& what) {
    if (!what.pipeline.health) return;
    const auto cold = HealthCheck(tools.spec, *what.pipeline.health, what.context).warm_up({});
    if (cold > 0) tools.log.line(fmt::format("{} warm-up requests failed", cold));
}

}  // namespace baton::build
