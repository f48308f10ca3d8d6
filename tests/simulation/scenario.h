// SPDX-License-Identifier: MIT
// One history to be: the chain, its policy, how hostile the world is, and which commits come. Drawn from a seed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "agent/chain/settings.h"
#include "common/types.h"

namespace baton::simulation {

/// The world's chance; the same on every platform.
class Chance {
  public:
    explicit Chance(std::uint64_t seed) : engine_(seed) {}
    [[nodiscard]] std::uint64_t bits() { return engine_(); }
    /// From 0 to `most` inclusive.
    [[nodiscard]] std::size_t below_or(std::size_t most) { return static_cast<std::size_t>(engine_() % (most + 1)); }
    [[nodiscard]] std::int64_t between(std::int64_t least, std::int64_t most) {
        return least + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(most - least + 1));
    }
    [[nodiscard]] double share() { return static_cast<double>(engine_() >> 11U) * 0x1.0p-53; }
    [[nodiscard]] bool happens(double probability) { return share() < probability; }

  private:
    std::mt19937_64 engine_;
};

/// What is wrong with a commit.
struct Commit {
    CommitId id;
    bool build_fails = false;     ///< its tests fail, everywhere
    bool switch_fails = false;    ///< it never becomes healthy, anywhere
    std::set<NodeName> fails_on;  ///< … or only there
    bool sick_later = false;      ///< healthy at first, down soon after
    bool once_steps = false;
    bool once_fails = false;
};

struct Push {
    std::int64_t at_ms = 0;
    std::size_t commit = 0;
    std::vector<std::size_t> nodes;  ///< where a hook or a poll notices it
};

/// Done to the chain while a node is out of service, which is when it hurts.
enum class Ambush {
    restart_others,  ///< every other agent is killed, and back in no time
    wipe_granter,    ///< one that had granted the holder's permit comes back with an empty database
    holder_away,     ///< the holder's agent is killed, and back after a long while
    holder_dies,     ///< for good
};

/// A node on which, for a while, every build fails: its git host is out of reach, its disk is full.
struct Trouble {
    std::int64_t at_ms = 0;
    std::int64_t for_ms = 0;
    std::size_t node = 0;
};

/// A machine of the chain that is still a Jenkins; the member before it brings it on.
struct NeighbourToBe {
    NodeName name;
    std::size_t steward = 0;
};
struct Outage {
    std::int64_t at_ms = 0;
    std::int64_t for_ms = 0;
    std::size_t neighbour = 0;
};

/// For a while another agent, with a database of its own, says that it is that node.
struct ImpostorToBe {
    std::int64_t at_ms = 0;
    std::int64_t for_ms = 0;
    std::size_t node = 0;
};

struct Scenario {
    std::uint64_t seed = 0;
    std::vector<NodeName> members;
    std::vector<NodeName> witnesses;
    std::vector<NodeName> voters;     ///< empty: members and witnesses
    std::int64_t build_ms = 800;      ///< at most
    std::int64_t switch_ms = 2'000;   ///< at most
    std::int64_t restart_ms = 2'500;  ///< a killed agent is back after at most this
    bool exact_switch = false;        ///< every switch takes switch_ms
    unsigned lanes = 1;
    config::RolloutPolicy policy;
    chain::Timing timing;

    double loss = 0;
    double duplicate = 0;
    double replay = 0;
    double tail = 0;   ///< share of messages that are late by up to 5 s
    double crash = 0;  ///< for each effect that acts or stores
    double restore_fails = 0;
    double untouched = 0;
    double reboot = 0;          ///< share of crashes that take the app with them
    std::int64_t chaos_ms = 0;  ///< after it the faults end
    bool clock_jumps = false;
    bool round_trips = false;  ///< every message and every stored state goes through JSON
    std::vector<std::int64_t> partitions_ms;
    std::vector<std::pair<std::int64_t, std::size_t>> deaths;  ///< for good
    std::vector<std::pair<std::int64_t, std::size_t>> wipes;   ///< killed, and back with an empty database
    double patchy = 0;  ///< share of the links that are cut, drawn anew from time to time
    std::vector<std::pair<std::int64_t, Ambush>> ambushes;
    bool lonely_wipes = false;  ///< a wiped granter does not reach those who know of the permit, for a while
    std::vector<Trouble> troubles;
    std::optional<ImpostorToBe> impostor;
    std::vector<NeighbourToBe> neighbours;
    std::vector<Outage> outages;
    std::int64_t neighbour_ms = 2'000;  ///< a build of theirs takes at most this
    std::vector<std::int64_t> freezes_ms;
    std::vector<std::int64_t> halts_ms;
    std::vector<std::int64_t> retries_ms;
    std::vector<std::int64_t> rollbacks_ms;
    std::vector<std::int64_t> promotes_ms;
    std::vector<std::int64_t> forces_ms;
    std::vector<Commit> commits;
    std::vector<Push> pushes;
};

/// Rules whose absence is caught by one history in thousands only.
[[nodiscard]] const std::vector<std::string>& rare_rules();

/// The whole history follows from `seed`.
[[nodiscard]] Scenario draw_scenario(std::uint64_t seed);

}  // namespace baton::simulation
