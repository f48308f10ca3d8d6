// SPDX-License-Identifier: MIT
// A second agent that says for a while that it is one of the nodes: a cloned machine whose database is empty, a wrong
// --node. Nobody reaches it but with an answer to what it has said. Whatever it says, the others keep their promises.
#include <algorithm>
#include <fmt/format.h>

#include "tests/simulation/world.h"

namespace baton::simulation {
namespace {

/// Until its last word has arrived, and counts as silence.
constexpr std::int64_t forgotten_after_ms = 12'000;
constexpr std::int64_t people_look_again_ms = 700;

}  // namespace

void World::arrange_impostor() {
    if (!s_.impostor) return;
    at(s_.impostor->at_ms, [this] {
        if (!calm_) start_impostor();
    });
    at(s_.impostor->at_ms + s_.impostor->for_ms, [this] { end_impostor(); });
}

void World::start_impostor() {
    const auto& host = hosts_[s_.impostor->node];
    trace("--- another agent says that it is {}", host.name);
    // It asks, too, when it is told that it is not taken for the node: what protects the others must be theirs.
    auto bold = rules_;
    bold.wiped_wait = false;
    impostor_ = std::make_unique<Impostor>();
    impostor_->of = s_.impostor->node;
    impostor_->machine = std::make_unique<chain::Machine>(settings_of(host), chain::fresh_durable(chance_.bits() | 1U),
                                                          chance_.bits(), bold);
    feed_impostor([&](chain::Machine& machine) { return machine.start(instant(), true); });
    tick_impostor();
}

void World::end_impostor() {
    if (!impostor_) return;
    trace("--- the other agent that said that it is {} is gone", hosts_[impostor_->of].name);
    const auto of = impostor_->of;
    impostor_.reset();
    after(forgotten_after_ms, [this, of] { own_again(of); });
}

void World::tick_impostor() {
    if (!impostor_) return;
    feed_impostor([&](chain::Machine& machine) { return machine.tick(instant()); });
    const auto due = impostor_->machine->next_tick().time_since_epoch().count();
    at(std::max(now_ + 1, due), [this] { tick_impostor(); });
}

void World::feed_impostor(const std::function<chain::Effects(chain::Machine&)>& give) {
    const auto& host = hosts_[impostor_->of];
    for (const auto& action : give(*impostor_->machine).actions) {
        if (const auto* sent = std::get_if<chain::Send>(&action)) {
            send(host, *sent, Sender::impostor);
        } else if (const auto* start = std::get_if<chain::StartBuild>(&action)) {
            after(s_.build_ms, [this, target = start->rollout.target()] {
                if (!impostor_) return;
                feed_impostor(
                    [&](chain::Machine& machine) { return machine.build_ready(instant(), target, true, false); });
            });
        } else if (std::holds_alternative<chain::Switch>(action)) {
            violation(fmt::format("I1: another agent goes out of service as {}", host.name));
        } else if (const auto* note = std::get_if<chain::Note>(&action)) {
            trace("the other {} says: {}", host.name, note->text);
        }
    }
}

void World::hear_as_impostor(const NodeName& from, const std::shared_ptr<const chain::Message>& message) {
    if (!impostor_) return;
    feed_impostor([&](chain::Machine& machine) { return machine.receive(instant(), from, *message, {"there", true}); });
}

/// Peers that met the other one first must be told by a person whom to believe.
void World::own_again(std::size_t index) {
    const auto& host = hosts_[index];
    if (host.dead || quiet_) return;
    const bool disowned = host.machine && host.machine->view(instant()).disowned;
    auto* other = some_live_host(host.name);
    if (disowned && other && host.up && !host.out && neighbours_rest(host)) {
        trace("ann says on {}: accept {}", other->name, host.name);
        order(*other, chain::Accept{host.name});
    }
    after(people_look_again_ms, [this, index] { own_again(index); });
}

}  // namespace baton::simulation
