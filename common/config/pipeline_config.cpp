// SPDX-License-Identifier: MIT
// Look-ups in the pipeline.
#include "common/config/pipeline_config.h"

#include <algorithm>

namespace baton::config {

bool Pipeline::has_once_steps() const { return std::ranges::any_of(migrate, &Step::once); }

}  // namespace baton::config
