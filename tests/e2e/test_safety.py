# SPDX-License-Identifier: MIT
"""Whatever is killed, cut off or pushed at once: real agents end on the newest good commit, never two apps down."""
import collections
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import time
import unittest

from harness import (APP_TOKEN, HERE, AskError, Chain, ChainCase, Sampler, ask, end_app, wait_until)

# Every stage has a gate, the app is down while the switch's gate is closed, and a migration counts itself.
PIPELINE = """\
prepare:
  - run: printf '%s\\n' "$GIT_COMMIT" > COMMIT
  - run: /usr/bin/python3 -I gate.py prepare
test:
  - run: /usr/bin/python3 -I gate.py test
  - run: /usr/bin/python3 -I suite.py
    timeout: 60s
    junit: reports/*.xml
migrate:
  - run: /usr/bin/python3 -I gate.py migrate
  - run: |
      /usr/bin/python3 -I gate.py once
      printf '%s %s\\n' "$GIT_COMMIT" "$BATON_ROLLOUT" >> {migrations}
    once: true
  - run: /usr/bin/python3 -I gate.py migrated
switch:
  publish: symlink
  stop:
    - run: /usr/bin/python3 -I app.py stop
  restart:
    - run: /usr/bin/python3 -I gate.py switch
    - run: /usr/bin/python3 -I app.py restart
      keep_processes: true
health:
  http: "http://${{NODE_ADDRESS}}:8080/health"
  expect_status: 200
  expect_body: "${{GIT_COMMIT}}"
  interval: 50ms
  timeout: 1s
  min_healthy_time: 100ms
  healthy_deadline: 6s
"""

# The load balancer's command passes by gates, too: leaving is the stage drain, coming back is rejoin.
TRAFFIC = """\
traffic:
  method: command
  leave_command: {gate} drain
  rejoin_command: {gate} rejoin
  drain_timeout: 60s
  rejoin_timeout: 60s
  settle: 0s
"""

GATE = """\
#!/bin/sh
g={gates}/$1.$NODE_NAME
[ -e "$g" ] || exit 0
touch "$g.reached"
i=0
while [ ! -e "$g.open" ] && [ $i -lt 1500 ]; do sleep 0.02; i=$((i + 1)); done
"""


class SlowSampler(Sampler):
    """A little less eager, since a test here lasts longer; one late answer of a busy machine is no outage."""

    PAUSE_SECONDS = 0.03

    def outages(self, name):
        spells = []
        for good, run in itertools.groupby(self.samples[name], key=lambda sample: sample[1] is not None):
            run = list(run)
            if not good and len(run) > 1:
                spells.append((run[0][0], run[-1][2]))
        return spells


class HeldRepository:
    """The git host accepts connections and then says nothing: its HEAD is a pipe until `release()`."""

    def __init__(self, bare):
        self.head = bare / "HEAD"
        self.aside = bare / "HEAD.aside"
        self.writer = None
        os.rename(self.head, self.aside)
        os.mkfifo(self.head)

    def reached(self):
        """Whether somebody reads; from then on he waits."""
        if self.writer is None:
            with contextlib.suppress(OSError):
                self.writer = os.open(self.head, os.O_WRONLY | os.O_NONBLOCK)
        return self.writer is not None

    def release(self):
        if self.aside.exists():
            os.rename(self.aside, self.head)
        if self.writer is not None:
            os.close(self.writer)
            self.writer = None


class SafetyCase(ChainCase):
    def safe_chain(self, **options):
        """A started chain whose every stage has a gate, with its first version on all nodes."""
        options.setdefault("poll", False)
        chain = Chain(**options)
        self.addCleanup(self._finish, chain)
        chain.migrations = chain.directory / "migrations"
        chain.repository.write("baton.yaml", PIPELINE.format(migrations=chain.migrations))
        gate = chain.directory / "gate"
        gate.write_text(GATE.format(gates=chain.gates))
        gate.chmod(0o755)
        text = chain.fleet.config.read_text()
        chain.fleet.config.write_text(text.replace("\napps:\n", "\n" + TRAFFIC.format(gate=gate) + "apps:\n"))
        chain.first = chain.commit("The first version")
        chain.start()
        self.trigger(chain)
        self.settled(chain, chain.first)
        return chain

    @staticmethod
    def trigger(chain, node="web1"):
        chain[node].post(f"/job/mini/build?token={APP_TOKEN}")

    @staticmethod
    def pause(chain, *nodes):
        for node in nodes:
            os.kill(chain[node].process.pid, signal.SIGSTOP)

    @staticmethod
    def go_on(chain, *nodes):
        for node in nodes:
            os.kill(chain[node].process.pid, signal.SIGCONT)

    @staticmethod
    def clear_gates(chain):
        for file in chain.gates.iterdir():
            file.unlink()

    @staticmethod
    def service(chain, node):
        """What a load balancer hears of a node: the status of GET /health/mini."""
        try:
            return ask(chain.hosts[node], chain[node].port, "GET", "/health/mini", timeout=2.0)[0]
        except AskError:
            return None

    @staticmethod
    def stored(chain, node):
        """What a node keeps on disk of the protocol, and its builds that have not ended."""
        file = chain.directory / node / "state" / "baton.db"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
            state = json.loads(database.execute("SELECT state FROM chain_state WHERE app = 'mini'").fetchone()[0])
            open_builds = database.execute("SELECT number, stage, message FROM builds WHERE finished_ms = 0").fetchall()
        return state, open_builds

    def unsettled(self, chain, commit, nodes):
        """Why the chain is not at rest on `commit`; empty when it is."""
        for name in nodes:
            try:
                app = chain[name].app("mini")
                if chain.running_commit(name) != commit:
                    return f"{name} runs {chain.running_commit(name)}: {app}"
                if app["current"] != commit or app["phase"] != "idle" or app["waits_for"] or not app["in_service"]:
                    return f"{name} says {app}"
                if self.service(chain, name) != 200:
                    return f"{name} is out of service"
                rollout = chain.rollout(commit, name)
                if not rollout or rollout["state"] != "succeeded":
                    return f"{name} shows {rollout}"
            except AskError as error:
                return str(error)
            state, open_builds = self.stored(chain, name)
            for key in ("grants", "claim", "duty"):
                if state.get(key):
                    return f"{name} still keeps {key}: {state[key]}"
            if open_builds:
                return f"{name} has builds without an end: {open_builds}"
        return ""

    def settled(self, chain, commit, within=60, nodes=Chain.NODES):
        """Waits until all is at rest on `commit`: in service, no permit left, no build without an end, shown by all."""
        wait_until(lambda: not self.unsettled(chain, commit, nodes), within,
                   lambda: self.unsettled(chain, commit, nodes), every=0.1)

    def stopped_spells(self, chain, since):
        """Per node, from each stop of its app until one is up again, as the apps themselves noted it."""
        spells = {}
        for name in chain.NODES:
            spells[name] = []
            began = None
            for event in chain.events(name, since):
                if event["event"] == "stop":
                    began = began or event["at"]
                elif began:
                    spells[name].append((began, event["at"]))
                    began = None
            if began:
                spells[name].append((began, time.time()))
        return spells

    @contextlib.contextmanager
    def one_at_a_time(self, chain):
        """Inside, two apps are never down at once: as sampled from outside, and as the apps noted it."""
        began = time.time()
        with SlowSampler(chain.hosts) as sampler:
            yield
        self.assert_disjoint({name: sampler.outages(name) for name in chain.NODES})
        self.assert_disjoint(self.stopped_spells(chain, began))

    def migrated(self, chain, commit):
        """How often the `once` step has succeeded in the whole chain; of a commit's rollouts, the one with most."""
        lines = chain.migrations.read_text().splitlines() if chain.migrations.exists() else []
        return max(collections.Counter(line for line in lines if line.startswith(commit)).values(), default=0)

    def rows(self, chain, seen_by="web1"):
        return [(row["commit"], row["kind"], row["state"]) for row in chain[seen_by].rollouts("mini")]


class KilledTest(SafetyCase):
    """SIGKILL at each stage in turn, then a restart."""

    def bring_to(self, chain, node, stage, after):
        """A new commit, triggered, and `node` in the middle of `stage`; (commit, what lets the stage go on)."""
        others = [name for name in chain.NODES if name != node]
        if stage == "fetch":
            commit = chain.commit(f"Killed in {stage}")
            if node != "web1":
                gate = chain.close_gate("test", "web1")
                self.trigger(chain)
                wait_until(lambda: chain.reached(gate), 30, "web1 tests")
                held = HeldRepository(chain.repository.bare)
                self.addCleanup(held.release)
                chain.open_gate(gate)
            else:
                held = HeldRepository(chain.repository.bare)
                self.addCleanup(held.release)
                self.trigger(chain)
            wait_until(held.reached, 30, f"{node} fetches")
            return commit, held.release
        if stage in ("permit", "handoff"):
            gate = chain.close_gate("test" if stage == "permit" else "rejoin", node)
            commit = chain.commit(f"Killed in {stage}")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 30, f"{node} comes to its gate before {stage}")
            paused = others if stage == "permit" else [after]
            self.pause(chain, *paused)
            chain.open_gate(gate)
            said = "permit" if stage == "permit" else f"{after} to take the rollout"
            wait_until(lambda: chain[node].app("mini")["waits_for"].startswith(said), 30,
                       lambda: f"{node} waits for {said}, says {chain[node].app('mini')}")
            return commit, lambda: self.go_on(chain, *paused)
        if stage == "verify":
            commit = chain.commit(f"Killed in {stage}", ready_after_ms=1500)
            self.trigger(chain)
            wait_until(lambda: chain.node_row(node, node)["stage"] == "verify"
                       and chain[node].app("mini")["rollout"]["commit"] == commit, 30, f"{node} verifies", every=0.02)
            return commit, lambda: None
        gate = chain.close_gate(stage, node)
        commit = chain.commit(f"Killed in {stage}")
        self.trigger(chain)
        wait_until(lambda: chain.reached(gate), 30, f"{node} is in {stage}")
        return commit, lambda: chain.open_gate(gate)

    def kill_at_each(self, node, after, stages):
        chain = self.safe_chain()
        for stage in stages:
            with self.subTest(stage=stage, node=node), self.one_at_a_time(chain):
                commit, let_go = self.bring_to(chain, node, stage, after)
                chain[node].kill()
                began = time.monotonic()
                let_go()
                chain[node].start()
                self.settled(chain, commit)
                print(f"{node} killed in {stage}: whole again {time.monotonic() - began:.1f} s after SIGKILL")
                self.assertEqual(self.migrated(chain, commit), 1)
            self.clear_gates(chain)

    def test_the_starter_killed_before_its_permit(self):
        self.kill_at_each("web1", "web2", ("fetch", "prepare", "test", "permit"))

    def test_the_starter_killed_while_it_is_out(self):
        self.kill_at_each("web1", "web2", ("drain", "migrate", "migrated", "switch", "verify", "rejoin", "handoff"))

    def test_the_next_killed_before_its_permit(self):
        self.kill_at_each("web2", "web3", ("fetch", "prepare", "test", "permit"))

    def test_the_next_killed_while_it_is_out(self):
        self.kill_at_each("web2", "web3", ("drain", "migrate", "switch", "verify", "rejoin", "handoff"))

    def test_the_last_killed_while_it_is_out(self):
        self.kill_at_each("web3", "web1", ("test", "switch", "verify", "rejoin"))

    def test_a_dead_holder_stops_the_chain_until_it_is_back(self):
        chain = self.safe_chain(handoff_timeout="1s")
        with self.one_at_a_time(chain):
            gate = chain.close_gate("switch", "web1")
            commit = chain.commit("Holder dies")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 30, "web1 is in its switch, its app down")
            self.assertIsNone(chain.running_commit("web1"))
            chain["web1"].kill()
            began = time.time()
            chain.open_gate(gate)
            newer = chain.commit("Comes meanwhile")
            self.trigger(chain, "web2")
            wait_until(lambda: "web1" in chain["web2"].app("mini")["waits_for"], 30,
                       lambda: f"web2 names who holds the lane: {chain['web2'].app('mini')}")
            for name in ("web2", "web3"):
                self.assertEqual(chain.events(name, began), [], f"{name} must not go out while web1 is")
            chain["web1"].start()
            restarted = time.time()
            wait_until(lambda: chain.events("web2", began), 30, "the chain goes on")
            went_on = chain.events("web2", began)[0]["at"]
            print(f"SIGKILL of the holder to the chain going on: {went_on - began:.1f} s, of which "
                  f"{went_on - restarted:.1f} s after its agent was back")
            self.settled(chain, newer)
            self.assertLessEqual(self.migrated(chain, commit), 1)

    def test_killed_in_the_middle_of_a_migration_waits_for_a_person(self):
        chain = self.safe_chain()
        with self.one_at_a_time(chain):
            gate = chain.close_gate("once", "web1")
            commit = chain.commit("A migration is cut off")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 30, "web1 migrates")
            chain["web1"].kill()
            chain["web1"].start()
            rollout = chain.wait_for(commit, "halted")
            self.assertIn("once", rollout["reason"])
            self.assertEqual([chain.running_commit(name) for name in chain.NODES], [chain.first] * 3)
            self.assertEqual(self.migrated(chain, commit), 0, "nothing of the step survived its agent")
            chain.open_gate(gate)
            chain.fleet.command("resume", "mini", agent=chain["web1"])
            self.settled(chain, commit)
            self.assertEqual(self.migrated(chain, commit), 1)


class CutOffTest(SafetyCase):
    def test_a_node_cut_off_in_the_middle_of_its_switch(self):
        chain = self.safe_chain(handoff_timeout="1s")
        with self.one_at_a_time(chain):
            gate = chain.close_gate("switch", "web2")
            chain.commit("Cut off")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 30, "web2 is in its switch")
            self.pause(chain, "web2")
            began = time.time()
            newer = chain.commit("Comes meanwhile")
            self.trigger(chain)
            wait_until(lambda: "web2" in chain["web1"].app("mini")["waits_for"], 30,
                       lambda: f"web1 names who holds the lane: {chain['web1'].app('mini')}")
            # Longer than a peer has to be silent to count as away: it keeps its lane all the same.
            wait_until(lambda: not chain.node_row("web2", "web3")["reachable"], 30, "web2 counts as away")
            for name in ("web1", "web3"):
                self.assertEqual(chain.events(name, began), [], f"{name} must not go out while web2 is")
            self.go_on(chain, "web2")
            chain.open_gate(gate)
            self.settled(chain, newer)
            self.assertEqual(self.migrated(chain, newer), 1)


class ReturnTest(SafetyCase):
    def miss_three(self, chain):
        """Three rollouts without web3; the last commit."""
        chain["web3"].kill()
        for number in range(3):
            commit = chain.commit(f"Missed, number {number}")
            self.trigger(chain)
            wait_until(lambda: [chain.running_commit(name) for name in ("web1", "web2")] == [commit] * 2, 60,
                       f"rollout {number} passes web3 over")
        return commit

    def test_a_node_returns_after_three_missed_rollouts(self):
        chain = self.safe_chain(handoff_timeout="1s")
        with self.one_at_a_time(chain):
            commit = self.miss_three(chain)
            self.assertEqual(chain.running_commit("web3"), chain.first)
            began = time.time()
            chain["web3"].start()
            self.settled(chain, commit)
            print(f"three rollouts missed: caught up in {time.time() - began:.1f} s")
            started = [event["commit"] for event in chain.events("web3", began) if event["event"] == "up"]
            self.assertEqual(started, [commit], "straight to the newest, not through those it missed")
            self.assertEqual(chain.events("web1", began) + chain.events("web2", began), [])

    def test_a_lost_database_and_no_git_host(self):
        chain = self.safe_chain(handoff_timeout="1s")
        commit = self.miss_three(chain)
        # As after the loss of the disk: neither state nor releases, the app not running, and the git host is away.
        end_app(chain.directory / "web3" / "mini" / "run" / "pid")
        shutil.rmtree(chain.directory / "web3" / "state")
        shutil.rmtree(chain.directory / "web3" / "mini")
        away = chain.repository.bare.rename(chain.repository.bare.with_suffix(".away"))
        self.addCleanup(lambda: away.exists() and away.rename(chain.repository.bare))
        with self.one_at_a_time(chain):
            chain["web3"].start()
            wait_until(lambda: "baton accept web3" in chain["web3"].app("mini")["waits_for"], 30,
                       lambda: f"web3 says what is missing: {chain['web3'].app('mini')}")
            self.assertEqual(self.service(chain, "web3"), 503, "it does not serve before it has the fleet's release")
            chain.fleet.command("accept", "web3", agent=chain["web1"])
            began = time.time()
            while chain.running_commit("web3") != commit:
                served = self.service(chain, "web3")
                self.assertIn(served, (503, None), "it serves with the fleet's release only")
                self.assertLess(time.time() - began, 60, chain["web3"].app("mini"))
                time.sleep(0.05)
            self.settled(chain, commit)
            print(f"lost database, no git host: whole {time.time() - began:.1f} s after `baton accept`")

    def test_a_booted_machine_serves_only_when_it_has_caught_up(self):
        chain = self.safe_chain(handoff_timeout="1s")
        commit = self.miss_three(chain)
        # As after a boot: the kernel's boot id is another one, and no app runs.
        end_app(chain.directory / "web3" / "mini" / "run" / "pid")
        with contextlib.closing(sqlite3.connect(chain.directory / "web3" / "state" / "baton.db")) as database, database:
            database.execute("UPDATE meta SET value = 'an earlier boot' WHERE key = 'boot_id'")
        began = time.time()
        chain["web3"].start()
        served_old = 0
        while chain.running_commit("web3") != commit:
            served_old += self.service(chain, "web3") == 200
            self.assertLess(time.time() - began, 60, chain["web3"].app("mini"))
            time.sleep(0.02)
        self.assertEqual(served_old, 0, "an old release was served after the boot")
        self.settled(chain, commit)
        print(f"booted after three missed rollouts: caught up in {time.time() - began:.1f} s")


class TriggersTest(SafetyCase):
    def test_two_triggers_at_two_nodes_at_once(self):
        chain = self.safe_chain()
        dice = random.Random(7)
        switches = 0
        with self.one_at_a_time(chain):
            for number in range(10):
                began = time.time()
                commit = chain.commit(f"Two triggers, number {number}")
                first, second = dice.sample(chain.NODES, 2)
                self.trigger(chain, first)
                time.sleep(dice.choice((0, 0.01, 0.1, 0.5, 1.0)))
                self.trigger(chain, second)
                self.settled(chain, commit)
                self.assertEqual(self.migrated(chain, commit), 1)
                switches += sum(event["event"] == "up" for name in chain.NODES for event in chain.events(name, began))
        print(f"10 pushes, two triggers each: {switches} switches on 3 nodes")
        self.assertLessEqual(switches, 2 * 30)

    def test_two_pushes_triggered_at_two_nodes(self):
        chain = self.safe_chain()
        dice = random.Random(11)
        with self.one_at_a_time(chain):
            for number in range(5):
                chain.commit(f"One of two, number {number}")
                self.trigger(chain, "web3")
                time.sleep(dice.choice((0, 0.05, 0.3)))
                commit = chain.commit(f"Two of two, number {number}")
                self.trigger(chain, "web1")
                self.settled(chain, commit)

    def test_three_pushes_in_a_few_seconds_are_coalesced(self):
        chain = self.safe_chain(poll=True)
        with self.one_at_a_time(chain):
            began = time.time()
            gate = chain.close_gate("test", "web1")
            commits = [chain.commit("One of three")]
            wait_until(lambda: chain.reached(gate), 30, "the first one is being tested")
            commits.append(chain.commit("Two of three"))
            commits.append(chain.commit("Three of three"))
            wait_until(lambda: chain.rollout(commits[2]), 30, "the third one is on its way")
            chain.open_gate(gate)
            self.settled(chain, commits[2])
            started = {event["commit"] for name in chain.NODES for event in chain.events(name, began)
                       if event["event"] == "up"}
            self.assertEqual(started, {commits[2]}, "what was overtaken while it was tested is never published")
            self.assertIn(chain.rollout(commits[0])["state"], ("superseded",))

    def test_a_forced_push_is_held_until_a_person_names_the_commit(self):
        chain = self.safe_chain(poll=True)
        good = chain.commit("Will be pushed away")
        self.settled(chain, good)
        began = time.time()
        chain.repository.git("reset", "-q", "--hard", chain.first)
        chain.repository.write("other.txt", "another history\n")
        other = chain.repository.commit("Another history")
        chain.repository.git("push", "-q", "--force", "origin", "HEAD:refs/heads/main")
        wait_until(lambda: "does not descend" in chain["web1"].log_tail(), 30, "the forced push is noticed")
        # A poll or two later, and at another node as well.
        self.trigger(chain, "web2")
        wait_until(lambda: "does not descend" in chain["web2"].log_tail(), 30, "web2 holds it, too")
        self.assertEqual([chain.events(name, began) for name in chain.NODES], [[], [], []])
        self.settled(chain, good)
        chain.fleet.command("trigger", "mini", "--commit", other, agent=chain["web1"])
        self.settled(chain, other)


class OrdersTest(SafetyCase):
    def test_a_roll_back_of_three_nodes_is_not_undone_by_a_poll(self):
        chain = self.safe_chain(poll=True)
        bad = chain.commit("Looks good, and is not")
        self.settled(chain, bad)
        with self.one_at_a_time(chain):
            began = time.time()
            chain.fleet.command("rollback", "mini", agent=chain["web3"])
            wait_until(lambda: all(chain.running_commit(name) == chain.first for name in chain.NODES), 60,
                       "all run the release before")
            print(f"roll-back of three nodes: {time.time() - began:.1f} s")
            self.settled(chain, chain.first)
            for name in chain.NODES:
                self.assertNotIn("stage test", chain[name].build_log("mini"), "nothing is built or tested again")
            # Neither the poll of the node that polls, nor that of the next one once the first is gone, nor a restart.
            after = time.time()
            chain["web1"].kill()
            wait_until(lambda: f"commit {bad[:12]}" in chain["web2"].log_tail(200)
                       or not chain.node_row("web1", "web2")["reachable"], 40, "web2 polls in the place of web1")
            chain["web1"].start()
            chain["web2"].stop()
            chain["web2"].start()
            self.trigger(chain, "web3")
            self.settled(chain, chain.first)
            self.assertEqual([event for name in chain.NODES for event in chain.events(name, after)], [])
        good = chain.commit("Mended")
        self.settled(chain, good)

    def test_a_roll_back_during_a_rollout(self):
        chain = self.safe_chain()
        with self.one_at_a_time(chain):
            gate = chain.close_gate("switch", "web2")
            bad = chain.commit("Taken back half way")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 30, "web2 switches")
            self.assertEqual(chain.running_commit("web1"), bad)
            chain.fleet.command("rollback", "mini", agent=chain["web3"])
            chain.open_gate(gate)
            self.settled(chain, chain.first)
            self.assertNotIn(bad, [event["commit"] for event in chain.events("web3") if event["event"] == "up"])

    def test_halt_and_resume_are_known_everywhere_and_survive_restarts(self):
        chain = self.safe_chain()
        with self.one_at_a_time(chain):
            gate = chain.close_gate("test", "web2")
            commit = chain.commit("Halted half way")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 30, "web2 tests")
            chain.fleet.command("halt", "mini", "--reason", "it smells", agent=chain["web3"])
            for name in chain.NODES:
                rollout = chain.wait_for(commit, "halted", seen_by=name)
                self.assertIn("it smells", rollout["reason"])
                self.assertIn("demo", rollout["reason"])
            chain.open_gate(gate)
            for name in chain.NODES:
                chain[name].kill()
            for name in chain.NODES:
                chain[name].start()
            for name in chain.NODES:
                self.assertIn("it smells", chain.wait_for(commit, "halted", seen_by=name)["reason"])
            self.trigger(chain)  # not by name: it stays halted
            wait_until(lambda: "is halted by demo" in chain["web1"].log_tail(), 30, "the trigger is held")
            wait_until(lambda: not self.stored(chain, "web2")[1], 30, "no build is left without an end")
            self.assertEqual([chain.running_commit(name) for name in chain.NODES], [commit, chain.first, chain.first])
            chain.fleet.command("resume", "mini", agent=chain["web2"])
            self.settled(chain, commit)
            self.assertEqual(self.migrated(chain, commit), 1)

    def test_freeze_and_unfreeze_are_known_everywhere_and_survive_restarts(self):
        chain = self.safe_chain(poll=True)
        began = time.time()
        chain.fleet.command("freeze", "mini", "--reason", "sale", agent=chain["web2"])
        for name in chain.NODES:
            frozen = wait_until(lambda: chain[name].app("mini")["frozen"], 10, f"{name} is frozen")
            self.assertEqual((frozen["by"], frozen["reason"]), ("demo", "sale"))
        for name in chain.NODES:
            chain[name].kill()
        for name in chain.NODES:
            chain[name].start()
        for name in chain.NODES:
            self.assertEqual(chain[name].app("mini")["frozen"]["reason"], "sale")
        commit = chain.commit("Waits for the thaw")
        wait_until(lambda: "frozen by demo" in chain["web1"].log_tail(), 30, "the poll is held")
        self.assertEqual([chain.events(name, began) for name in chain.NODES], [[], [], []])
        chain.fleet.command("unfreeze", "mini", agent=chain["web3"])
        self.settled(chain, commit)
        for name in chain.NODES:
            self.assertIsNone(chain[name].app("mini")["frozen"])


if __name__ == "__main__":
    unittest.main()
