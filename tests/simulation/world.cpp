// SPDX-License-Identifier: MIT
// Time and the network of the simulated world, and the course of a history.
#include "tests/simulation/world.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>

#include "common/json.h"
#include <nlohmann/json.hpp>

namespace baton::simulation {
namespace {

constexpr std::int64_t watch_after_ms = 8'000;
constexpr std::int64_t latest_ms = 6'000;
constexpr std::int64_t queued_rollout_ms = 30'000;
constexpr std::size_t most_violations = 5;

bool later_event(std::int64_t left_at, std::uint64_t left_order, std::int64_t right_at, std::uint64_t right_order) {
    return left_at != right_at ? left_at > right_at : left_order > right_order;
}

}  // namespace

World::World(const Scenario& scenario, chain::Rules rules, bool trace)
    : s_(scenario), rules_(rules), trace_(trace), chance_(scenario.seed ^ 0xD1B54A32D192ED03ULL) {
    for (const auto& name : s_.members) index_[name] = hosts_.size(), hosts_.emplace_back().name = name;
    for (const auto& name : s_.witnesses) {
        index_[name] = hosts_.size();
        hosts_.emplace_back().name = name;
        hosts_.back().member = false;
    }
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        hosts_[i].index = i;
        hosts_[i].disk = chain::fresh_durable(chance_.bits() | 1U);
    }
    side_.assign(hosts_.size(), 0);
}

void World::at(std::int64_t when_ms, Step step) {
    events_.push_back({std::max(when_ms, now_), ++order_, std::move(step)});
    std::push_heap(events_.begin(), events_.end(), [](const Event& left, const Event& right) {
        return later_event(left.at, left.order, right.at, right.order);
    });
}

void World::run_until(std::int64_t until_ms, const std::function<bool()>& done) {
    while (!events_.empty() && events_.front().at <= until_ms && outcome_.violations.empty()) {
        std::pop_heap(events_.begin(), events_.end(), [](const Event& left, const Event& right) {
            return later_event(left.at, left.order, right.at, right.order);
        });
        auto event = std::move(events_.back());
        events_.pop_back();
        now_ = event.at;
        event.step();
        if (done && done()) return;
    }
    if (outcome_.violations.empty()) now_ = until_ms;
}

Outcome World::run() {
    arrange();
    run_until(s_.chaos_ms);
    if (outcome_.violations.empty()) {
        end_faults();
        const auto healed = now_;
        std::int64_t next_look = now_;
        std::string missing;
        bool converged = false;
        // In a queue each waiting rollout has its time; a superseded one has none.
        const bool queue = s_.policy.on_new_commit == config::OnNewCommit::queue;
        std::size_t offers = 0;
        for (const auto& push : s_.pushes) offers += push.nodes.size();
        if (queue) converge_within_ms_ += static_cast<std::int64_t>(offers) * queued_rollout_ms;
        std::int64_t since = -1;
        run_until(healed + converge_within_ms_, [&] {
            if (now_ < next_look) return false;
            next_look = now_ + 200;
            missing = not_converged();
            if (!missing.empty()) {
                since = -1;
            } else if (since < 0) {
                since = now_;
            }
            // What was sent before the faults ended has arrived by then.
            converged = since >= 0 && now_ > healed + latest_ms;
            return converged;
        });
        if (converged) {
            outcome_.converged_ms = since - healed;
            trace("--- converged after {} ms", outcome_.converged_ms);
            quiet_ = true;
            run_until(now_ + watch_after_ms);
            if (outcome_.violations.empty()) {
                missing = not_converged();
                if (!missing.empty()) violation("I4: converged, and then not any more: " + missing);
            }
        } else if (outcome_.violations.empty()) {
            violation(missing);
        }
    }
    return outcome_;
}

std::int64_t World::network_delay() {
    if (calm_) return chance_.between(1, 20);
    if (chance_.happens(s_.tail)) return chance_.between(50, latest_ms - 1'000);
    return chance_.between(1, 60);
}

void World::send(const Host& from, const chain::Send& action, Sender sender) {
    ++outcome_.counts.messages;
    const auto to = index_.find(action.to);
    if (to == index_.end()) return;
    std::shared_ptr<const chain::Message> message;
    if (s_.round_trips) {
        const auto text = json::dump(chain::to_json(action.message));
        message = std::make_shared<chain::Message>(chain::parse_message(json::parse(text)));
        if (*message != action.message) violation("codec: a message reads back differently: " + text);
    } else {
        message = std::make_shared<chain::Message>(action.message);
    }
    if (std::holds_alternative<chain::Handoff>(message->body)) {
        ++outcome_.counts.handoffs;
        if (quiet_) violation(fmt::format("I6: {} hands off after convergence", from.name));
    }
    if (quiet_ && std::holds_alternative<chain::Ask>(message->body)) {
        violation(fmt::format("I6: {} asks for a permit after convergence", from.name));
    }
    if (!calm_ && (cut(from.index, to->second) || chance_.happens(s_.loss))) {
        trace("{} -x {} {}", from.name, action.to, chain::body_name(*message));
        return;
    }
    trace("{}{} -> {} {}", sender == Sender::impostor ? "the other " : "", from.name, action.to,
          chain::body_name(*message));
    if (answers_impostor_ && impostor_ && impostor_->of == to->second) {
        after(network_delay(), [this, name = from.name, message] { hear_as_impostor(name, message); });
        return;
    }
    deliver(from.name, to->second, message, network_delay(), sender);
    if (calm_) return;
    if (chance_.happens(s_.duplicate)) deliver(from.name, to->second, message, network_delay(), sender);
    if (chance_.happens(s_.replay)) deliver(from.name, to->second, message, chance_.between(500, latest_ms), sender);
}

void World::deliver(const NodeName& from, std::size_t to, const std::shared_ptr<const chain::Message>& message,
                    std::int64_t delay_ms, Sender sender) {
    after(delay_ms, [this, from, to, message, sender] {
        auto& host = hosts_[to];
        if (!host.machine) return;
        answers_impostor_ = sender == Sender::impostor;
        input(host, [&](chain::Machine& machine) { return machine.receive(instant(), from, *message); });
        answers_impostor_ = false;
    });
}

void World::print(const std::string& line) const {
    std::printf("%8.3f %s\n", static_cast<double>(now_) / 1000.0, line.c_str());
}

void World::violation(const std::string& what) {
    trace("!!! {}", what);
    if (outcome_.violations.size() < most_violations) {
        outcome_.violations.push_back(fmt::format("{} (at {} ms)", what, now_));
    }
}

}  // namespace baton::simulation
