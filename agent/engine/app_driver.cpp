// SPDX-License-Identifier: MIT
// One app on this node: from the protocol's actions to work, messages and records, and back.
#include "agent/engine/app_driver.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/engine/peer_packs.h"
#include "agent/engine/peer_wire.h"
#include "agent/engine/settings.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/json.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::engine {
namespace {

using namespace std::chrono_literals;

/// How long the store is left alone after it could not be written: a full disk is not cured by asking.
constexpr auto store_again_after = 1s;
/// How often it is looked whether a build's record lacks its end.
constexpr auto settle_every = 2s;
/// After a boot: how long a node listens to its peers before it serves, and how long it waits for a majority.
constexpr auto listen_for = 4s;
constexpr auto alone_for = 20s;

std::uint64_t random_number() {
    const std::string bytes = random_bytes(sizeof(std::uint64_t));
    std::uint64_t number = 0;
    std::memcpy(&number, bytes.data(), sizeof number);
    return number;
}

/// A peer whose messages are being received; however that ends, it ends.
class Answering {
  public:
    Answering(std::optional<NodeName>& slot, const NodeName& peer) : slot_(slot) { slot_ = peer; }
    Answering(const Answering&) = delete;
    Answering& operator=(const Answering&) = delete;
    ~Answering() { slot_.reset(); }

  private:
    std::optional<NodeName>& slot_;
};

std::string_view said_of(chain::SwitchEnd end) {
    switch (end) {
        case chain::SwitchEnd::in_service: return "back in service with the new release";
        case chain::SwitchEnd::restored: return "back in service with the release before";
        case chain::SwitchEnd::untouched: return "not switched, in service as before";
        case chain::SwitchEnd::failed: return "a migration failed, in service as before";
        case chain::SwitchEnd::stuck: return "out of service: neither release could be proved";
    }
    return "switched";
}

chain::Durable load_durable(const DriverContext& context) {
    const auto text = context.store.chain.load(context.app.name);
    if (!text) return chain::fresh_durable(random_number() | 1U);
    return with_context(fmt::format("state of app \"{}\"", context.app.name),
                        [&] { return chain::parse_durable(json::parse(*text)); });
}

}  // namespace

AppDriver::AppDriver(DriverContext context)
    : context_(std::move(context)),
      machine_(machine_settings(context_.config, context_.app,
                                context_.seal.seal(context_.app, effective_parameters(context_.app, {}))),
               load_durable(context_), random_number()),
      progress_(context_.config, context_.app, context_.store, context_.clock, context_.outbox),
      waiting_(context_.app.name, context_.clock, progress_),
      steward_(StewardContext{context_.config, context_.app, context_.store, context_.clock, context_.seal,
                              steward_events()}),
      runner_(RunnerContext{context_.config, context_.app, context_.store, context_.clock, context_.slots, *this,
                            context_.service,
                            [this](const CommitId& commit) {
                                return fetch_from_peers(context_.config, context_.app, context_.store, context_.outbox,
                                                        context_.clock, commit);
                            },
                            context_.seal}),
      rotation_(context_.config, context_.app, context_.store, context_.service, runner_.doorman(),
                context_.fresh_start && context_.config.agents() > 1) {
    rotation_.begin(out_of_service());
}

// --- into the machine ---

void AppDriver::start(bool app_up) {
    begun_ = true;
    app_up_ = app_up;
    started_ = now();
    judge_service();
    // What the store must not lose is there before the first message goes out, a fresh incarnation above all.
    unstored_ = true;
    apply(machine_.start(now(), app_up));
    note_held_out();
    PeerExchange ask;
    ask.wants_history = true;
    for (const auto& node : context_.config.nodes) {
        if (node.name == context_.config.self || node.jenkins) continue;
        context_.outbox.post(node.name, peer_target(context_.app.name), json::dump(to_json(ask)),
                             [this, from = node.name](const PeerAnswer& answer) {
                                 hear(from, answer, [this](const PeerExchange& said) {
                                     progress_.merge(said.progress, said.rollouts);
                                     progress_.merge_ledger(said.ledger);
                                 });
                             });
    }
}

void AppDriver::tick() {
    if (!begun_) return;
    if (unstored_ && now() >= next_store_) flush();
    if (now() >= machine_.next_tick()) apply(machine_.tick(now()));
    if (now() >= next_settle_) {
        next_settle_ = now() + settle_every;
        settle_records();
        if (!runner_.switching()) rotation_.settle();  // a switch's own stages wait for the load balancer
        waiting_.log(view());
        progress_.say_again(machine_.durable().current, machine_.view(now()).newest);
        if (machine_.durable().owed.empty()) progress_.note_neighbours(machine_.durable().current);
    }
}

Instant AppDriver::next_tick() const {
    if (!begun_) return Instant::max();
    return unstored_ ? std::min(next_store_, machine_.next_tick()) : machine_.next_tick();
}

std::vector<chain::Message> AppDriver::receive(const NodeName& from, const std::string& address,
                                               const std::vector<chain::Message>& messages) {
    // Its database may be new, and nothing may be said in its name before that is stored.
    if (!begun_) throw Error(ErrorKind::busy, "this agent is starting");
    answer_.clear();
    {
        const Answering scope(answering_, from);
        for (const auto& message : messages) apply(machine_.receive(now(), from, message, {address, false}));
    }
    if (unstored_) throw Error(ErrorKind::io, "the state could not be stored; nothing was accepted");
    return std::move(answer_);
}

void AppDriver::offer(const wire::Rollout& rollout) {
    // What could not be read again would be stored, and the agent never start any more.
    if (!is_commit_id(rollout.commit.str())) {
        throw Error(ErrorKind::invalid, fmt::format("'{}' is no whole commit id", rollout.commit));
    }
    apply(machine_.offer(now(), rollout));
}

chain::OrderId AppDriver::order(const chain::Order& order, const std::string& who) {
    chain::OrderId id = 0;
    apply(machine_.order(now(), order, who, id));
    return id;
}

bool AppDriver::cancel(const wire::Target& target, const std::string& reason) {
    if (!runner_.cancel(target, wire::BuildState::cancelled, reason)) return false;
    apply(machine_.build_failed(now(), target, reason));
    return true;
}

void AppDriver::health(bool app_up) {
    app_up_ = app_up;
    // A node that could not be put back is out until that is proved, whatever its app answers.
    if (!out_of_service()) judge_service();
    note_held_out();
    apply(machine_.health(now(), app_up));
}

void AppDriver::set_drained(const std::optional<chain::OrderNote>& drained) {
    rotation_.set_drained(drained);
    if (begun_) note_held_out();
}

void AppDriver::note_held_out() {
    const bool held_out = rotation_.kept_out();
    const auto drained = rotation_.drained();
    if (held_out == held_out_ && drained == drained_) return;
    held_out_ = held_out;
    drained_ = drained;
    apply(machine_.held_out(now(), held_out, drained));
}

Snapshot AppDriver::snapshot() const {
    const auto& known = machine_.durable().known;
    const bool ended = !known.empty() && known.rbegin()->second.ended;
    auto view = this->view();
    if (rotation_.catching_up() && view.waits_for.empty()) {
        const auto heard = std::ranges::count_if(view.peers, [](const auto& peer) { return peer.silent_ms >= 0; });
        view.waits_for = fmt::format("what the others run, before it serves: {} of {} heard", heard, view.peers.size());
        view.waiting = std::chrono::duration_cast<Milliseconds>(now() - started_);
    }
    if (const auto trouble = rotation_.trouble(); !trouble.empty() && view.waits_for.empty()) {
        view.waits_for = fmt::format("the load balancer to be told: {}", trouble);
    }
    return {std::move(view), rotation_.ready(), app_up_, ended, listening()};
}

chain::View AppDriver::view() const {
    auto view = machine_.view(now());
    if (bringing_on() && !neighbour_waits_.empty()) view.waits_for = neighbour_waits_;
    if (machine_.debt() && !silent_.empty()) view.waits_for = silent_;
    return view;
}

bool AppDriver::listening() const {
    if (!begun_) return true;
    if (now() - started_ >= listen_for) return false;
    return std::ranges::any_of(machine_.view(now()).peers,
                               [](const chain::PeerView& peer) { return peer.silent_ms < 0; });
}

std::string AppDriver::why_bad(const CommitId& commit) const {
    const auto& bad = machine_.durable().bad;
    const auto it = bad.find(commit);
    if (it == bad.end() || it->second.forgiven) return {};
    return it->second.reason.empty() ? std::string("it failed") : it->second.reason;
}

CommitId AppDriver::current_commit() const {
    const auto& current = machine_.durable().current;
    return current ? current->commit : CommitId();
}

bool AppDriver::behind() const {
    const auto view = machine_.view(now());
    const std::size_t others = context_.config.agents() - 1;
    const auto heard = static_cast<std::size_t>(
        std::ranges::count_if(view.peers, [](const chain::PeerView& peer) { return peer.silent_ms >= 0; }));
    // Alone after a power cut it serves what it has, after a while: an old release is better than none.
    if (2 * (heard + 1) <= others + 1 && now() - started_ < alone_for) return true;
    if (now() - started_ < listen_for) return true;
    if (!view.current) return view.newest.has_value();
    // A rollout that nobody has proved yet, a canary that bakes, is nothing to stay out of service for.
    return view.proven && view.current->key < view.proven->key;
}

void AppDriver::judge_service() {
    if (rotation_.catching_up() && !behind()) rotation_.caught_up();
    rotation_.set_healthy(app_up_);
}

bool AppDriver::switching() const {
    const auto& durable = machine_.durable();
    return out_of_service() && durable.claim->stage != chain::OutStage::stuck;
}

bool AppDriver::out_of_service() const {
    const auto& durable = machine_.durable();
    return durable.phase == chain::Phase::out && durable.claim->stage != chain::OutStage::baking && !bringing_on();
}

bool AppDriver::bringing_on() const {
    const auto& durable = machine_.durable();
    return durable.phase == chain::Phase::out && durable.claim->stage == chain::OutStage::neighbours;
}

void AppDriver::stop_work() {
    steward_.stop();
    runner_.stop();
}

// --- out of the machine ---

void AppDriver::apply(chain::Effects effects) {
    for (auto& action : effects.actions) pending_.push_back(std::move(action));
    unstored_ = unstored_ || effects.store;
    flush();
    steward_.owe(machine_.debt());
    note_waiting();
}

bool AppDriver::store_state() {
    if (!unstored_) return true;
    if (now() < next_store_) return false;
    try {
        context_.store.chain.save(context_.app.name, json::dump(chain::to_json(machine_.durable())));
        unstored_ = false;
        next_store_ = Instant{};
        return true;
    } catch (const Error& error) {
        // Nothing has left this node yet that depends on it: to the peers it is as if this agent were slow.
        next_store_ = now() + store_again_after;
        log::error("chain", "cannot store the state; the app's rollouts wait",
                   {{"app", context_.app.name}, {"reason", error.text()}});
        return false;
    }
}

void AppDriver::flush() {
    if (!store_state()) return;
    while (!pending_.empty()) {
        const chain::Action action = std::move(pending_.front());
        pending_.pop_front();
        try {
            std::visit([this](const auto& some) { carry_out(some); }, action);
        } catch (const Error& error) {
            // Each is repeated by the protocol or only shown to people; the ones behind it must not be lost with it.
            log::error("chain", "could not be carried out", {{"app", context_.app.name}, {"reason", error.text()}});
        }
    }
}

void AppDriver::settle_records() {
    const auto& durable = machine_.durable();
    const auto view = machine_.view(now());
    for (const auto& record : context_.store.builds.unfinished()) {
        const wire::Target target{record.rollout, record.attempt};
        const bool claimed = durable.claim && durable.claim->rollout.target() == target;
        const bool wanted = view.wanted && view.wanted->target() == target;
        if (record.app != context_.app.name || claimed || wanted || runner_.has(target)) continue;
        const auto failure = durable.failed.find(target.key);
        if (failure != durable.failed.end() && failure->second.attempt >= target.attempt) {
            const bool here =
                failure->second.node == context_.config.self && failure->second.kind == chain::FailureKind::failed;
            runner_.records().finish(target, here ? wire::BuildState::failed : wire::BuildState::cancelled,
                                     failure->second.reason);
        } else if (durable.current && durable.current->target() == target) {
            runner_.records().finish(target, wire::BuildState::succeeded, {});
        } else if (durable.current && durable.current->key > target.key) {
            runner_.records().finish(target, wire::BuildState::superseded,
                                     fmt::format("superseded by {}", durable.current->key.id));
        }
    }
}

void AppDriver::carry_out(const chain::Send& send) {
    if (answering_ == send.to) {
        answer_.push_back(send.message);
        return;
    }
    const auto [target, body] = to_letter(context_.app.name, send.message);
    context_.outbox.post(send.to, target, body, [this, to = send.to](const PeerAnswer& answer) {
        hear(to, answer, [this, to](const PeerExchange& said) {
            const auto* peer = context_.config.find_node(to);
            const chain::Origin origin{peer != nullptr ? peer->address.text() : std::string(), true};
            for (const auto& message : said.messages) apply(machine_.receive(now(), to, message, origin));
        });
    });
}

void AppDriver::hear(const NodeName& from, const PeerAnswer& answer, std::function<void(const PeerExchange&)> take) {
    if (!answer || !answer->ok()) return;
    PeerExchange said;
    try {
        said = context_.reader.read(from, answer->body);
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::conflict) return;  // the reader has told the log
        throw;
    }
    context_.post([said = std::move(said), take = std::move(take)] { take(said); });
}

void AppDriver::carry_out(const chain::StartBuild& start) {
    runner_.prepare(start.rollout, start.ahead, start.again);
    context_.store.rollouts.upsert(
        {start.rollout, store::RolloutState::running, {}, to_epoch_ms(context_.clock.wall())});
}

void AppDriver::carry_out(const chain::CancelBuild& cancel) { runner_.cancel(cancel.target, cancel.as, cancel.reason); }

void AppDriver::carry_out(const chain::Switch& action) {
    waits_for_.clear();
    rotation_.leave_to_switch();
    build::SwitchOptions options;
    options.run_once = action.run_once;
    options.redo = action.redo;
    runner_.switch_over(action.ticket, action.rollout, options);
}

void AppDriver::carry_out(const chain::Restore& restore) {
    build::SwitchOptions options;
    options.redo = true;
    options.restore_only = true;
    options.reason = restore.reason;
    runner_.switch_over(restore.ticket, restore.rollout, options);
}

void AppDriver::carry_out(const chain::Neighbours& action) {
    silent_.clear();
    neighbour_waits_.clear();
    steward_.bring_on(action.ticket, action.rollout);
}

void AppDriver::carry_out(const chain::BringUp&) {
    runner_.bring_up(machine_.durable().current.value_or(wire::Rollout{}));
}

void AppDriver::carry_out(const chain::Note& note) {
    const std::initializer_list<log::Field> fields{{"app", context_.app.name}, {"what", note.text}};
    switch (note.level) {
        case chain::Note::Level::info: log::info("chain", "note", fields); break;
        case chain::Note::Level::warning: log::warning("chain", "note", fields); break;
        case chain::Note::Level::error: log::error("chain", "note", fields); break;
    }
}

void AppDriver::note_waiting() {
    const auto view = this->view();
    if (!unstored_) progress_.record(view);
    if (switching()) return;  // its stages say what they wait for
    waiting_.say(view);
    if (!view.wanted || view.baking || view.waits_for == waits_for_) return;
    waits_for_ = view.waits_for;
    runner_.records().note_stage(view.wanted->target(), wire::Stage::permit, view.waits_for);
}

// --- what the runner tells, on its thread ---

void AppDriver::build_changed(const store::BuildRecord& record) {
    context_.post([this, record] { progress_.update(record, machine_.durable().current); });
}

void AppDriver::build_ready(const wire::Target& target, bool deploys, bool has_once_steps) {
    context_.post([=, this] { apply(machine_.build_ready(now(), target, deploys, has_once_steps)); });
}

void AppDriver::build_failed(const wire::Target& target, const std::string& reason) {
    context_.post([=, this] { apply(machine_.build_failed(now(), target, reason)); });
}

void AppDriver::once_started(const chain::Ticket& ticket) {
    context_.post_and_wait([&] {
        apply(machine_.once_started(now(), ticket));
        if (unstored_) throw Error(ErrorKind::io, "cannot store that a migration is about to run; it does not run");
    });
}

void AppDriver::once_done(const chain::Ticket& ticket) {
    context_.post_and_wait([&] { apply(machine_.once_done(now(), ticket)); });
}

void AppDriver::switched(const chain::Ticket& ticket, const wire::Rollout& rollout, chain::SwitchEnd end,
                         const std::string& reason) {
    context_.post([=, this] {
        app_up_ = end != chain::SwitchEnd::stuck;
        const auto level = end == chain::SwitchEnd::in_service ? log::Level::info : log::Level::warning;
        log::write(level, "chain", said_of(end),
                   {{"app", rollout.app}, {"rollout", rollout.key.id}, {"commit", rollout.commit}, {"reason", reason}});
        apply(machine_.switched(now(), ticket, end, reason));
    });
}

StewardEvents AppDriver::steward_events() {
    StewardEvents events;
    events.goes_on = [this](const wire::Target& target) {
        auto goes_on = chain::GoesOn::no;
        context_.post_and_wait([&] { goes_on = machine_.goes_on(target); });
        return goes_on;
    };
    events.may_pass_over = [this](const wire::Target& target, const NodeName& node, const std::set<NodeName>& besides) {
        bool may = false;
        context_.post_and_wait([&] { may = machine_.may_pass_over(target, node, besides); });
        return may;
    };
    events.progress = [this](const wire::NodeProgress& row) {
        context_.post([this, row] {
            neighbour_waits_ = row.waits_for.empty() ? "" : fmt::format("{} (Jenkins): {}", row.node, row.waits_for);
            progress_.tell_for(row);
        });
    };
    events.done = [this](const chain::Ticket& ticket, const chain::NeighboursEnd& end) {
        context_.post_and_wait([&] {
            log::info("chain", "brought on to the neighbours",
                      {{"app", context_.app.name},
                       {"good", end.outcome == chain::NeighboursEnd::Outcome::done},
                       {"reason", end.reason}});
            neighbour_waits_.clear();
            apply(machine_.neighbours_done(now(), ticket, end));
        });
    };
    events.answer = [this](const wire::Target& target) {
        context_.post_and_wait([&] {
            silent_.clear();
            apply(machine_.neighbours_answer(now(), target));
        });
    };
    events.no_answer = [this](const std::string& who) {
        context_.post_and_wait([&] {
            silent_ = who;
            note_waiting();
        });
    };
    return events;
}

}  // namespace baton::engine
