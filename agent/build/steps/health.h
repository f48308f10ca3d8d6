// SPDX-License-Identifier: MIT
// Is the app healthy? One look, and the proof that a switch asks for: healthy all along for a while.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "agent/build/steps/build_spec.h"
#include "agent/build/steps/step_environment.h"
#include "common/config/pipeline_config.h"
#include "common/net/http_client.h"

namespace baton::build {

struct Probe {
    bool healthy = false;
    std::string reason;  ///< why not: `status 500`, `no answer: connection refused`, …
};

/// Asks about one release. Any thread.
class HealthCheck {
  public:
    /// `context` names the release whose version is expected, and is the environment of `health.command`.
    HealthCheck(const BuildSpec& spec, const config::Health& health, StepContext context);

    /// One look, bounded by `health.timeout`. Error(cancelled) after `stop`; all else is an answer.
    [[nodiscard]] Probe look(const std::stop_token& stop) const;

    /// Looks every `interval` until it has been healthy without a break for `min_healthy_time`: healthy. Unhealthy with
    /// the last reason when that has not come about at `healthy_deadline`. `on_look` hears of every answer.
    [[nodiscard]] Probe prove(const std::function<void(const Probe&)>& on_look, const std::stop_token& stop) const;

    /// Asks each warm-up URL once. What they answer decides nothing; returns how many failed.
    [[nodiscard]] unsigned warm_up(const std::stop_token& stop) const;

  private:
    [[nodiscard]] Probe look_http() const;
    [[nodiscard]] Probe look_command(const std::stop_token& stop) const;

    const BuildSpec& spec_;
    const config::Health& health_;
    StepContext context_;
};

/// GET of an `http[s]://` or `fastcgi://` address. Errors as net::HttpClient::call.
[[nodiscard]] net::HttpResponse ask_address(const std::string& url, Milliseconds limit);

/// Waits, but not longer than until `stop`. Error(cancelled) then.
void pause_for(Milliseconds time, const std::stop_token& stop);

}  // namespace baton::build
