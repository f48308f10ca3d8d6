// SPDX-License-Identifier: MIT
// What agents say to each other about one app: a header with what everybody should know, and one of a dozen bodies.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/chain/durable.h"
#include "common/json.h"
#include "common/types.h"
#include "common/wire/rollout.h"

namespace baton::chain {

/// Of all that agents write to each other. An agent understands its own version, the one before and, passing over what
/// it does not know, the one after: a chain is upgraded one node at a time. What a version adds are members that the
/// one before ignores, with a meaning for those who do not send them; a new word for an old member needs a version in
/// which everybody already reads it.
///   1  the first; requests as a whole had no version, only the messages in them
///   2  every request and answer carries it
inline constexpr unsigned protocol_version = 2;
inline constexpr unsigned oldest_protocol_version = protocol_version - 1;

/// Error(conflict) for a version that cannot be understood, with both and what to do.
void check_protocol(unsigned version);

/// How the sender stands.
struct Status {
    wire::Target current;  ///< what it runs; empty key: nothing
    CommitId current_commit;
    wire::Target working;  ///< what it is bringing itself to, or handing on; empty key: nothing
    Phase phase = Phase::idle;
    bool serving = false;  ///< its app answers, and the node is not out
    bool may_grant = true;
    bool held_out = false;  ///< its app may answer, but a person has drained the node, or it catches up before it serves
    std::optional<OrderNote> drained;  ///< a person has taken the node out
    bool operator==(const Status&) const = default;
};

/// Travels with every message, so that bad news is never left behind by good.
struct Header {
    unsigned protocol = protocol_version;
    std::uint64_t incarnation = 0;
    std::uint64_t run = 0;  ///< of the agent's process: two with one database have two; 0: an agent that says none
    std::string config_hash;
    Status status;
    std::map<wire::RolloutKey, Failure> failed;
    std::map<wire::RolloutKey, OnceState> once;
    FreezeRegister freeze;
    std::vector<Known> rollouts;  ///< the leading one and the newest
    bool operator==(const Header&) const = default;
};

/// An agent that was heard in a node's name while another one was.
struct Voice {
    std::uint64_t incarnation = 0;
    std::uint64_t run = 0;
    std::string address;       ///< whence; for people
    bool answers = false;      ///< it is the one at the node's address in the configuration
    std::uint64_t ago_ms = 0;  ///< when it was heard last
    bool operator==(const Voice&) const = default;
};

/// What only peers that compare themselves exchange.
struct Whole {
    std::vector<Grant> grants;   ///< given by the sender
    std::optional<Grant> claim;  ///< its own, while it is asking or out
    std::map<NodeName, Ticket> done;
    std::vector<Known> known;
    std::map<wire::RolloutKey, Failure> failed;
    std::map<wire::RolloutKey, OnceState> once;
    std::map<CommitId, BadCommit> bad;
    std::map<NodeName, Identity> identities;
    std::set<std::uint64_t> barred;
    std::map<NodeName, std::vector<Voice>> voices;  ///< of nodes in whose name several agents speak
    bool operator==(const Whole&) const = default;
};

/// May I go out of service?
struct Ask {
    Ticket ticket;
    unsigned lane = 0;
    unsigned round = 0;
    wire::Target target;
    bool once = false;  ///< and be the one that runs the `once` steps
    bool operator==(const Ask&) const = default;
};
struct Granted {
    Ticket ticket;
    unsigned round = 0;
    wire::Target target;
    bool operator==(const Granted&) const = default;
};
struct Denied {
    Ticket ticket;
    unsigned round = 0;
    NodeName holder;     ///< who has the lane; empty when that is not the reason
    std::string reason;  ///< for people
    bool operator==(const Denied&) const = default;
};
/// That ticket is over.
struct Release {
    Ticket ticket;
    bool operator==(const Release&) const = default;
};
/// Still this ticket? Answered with a Release when it is over, else not at all.
struct Inquire {
    Ticket ticket;
    bool operator==(const Inquire&) const = default;
};
/// Your turn.
struct Handoff {
    wire::Rollout rollout;
    unsigned canaries = 0;
    unsigned lane = 0;  ///< a lane that the sender has just left, or thinks to be free: for speed only
    std::set<NodeName> skipped;
    bool operator==(const Handoff&) const = default;
};
struct HandoffAck {
    wire::Target target;
    bool already = false;
    bool operator==(const HandoffAck&) const = default;
};
/// Your turn will come: fetch, prepare and test ahead.
struct HeadsUp {
    wire::Rollout rollout;
    bool operator==(const HeadsUp&) const = default;
};
/// How do we compare? `nonce` comes back in the answer (`reply`).
struct Sync {
    std::uint64_t nonce = 0;
    bool reply = false;
    Whole whole;
    bool operator==(const Sync&) const = default;
};
/// Orders to store; they are in the header and the whole.
struct Tell {
    std::vector<std::uint64_t> orders;
    Whole whole;
    bool operator==(const Tell&) const = default;
};
struct Told {
    std::vector<std::uint64_t> orders;
    bool operator==(const Told&) const = default;
};
/// Something that a newer agent said and this one has no word for; its header still counts.
struct Unknown {
    bool operator==(const Unknown&) const = default;
};
using Body =
    std::variant<Unknown, Ask, Granted, Denied, Release, Inquire, Handoff, HandoffAck, HeadsUp, Sync, Tell, Told>;

struct Message {
    Header header;
    Body body;
    bool operator==(const Message&) const = default;
};

/// `ask`, `granted`, …: the body's name on the wire.
[[nodiscard]] std::string_view body_name(const Message& message);

[[nodiscard]] json::Value to_json(const Message& message);
/// Error(invalid) naming the member at fault, or a protocol that is too old or too new.
[[nodiscard]] Message parse_message(const json::Value& value);

}  // namespace baton::chain
