// SPDX-License-Identifier: MIT
// The proof that a switch asks for: the expected version answers, and goes on doing so.
#pragma once

#include "agent/build/strategy/strategy.h"

namespace baton::build {

enum class ProofOf {
    min_healthy_time,  ///< healthy all along for that long
    one_answer,        ///< of a release that was proved elsewhere a moment ago
};

/// Stage verify. Error(step_failed) when `what` is not healthy in time. Without a health check it is taken as proved.
/// Error(cancelled) after `leave`.
void prove(SwitchTools& tools, Runnable& what, ProofOf length, const std::stop_token& leave = {});
/// Whether a healthy answer can come from that release only: what is expected of it speaks of its commit or place.
[[nodiscard]] bool names_release(const Runnable& what);
/// The same, asked at another address; nothing for an empty one.
void prove_at(SwitchTools& tools, const Runnable& what, const std::string& address, ProofOf length);
/// Asks the warm-up addresses; what they answer decides nothing.
void warm_up(SwitchTools& tools, const Runnable& what);

}  // namespace baton::build
