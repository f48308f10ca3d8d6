// SPDX-License-Identifier: MIT
// Looking: status, rollouts, builds, the queue. Nothing here changes anything.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/engine/engine.h"
#include "agent/engine/parameter_seal.h"
#include "agent/operations/operations.h"
#include "agent/store/store.h"
#include "common/error.h"
#include "common/git/repository.h"
#include "common/json.h"
#include "common/text.h"

namespace baton::operations {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// A peer that was heard of within this time counts as reachable: several of the protocol's own intervals.
constexpr std::int64_t reachable_ms = 15'000;
constexpr std::size_t most_changes = 100;
constexpr std::size_t most_artifacts = 1'000;
/// How many builds are searched for the one that made what runs.
constexpr unsigned builds_looked_at = 50;

/// What may be shown of an app's parameters; the app may no longer be configured.
std::map<std::string, std::string> shown(const config::AgentConfig& config, const AppName& app,
                                         const std::map<std::string, std::string>& parameters) {
    const auto known = config.apps.find(app);
    return engine::without_secrets(known == config.apps.end() ? nullptr : &known->second, parameters);
}

BuildView to_view(const config::AgentConfig& config, const store::BuildRecord& record) {
    BuildView view;
    view.app = record.app;
    view.number = record.number;
    view.target = {record.rollout, record.attempt};
    view.commit = record.commit;
    view.previous_commit = record.previous_commit;
    view.state = record.state;
    view.stage = record.stage;
    view.started_ms = record.started_ms;
    view.finished_ms = record.finished_ms;
    view.message = record.message;
    view.queue_id = record.queue_id;
    view.causes = record.causes;
    view.parameters = shown(config, record.app, record.parameters);
    if (!record.steps.empty()) {
        for (const auto& step : json::parse(record.steps)) {
            view.steps.push_back({json::text(step, "stage"), json::text(step, "name"),
                                  json::number_or(step, "started_ms", 0), json::number_or(step, "finished_ms", 0),
                                  json::text(step, "outcome")});
        }
    }
    if (record.tests) {
        TestsView tests{record.tests->total,
                        record.tests->failed,
                        record.tests->skipped,
                        static_cast<double>(record.tests->duration_ms) / 1000,
                        {}};
        if (!record.failing_tests.empty()) {
            for (const auto& test : json::parse(record.failing_tests)) {
                tests.bad.push_back({json::text(test, "suite"), json::text(test, "class"), json::text(test, "name"),
                                     json::text(test, "message"), test.value("seconds", 0.0)});
            }
        }
        view.tests = std::move(tests);
    }
    return view;
}

/// The members of the chain in the order in which a rollout visits them.
std::vector<const config::Node*> visiting_order(const config::AgentConfig& config, const NodeName& start) {
    std::vector<const config::Node*> order;
    for (const auto& node : config.nodes) {
        if (node.role == config::NodeRole::member) order.push_back(&node);
    }
    const auto first = std::ranges::find(order, start, [](const config::Node* node) { return node->name; });
    if (first != order.end()) std::ranges::rotate(order, first);
    return order;
}

/// Null when it is not halted.
const chain::HaltedView* halted_view(const chain::View& chain_view, const RolloutId& id) {
    const auto is_this = [&](const chain::HaltedView& one) { return one.rollout.key.id == id; };
    const auto it = std::ranges::find_if(chain_view.halted, is_this);
    return it == chain_view.halted.end() ? nullptr : &*it;
}

RolloutState state_of(const RolloutView& view, const chain::View& chain_view) {
    const auto& key = view.rollout.key;
    const auto is_this = [&](const wire::Rollout& rollout) { return rollout.key == key; };
    if (std::ranges::any_of(chain_view.queued, is_this)) return RolloutState::queued;
    const bool leading = chain_view.leading && is_this(*chain_view.leading);
    const bool newest = chain_view.newest && chain_view.newest->key == view.rollout.key;
    if (halted_view(chain_view, key.id) != nullptr) return RolloutState::halted;
    bool failed = false;
    bool all_done = true;
    for (const auto& node : view.nodes) {
        const auto state = node.progress.state;
        failed = failed || state == wire::BuildState::failed || state == wire::BuildState::restored ||
                 state == wire::BuildState::stuck;
        // A node that nobody hears was skipped, or holds a permit; if it holds one, the protocol says so in waits_for.
        const bool skipped = !node.reachable && !node.self && (node.progress.finished_ms == 0 || node.jenkins);
        all_done = all_done && (state == wire::BuildState::succeeded || skipped);
    }
    const bool any_done = std::ranges::any_of(
        view.nodes, [](const NodeView& node) { return node.progress.state == wire::BuildState::succeeded; });
    if (all_done && any_done) return RolloutState::succeeded;
    // Of the newest the protocol knows: what failed without halting it is one node's own trouble.
    if (failed && !newest && !leading) return RolloutState::halted;
    return newest || leading ? RolloutState::running : RolloutState::superseded;
}

/// What a node said last that it runs, whatever rollout that was about.
CommitId last_current(store::Store& store, const AppName& app, const NodeName& node) {
    constexpr std::size_t looked_at = 10;
    wire::NodeProgress newest;
    for (const auto& record : store.rollouts.list(app, looked_at)) {
        const auto row = store.rollouts.progress(app, record.rollout.key.id, node);
        if (row && !row->current.empty() && row->version > newest.version) newest = *row;
    }
    return newest.current;
}

/// What a rollout waits for that is queued: the one before it.
std::string queued_behind(const chain::View& view, const wire::RolloutKey& key) {
    const auto it = std::ranges::find(view.queued, key, &wire::Rollout::key);
    if (it == view.queued.end() || !view.leading) return {};
    const auto& before = it == view.queued.begin() ? *view.leading : *(it - 1);
    return fmt::format("waits for the end of rollout {} (on_new_commit: queue)", before.key.id);
}

std::optional<OrderView> order_view(const std::optional<chain::OrderNote>& order) {
    if (!order) return {};
    return OrderView{order->who, order->reason, order->since_ms};
}

RolloutView rollout_view(const config::AgentConfig& config, store::Store& store, const wire::Rollout& rollout,
                         const chain::View& chain_view, bool self_in_service) {
    RolloutView view;
    view.rollout = rollout;
    view.rollout.parameters = shown(config, rollout.app, rollout.parameters);
    const auto rows = store.rollouts.progress(rollout.app, rollout.key.id);
    for (const auto* node : visiting_order(config, rollout.started_on)) {
        NodeView one;
        one.node = node->name;
        one.address = node->address.text();
        one.self = node->name == config.self;
        const auto peer = std::ranges::find(chain_view.peers, node->name, &chain::PeerView::node);
        if (peer != chain_view.peers.end()) one.last_heard_ms_ago = peer->silent_ms;
        one.reachable = one.self || (one.last_heard_ms_ago >= 0 && one.last_heard_ms_ago < reachable_ms);
        const auto row = std::ranges::find(rows, node->name, &wire::NodeProgress::node);
        if (row != rows.end()) one.progress = *row;
        if (node->jenkins) {
            // No agent there: its steward tells how it stands, and whether it is out of reach.
            one.jenkins = true;
            one.reachable = one.progress.state != wire::BuildState::cancelled;
        }
        one.progress.node = node->name;
        one.progress.rollout = rollout.key;
        if (one.progress.current.empty()) one.progress.current = last_current(store, rollout.app, node->name);
        const auto stage = one.progress.stage;
        const bool out = one.progress.finished_ms == 0 && stage >= wire::Stage::drain && stage <= wire::Stage::rejoin;
        const bool answers = one.jenkins || (peer != chain_view.peers.end() && peer->serving);
        one.in_service = one.self ? self_in_service
                                  : one.reachable && answers && !out && one.progress.state != wire::BuildState::stuck;
        if (one.self) one.drained = order_view(chain_view.drained);
        if (peer != chain_view.peers.end()) {
            one.drained = order_view(peer->drained);
            one.forgotten = order_view(peer->forgotten);
        }
        view.nodes.push_back(std::move(one));
    }
    view.state = state_of(view, chain_view);
    if (const auto it = chain_view.promoted.find(rollout.key); it != chain_view.promoted.end()) {
        view.promoted = order_view(it->second);
    }
    if (view.state == RolloutState::queued) view.reason = queued_behind(chain_view, rollout.key);
    if (view.state == RolloutState::halted) {
        if (const auto* halted = halted_view(chain_view, rollout.key.id)) {
            view.reason = halted->because;
            view.halted_ms = halted->since_ms;
        }
        for (const auto& node : view.nodes) {
            if (view.reason.empty() && !node.progress.message.empty()) {
                view.reason = fmt::format("{}: {}", node.node, node.progress.message);
            }
        }
    }
    return view;
}

QueueItem to_view(const config::AgentConfig& config, const store::QueueItem& item) {
    QueueItem view;
    view.id = item.id;
    view.app = item.app;
    switch (item.state) {
        case store::QueueState::waiting: view.state = QueueState::waiting; break;
        case store::QueueState::started: view.state = QueueState::started; break;
        case store::QueueState::held: view.state = QueueState::held; break;
        case store::QueueState::cancelled: view.state = QueueState::cancelled; break;
        case store::QueueState::refused: view.state = QueueState::refused; break;
    }
    view.parameters = shown(config, item.app, item.parameters);
    view.causes = item.causes;
    view.commit = item.commit;
    view.created_ms = item.created_ms;
    view.due_ms = item.due_ms;
    view.rollout = item.rollout;
    view.build = item.build;
    view.reason = item.reason;
    return view;
}

}  // namespace

std::string_view to_text(RolloutState state) {
    switch (state) {
        case RolloutState::queued: return "queued";
        case RolloutState::running: return "running";
        case RolloutState::succeeded: return "succeeded";
        case RolloutState::halted: return "halted";
        case RolloutState::superseded: return "superseded";
    }
    return "running";
}

std::string_view to_text(QueueState state) {
    switch (state) {
        case QueueState::waiting: return "waiting";
        case QueueState::started: return "started";
        case QueueState::held: return "held";
        case QueueState::cancelled: return "cancelled";
        case QueueState::refused: return "refused";
    }
    return "waiting";
}

Operations::Operations(const config::AgentConfig& config, store::Store& store, engine::Engine& engine,
                       const engine::ParameterSeal& seal, std::function<void()> wake_starter, const Clock& clock)
    : config_(config), store_(store), engine_(engine), seal_(seal), wake_starter_(std::move(wake_starter)), clock_(clock) {}

Status Operations::status(const std::optional<AppName>& only) const {
    Status status;
    status.node = config_.self;
    status.now_ms = to_epoch_ms(clock_.wall());
    status.quieting_down = store_.flags.get(AppName(), store::flag::quieting_down).value_or("");
    if (only) (void)config_.app(*only);
    for (const auto& [name, app] : config_.apps) {
        if (only && name != *only) continue;
        const auto snapshot = engine_.snapshot(name);
        AppStatus one;
        one.app = name;
        one.phase = std::string(chain::to_text(snapshot.view.phase));
        if (const auto& freeze = snapshot.view.frozen) {
            one.frozen = FreezeView{freeze->who, freeze->reason, freeze->since_ms, freeze->until_ms};
        }
        if (const auto& shown = snapshot.view.shown()) {
            one.rollout = rollout_view(config_, store_, *shown, snapshot.view, snapshot.in_service);
        }
        for (const auto& next : snapshot.view.queued) {
            one.queued.push_back(rollout_view(config_, store_, next, snapshot.view, snapshot.in_service));
        }
        one.waits_for = snapshot.view.waits_for;
        one.waiting_ms = snapshot.view.waiting.count();
        if (snapshot.view.current) one.current = snapshot.view.current->commit;
        one.in_service = snapshot.in_service;
        one.disabled = store_.flags.has(name, store::flag::disabled);
        one.draining = store_.flags.has(name, store::flag::drained);
        for (const auto& item : store_.queue.list(name)) one.triggers.push_back(to_view(config_, item));
        status.apps.push_back(std::move(one));
    }
    return status;
}

bool Operations::knows_rollout(const AppName& app, const RolloutId& id) const {
    return store_.rollouts.get(app, id).has_value();
}

std::vector<RolloutView> Operations::rollouts(const AppName& app, unsigned most) const {
    const auto snapshot = engine_.snapshot(app);
    std::vector<RolloutView> views;
    for (const auto& record : store_.rollouts.list(app, most)) {
        views.push_back(rollout_view(config_, store_, record.rollout, snapshot.view, snapshot.in_service));
    }
    return views;
}

/// A build that has ended keeps its queue item's id; of one that runs the queue knows it.
BuildView Operations::with_queue_id(BuildView view) const {
    if (view.queue_id == 0 && view.running()) {
        view.queue_id = store_.queue.first_of(view.app, view.target.key.id).value_or(0);
    }
    return view;
}

std::vector<BuildView> Operations::builds(const AppName& app, unsigned most) const {
    (void)config_.app(app);
    std::vector<BuildView> views;
    for (const auto& record : store_.builds.list(app, most)) views.push_back(with_queue_id(to_view(config_, record)));
    return views;
}

BuildView Operations::build(const AppName& app, unsigned number) const {
    (void)config_.app(app);
    const auto record = store_.builds.get(app, number);
    if (!record)
        throw Error(ErrorKind::not_found, fmt::format("app '{}' has no build {} on {}", app, number, config_.self));
    BuildView view = with_queue_id(to_view(config_, *record));
    const auto root = engine_.paths(app).artifacts_of(number);
    std::error_code fault;
    for (fs::recursive_directory_iterator it(root, fault), end; !fault && it != end; it.increment(fault)) {
        if (it->is_regular_file() && view.artifacts.size() < most_artifacts) {
            view.artifacts.push_back(it->path().lexically_relative(root).string());
        }
    }
    std::ranges::sort(view.artifacts);
    return view;
}

std::optional<unsigned> Operations::permalink(const AppName& app, Permalink link) const {
    (void)config_.app(app);
    using wire::BuildState;
    // UNSTABLE does not occur: tests that fail are a failure here.
    constexpr std::array good{BuildState::succeeded};
    constexpr std::array bad{BuildState::failed, BuildState::restored, BuildState::stuck};
    constexpr std::array not_good{BuildState::failed, BuildState::restored, BuildState::stuck, BuildState::cancelled,
                                  BuildState::superseded};
    constexpr std::array ended{BuildState::succeeded, BuildState::failed,    BuildState::restored,
                               BuildState::stuck,     BuildState::cancelled, BuildState::superseded};
    std::optional<store::BuildRecord> found;
    switch (link) {
        case Permalink::last: found = store_.builds.newest(app); break;
        case Permalink::last_completed: found = store_.builds.newest(app, ended); break;
        case Permalink::last_successful:
        case Permalink::last_stable: found = store_.builds.newest(app, good); break;
        case Permalink::last_unstable: break;
        case Permalink::last_failed: found = store_.builds.newest(app, bad); break;
        case Permalink::last_unsuccessful: found = store_.builds.newest(app, not_good); break;
    }
    if (!found) return std::nullopt;
    return found->number;
}

unsigned Operations::next_build_number(const AppName& app) const {
    (void)config_.app(app);
    return store_.builds.next_number(app);
}

std::vector<ChangeView> Operations::changes(const AppName& app, unsigned number) const {
    const auto build = this->build(app, number);
    std::vector<ChangeView> views;
    if (build.previous_commit.empty() || build.previous_commit == build.commit) return views;
    const git::Repository repository(engine_.paths(app).mirror);
    for (const auto& change : repository.changes(build.previous_commit, build.commit, most_changes)) {
        ChangeView view{change.commit.id,           change.commit.author_name,
                        change.commit.author_email, to_epoch_ms(change.commit.committed),
                        change.commit.message,      {}};
        for (const auto& path : change.paths) view.paths.emplace_back(std::string(git::to_text(path.type)), path.path);
        views.push_back(std::move(view));
    }
    return views;
}

std::vector<AuditEntry> Operations::audit(unsigned most, const std::optional<AppName>& app) const {
    if (app) (void)config_.app(*app);
    std::vector<AuditEntry> entries;
    for (const auto& entry : store_.audit.list(most, app.value_or(AppName()))) {
        entries.push_back({entry.at_ms, entry.who, entry.address, entry.action, entry.app.str(), entry.detail});
    }
    return entries;
}

bool Operations::in_service(const AppName& app) const { return engine_.snapshot(app).in_service; }

bool Operations::quieting_down() const { return store_.flags.has(AppName(), store::flag::quieting_down); }

QueueItem Operations::queue_item(std::uint64_t id) const {
    const auto item = store_.queue.get(id);
    if (!item) throw Error(ErrorKind::not_found, fmt::format("no queue item {}", id));
    QueueItem view = to_view(config_, *item);
    if (view.state == QueueState::started && view.build == 0) {
        if (const auto build = store_.builds.for_rollout(item->app, item->rollout)) view.build = build->number;
    }
    if (view.state == QueueState::started && view.build == 0) {
        explain_unbuilt(view);
    }
    return view;
}

/// Of an item that has become a rollout without a build here: what that waits for, or why none will come.
void Operations::explain_unbuilt(QueueItem& item) const {
    const auto view = engine_.snapshot(item.app).view;
    const auto is_it = [&](const std::optional<wire::Rollout>& one) { return one && one->key.id == item.rollout; };
    const auto queued =
        std::ranges::find(view.queued, item.rollout, [](const auto& rollout) { return rollout.key.id; });
    if (queued != view.queued.end()) {
        item.reason = queued_behind(view, queued->key);
    } else if (is_it(view.current)) {
        // Adopted: the node ran that commit already, and the build that made it stands for this one.
        for (const auto& record : store_.builds.list(item.app, builds_looked_at)) {
            if (record.commit == view.current->commit && record.state == wire::BuildState::succeeded) {
                item.build = record.number;
                return;
            }
        }
        item.no_build = true;
        item.reason = "this node ran that commit already";
    } else if (!is_it(view.leading) && !is_it(view.wanted)) {
        item.no_build = true;
        const auto* halted = halted_view(view, item.rollout);
        item.reason =
            halted != nullptr ? halted->because : "another rollout took its place before this node had begun it";
    }
}

std::vector<QueueItem> Operations::queue() const {
    std::vector<QueueItem> views;
    for (const auto& item : store_.queue.list()) views.push_back(to_view(config_, item));
    // A trigger whose rollout has its turn still to come waits, too.
    for (const auto& [name, app] : config_.apps) {
        for (const auto& rollout : engine_.snapshot(name).view.queued) {
            const auto id = store_.queue.first_of(name, rollout.key.id);
            if (id && !store_.builds.for_rollout(name, rollout.key.id)) views.push_back(queue_item(*id));
        }
    }
    return views;
}

}  // namespace baton::operations
