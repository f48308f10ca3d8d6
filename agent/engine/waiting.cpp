// SPDX-License-Identifier: MIT
// What this node waits for, said to the log and to the other nodes.
#include "agent/engine/waiting.h"

#include "common/log.h"
#include "common/text.h"

namespace baton::engine {
namespace {

using namespace std::chrono_literals;

/// A wait that lasts so long is a line of the log, and again every so often.
constexpr auto worth_a_line = 5s;
constexpr auto log_again_after = 5min;
/// How often other nodes are told of a wait of which only the wording has changed, a number above all.
constexpr auto say_again_after = 15s;

}  // namespace

void Waiting::log(const chain::View& view) {
    const auto now = clock_.now();
    const bool waits = !view.waits_for.empty();
    if (!waits && logged_) baton::log::info("chain", "waits no longer", {{"app", app_}});
    if (!waits) logged_.reset();
    if (!waits || view.waiting < worth_a_line) return;
    if (logged_ && now - *logged_ < log_again_after) return;
    logged_ = now;
    baton::log::info("chain", "waits",
                     {{"app", app_}, {"for", view.waits_for}, {"since", human_duration(view.waiting)}});
}

void Waiting::say(const chain::View& view) {
    // Perhaps another agent is this node in truth, and this would be shown in its place.
    if (view.disowned) return;
    const auto now = clock_.now();
    // That its turn has not come is plain to see, and a long chain has many such nodes.
    const auto kind = view.turn_to_come || view.waits_for.empty() ? std::string() : view.waits_kind;
    const auto text = kind.empty() ? std::string() : view.waits_for;
    const auto about = view.wanted ? view.wanted : view.newest;
    if (!about ||
        (kind == said_.kind && about->key == said_.about && (text == said_.text || now - said_.at < say_again_after))) {
        return;
    }
    if (!said_.about.empty() && said_.about != about->key) progress_.note_waiting(said_.about, {});
    progress_.note_waiting(about->key, text);
    said_ = {about->key, kind, text, now};
}

}  // namespace baton::engine
