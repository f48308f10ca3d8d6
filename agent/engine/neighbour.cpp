// SPDX-License-Identifier: MIT
// One neighbour that is still a Jenkins, and one rollout.
#include "agent/engine/neighbour.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <fmt/format.h>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/config/expand.h"
#include "common/error.h"
#include "common/file.h"
#include "common/log.h"
#include "common/text.h"

namespace baton::engine {
namespace {

using namespace std::chrono_literals;

/// Between two looks at a queue item or build.
constexpr auto look_every = 1s;
/// A trigger whose answer was lost is looked for so often before it counts as not having arrived.
constexpr unsigned looks_for_lost = 3;
/// How long answers are borne with that a person would have to mend: a Jenkins that starts has odd moments.
constexpr auto patience = 60s;
/// For people.
constexpr auto unclear = "a majority to say that the rollout still stands, since the agent before it was restarted";
/// The job's parameters that carry the commit: jobs call it by one of these names.
constexpr std::array<const char*, 5> commit_names{"COMMIT", "GIT_COMMIT", "SHA1", "REVISION", "sha1"};
constexpr std::array<const char*, 2> branch_names{"BRANCH", "GIT_BRANCH"};

constexpr std::array<std::pair<NeighbourState::Step, std::string_view>, 7> steps{
    {{NeighbourState::Step::none, "none"},
     {NeighbourState::Step::asked, "asked"},
     {NeighbourState::Step::queued, "queued"},
     {NeighbourState::Step::building, "building"},
     {NeighbourState::Step::done, "done"},
     {NeighbourState::Step::failed, "failed"},
     {NeighbourState::Step::passed_over, "passed_over"}}};

std::string_view to_text(NeighbourState::Step step) {
    const auto found = std::ranges::find(steps, step, &decltype(steps)::value_type::first);
    return found->second;
}

NeighbourState::Step parse_step(std::string_view text) {
    const auto found = std::ranges::find(steps, text, &decltype(steps)::value_type::second);
    if (found == steps.end()) throw Error(ErrorKind::invalid, fmt::format("'{}' is no step of a neighbour", text));
    return found->first;
}

std::string key_of(const NodeName& node) { return std::string(store::flag::neighbour) + node.str(); }

/// What finds a trigger again: the rollout and its attempt.
std::string marker_of(const wire::Rollout& rollout) { return fmt::format("{}.{}", rollout.key.id, rollout.attempt); }

}  // namespace

json::Value to_json(const NeighbourState& state) {
    return {{"target", wire::to_json(state.target)}, {"commit", state.commit.str()}, {"step", to_text(state.step)},
            {"from_build", state.from_build},        {"queue_id", state.queue_id},   {"build", state.build},
            {"started_ms", state.started_ms},        {"since_ms", state.since_ms},   {"message", state.message}};
}

NeighbourState parse_neighbour_state(const json::Value& value) {
    NeighbourState state;
    state.target = wire::parse_target(json::member(value, "target"));
    state.commit = CommitId(json::text(value, "commit"));
    state.step = parse_step(json::text(value, "step"));
    state.from_build = static_cast<unsigned>(json::whole(value, "from_build"));
    state.queue_id = json::whole(value, "queue_id");
    state.build = static_cast<unsigned>(json::whole(value, "build"));
    state.started_ms = json::number_or(value, "started_ms", 0);
    state.since_ms = json::number_or(value, "since_ms", 0);
    state.message = json::text_or(value, "message", "");
    return state;
}

bool is_begun(const NeighbourState& state) {
    using Step = NeighbourState::Step;
    return state.step == Step::asked || state.step == Step::queued || state.step == Step::building;
}

std::optional<NeighbourState> stored_neighbour(const store::Store& store, const AppName& app, const NodeName& node) {
    const auto text = store.flags.get(app, key_of(node));
    if (!text) return std::nullopt;
    return parse_neighbour_state(json::parse(*text));
}

net::JenkinsJob job_of(const config::Node& node, const AppName& app) {
    const auto& jenkins = *node.jenkins;
    net::JenkinsAccess access;
    access.url = jenkins.url;
    access.job = config::expand(jenkins.job, {{"APP", app.str()}});
    access.user = jenkins.user;
    if (!jenkins.token_file.empty()) access.secret = read_secret_file(jenkins.token_file);
    access.tls.ca_file = jenkins.ca_file;
    return net::JenkinsJob(std::move(access));
}

Neighbour::Neighbour(NeighbourContext context, const wire::Rollout& rollout)
    : context_(std::move(context)), rollout_(rollout) {}

Neighbour::End Neighbour::run(const std::stop_token& stop) {
    const auto before = stored_neighbour(context_.store, context_.app.name, context_.node.name);
    if (before && before->target == rollout_.target()) {
        state_ = *before;
        owed_ = state_.step == Step::passed_over;
        if (owed_) state_.step = Step::none;
    } else {
        state_.target = rollout_.target();
        state_.commit = rollout_.commit;
        state_.started_ms = to_epoch_ms(context_.clock.wall());
        const bool has_it = before && before->step == Step::done && before->commit == rollout_.commit;
        if (has_it && rollout_.kind == wire::RolloutKind::rollback) {
            state_.message = "it runs that commit already";
            go_to(Step::done, "");
            return End::done;
        }
    }
    switch (state_.step) {
        case Step::done: return End::done;
        case Step::failed: reason_ = state_.message; return End::failed;
        case Step::none:
        case Step::asked:
        case Step::passed_over:  // none by now
            if (const auto end = trigger(stop)) return *end;
            break;
        case Step::queued:
        case Step::building: break;
    }
    log::info("steward", "follows a neighbour",
              {{"app", context_.app.name},
               {"node", context_.node.name},
               {"rollout", rollout_.key.id},
               {"queue_item", state_.queue_id},
               {"build", state_.build}});
    const auto deadline = context_.clock.now() + context_.node.jenkins->timeout;
    while (true) {
        if (const auto end = follow(stop)) return *end;
        if (context_.clock.now() < deadline) continue;
        try {
            if (state_.build != 0) job_of(context_.node, context_.app.name).stop(state_.build);
        } catch (const Error& error) {
            log::warning("steward", "cannot stop a neighbour's build",
                         {{"node", context_.node.name}, {"reason", error.text()}});
        }
        return fail(fmt::format("no end of it within {}", human_duration(context_.node.jenkins->timeout)));
    }
}

net::Arguments Neighbour::parameters() const {
    net::Arguments arguments;
    const auto opened = context_.seal.open(context_.app, rollout_.parameters);
    if (!opened.unreadable.empty()) throw Error(ErrorKind::invalid, opened.unreadable);
    for (const auto& [name, value] : opened.parameters) arguments.emplace_back(name, value);
    const auto add = [&](const char* name, const std::string& value) {
        if (!rollout_.parameters.contains(name)) arguments.emplace_back(name, value);
    };
    for (const char* name : commit_names) add(name, rollout_.commit.str());
    for (const char* name : branch_names) add(name, context_.app.branch);
    add("BATON_ROLLOUT", marker_of(rollout_));
    add("BATON_CAUSE", cause());
    return arguments;
}

/// For people, and for a job that triggers further ones: who hands it on tells an agent of baton that this rollout is
/// on its way already.
std::string Neighbour::cause() const {
    return fmt::format("baton rollout={} app={} commit={} hops={},{}", marker_of(rollout_), context_.app.name,
                       rollout_.commit, context_.config.self, context_.node.name);
}

/// Until Jenkins has taken a trigger, or it is clear that it will not. None: it has.
std::optional<Neighbour::End> Neighbour::trigger(const std::stop_token& stop) {
    const auto began = context_.clock.now();
    while (true) {
        const auto waited = context_.clock.now() - began;
        std::string wait = "the answer to its trigger to be found again";
        try {
            auto job = job_of(context_.node, context_.app.name);
            // A trigger that was sent may have arrived, whatever became of its answer.
            const bool sent = state_.step == Step::asked;
            if (sent && adopt_lost_trigger(job)) return std::nullopt;
            if (!sent || ++lost_looks_ >= looks_for_lost) {
                const auto goes_on = context_.goes_on();
                if (goes_on == chain::GoesOn::no) return End::given_up;
                if (goes_on == chain::GoesOn::unclear) {
                    say(unclear);
                    if (nap(stop) == Wait::stopped) return End::stopped;
                    continue;
                }
                lost_looks_ = 0;
                if (const auto end = send_trigger(job)) return *end;
                if (state_.step == Step::queued) return std::nullopt;
            }
        } catch (const Error& error) {
            const bool sent = state_.step == Step::asked;
            if (!net::may_pass(error) && (!sent || waited >= patience)) return fail(error.text());
            wait = error.text();
        }
        if (state_.step == Step::asked) {
            if (waited >= context_.node.jenkins->timeout) return fail(fmt::format("no trace of its trigger: {}", wait));
        } else if (const auto end = out_of_reach(waited, wait)) {
            return *end;
        }
        say(wait);
        if (nap(stop) == Wait::stopped) return End::stopped;
    }
}

/// Nothing was ever sent to it: it is passed over like any node, when that is allowed.
std::optional<Neighbour::End> Neighbour::out_of_reach(Milliseconds waited, std::string& wait) {
    const auto goes_on = context_.goes_on();
    if (goes_on == chain::GoesOn::no) return End::given_up;
    if (goes_on == chain::GoesOn::unclear) return std::nullopt;
    if (!owed_ && waited < context_.app.rollout.handoff_timeout) return std::nullopt;
    if (!context_.may_pass_over()) {
        wait = fmt::format("it to be in reach: no more nodes may be passed over ({})", wait);
        return std::nullopt;
    }
    state_.message = wait;
    log::warning("steward", "passes a neighbour over that is out of reach",
                 {{"app", context_.app.name},
                  {"node", context_.node.name},
                  {"rollout", rollout_.key.id},
                  {"reason", wait}});
    go_to(Step::passed_over, "");
    return End::passed_over;
}

bool Neighbour::adopt_lost_trigger(net::JenkinsJob& job) {
    const auto found = job.find(marker_of(rollout_), state_.from_build);
    if (found.build) {
        state_.build = *found.build;
        go_to(Step::building, fmt::format("build #{} to end", state_.build));
        return true;
    }
    if (!found.queue_id) return false;
    state_.queue_id = *found.queue_id;
    go_to(Step::queued, "its queue");
    return true;
}

std::optional<Neighbour::End> Neighbour::send_trigger(net::JenkinsJob& job) {
    const auto facts = job.look();
    const bool takes_commit =
        std::ranges::any_of(commit_names, [&](const char* name) { return facts.parameters.contains(name); });
    if (rollout_.kind == wire::RolloutKind::rollback && !takes_commit) {
        return fail("its job has no parameter COMMIT, so it cannot be brought back to an earlier commit");
    }
    state_.from_build = facts.next_build;
    state_.message.clear();  // why it was passed over
    // Stored first: whatever happens to the answer, the next one who comes here looks before triggering again.
    go_to(Step::asked, "its answer to the trigger");
    try {
        const auto id = job.trigger(facts, parameters(), cause());
        if (!id) return std::nullopt;  // it did not say which; it is looked for
        state_.queue_id = *id;
    } catch (const Error& error) {
        if (net::may_pass(error)) throw;
        state_.step = Step::none;  // refused in so many words: nothing was queued
        throw;
    }
    go_to(Step::queued, "its queue");
    return std::nullopt;
}

/// One look. None: not over yet.
std::optional<Neighbour::End> Neighbour::follow(const std::stop_token& stop) {
    const auto began = context_.clock.now();
    while (true) {
        try {
            auto job = job_of(context_.node, context_.app.name);
            if (state_.step == Step::queued) look_at_queue(job);
            if (state_.step == Step::failed) return End::failed;
            if (state_.step == Step::building) {
                if (const auto end = look_at_build(job)) return *end;
            }
            return nap(stop) == Wait::stopped ? std::optional(End::stopped) : std::nullopt;
        } catch (const Error& error) {
            // It may be restarting, as a part of its own deployment even.
            say(fmt::format("an answer: {}", error.text()));
            if (!net::may_pass(error) && context_.clock.now() - began >= patience) return fail(error.text());
            if (net::may_pass(error)) return nap(stop) == Wait::stopped ? std::optional(End::stopped) : std::nullopt;
        }
        if (nap(stop) == Wait::stopped) return End::stopped;
    }
}

void Neighbour::look_at_queue(net::JenkinsJob& job) {
    using State = net::JenkinsJob::QueueItem::State;
    const auto item = job.queue_item(state_.queue_id);
    std::optional<unsigned> build;
    switch (item.state) {
        case State::waiting: say(item.why.empty() ? "its queue" : item.why); return;
        case State::cancelled: (void)fail(fmt::format("queue item {} was cancelled there", state_.queue_id)); return;
        case State::started: build = item.build; break;
        case State::gone:
            // Jenkins forgets items after five minutes, and with a restart those that have left.
            build = job.build_of(state_.queue_id);
            if (!build) build = job.find(marker_of(rollout_), state_.from_build).build;
            if (!build && ++lost_looks_ < looks_for_lost) return;
            if (!build) {
                (void)fail(fmt::format("queue item {} is gone, and no build came of it", state_.queue_id));
                return;
            }
            break;
    }
    state_.build = *build;
    go_to(Step::building, fmt::format("build #{} to end", state_.build));
}

std::optional<Neighbour::End> Neighbour::look_at_build(net::JenkinsJob& job) {
    const auto build = job.build(state_.build);
    if (build.building || build.result.empty()) {
        say(fmt::format("build #{} to end", state_.build));
        return std::nullopt;
    }
    const bool good =
        build.result == "SUCCESS" || (build.result == "UNSTABLE" && context_.node.jenkins->accept_unstable);
    if (!good)
        return fail(fmt::format("build #{} ended with {}: {}", state_.build, build.result, job.url_of(state_.build)));
    const bool other = !build.commit.empty() && build.commit != rollout_.commit.str();
    state_.message = other ? fmt::format("it has built {}", build.commit) : std::string();
    go_to(Step::done, "");
    return End::done;
}

Neighbour::End Neighbour::fail(const std::string& why) {
    reason_ = fmt::format("{} (Jenkins): {}", context_.node.name, why);
    state_.message = reason_;
    go_to(Step::failed, "");
    return End::failed;
}

void Neighbour::go_to(Step step, const std::string& waits_for) {
    state_.step = step;
    const bool as_before = owed_ && step == Step::passed_over;  // owed since then
    if (!as_before) state_.since_ms = to_epoch_ms(context_.clock.wall());
    context_.store.flags.set(context_.app.name, key_of(context_.node.name), json::dump(to_json(state_)));
    said_.clear();
    say(waits_for);
}

void Neighbour::say(const std::string& waits_for) {
    if (!said_.empty() && said_ == waits_for) return;
    said_ = waits_for;
    context_.progress(progress_of(state_, context_.node.name, waits_for, context_.clock));
}

Neighbour::Wait Neighbour::nap(const std::stop_token& stop) const {
    std::mutex idle;
    std::condition_variable_any sleeper;
    std::unique_lock lock(idle);
    sleeper.wait_for(lock, stop, look_every, [] { return false; });
    return stop.stop_requested() ? Wait::stopped : Wait::over;
}

wire::NodeProgress progress_of(const NeighbourState& state, const NodeName& node, const std::string& waits_for,
                               const Clock& clock) {
    wire::NodeProgress row;
    row.node = node;
    row.rollout = state.target.key;
    row.version = static_cast<std::uint64_t>(to_epoch_ms(clock.wall()));
    row.build = state.build;
    row.since_ms = state.since_ms;
    row.started_ms = state.started_ms;
    row.message = state.message;
    row.state = wire::BuildState::running;
    switch (state.step) {
        case NeighbourState::Step::none:
        case NeighbourState::Step::asked:
        case NeighbourState::Step::queued: row.stage = wire::Stage::queued; break;
        case NeighbourState::Step::building: row.stage = wire::Stage::switch_over; break;
        case NeighbourState::Step::done:
            row.stage = wire::Stage::done;
            row.state = wire::BuildState::succeeded;
            row.current = state.commit;
            break;
        case NeighbourState::Step::failed:
            row.stage = wire::Stage::switch_over;
            row.state = wire::BuildState::failed;
            break;
        case NeighbourState::Step::passed_over:
            row.stage = wire::Stage::queued;
            row.state = wire::BuildState::cancelled;
            row.message =
                fmt::format("out of reach, passed over: {}; it gets this rollout as soon as it answers", state.message);
            break;
    }
    const bool over = row.state != wire::BuildState::running;
    row.finished_ms = over ? state.since_ms : 0;
    row.waits_for = over ? std::string() : waits_for;
    return row;
}

}  // namespace baton::engine
