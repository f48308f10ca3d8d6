// SPDX-License-Identifier: MIT
// simulate SEEDS [FIRST_SEED] [--mutate RULE] [--trace]: many random histories of the chain protocol, each from a seed.
//          --fleet NODES LANES: one calm rollout over a large chain
//          --mutants SEEDS: every rule that so many seeds can catch, left out, must be caught
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fmt/format.h>
#include <map>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/text.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/world.h"

namespace baton::simulation {
namespace {

constexpr int fine = 0;
constexpr int violated = 1;
constexpr int wrong_usage = 2;
constexpr std::size_t most_printed = 20;

int usage() {
    std::fputs(
        "usage: simulate SEEDS [FIRST_SEED] [--mutate RULE] [--trace]\n"
        "       simulate --fleet NODES LANES\n"
        "       simulate --mutants SEEDS\n"
        "RULE: ",
        stderr);
    std::fputs((join(chain::rule_names(), " ") + "\n").c_str(), stderr);
    return wrong_usage;
}

struct Request {
    std::uint64_t seeds = 0;
    std::uint64_t first = 1;
    std::string mutate;
    bool trace = false;
};

using Times = std::vector<std::pair<std::int64_t, std::uint64_t>>;  // when, and the seed

void print_times(const char* which, Times& converged) {
    if (converged.empty()) return;
    std::ranges::sort(converged);
    const auto seconds = [&](std::size_t i) { return static_cast<double>(converged[i].first) / 1000; };
    fmt::print(
        "{} converged after the faults ended: median {:.1f} s, 99 of 100 within {:.1f} s, at most {:.1f} s of "
        "simulated "
        "time (seed {})\n",
        which, seconds(converged.size() / 2), seconds(converged.size() * 99 / 100), seconds(converged.size() - 1),
        converged.back().second);
}

int simulate(const Request& request) {
    const auto rules = request.mutate.empty() ? chain::Rules{} : chain::rules_without(request.mutate);
    Counts total;
    std::uint64_t bad_seeds = 0;
    Times superseding;
    Times queueing;                         // each of the waiting rollouts takes its time: no measure of the protocol
    std::map<std::string, unsigned> kinds;  // the invariant that each bad seed broke first
    for (std::uint64_t i = 0; i < request.seeds; ++i) {
        const auto seed = request.first + i;
        const auto scenario = draw_scenario(seed);
        const auto outcome = World(scenario, rules, request.trace).run();
        auto& converged = scenario.policy.on_new_commit == config::OnNewCommit::queue ? queueing : superseding;
        total.switches += outcome.counts.switches;
        total.crashes += outcome.counts.crashes;
        total.messages += outcome.counts.messages;
        total.handoffs += outcome.counts.handoffs;
        total.triggers += outcome.counts.triggers;
        total.passed_over += outcome.counts.passed_over;
        total.debts += outcome.counts.debts;
        if (outcome.converged_ms >= 0) converged.emplace_back(outcome.converged_ms, seed);
        if (outcome.violations.empty()) continue;
        ++kinds[outcome.violations.front().substr(0, outcome.violations.front().find(':'))];
        if (++bad_seeds > most_printed) continue;
        for (const auto& what : outcome.violations) fmt::print("seed {}: {}\n", seed, what);
        fmt::print("seed {}: replay with: scripts/simulate 1 {}{} --trace\n", seed, seed,
                   request.mutate.empty() ? "" : " --mutate " + request.mutate);
        std::fflush(stdout);
    }
    print_times("histories that supersede", superseding);
    print_times("histories with a queue", queueing);
    fmt::print("neighbours without an agent: triggered {} times, passed over {} times, seen to answer later {} times\n",
               total.triggers, total.passed_over, total.debts);
    std::vector<std::string> broken;
    for (const auto& [kind, count] : kinds) broken.push_back(fmt::format("{} by {}", kind, count));
    if (!broken.empty()) fmt::print("broken: {}\n", join(broken, ", "));
    fmt::print("seeds {} switches {} crashes {} messages {} violations {}\n", request.seeds, total.switches,
               total.crashes, total.messages, bad_seeds);
    return bad_seeds == 0 ? fine : violated;
}

/// A calm rollout over a chain of `nodes` in `lanes`: the bound holds, and the time is near nodes / lanes x switch.
int fleet(std::size_t nodes, unsigned lanes) {
    Scenario s;
    s.seed = 7;
    for (std::size_t i = 1; i <= nodes; ++i) s.members.emplace_back(fmt::format("web{}", i));
    s.voters.assign(s.members.begin(),
                    s.members.begin() + std::min<std::ptrdiff_t>(5, static_cast<std::ptrdiff_t>(nodes)));
    s.lanes = lanes;
    s.policy.canary = 1;
    s.policy.prepare_ahead = std::nullopt;
    s.build_ms = 1'000;
    s.switch_ms = 2'000;
    s.exact_switch = true;
    s.commits.push_back(Commit{CommitId(std::string(40, 'a')), false, false, {}, false, false, false});
    s.pushes.push_back(Push{3'000, 0, {0}});
    const auto formula = static_cast<std::int64_t>(nodes) * s.switch_ms / lanes;
    s.chaos_ms = 4'000;
    World world(s, chain::Rules{}, false);
    world.converge_within(4 * formula + 60'000);
    const auto outcome = world.run();
    for (const auto& what : outcome.violations) fmt::print("{}\n", what);
    const auto took = outcome.converged_ms + 1'000;
    fmt::print(
        "nodes {} lanes {}: most out {}, {} switches, {} messages, {:.1f} s; nodes / lanes x switch = {:.1f} s\n",
        nodes, lanes, outcome.most_out, outcome.counts.switches, outcome.counts.messages,
        static_cast<double>(took) / 1000, static_cast<double>(formula) / 1000);
    if (!outcome.violations.empty()) return violated;
    if (outcome.most_out > lanes || outcome.counts.switches != nodes) return violated;
    // Permits, handoffs and the catch-up of nodes that nobody hands to cost something; twice the formula would be a
    // fault.
    return took <= 2 * formula + 10'000 ? fine : violated;
}

int mutants(std::uint64_t seeds) {
    int result = fine;
    for (const auto& rule : chain::rule_names()) {
        const auto rules = chain::rules_without(rule);
        std::uint64_t seed = 1;
        std::string what;
        for (; seed <= seeds && what.empty(); ++seed) {
            const auto outcome = World(draw_scenario(seed), rules, false).run();
            if (!outcome.violations.empty()) what = outcome.violations.front();
        }
        const bool rare = std::ranges::find(rare_rules(), rule) != rare_rules().end();
        if (what.empty() && !rare) result = violated;
        fmt::print("{}: {}\n", rule,
                   what.empty() ? fmt::format("not caught by {} seeds{}", seeds, rare ? ", as is known" : "")
                                : fmt::format("caught by seed {}: {}", seed - 1, what));
        std::fflush(stdout);
    }
    return result;
}

int run(const std::vector<std::string>& arguments) {
    if (arguments.size() == 3 && arguments[0] == "--fleet") {
        const auto nodes = parse_whole(arguments[1]);
        const auto lanes = parse_whole(arguments[2]);
        if (!nodes || !lanes || *nodes < 2 || *nodes > 2'000 || *lanes < 1 || *lanes > *nodes) return usage();
        return fleet(*nodes, static_cast<unsigned>(*lanes));
    }
    if (arguments.size() == 2 && arguments[0] == "--mutants") {
        const auto seeds = parse_whole(arguments[1]);
        return seeds && *seeds > 0 ? mutants(*seeds) : usage();
    }
    Request request;
    std::vector<std::uint64_t> numbers;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (arguments[i] == "--trace") {
            request.trace = true;
        } else if (arguments[i] == "--mutate" && i + 1 < arguments.size()) {
            request.mutate = arguments[++i];
            if (std::ranges::find(chain::rule_names(), request.mutate) == chain::rule_names().end()) return usage();
        } else if (const auto number = parse_whole(arguments[i])) {
            numbers.push_back(*number);
        } else {
            return usage();
        }
    }
    if (numbers.empty() || numbers.size() > 2 || numbers[0] == 0) return usage();
    request.seeds = numbers[0];
    if (numbers.size() == 2) request.first = numbers[1];
    return simulate(request);
}

}  // namespace
}  // namespace baton::simulation

int main(int argc, char** argv) {
    try {
        return baton::simulation::run({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "simulate: %s\n", error.what());
        return 1;
    }
}
