// SPDX-License-Identifier: MIT
// A deterministic world for the shipped machine: clock, network, disks, apps, people, and the invariants watched at
// every step. Real counterpart: the agent's engine with its HTTP, SQLite and processes.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/chain/machine.h"
#include "tests/simulation/scenario.h"

namespace baton::simulation {

struct Counts {
    std::uint64_t switches = 0;
    std::uint64_t crashes = 0;
    std::uint64_t messages = 0;
    std::uint64_t handoffs = 0;
    std::uint64_t triggers = 0;     ///< of neighbours
    std::uint64_t passed_over = 0;  ///< neighbours, each time
    std::uint64_t debts = 0;        ///< … that were seen to answer later
};

struct Outcome {
    Counts counts;
    std::vector<std::string> violations;  ///< empty: the history was fine; else the first few
    std::int64_t converged_ms = -1;       ///< simulated time from the end of the faults
    unsigned most_out = 0;
};

/// How far a steward has come with a neighbour and a rollout, as its store has it.
enum class NeighbourStep { none, asked, done, failed, passed_over };
struct NeighbourNote {
    wire::Target target;
    CommitId commit;
    NeighbourStep step = NeighbourStep::none;
};

/// A machine that is still a Jenkins.
struct Neighbour {
    NodeName name;
    std::size_t steward = 0;
    std::int64_t away_until = -1;
    bool building = false;  ///< and out of service: the first of the queue
    bool forced = false;    ///< … by a person's order, without a majority
    std::deque<std::pair<std::uint64_t, wire::Rollout>> queue;
    std::map<wire::Target, std::uint64_t> triggered;  ///< by the steward's present database; which build
    std::map<std::uint64_t, bool> ended;              ///< well?
    CommitId runs;
};

/// One bringing on of a rollout to the neighbours of a host, by one run of its agent.
struct Bringing {
    chain::Ticket ticket;
    wire::Rollout rollout;
    std::set<NodeName> passed_over;
    std::vector<std::size_t> order;
    std::size_t at = 0;  ///< whose turn it is
    std::int64_t since = 0;
    NeighbourStep step = NeighbourStep::none;
    bool owed = false;  ///< it was passed over in this rollout before
};

/// Another agent in a node's name.
struct Impostor {
    std::size_t of = 0;
    std::unique_ptr<chain::Machine> machine;
};
enum class Sender { host, impostor };

/// One node: its machine while the agent lives, its disk, and the truth about its app.
struct Host {
    NodeName name;
    std::size_t index = 0;
    bool member = true;
    std::unique_ptr<chain::Machine> machine;
    chain::Durable disk;
    std::uint64_t run = 0;  ///< of the agent; what an older run had begun is void
    bool dead = false;      ///< for good
    std::int64_t clock_offset = 0;
    std::int64_t restarted_ms = 0;
    std::int64_t tick_at = -1;
    // The app, as it truly is.
    bool up = true;
    bool out = false;  ///< by our doing
    wire::Target out_for;
    std::optional<wire::Rollout> release;
    std::optional<wire::Rollout> before;  ///< the release before it
    std::set<wire::Target> built;
    std::map<chain::Ticket, std::int64_t> asked_at;
    std::int64_t away_until = -1;     ///< the agent does not come back before
    std::int64_t trouble_until = -1;  ///< every build fails here
    bool forced = false;              ///< out by a person's order, without a majority
    std::vector<std::size_t> neighbours;
    std::map<std::size_t, NeighbourNote> neighbour_notes;  ///< on its disk
    std::uint64_t watches_debt = 0;                        ///< the run that does
};

class World {
  public:
    World(const Scenario& scenario, chain::Rules rules, bool trace);
    /// Lets the whole history happen.
    Outcome run();
    void converge_within(std::int64_t limit_ms) { converge_within_ms_ = limit_ms; }

  private:
    using Step = std::function<void()>;
    struct Event {
        std::int64_t at = 0;
        std::uint64_t order = 0;
        Step step;
    };

    // --- world.cpp: time and network ---
    void at(std::int64_t when_ms, Step step);
    void after(std::int64_t delay_ms, Step step) { at(now_ + delay_ms, std::move(step)); }
    /// Runs events until `until_ms`, or until `done` holds after an event.
    void run_until(std::int64_t until_ms, const std::function<bool()>& done = {});
    void send(const Host& from, const chain::Send& action, Sender sender = Sender::host);
    void deliver(const NodeName& from, std::size_t to, const std::shared_ptr<const chain::Message>& message,
                 std::int64_t delay_ms, Sender sender);
    [[nodiscard]] std::int64_t network_delay();
    [[nodiscard]] Instant instant() const { return Instant(Milliseconds(now_)); }
    template <class... Args>
    void trace(fmt::format_string<Args...> text, Args&&... args) {
        if (trace_) print(fmt::format(text, std::forward<Args>(args)...));
    }
    void print(const std::string& line) const;
    void violation(const std::string& what);

    // --- host.cpp: agents ---
    void start_agent(Host& host);
    [[nodiscard]] chain::Settings settings_of(const Host& host);
    void crash(Host& host, const char* why);
    /// Gives one input to the machine and carries out what comes back.
    void input(Host& host, const std::function<chain::Effects(chain::Machine&)>& give);
    void apply(Host& host, chain::Effects effects);
    void stored(Host& host);
    void schedule_tick(Host& host);
    /// Runs `step` later unless the agent has died meanwhile.
    void later(Host& host, std::int64_t delay_ms, Step step);
    void perform(Host& host, const chain::Action& action);
    void build(Host& host, const chain::StartBuild& action);
    void fail_to_build(Host& host, const wire::Target& target);
    void switch_over(Host& host, const chain::Switch& action);
    void end_switch(Host& host, const chain::Switch& action);
    void fail_migration(Host& host, const chain::Switch& action);
    void restore(Host& host, const chain::Ticket& ticket, const wire::Rollout& failed, bool after_switch,
                 const std::string& reason);
    void bring_up(Host& host);
    [[nodiscard]] const Commit& commit_of(const wire::Rollout& rollout) const;

    // --- impostor.cpp ---
    void arrange_impostor();
    void start_impostor();
    void end_impostor();
    void tick_impostor();
    void feed_impostor(const std::function<chain::Effects(chain::Machine&)>& give);
    void hear_as_impostor(const NodeName& from, const std::shared_ptr<const chain::Message>& message);
    void own_again(std::size_t index);

    // --- neighbours.cpp ---
    void arrange_neighbours();
    void bring_on(Host& host, const chain::Neighbours& action);
    void come_to_neighbour(Host& host, Bringing& job);
    void note_neighbour(Host& host, Bringing& job, NeighbourStep step);
    void bring_on_next(Host& host, const std::shared_ptr<Bringing>& job);
    void end_bringing(Host& host, const Bringing& job, chain::NeighboursEnd::Outcome outcome);
    void trigger(Host& host, Neighbour& neighbour, Bringing& job);
    void follow(Host& host, Neighbour& neighbour, Bringing& job);
    void start_neighbour(Host& host, Neighbour& neighbour, const Bringing& job);
    void build_on_neighbour(std::size_t which);
    void watch_debt(Host& host);
    [[nodiscard]] bool neighbours_rest(const Host& host) const;

    // --- faults.cpp ---
    void arrange_faults();
    void kill_for_good(Host& host);
    void wipe(Host& host);
    void partition(std::int64_t for_ms);
    void patch_links();
    void ambush(Ambush what);
    [[nodiscard]] bool cut(std::size_t from, std::size_t to) const;
    void end_faults();

    // --- people.cpp: pushes and persons ---
    void arrange();
    void push(const Push& push, std::size_t which, int tries);
    [[nodiscard]] wire::Rollout new_rollout(const Host& host, const CommitId& commit);
    void accept_until_done(std::size_t index);
    void forget_until_done(std::size_t index);
    void freeze();
    void halt();
    void retry();
    void roll_back();
    void promote();
    void force();
    void repair();
    [[nodiscard]] Host* some_live_host(const NodeName& but = {});
    /// Gives an order; false when it was refused or nobody was there to take it.
    bool order(Host& host, const chain::Order& order, const std::function<void()>& when_known = {});
    void wait_until_known(std::size_t index, std::uint64_t run, chain::OrderId id, const std::function<void()>& then);

    // --- checks.cpp: invariants ---
    void check_out();
    void check_switch(const Host& host, const chain::Switch& action);
    void check_trigger(const Host& host, const chain::Ticket& ticket, const wire::Rollout& rollout);
    [[nodiscard]] std::string neighbours_not_converged(const Host& host, const wire::RolloutKey& good) const;
    void note_failures(const Host& host);
    void note_known(const Host& host);
    void check_older(const Host& host, const chain::Switch& action, std::int64_t requested);
    void check_failed(const Host& host, const chain::Switch& action, std::int64_t requested);
    void check_taken_back(const Host& host, const chain::Switch& action, std::int64_t requested);
    void check_once(const Host& host, const chain::Switch& action);
    [[nodiscard]] bool majority_of_hosts(const std::function<bool(const Host&)>& holds) const;
    /// What every live node must end on.
    [[nodiscard]] wire::RolloutKey newest_good() const;
    [[nodiscard]] std::string not_converged() const;

    Scenario s_;
    chain::Rules rules_;
    bool trace_;
    Chance chance_;
    std::int64_t now_ = 0;
    std::uint64_t order_ = 0;
    std::vector<Event> events_;
    std::vector<Host> hosts_;
    std::vector<Neighbour> neighbours_;
    std::unique_ptr<Impostor> impostor_;
    bool answers_impostor_ = false;  ///< its message is being received
    std::uint64_t builds_ = 0;       ///< of neighbours
    std::map<NodeName, std::size_t> index_;
    std::vector<int> side_;  ///< partition: who is on which side
    std::set<std::pair<std::size_t, std::size_t>> cut_links_;
    bool calm_ = false;   ///< the faults have ended
    bool quiet_ = false;  ///< converged: nothing may happen any more
    std::set<NodeName> forgotten_;
    std::set<NodeName> forgotten_done_;
    std::set<std::pair<wire::Target, std::size_t>> failing_;           ///< whose switch failed where, recorded or not
    std::set<std::pair<wire::Target, std::size_t>> neighbour_failed_;  ///< whose neighbour turned it down
    std::map<wire::Target, std::int64_t> switch_failed_at_;            ///< first recorded anywhere
    std::map<wire::Target, std::int64_t> majority_failed_at_;
    std::map<wire::RolloutKey, std::int64_t> majority_known_at_;
    std::map<std::pair<CommitId, wire::RolloutKey>, std::int64_t> majority_bad_at_;  ///< by which rollout
    std::map<wire::Target, std::int64_t> forgotten_with_;  ///< a machine died installing it; known since
    std::map<wire::RolloutKey, unsigned> once_successes_;
    std::int64_t converge_within_ms_ = 120'000;
    Outcome outcome_;
};

}  // namespace baton::simulation
