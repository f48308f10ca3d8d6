// SPDX-License-Identifier: MIT
// What agents write to each other about an app: where it goes, and its JSON.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/chain/message.h"
#include "agent/store/ledger_store.h"
#include "common/json.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::engine {

/// What a peer said in one request, and what it gets back in the answer.
struct PeerExchange {
    unsigned protocol = chain::protocol_version;
    std::vector<chain::Message> messages;
    std::vector<wire::NodeProgress> progress;
    std::vector<wire::Rollout> rollouts;
    std::vector<store::LedgerEntry> ledger;  ///< what switches cost; their `app` stays empty: it is the one spoken of
    bool wants_history = false;              ///< a peer that has just started asks for what it missed
    std::vector<std::string> passed_over;    ///< read only: what a newer peer said and this agent does not understand
};

[[nodiscard]] std::string peer_target(const AppName& app);     ///< `/peer/v1/chain/APP`
[[nodiscard]] std::string handoff_target(const AppName& app);  ///< `/job/APP/build`: the very one that curl uses
[[nodiscard]] std::string pack_target(const AppName& app);     ///< `/peer/v1/pack/APP`

[[nodiscard]] json::Value to_json(const PeerExchange& exchange);
/// Error(conflict) for a version that cannot be understood, Error(invalid) for what is no exchange. Of a newer peer's
/// each part that is not understood is passed over as if it had been lost; whoever speaks this version or an older one
/// has no such excuse.
[[nodiscard]] PeerExchange parse_exchange(std::string_view body);

/// `{"want":COMMIT,"have":[…]}`: asks a peer for a pack with a commit and what it needs beyond those.
[[nodiscard]] std::string pack_question(const CommitId& want, const std::vector<std::string>& have);

/// Target and body for one message; a handoff goes to the remote trigger.
[[nodiscard]] std::pair<std::string, std::string> to_letter(const AppName& app, const chain::Message& message);

}  // namespace baton::engine
