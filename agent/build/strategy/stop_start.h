// SPDX-License-Identifier: MIT
// The strategy with a gap; for make_strategy().
#pragma once

#include "agent/build/strategy/strategy.h"

namespace baton::build {

[[nodiscard]] std::unique_ptr<Strategy> make_stop_start(SwitchTools& tools);

}  // namespace baton::build
