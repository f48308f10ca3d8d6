// SPDX-License-Identifier: MIT
// A commit's objects from the peers, when the git host is away.
#pragma once

#include "agent/engine/outbox.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/config/agent_config.h"
#include "common/types.h"

namespace baton::engine {

/// Asks one peer after the other for what the app's mirror lacks of `commit`, and puts it there. False when none has
/// it. Blocks for at most a minute a peer; any thread but the engine's. Error(io) when the mirror cannot be read.
[[nodiscard]] bool fetch_from_peers(const config::AgentConfig& config, const config::App& app, store::Store& store,
                                    Outbox& outbox, const Clock& clock, const CommitId& commit);

}  // namespace baton::engine
