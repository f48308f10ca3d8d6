// SPDX-License-Identifier: MIT
// A build's stages in the form of Jenkins' stage view.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "agent/operations/views.h"

namespace baton::http {

/// `wfapi/describe`: the build, and its stages in the order in which they began.
[[nodiscard]] nlohmann::ordered_json stages_of(const operations::BuildView& build);

}  // namespace baton::http
