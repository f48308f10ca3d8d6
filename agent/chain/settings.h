// SPDX-License-Identifier: MIT
// What a machine is told when it is made: the chain, the policy, the times, and the rules that a simulation may break.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/agent_config.h"
#include "common/types.h"

namespace baton::chain {

/// Every wait of the protocol. None of them is needed for safety.
struct Timing {
    Milliseconds ask_for{2'000};        ///< then give up, release, and try again later
    Milliseconds ask_again{500};        ///< asks are repeated to those who have not answered
    Milliseconds back_off_first{150};   ///< random up to this, doubled with each failure in a row …
    Milliseconds back_off_most{5'000};  ///< … up to this
    Milliseconds courtesy_least{100};   ///< after a lane became free, unless one's turn has come
    Milliseconds courtesy_most{600};
    Milliseconds revalidate_for{15'000};  ///< a holder that was restarted: no majority in time, restore
    Milliseconds inquire_every{3'000};
    Milliseconds sync_every{3'000};
    Milliseconds handoff_again{1'000};   ///< until it is acknowledged or policy.handoff_timeout is over
    Milliseconds catch_up_after{7'000};  ///< a proven rollout that nobody is seen to carry
    Milliseconds catch_up_grace{2'000};  ///< one that has passed this node over, or right after the start
    Milliseconds adopt_after{30'000};    ///< one that is not proven, and whose carrier is silent
    Milliseconds silent_after{10'000};   ///< a peer that was not heard for so long counts as away
    Milliseconds overlap{2'000};          ///< two agents that speak so long in one name are two, not a restart
    Milliseconds bring_up_for{60'000};   ///< an app that was down at the start gets this before a permit is asked for
    Milliseconds restore_again{30'000};  ///< a stuck node whose app answers again tries to prove it
    Milliseconds unstick_first{10'000};  ///< one whose app does not tries to put it back once more, doubled each time …
    Milliseconds unstick_most{600'000};  ///< … up to this
    Milliseconds build_again_first{
        10'000};  ///< a node that alone cannot build what the others run, doubled each time …
    Milliseconds build_again_most{300'000};  ///< … up to this
};

struct Settings {
    NodeName self;
    std::vector<NodeName> order;   ///< members, in the chain's order
    std::vector<NodeName> voters;  ///< who grants: members, or some of them, and witnesses
    config::RolloutPolicy policy;
    unsigned lanes = 1;       ///< max_unavailable as a number
    bool neighbours = false;  ///< this node brings each rollout on to neighbours that have no agent
    std::string config_hash;
    std::map<std::string, std::string> default_parameters;  ///< of a rollout for which nobody chose any
    Timing timing;
    /// Wall time in milliseconds, for records and for the end of a freeze only; never for a time-out.
    std::function<std::int64_t()> wall_ms;  ///< empty: the system's clock
};

/// The protocol's rules, each of which the simulation can leave out to see that it is needed. All hold in the product.
struct Rules {
    bool permits = true;              ///< plain-chain
    bool grants_never_expire = true;  ///< lease
    bool failed_carried = true;       ///< failed-not-carried
    bool second_look = true;          ///< no-second-look
    bool durable_grants = true;       ///< volatile-grants
    bool lanes_numbered = true;       ///< count-lanes
    bool sync = true;                 ///< no-sync
    bool hold_over_restart = true;    ///< release-on-restart
    bool inquire = true;              ///< no-inquire
    bool revalidate = true;           ///< no-revalidate
    bool done_numbers = true;         ///< no-done
    bool target_in_grants = true;     ///< no-target
    bool wiped_wait = true;           ///< wiped-keep-granting
    bool forget_bars = true;          ///< forget-without-bar
};

/// The names of the rules as `scripts/simulate --mutate` takes them.
[[nodiscard]] const std::vector<std::string>& rule_names();
/// All rules but one. Error(invalid) for a name that is none.
[[nodiscard]] Rules rules_without(std::string_view name);

}  // namespace baton::chain
