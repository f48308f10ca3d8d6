// SPDX-License-Identifier: MIT
// Several machines on a bus without faults and with a clock that the test moves: what a test wants to go wrong it
// says itself (a node that is down, a build that fails, a switch that does not end).
#pragma once

#include <deque>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/chain/machine.h"
#include "common/error.h"
#include "common/ulid.h"

namespace baton::chain::test {

class Bus {
  public:
    struct Node {
        NodeName name;
        NodeName speaks_as;  ///< its name, but for an impostor's
        std::unique_ptr<Machine> machine;
        Durable disk;
        bool up = true;
        CommitId runs;
    };

    explicit Bus(std::size_t members, unsigned lanes = 1, std::size_t witnesses = 0) {
        for (std::size_t i = 1; i <= members; ++i) settings.order.emplace_back(fmt::format("web{}", i));
        settings.voters = settings.order;
        for (std::size_t i = 0; i < witnesses; ++i) settings.voters.emplace_back(fmt::format("witness{}", i + 1));
        settings.lanes = lanes;
        settings.config_hash = "same";
        settings.policy.canary = 1;
        settings.wall_ms = [this] { return 1'700'000'000'000 + now.time_since_epoch().count(); };
    }

    /// Starts every node that is not running; run the clock to let them meet.
    void start_all() {
        for (const auto& name : settings.voters) start(name);
        run(Milliseconds(100));
    }

    void start(const NodeName& name) {
        auto& node = nodes[name];
        if (node.machine) return;
        node.name = name;
        if (node.speaks_as.empty()) node.speaks_as = name;
        if (node.disk.incarnation == 0) node.disk = fresh_durable(++incarnations);
        auto own = settings;
        own.self = node.speaks_as;
        if (config_hashes.contains(name)) own.config_hash = config_hashes.at(name);
        own.neighbours = stewards.contains(name);
        node.machine = std::make_unique<Machine>(own, node.disk, 42 + incarnations);
        feed(name, [&](Machine& m) { return m.start(now, node.up); });
    }
    /// A second agent that says that it is `of`, with an empty database or with `disk`. Nobody reaches it but with an
    /// answer to what it has said.
    void start_impostor(const NodeName& name, const NodeName& of, Durable disk = {}) {
        nodes[name].speaks_as = of;
        nodes[name].disk = std::move(disk);
        start(name);
    }
    /// SIGKILL.
    void kill(const NodeName& name) { nodes[name].machine.reset(); }
    void wipe(const NodeName& name) { nodes[name].disk = Durable{}; }

    Machine& machine(const NodeName& name) { return *nodes.at(name).machine; }
    View view(const NodeName& name) { return machine(name).view(now); }
    const Durable& disk(const NodeName& name) { return nodes.at(name).disk; }

    /// A rollout of the commit `c` x 40, offered at `where`.
    wire::Target offer(const NodeName& where, char c, bool by_name = false) {
        wire::Rollout rollout;
        rollout.by_name = by_name;
        rollout.app = AppName("shop");
        rollout.key = machine(where).next_key(make_rollout_id(WallTime(Milliseconds(settings.wall_ms())), 1, ++ids));
        rollout.commit = CommitId(std::string(40, c));
        rollout.started_on = where;
        feed(where, [&](Machine& m) { return m.offer(now, rollout); });
        return rollout.target();
    }

    OrderId order(const NodeName& where, const Order& order) {
        OrderId id = 0;
        feed(where, [&](Machine& m) { return m.order(now, order, "ann", id); });
        return id;
    }

    void feed(const NodeName& name, const std::function<Effects(Machine&)>& give) {
        auto& node = nodes[name];
        if (!node.machine) return;
        auto effects = give(*node.machine);
        if (effects.store) node.disk = node.machine->durable();
        for (const auto& action : effects.actions) perform(node, action);
    }

    /// Moves the clock, delivering and ticking as things fall due.
    void run(Milliseconds time) {
        const auto end = now + time;
        for (;;) {
            while (!mail.empty()) {
                const auto letter = std::move(mail.front());
                mail.pop_front();
                if (!cut.contains(letter.from) && !cut.contains(letter.to)) {
                    const Origin origin{letter.from.str() + "'s address", letter.answer};
                    if (!letter.answer) answering = letter.from;
                    feed(letter.to, [&](Machine& m) {
                        return m.receive(now, nodes.at(letter.from).speaks_as, letter.message, origin);
                    });
                    answering.reset();
                }
            }
            auto next = end;
            for (const auto& work : works) next = std::min(next, work.at);
            for (auto& [name, node] : nodes) {
                if (node.machine) next = std::min(next, std::max(node.machine->next_tick(), now + Milliseconds(1)));
            }
            now = std::max(now, next);
            if (now >= end) return;
            for (auto& [name, node] : nodes) {
                if (node.machine && node.machine->next_tick() <= now)
                    feed(name, [&](Machine& m) { return m.tick(now); });
            }
            std::vector<Work> due;
            std::erase_if(works, [&](const Work& work) {
                if (work.at <= now) due.push_back(work);
                return work.at <= now;
            });
            for (const auto& work : due) {
                if (nodes.at(work.node).machine.get() == work.machine) work.step();
            }
        }
    }

    [[nodiscard]] std::vector<std::string> running() const {
        std::vector<std::string> result;
        for (const auto& name : settings.order) {
            const auto node = nodes.find(name);
            const bool runs = node != nodes.end() && !node->second.runs.empty();
            result.push_back(runs ? node->second.runs.str().substr(0, 1) : "-");
        }
        return result;
    }

    Settings settings;
    Instant now{Milliseconds(1'000'000)};
    std::map<NodeName, Node> nodes;
    std::set<NodeName> cut;  ///< their messages are lost, both ways
    std::map<NodeName, std::string> config_hashes;
    std::vector<std::string> switches;  ///< `web1:a`, in the order in which they began
    std::vector<std::string> builds;    ///< `web1:a` or `web1:a ahead`
    std::vector<std::string> restores;
    std::vector<std::string> once_runs;
    std::vector<std::string> notes;
    std::set<std::string> out;  ///< now
    std::size_t most_out = 0;
    Milliseconds build_takes{1'000};
    Milliseconds switch_takes{2'000};
    std::set<std::string> failing_builds;  ///< `a` or `web1:a`
    std::set<std::string> failing_switches;
    std::set<std::string> failing_migrations;
    std::set<std::string> stuck;    ///< restores that fail: `web1`
    std::set<std::string> hanging;  ///< switches that never end
    std::set<NodeName> stewards;    ///< have neighbours; what becomes of those is `neighbours`
    NeighboursEnd neighbours;
    bool neighbours_hang = false;
    std::vector<std::string> brought_on;  ///< `web1:a`
    std::set<char> once;                  ///< commits with `once` steps

  private:
    struct Letter {
        NodeName from, to;
        Message message;
        bool answer = false;
    };
    struct Work {
        Instant at;
        NodeName node;
        Machine* machine;
        std::function<void()> step;
    };

    void later(const Node& node, Milliseconds delay, std::function<void()> step) {
        works.push_back({now + delay, node.name, node.machine.get(), std::move(step)});
    }

    static bool listed(const std::set<std::string>& list, const std::string& node, const std::string& commit) {
        return list.contains(commit) || list.contains(node + ":" + commit);
    }

    void perform(Node& node, const Action& action) {
        const auto name = node.name;
        if (const auto* send = std::get_if<Send>(&action)) {
            const bool answer = answering && nodes.at(*answering).speaks_as == send->to;
            mail.push_back({name, answer ? *answering : send->to, send->message, answer});
        } else if (const auto* build = std::get_if<StartBuild>(&action)) {
            const auto commit = build->rollout.commit.str().substr(0, 1);
            builds.push_back(name.str() + ":" + commit + (build->ahead ? " ahead" : "") +
                             (build->again ? " again" : ""));
            const auto target = build->rollout.target();
            const auto takes = build->rollout.kind == wire::RolloutKind::rollback ? Milliseconds(1) : build_takes;
            later(node, takes, [this, name, target, commit] {
                feed(name, [&](Machine& m) {
                    if (listed(failing_builds, name.str(), commit))
                        return m.build_failed(now, target, "2 tests failed");
                    return m.build_ready(now, target, true, once.contains(commit.front()));
                });
            });
        } else if (const auto* change = std::get_if<Switch>(&action)) {
            begin(node, *change);
        } else if (const auto* back = std::get_if<Restore>(&action)) {
            restores.push_back(name.str() + ": " + back->reason);
            out.insert(name.str());
            end(name, back->ticket, stuck.contains(name.str()) ? SwitchEnd::stuck : SwitchEnd::restored, "restored");
        } else if (const auto* more = std::get_if<Neighbours>(&action)) {
            brought_on.push_back(name.str() + ":" + more->rollout.commit.str().substr(0, 1));
            if (neighbours_hang) return;
            later(node, switch_takes, [this, name, ticket = more->ticket] {
                feed(name, [&](Machine& m) { return m.neighbours_done(now, ticket, neighbours); });
            });
        } else if (const auto* note = std::get_if<Note>(&action)) {
            notes.push_back(name.str() + ": " + note->text);
        } else if (std::holds_alternative<BringUp>(action)) {
            later(node, Milliseconds(500), [this, name] {
                nodes.at(name).up = true;
                feed(name, [&](Machine& m) { return m.health(now, true); });
            });
        }
    }

    void begin(Node& node, const Switch& change) {
        const auto name = node.name;
        const auto commit = change.rollout.commit.str().substr(0, 1);
        switches.push_back(name.str() + ":" + commit + (change.redo ? " again" : ""));
        out.insert(name.str());
        node.up = false;
        most_out = std::max(most_out, out.size());
        if (change.run_once) {
            once_runs.push_back(name.str() + ":" + commit);
            feed(name, [&](Machine& m) { return m.once_started(now, change.ticket); });
        }
        if (listed(hanging, name.str(), commit)) return;
        if (listed(failing_migrations, name.str(), commit)) {
            end(name, change.ticket, SwitchEnd::failed, "migrate: exit status 3");
            return;
        }
        if (change.run_once) feed(name, [&](Machine& m) { return m.once_done(now, change.ticket); });
        auto result = SwitchEnd::in_service;
        if (listed(failing_switches, name.str(), commit)) {
            result = stuck.contains(name.str()) ? SwitchEnd::stuck : SwitchEnd::restored;
        }
        const auto full = change.rollout.commit;
        end(name, change.ticket, result, "health answered 500", full);
    }

    void end(const NodeName& name, const Ticket& ticket, SwitchEnd result, const std::string& reason,
             const CommitId& commit = {}) {
        later(nodes.at(name), switch_takes, [this, name, ticket, result, reason, commit] {
            auto& node = nodes.at(name);
            if (result != SwitchEnd::stuck) {
                node.up = true;
                out.erase(name.str());
            }
            if (result == SwitchEnd::in_service) node.runs = commit;
            feed(name, [&](Machine& m) { return m.switched(now, ticket, result, reason); });
        });
    }

    std::deque<Letter> mail;
    std::optional<NodeName> answering;  ///< whose letter is being read
    std::vector<Work> works;
    std::uint64_t incarnations = 100;
    std::uint64_t ids = 0;
};

inline const NodeName web1{"web1"};
inline const NodeName web2{"web2"};
inline const NodeName web3{"web3"};
inline const NodeName web4{"web4"};
inline const NodeName web5{"web5"};

}  // namespace baton::chain::test
