// SPDX-License-Identifier: MIT
// What every node shows of every node.
#include "agent/engine/progress.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "agent/engine/peer_wire.h"
#include "common/error.h"
#include "common/json.h"
#include "common/log.h"

namespace baton::engine {
namespace {

/// Rollouts told to a peer that asks for what it missed.
constexpr std::size_t history_length = 20;
/// Rows of the ledger told to it, and looked through for what is news.
constexpr std::size_t ledger_length = 300;
/// Rows since a build began among which its own is looked for.
constexpr std::size_t ledger_news = 100;

}  // namespace

void Progress::update(const store::BuildRecord& record, const std::optional<wire::Rollout>& current) {
    const auto& app = app_.name;
    auto row = store_.rollouts.progress(app, record.rollout.id, config_.self).value_or(wire::NodeProgress{});
    row.node = config_.self;
    row.rollout = record.rollout;
    // A version that also grows over a lost database: rows of this node that peers kept must not win for ever.
    row.version = std::max(row.version + 1, static_cast<std::uint64_t>(to_epoch_ms(clock_.wall())));
    row.build = record.number;
    row.stage = record.stage;
    row.state = record.state;
    row.since_ms = record.stage_ms;
    row.started_ms = record.started_ms;
    row.finished_ms = record.finished_ms;
    row.waits_for = record.finished_ms == 0 ? record.message : std::string();
    row.message = record.finished_ms == 0 ? std::string() : record.message;
    if (current) row.current = current->commit;
    if (record.state == wire::BuildState::succeeded) row.current = record.commit;
    store_.rollouts.put_progress(app, row);
    publish(row);
}

void Progress::note_waiting(const wire::RolloutKey& rollout, const std::string& what) {
    auto row = store_.rollouts.progress(app_.name, rollout.id, config_.self);
    // A build that is open says itself what it waits for.
    if (row && row->build > 0 && row->finished_ms == 0) return;
    if ((row ? row->waits_for : std::string()) == what) return;
    const auto at = to_epoch_ms(clock_.wall());
    if (!row) {
        row.emplace();
        row->node = config_.self;
        row->rollout = rollout;
        row->since_ms = at;
    }
    row->version = std::max(row->version + 1, static_cast<std::uint64_t>(at));
    row->waits_for = what;
    store_.rollouts.put_progress(app_.name, *row);
    publish(*row);
}

void Progress::record(const chain::View& view) {
    if (!view.newest) return;
    if (view.queued.empty() && view.halted.empty() && !recorded_.contains(view.newest->target())) recorded_.clear();
    const auto once = [&](const wire::Rollout& rollout) {
        if (recorded_.contains(rollout.target())) return;
        record(rollout);
        recorded_.insert(rollout.target());
    };
    try {
        once(*view.newest);
        for (const auto& rollout : view.queued) once(rollout);
        for (const auto& halted : view.halted) once(halted.rollout);
    } catch (const Error& error) {
        // For people only, and tried again with whatever comes next.
        log::warning("chain", "cannot record a rollout", {{"app", app_.name}, {"reason", error.text()}});
    }
}

void Progress::record(const wire::Rollout& rollout) {
    const auto known = store_.rollouts.get(app_.name, rollout.key.id);
    if (known && known->rollout.attempt >= rollout.attempt) return;
    store_.rollouts.upsert({rollout, store::RolloutState::running, {}, to_epoch_ms(clock_.wall())});
}

void Progress::say_again(const std::optional<wire::Rollout>& current, const std::optional<wire::Rollout>& newest) {
    const auto& rollouts = store_.rollouts;
    if (current && !store_.builds.for_rollout(app_.name, current->key.id)) {
        // A roll-back to what runs here already: nothing was built, and it is done all the same. What was said before
        // of waiting for it is over.
        const auto before = rollouts.progress(app_.name, current->key.id, config_.self);
        if (!before || before->finished_ms == 0) {
            wire::NodeProgress row;
            row.node = config_.self;
            row.rollout = current->key;
            row.version = static_cast<std::uint64_t>(to_epoch_ms(clock_.wall()));
            row.stage = wire::Stage::done;
            row.state = wire::BuildState::succeeded;
            row.since_ms = row.started_ms = row.finished_ms = to_epoch_ms(clock_.wall());
            row.current = current->commit;
            row.message = "this node ran that commit already";
            tell_for(std::move(row));
        }
    }
    // Letters get lost while a peer or this agent is away: how it stands is said again.
    if (!newest) return;
    if (const auto row = rollouts.progress(app_.name, newest->key.id, config_.self)) publish(*row);
    for (const auto* node : config_.neighbours_of(config_.self)) {
        if (const auto row = rollouts.progress(app_.name, newest->key.id, node->name)) publish(*row);
    }
}

void Progress::tell_for(wire::NodeProgress row) {
    if (const auto before = store_.rollouts.progress(app_.name, row.rollout.id, row.node)) {
        row.version = std::max(row.version, before->version + 1);
    }
    store_.rollouts.put_progress(app_.name, row);
    publish(row);
}

void Progress::note_neighbours(const std::optional<wire::Rollout>& current) {
    if (!current) return;
    const auto own = store_.rollouts.progress(app_.name, current->key.id, config_.self);
    if (!own || own->state != wire::BuildState::succeeded) return;
    for (const auto* node : config_.neighbours_of(config_.self)) {
        if (store_.rollouts.progress(app_.name, current->key.id, node->name)) continue;
        auto row = *own;
        row.node = node->name;
        row.build = 0;
        row.message = "as the node before it: nothing was to be done";
        tell_for(std::move(row));
    }
}

void Progress::publish(const wire::NodeProgress& row) {
    PeerExchange said;
    said.progress = {row};
    for (auto& cost : store_.ledger.list(app_.name, row.started_ms, ledger_news)) {
        if (cost.node == row.node && cost.rollout == row.rollout.id) said.ledger.push_back(std::move(cost));
    }
    if (const auto record = store_.rollouts.get(app_.name, row.rollout.id)) said.rollouts = {record->rollout};
    const std::string body = json::dump(to_json(said));
    for (const auto& node : config_.nodes) {
        if (node.name != config_.self && !node.jenkins) {
            outbox_.post(node.name, peer_target(app_.name), body, nullptr);
        }
    }
}

void Progress::merge(const std::vector<wire::NodeProgress>& progress, const std::vector<wire::Rollout>& rollouts) {
    for (const auto& rollout : rollouts) record(rollout);
    for (const auto& row : progress) {
        if (row.node != config_.self) store_.rollouts.put_progress(app_.name, row);
    }
}

void Progress::merge_ledger(const std::vector<store::LedgerEntry>& rows) {
    if (rows.empty()) return;
    using Key = std::tuple<NodeName, RolloutId, unsigned>;
    std::map<Key, std::int64_t> known;
    for (const auto& row : store_.ledger.list(app_.name, 0, ledger_length)) {
        known.emplace(Key(row.node, row.rollout, row.build), row.at_ms);
    }
    for (auto row : rows) {
        if (row.node == config_.self) continue;
        const auto it = known.find(Key(row.node, row.rollout, row.build));
        // Letters may arrive late and twice: what was said at the end of a switch outlives what was said at its
        // beginning.
        if (it != known.end() && it->second >= row.at_ms) continue;
        row.app = app_.name;
        try {
            store_.ledger.put(row);
        } catch (const Error& error) {
            // Nothing that the protocol says depends on it, and the peer tells it again.
            log::warning("engine", "cannot store a peer's ledger", {{"app", row.app}, {"reason", error.text()}});
            return;
        }
    }
}

std::vector<store::LedgerEntry> Progress::ledger() const { return store_.ledger.list(app_.name, 0, ledger_length); }

void Progress::history(std::vector<wire::NodeProgress>& progress, std::vector<wire::Rollout>& rollouts) const {
    for (const auto& record : store_.rollouts.list(app_.name, history_length)) {
        rollouts.push_back(record.rollout);
        for (auto& row : store_.rollouts.progress(app_.name, record.rollout.key.id)) {
            progress.push_back(std::move(row));
        }
    }
}

}  // namespace baton::engine
