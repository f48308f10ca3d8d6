// SPDX-License-Identifier: MIT
// What one node keeps on disk of the chain protocol, per app: small, bounded, written before any answer that needs it.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::chain {

/// Names one wish of one node to go out of service; always compared as one value. `incarnation` is made with the
/// database, so that a re-installed agent never reuses a number.
struct Ticket {
    std::uint64_t incarnation = 0;
    std::uint64_t seq = 0;
    auto operator<=>(const Ticket&) const = default;
};

enum class Phase { idle, asking, out };

/// Where a node stands that is out.
enum class OutStage {
    switching,   ///< drain, migrate, switch, verify, rejoin are under way
    restoring,   ///< the previous release is being put back
    stuck,       ///< the previous release could not be proved; the lane is kept
    baking,      ///< in service on the new release, and watched; the lane is kept until the bake time is over
    neighbours,  ///< in service on the new release; what it brings on (a Jenkins behind it) is out in its lane
};

/// The node's own wish, while it is asking or out.
struct Claim {
    Ticket ticket;
    unsigned lane = 0;
    wire::Rollout rollout;
    OutStage stage = OutStage::switching;
    unsigned round = 0;       ///< grows with each revalidation, so that an old grant is not taken for a new one
    bool once_steps = false;  ///< the rollout's pipeline has steps marked `once`
    bool forced = false;      ///< out by a person's order, without a majority
    std::string reason;       ///< restoring, stuck: why
    bool operator==(const Claim&) const = default;
};

/// A lane given to a node. Several on one lane only where claims were adopted from peers.
struct Grant {
    unsigned lane = 0;
    NodeName node;
    Ticket ticket;
    wire::Target target;
    bool once = false;  ///< its holder is the one that may run the `once` steps
    bool operator==(const Grant&) const = default;
};

enum class FailureKind { failed, halted };

/// Why a rollout must not be taken any more, up to and including `attempt`.
struct Failure {
    unsigned attempt = 1;
    FailureKind kind = FailureKind::failed;
    NodeName node;    ///< where it failed, or where the order was given
    std::string who;  ///< halted: the person
    std::string reason;
    std::int64_t at_ms = 0;
    CommitId commit;  ///< that is at fault; empty for a roll-back
    bool operator==(const Failure&) const = default;
};

/// The `once` steps of a rollout. Begun and not done means that nobody knows whether they succeeded.
struct OnceState {
    unsigned attempt = 1;  ///< of the rollout, when they were begun last
    NodeName node;
    bool done = false;
    bool settled = false;  ///< done, and that node's switch succeeded: everybody else may go
    std::int64_t at_ms = 0;
    bool operator==(const OnceState&) const = default;
};

/// Who froze the app, and why.
struct FreezeNote {
    std::string who;
    std::string reason;
    std::int64_t since_ms = 0;
    std::int64_t until_ms = 0;  ///< 0: until unfreeze
    bool operator==(const FreezeNote&) const = default;
};

/// What a person ordered: who, and why. For people only; nothing is decided by it.
struct OrderNote {
    std::string who;  ///< empty: not known
    std::string reason;
    std::int64_t since_ms = 0;  ///< 0: not known
    bool operator==(const OrderNote&) const = default;
};

/// Freezing and unfreezing as one register: the higher version wins, frozen wins a tie.
struct FreezeRegister {
    std::uint64_t version = 0;
    std::optional<FreezeNote> note;
    bool operator==(const FreezeRegister&) const = default;
};

/// Which database speaks for a node. The higher generation wins; incarnation 0: the node was forgotten; contested:
/// peers have met two databases of it, and a person must say which counts.
struct Identity {
    static constexpr std::uint64_t contested = UINT64_MAX;
    std::uint64_t generation = 0;
    std::uint64_t incarnation = 0;
    OrderNote by{};  ///< of a forgotten or accepted one: the order
    bool operator==(const Identity&) const = default;
    [[nodiscard]] bool same_database(const Identity& other) const {
        return generation == other.generation && incarnation == other.incarnation;
    }
};

/// A rollout that this node has heard of.
struct Known {
    wire::Rollout rollout;
    bool proven = false;         ///< it succeeded somewhere, canaries and bake time included
    bool ended = false;          ///< everybody who could be reached has it
    bool promoted = false;       ///< a person ended the bake time
    unsigned canaries = 0;       ///< how many nodes had it before this one, as far as the canaries are counted
    std::set<NodeName> skipped;  ///< nodes out of reach that the walk has passed over
    // Of this node alone, never sent:
    bool assigned = false;  ///< its turn has come here: offered, handed over, or caught up with
    bool walks = false;     ///< hand off after success (not so for catching up)
    NodeName handed_by;     ///< who handed it over: a repeated handoff is accepted again, not refused as known
    OrderNote promoted_by{};  ///< this one travels
    bool operator==(const Known&) const = default;
};

/// A handoff that is owed: survives a restart, since the receivers answer `already`.
struct Duty {
    wire::Target target;
    unsigned walks = 1;       ///< how many nodes are still to be won: more than one after the canaries
    unsigned lane = 0;        ///< the lane that this node had: free now
    bool from_start = false;  ///< walk the whole chain, not only what follows this node (retry, witness)
    bool operator==(const Duty&) const = default;
};

/// An order on its way to a majority.
struct Spread {
    std::string what;          ///< for people
    unsigned rounds_left = 0;  ///< after this round
    std::set<NodeName> stored_by;
    bool operator==(const Spread&) const = default;
};

/// A commit that must not be deployed by a poll; or that was such a one, until a person had it deployed all the same.
/// A register: what a later rollout says of the commit wins, and of one rollout its failure.
struct BadCommit {
    std::string reason;
    std::int64_t at_ms = 0;
    wire::Target by;        ///< the rollout that failed, undid the commit, or succeeded with it; empty key: not known
    bool forgiven = false;  ///< it succeeded
    bool operator==(const BadCommit&) const = default;
};

/// Everything. Plain data: the machine alone changes it.
struct Durable {
    std::uint64_t incarnation = 0;
    bool may_grant = false;  ///< false: a fresh database that has not heard yet what its peers hold
    std::uint64_t seq = 0;
    Phase phase = Phase::idle;
    std::optional<Claim> claim;  ///< set unless idle
    std::optional<wire::Rollout> current;
    std::optional<wire::Rollout> previous;
    wire::Target interrupted;  ///< the target whose switch was last cut off by the agent's death, and how often
    unsigned interruptions = 0;
    wire::RolloutKey owed;  ///< what this node runs and not all of its neighbours do; empty: nothing
    wire::Target forced;    ///< a person's order to go out without a majority; empty key: none
    std::string forced_by;
    std::optional<Duty> duty;
    std::map<wire::RolloutKey, Known> known;
    std::map<wire::RolloutKey, Failure> failed;
    std::map<wire::RolloutKey, OnceState> once;
    std::map<CommitId, BadCommit> bad;
    std::vector<Grant> grants;
    std::map<NodeName, Ticket> done;
    FreezeRegister freeze;
    std::map<NodeName, Identity> identities;
    std::set<std::uint64_t> barred;  ///< incarnations that may never take a lane again
    std::map<std::uint64_t, Spread> spreads;
    std::uint64_t next_order = 1;
    bool operator==(const Durable&) const = default;
};

/// An empty database. `incarnation`: random, not 0. It may not grant before its peers have told what they hold.
[[nodiscard]] Durable fresh_durable(std::uint64_t incarnation);

[[nodiscard]] std::string_view to_text(Phase phase);
[[nodiscard]] std::string_view to_text(OutStage stage);
[[nodiscard]] std::string_view to_text(FailureKind kind);
/// Strict: Error(invalid) for a text that names nothing.
[[nodiscard]] Phase parse_phase(std::string_view text);
[[nodiscard]] OutStage parse_out_stage(std::string_view text);
[[nodiscard]] FailureKind parse_failure_kind(std::string_view text);

[[nodiscard]] json::Value to_json(const Durable& durable);
/// Error(invalid) naming the member at fault; members it does not know are ignored.
[[nodiscard]] Durable parse_durable(const json::Value& value);

}  // namespace baton::chain
