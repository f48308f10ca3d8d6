// SPDX-License-Identifier: MIT
// The words for kinds, causes, stages and states, both ways.
#include <array>
#include <fmt/format.h>
#include <utility>

#include "common/error.h"
#include "common/wire/rollout.h"

namespace baton::wire {
namespace {

template <class Value, std::size_t N>
using Words = std::array<std::pair<Value, std::string_view>, N>;

constexpr Words<RolloutKind, 2> kinds{{{RolloutKind::deploy, "deploy"}, {RolloutKind::rollback, "rollback"}}};
constexpr Words<CauseKind, 6> causes{{{CauseKind::poll, "poll"},
                                      {CauseKind::webhook, "webhook"},
                                      {CauseKind::remote, "remote"},
                                      {CauseKind::user, "user"},
                                      {CauseKind::retry, "retry"},
                                      {CauseKind::failure, "failure"}}};
constexpr Words<Stage, 12> stages{{{Stage::queued, "queued"},
                                   {Stage::fetch, "fetch"},
                                   {Stage::prepare, "prepare"},
                                   {Stage::test, "test"},
                                   {Stage::permit, "permit"},
                                   {Stage::drain, "drain"},
                                   {Stage::migrate, "migrate"},
                                   {Stage::switch_over, "switch"},
                                   {Stage::verify, "verify"},
                                   {Stage::rejoin, "rejoin"},
                                   {Stage::handoff, "handoff"},
                                   {Stage::done, "done"}}};
constexpr Words<BuildState, 8> states{{{BuildState::waiting, "waiting"},
                                       {BuildState::running, "running"},
                                       {BuildState::succeeded, "succeeded"},
                                       {BuildState::failed, "failed"},
                                       {BuildState::cancelled, "cancelled"},
                                       {BuildState::superseded, "superseded"},
                                       {BuildState::restored, "restored"},
                                       {BuildState::stuck, "stuck"}}};

template <class Value, std::size_t N>
std::string_view word_of(const Words<Value, N>& words, Value value) {
    for (const auto& [known, word] : words) {
        if (known == value) return word;
    }
    return "?";  // not reached: every enumerator has its row, and a test walks them
}

template <class Value, std::size_t N>
Value value_of(const Words<Value, N>& words, std::string_view text, std::string_view what) {
    for (const auto& [value, word] : words) {
        if (word == text) return value;
    }
    throw Error(ErrorKind::invalid, fmt::format("'{}' is no {}", text, what));
}

}  // namespace

std::string_view to_text(RolloutKind kind) { return word_of(kinds, kind); }
std::string_view to_text(CauseKind kind) { return word_of(causes, kind); }
std::string_view to_text(Stage stage) { return word_of(stages, stage); }
std::string_view to_text(BuildState state) { return word_of(states, state); }

RolloutKind parse_rollout_kind(std::string_view text) { return value_of(kinds, text, "kind of rollout"); }
CauseKind parse_cause_kind(std::string_view text) { return value_of(causes, text, "cause"); }
Stage parse_stage(std::string_view text) { return value_of(stages, text, "stage"); }
BuildState parse_build_state(std::string_view text) { return value_of(states, text, "state of a build"); }

}  // namespace baton::wire
