// SPDX-License-Identifier: MIT
// What a person orders: carried out here, then told until a majority has stored it.
#include <algorithm>
#include <fmt/format.h>

#include "agent/chain/core.h"
#include "common/error.h"

namespace baton::chain {
namespace {

constexpr auto unheard_of =
    "nobody here has heard of that rollout, or every node has left it behind: trigger its commit anew";

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::conflict, why); }

}  // namespace

Effects Core::order(Instant now, const Order& order, const std::string& who, OrderId& id) {
    begin(now);
    const auto what = carry_out(order, who);  // may throw; nothing has changed then
    id = d_.next_order++;
    changed();
    if (!std::holds_alternative<Force>(order)) {
        auto& spread = d_.spreads[id];
        spread.what = fmt::format("{}, by {}", what, who);
        // What a lost database was installing is known only to those who had granted it: their answers tell, and a
        // second round makes a majority know.
        if (std::holds_alternative<Forget>(order) || std::holds_alternative<Accept>(order)) spread.rounds_left = 1;
        if (is_voter(s_.self)) spread.stored_by.insert(s_.self);
        count_stored(id);
        spread_orders();
    }
    note(Note::Level::info, fmt::format("{}, by {}", what, who));
    return finish();
}

bool Core::order_known(OrderId id) const { return !d_.spreads.contains(id); }

std::string Core::carry_out(const Order& order, const std::string& who) {
    struct Carrier {
        Core& core;
        const std::string& who;
        std::string operator()(const Halt& halt) const { return core.carry_out_halt(halt, who); }
        std::string operator()(const Retry& retry) const { return core.carry_out_retry(retry, who); }
        std::string operator()(const Promote& promote) const {
            const auto it = core.d_.known.find(promote.target.key);
            if (it == core.d_.known.end()) refuse(unheard_of);
            if (core.is_failed(it->second)) refuse("it has failed or is halted: `baton resume` tries it again");
            if (it->second.ended) refuse("it has ended: every node runs it");
            if (it->second.promoted) refuse("it is promoted already");
            it->second.promoted = true;
            it->second.promoted_by = {who, promote.reason, core.wall_ms()};
            return fmt::format("rollout {} promoted", promote.target.key.id);
        }
        std::string operator()(const Freeze& freeze) const {
            core.d_.freeze = {core.d_.freeze.version + 1,
                              FreezeNote{who, freeze.reason, core.wall_ms(), freeze.until_ms}};
            return fmt::format("frozen: {}", freeze.reason);
        }
        std::string operator()(const Unfreeze&) const {
            if (!core.d_.freeze.note) refuse("the app is not frozen");
            core.d_.freeze = {core.d_.freeze.version + 1, std::nullopt};
            return "no longer frozen";
        }
        std::string operator()(const Forget& forget) const { return core.carry_out_forget(forget, who); }
        std::string operator()(const Accept& accept) const { return core.carry_out_accept(accept, who); }
        std::string operator()(const Force& force) const {
            const auto* lead = core.leading();
            if (!lead || lead->rollout.target() != force.target)
                refuse("only the rollout that is under way can be forced");
            if (!core.behind(*lead)) refuse("this node runs it already");
            if (core.d_.phase == Phase::out) refuse("this node is out of service already");
            core.assign(core.d_.known.at(force.target.key), true);
            core.d_.forced = force.target;
            core.d_.forced_by = who;
            return fmt::format("rollout {} forced here without a majority", force.target.key.id);
        }
    };
    return std::visit(Carrier{*this, who}, order);
}

std::string Core::carry_out_halt(const Halt& halt, const std::string& who) {
    const auto it = d_.known.find(halt.target.key);
    if (it == d_.known.end()) refuse(unheard_of);
    const auto& known = it->second;
    if (is_failed(known)) refuse("it has failed or is halted already");
    if (known.ended) refuse("it has ended: every node runs it. A roll-back undoes it");
    mark_failed(known.rollout, FailureKind::halted, who, halt.reason.empty() ? "halted" : halt.reason);
    return fmt::format("rollout {} halted", halt.target.key.id);
}

std::string Core::carry_out_retry(const Retry& retry, const std::string& who) {
    const auto it = d_.known.find(retry.target.key);
    if (it == d_.known.end()) refuse(unheard_of);
    auto& known = it->second;
    if (!is_failed(known)) refuse("it has neither failed nor been halted");
    const auto* lead = leading();
    if (lead && lead->rollout.key > retry.target.key && !lead->ended) {
        refuse(fmt::format("a newer rollout, {}, is under way", lead->rollout.key.id));
    }
    if (lead && lead->rollout.key > retry.target.key) {
        refuse(fmt::format("a newer rollout, {}, runs everywhere: trigger the commit anew", lead->rollout.key.id));
    }
    auto again = known.rollout;
    again.attempt = d_.failed.at(retry.target.key).attempt + 1;
    const auto why = retry.reason.empty() ? "" : ": " + retry.reason;
    again.cause = {wire::CauseKind::retry, fmt::format("Retried by {}{}", who, why), who, ""};
    // One that others go before, in a queue, begins here when its turn comes, like any that is queued: a walk would
    // end at once, and nobody keep it.
    const bool queued = lead && lead->rollout.key < retry.target.key && !lead->ended && is_member();
    if (queued && s_.policy.on_new_commit == config::OnNewCommit::queue) again.started_on = s_.self;
    Known news;
    news.rollout = again;
    merge_known(news);
    auto& fresh = d_.known.at(again.key);
    if (leading() == &fresh || !queued || !behind(fresh)) {
        d_.duty = Duty{again.target(), 1, 0, true};
        walking_ = {};
    } else {
        assign(fresh, true);
    }
    return fmt::format("rollout {} tried once more (attempt {})", again.key.id, again.attempt);
}

std::string Core::carry_out_forget(const Forget& forget, const std::string& who) {
    if (forget.node == s_.self) refuse("a node cannot forget itself: ask another one");
    if (position(forget.node) == s_.order.size() && !is_voter(forget.node)) {
        throw Error(ErrorKind::not_found, fmt::format("{} is not in the chain", forget.node));
    }
    const auto before = d_.identities[forget.node];
    if (before.generation > 0 && before.incarnation == 0) refuse("it is forgotten already");
    bar(before.incarnation);
    if (rules_.forget_bars) {
        learn_identity(forget.node, Identity{std::max<std::uint64_t>(1, before.generation) + 1, 0, {who, forget.reason, wall_ms()}});
    } else {
        std::erase_if(d_.grants, [&](const Grant& g) { return g.node == forget.node; });
    }
    return fmt::format("{} forgotten (ordered by {})", forget.node, who);
}

std::string Core::carry_out_accept(const Accept& accept, const std::string& who) {
    if (accept.node == s_.self ? doubled() : several_speak(accept.node)) return accept_one_of(accept.node, who);
    std::uint64_t incarnation = d_.incarnation;
    bool serving = app_up_;
    if (accept.node != s_.self) {
        const auto peer = peers_.find(accept.node);
        if (peer != peers_.end() && peer->second.barred_heard > peer->second.heard) {
            refuse(
                fmt::format("{} speaks with a database that was forgotten or replaced: empty its state_dir, start the "
                            "agent anew, then accept it",
                            accept.node));
        }
        if (peer == peers_.end() || !is_live(accept.node)) {
            refuse(fmt::format("{} has not been heard lately: its agent must run", accept.node));
        }
        incarnation = peer->second.incarnation;
        serving = peer->second.status.serving;
    }
    const auto identity = d_.identities[accept.node];
    if (identity.incarnation == incarnation) refuse(fmt::format("{} is accepted already", accept.node));
    if (d_.barred.contains(incarnation)) {
        refuse(fmt::format("{} was forgotten with this database: empty its state_dir, and start the agent anew",
                           accept.node));
    }
    // Accepting frees the lane that the lost database may have held, so the node has to be in service; only where
    // nothing was ever deployed there is nothing to serve.
    if (!serving && !d_.known.empty()) {
        refuse(fmt::format("{}'s app does not answer, and may be out of service with a permit: bring the app up first",
                           accept.node));
    }
    // Above 1, which is what a first meeting counts.
    learn_identity(accept.node, Identity{std::max<std::uint64_t>(1, identity.generation) + 1, incarnation,
                                         {who, accept.reason, wall_ms()}});
    return fmt::format("{} accepted with its new database (ordered by {})", accept.node, who);
}

void Core::spread_orders() {
    next_spread_ = now_ + s_.timing.ask_again;
    if (d_.spreads.empty()) return;
    const auto whole = make_whole();
    for (const auto& voter : s_.voters) {
        if (voter == s_.self) continue;
        Tell tell{{}, whole};
        for (const auto& [id, spread] : d_.spreads) {
            if (!spread.stored_by.contains(voter)) tell.orders.push_back(id << 1U | spread.rounds_left);
        }
        if (!tell.orders.empty()) send(voter, tell);
    }
}

void Core::receive_tell(const NodeName& from, const Tell& tell) {
    merge_whole(from, tell.whole);
    send(from, Told{tell.orders});
}

void Core::receive_told(const NodeName& from, const Told& told) {
    if (!is_voter(from)) return;
    for (const auto order : told.orders) {
        const auto it = d_.spreads.find(order >> 1U);
        if (it == d_.spreads.end() || it->second.rounds_left != (order & 1U)) continue;
        it->second.stored_by.insert(from);
        changed();
        count_stored(it->first);
    }
}

void Core::count_stored(OrderId id) {
    auto& spread = d_.spreads.at(id);
    if (spread.stored_by.size() < majority()) return;
    if (spread.rounds_left == 0) {
        d_.spreads.erase(id);
        return;
    }
    --spread.rounds_left;
    spread.stored_by.clear();
    next_spread_ = now_;
    if (!is_voter(s_.self)) return;
    spread.stored_by.insert(s_.self);
    count_stored(id);
}

}  // namespace baton::chain
