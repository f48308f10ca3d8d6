# SPDX-License-Identifier: MIT
"""What `rollout:` in agent.yaml promises, on real agents: roll-back on failure, canaries, lanes, queues, heads-ups."""
import threading
import time
import unittest

from harness import end_app
from safety import SafetyCase, ask, wait_until

TRAFFIC = """\
    traffic:
      method: readiness
      drain_timeout: 20s
      rejoin_timeout: 20s
      acknowledged_polls: 1
"""

# As for a web server that looks for the file; where it is there, the load balancer's checks fail.
FILE_TRAFFIC = """\
    traffic:
      method: file
      file: "{directory}/${{NODE_NAME}}.out"
      settle: 100ms
"""


class Balancer:
    """A load balancer as far as readiness goes: asks every node's GET /health/mini, and keeps the last answer."""

    def __init__(self, chain):
        self.last = {}
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(host, name, chain[name].port), daemon=True)
                         for name, host in chain.hosts.items()]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _ask(self, host, name, port):
        while not self._stopping.wait(0.05):
            try:
                self.last[name] = ask(host, port, "GET", "/health/mini")[0]
            except Exception:  # whatever it is: the node does not answer
                self.last[name] = None


class FailureTest(SafetyCase):
    def test_a_failure_at_the_last_node_is_taken_back_on_all_newest_first(self):
        chain = self.safe_chain(poll=True, rollout="      on_failure: rollback\n")
        with self.one_at_a_time(chain):
            began = time.time()
            chain.fail_gate("switch", "web3")
            bad = chain.commit("Good on two nodes, not on the third")
            rollout = chain.wait_for(bad, "halted")
            self.assertIn("web3", rollout["reason"])
            self.settled(chain, chain.first)
            print(f"failed at the last of three, all taken back {time.time() - began:.1f} s after the push")
            back = {name: max(event["at"] for event in chain.events(name, began) if event["event"] == "up")
                    for name in chain.NODES}
            self.assertLess(back["web3"], back["web2"])
            self.assertLess(back["web2"], back["web1"], f"what was switched last is put back first: {back}")
            self.assertEqual([event["commit"] for event in chain.events("web1", began) if event["event"] == "up"],
                             [bad, chain.first])
            row = next(row for row in chain["web2"].rollouts("mini") if row["kind"] == "rollback")
            self.assertEqual((row["undoes"], row["cause"]["kind"]), (bad, "failure"))
            for name in chain.NODES:
                if name != "web3":
                    self.assertNotIn("stage test", chain[name].build_log("mini"), "nothing is built again")
            # A poll or two later it is still so.
            self.clear_gates(chain)
            after = time.time()
            wait_until(lambda: "was rolled back or halted" in chain["web1"].log_tail(200), 60,
                       lambda: "web1's poll is held: " + chain["web1"].log_tail())
            self.assertEqual([event for name in chain.NODES for event in chain.events(name, after)], [])
        self.settled(chain, chain.commit("Mended"))


class CanaryTest(SafetyCase):
    def test_nobody_follows_a_canary_before_its_bake_time_is_over(self):
        bake_seconds = 6
        chain = self.safe_chain(rollout=f"      bake_time: {bake_seconds}s\n")
        with self.one_at_a_time(chain):
            began = time.time()
            commit = chain.commit("Baked")
            self.trigger(chain)
            wait_until(lambda: "bake time" in chain["web1"].app("mini")["waits_for"], 60,
                       lambda: f"web1 says that it bakes: {chain['web1'].app('mini')}")
            self.assertEqual(self.service(chain, "web1"), 200, "a canary serves while it is watched")
            self.settled(chain, commit)
            up = next(event["at"] for event in chain.events("web1", began) if event["event"] == "up")
            followed = chain.events("web2", began)[0]["at"]
            self.assertGreater(followed - up, bake_seconds, "web2 waited for the end of the bake time")

    def test_a_canary_that_falls_ill_is_put_back_and_nobody_follows(self):
        chain = self.safe_chain(rollout="      bake_time: 100ms\n")
        self.bake_for_ever(chain, "100ms")
        with self.one_at_a_time(chain):
            began = time.time()
            commit = chain.commit("Falls ill")
            self.trigger(chain)
            wait_until(lambda: "bake time" in chain["web1"].app("mini")["waits_for"], 60, "web1 bakes")
            end_app(chain.directory / "web1" / "mini" / "run" / "pid")
            rollout = chain.wait_for(commit, "halted", seen_by="web3")
            self.assertIn("bake time", rollout["reason"])
            # The others hear of the failure before web1 is back, and what it waits for speaks of the bake time until then.
            wait_until(lambda: chain.running_commit("web1") == chain.first and not chain["web1"].app("mini")["waits_for"]
                       and chain["web1"].app("mini")["phase"] == "idle", 60, "web1 is put back")
            self.assertEqual([chain.events(name, began) for name in ("web2", "web3")], [[], []])
            good = chain.commit("Promoted")
            self.trigger(chain)
            wait_until(lambda: "bake time" in chain["web1"].app("mini")["waits_for"], 60, "web1 bakes again")
            promoted = time.time()
            chain.fleet.command("promote", "mini", agent=chain["web2"])
            wait_until(lambda: chain.events("web2", promoted), 60, "web2 follows long before the end of the bake time")
            self.settled(chain, good)

    @staticmethod
    def bake_for_ever(chain, until_now):
        """From now on canaries bake for longer than any test waits."""
        for agent in chain.fleet.agents:
            agent.kill()
        config = chain.fleet.config
        config.write_text(config.read_text().replace(f"bake_time: {until_now}", "bake_time: 1h"))
        for agent in chain.fleet.agents:
            agent.start()


class LanesTest(SafetyCase):
    def test_two_lanes_of_five_nodes_never_a_third(self):
        chain = self.safe_chain(nodes=5, rollout="      max_unavailable: 2\n")
        began = time.time()
        gates = [chain.close_gate("switch", name) for name in chain.NODES[1:]]
        commit = chain.commit("Two at a time")
        self.trigger(chain)
        opened = set()
        while len(opened) < len(gates):
            here = wait_until(lambda: [gate for gate in gates if chain.reached(gate) and gate not in opened], 60,
                              lambda: f"the next one switches; let go: {opened}")
            if len(opened) < len(gates) - 1:
                here = wait_until(lambda: self.two_of(chain, gates, opened), 60, lambda: f"two at once, after {opened}")
                waits = [chain[name].app("mini")["waits_for"] for name in chain.NODES]
                for text in (text for text in waits if text.startswith("permit: web")):
                    self.assertEqual(text.count("is out of service with"), 2)
            opened.add(here[0])
            chain.open_gate(here[0])
        self.settled(chain, commit)
        most = self.most_at_once(self.stopped_spells(chain, began))
        print(f"5 nodes, 2 lanes: {most} out at once, whole in {time.time() - began:.1f} s")
        self.assertEqual(most, 2)
        self.assertEqual(self.migrated(chain, commit), 1)

    @staticmethod
    def two_of(chain, gates, opened):
        here = [gate for gate in gates if chain.reached(gate) and gate not in opened]
        return here if len(here) == 2 else None

    @staticmethod
    def most_at_once(spells):
        borders = sorted((at, step) for pairs in spells.values() for pair in pairs for at, step in zip(pair, (1, -1)))
        most = out = 0
        for _, step in borders:
            out += step
            most = max(most, out)
        return most


class AheadTest(SafetyCase):
    def test_with_prepare_ahead_all_nodes_test_at_once_and_switch_in_turn(self):
        chain = self.safe_chain(rollout="      prepare_ahead: all\n")
        with self.one_at_a_time(chain):
            began = time.time()
            gates = [chain.close_gate("test", name) for name in chain.NODES]
            commit = chain.commit("Tested everywhere at once")
            self.trigger(chain)
            wait_until(lambda: all(chain.reached(gate) for gate in gates), 60,
                       lambda: f"all test at once: {[gate for gate in gates if chain.reached(gate)]}")
            self.assertEqual([chain.events(name, began) for name in chain.NODES], [[], [], []])
            for gate in gates[1:]:
                chain.open_gate(gate)
            wait_until(lambda: chain.node_row("web3", "web3")["stage"] == "permit", 60, "web3's release is made")
            self.assertEqual([chain.events(name, began) for name in chain.NODES], [[], [], []], "not before its turn")
            chain.open_gate(gates[0])
            self.settled(chain, commit)
            ups = [next(event["at"] for event in chain.events(name, began) if event["event"] == "up")
                   for name in chain.NODES]
            self.assertEqual(ups, sorted(ups), "in the chain's order")


class QueueTest(SafetyCase):
    def test_with_a_queue_each_push_ends_everywhere_before_the_next_begins(self):
        chain = self.safe_chain(rollout="      on_new_commit: queue\n")
        with self.one_at_a_time(chain):
            began = time.time()
            gate = chain.close_gate("test", "web2")
            commits = [chain.commit("One of three")]
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 30, "web2 tests the first")
            for subject in ("Two of three", "Three of three"):
                commits.append(chain.commit(subject))
                self.trigger(chain, "web3")
                wait_until(lambda: self.queued(chain, len(commits) - 1), 30, f"{subject} is queued")
            for name in chain.NODES:
                self.shows_the_queue(chain, name, commits)
            items = chain["web3"].get("/queue/api/json")["items"]
            self.assertEqual(len(items), 2, items)
            for item in items:
                self.assertIn("on_new_commit: queue", item["why"])
            said = chain.fleet.command("status", "mini", agent=chain["web1"])
            self.assertIn("which waits for the end of rollout", str(said))
            chain.open_gate(gate)
            self.settled(chain, commits[-1], within=90)
            for name in chain.NODES:
                ups = [event["commit"] for event in chain.events(name, began) if event["event"] == "up"]
                self.assertEqual(ups, commits, f"{name} ran all three in turn")
            for before, after in zip(commits, commits[1:]):
                last = max(event["at"] for name in chain.NODES for event in chain.events(name, began)
                           if event["event"] == "up" and event["commit"] == before)
                first = min(event["at"] for name in chain.NODES for event in chain.events(name, began)
                            if event["event"] == "up" and event["commit"] == after)
                self.assertLess(last, first)


    def shows_the_queue(self, chain, name, commits):
        """What runs is shown as running on `name`, and behind it what waits, with what it waits for."""
        states = {commits[0]: "running", commits[1]: "queued", commits[2]: "queued"}
        def seen():
            return {row["commit"]: row["state"] for row in chain[name].rollouts("mini") if row["commit"] in states}
        wait_until(lambda: seen() == states, 10, lambda: f"{name} shows what runs and what waits: {seen()}")
        app = chain[name].app("mini")
        self.assertEqual((app["rollout"]["commit"], app["rollout"]["state"]), (commits[0], "running"))
        self.assertEqual([row["commit"] for row in app["queued"]], commits[1:])
        self.assertIn(app["rollout"]["id"], app["queued"][0]["reason"])
        self.assertIn(app["queued"][0]["id"], app["queued"][1]["reason"])

    @staticmethod
    def queued(chain, count):
        return chain["web3"].log_tail(400).count("trigger taken app=mini") == count


    def test_what_waits_in_a_queue_can_be_halted_by_name_and_resumed(self):
        chain = self.safe_chain(rollout="      on_new_commit: queue\n")
        began = time.time()
        gate = chain.close_gate("test", "web2")
        commits = [chain.commit("First")]
        self.trigger(chain)
        wait_until(lambda: chain.reached(gate), 30, "web2 tests the first")
        for number, subject in enumerate(("Second", "Third"), 1):
            commits.append(chain.commit(subject))
            self.trigger(chain, "web3")
            wait_until(lambda: self.queued(chain, number), 30, f"{subject} is queued")
        # Halted at once: the others hear of the second only now, when the peers compare themselves.
        second, third = (row["id"] for row in chain["web3"].app("mini")["queued"])
        chain.fleet.command("halt", "mini", "--rollout", second, "--reason", "not yet", agent=chain["web3"])
        for name in chain.NODES:
            rollout = chain.wait_for(commits[1], "halted", seen_by=name)
            self.assertIn("not yet", rollout["reason"])
            self.assertGreater(rollout["halted_ms"], began * 1000)
            wait_until(lambda name=name: [row["id"] for row in chain[name].app("mini")["queued"]] == [third], 10,
                       f"{name} has but the third in its queue")
            self.assertEqual(chain[name].app("mini")["rollout"]["commit"], commits[0], "what runs is not touched")
        chain.fleet.command("resume", "mini", "--rollout", second, agent=chain["web1"])
        chain.fleet.command("halt", "mini", "--rollout", third, "--reason", "nor this", agent=chain["web2"])
        resumed = time.time()
        chain.open_gate(gate)
        self.settled(chain, commits[1], within=60)
        self.assertLess(time.time() - resumed, 30, "nobody's silence had to be waited for")
        for name in chain.NODES:
            ups = [event["commit"] for event in chain.events(name, began) if event["event"] == "up"]
            self.assertEqual(ups, commits[:2], f"{name} ran what was not halted, in turn")


class DrainTest(SafetyCase):
    def test_a_node_that_a_person_drained_is_deployed_and_stays_out(self):
        chain = self.chain(poll=False, app=TRAFFIC, deployed=False)
        with Balancer(chain) as balancer:
            self.trigger(chain)
            wait_until(lambda: [balancer.last.get(name) for name in chain.NODES] == [200] * 3, 60,
                       lambda: f"all serve: {balancer.last}")
            began = time.time() * 1000
            chain.fleet.command("drain", "mini", "--reason", "a new disk", agent=chain["web2"])
            wait_until(lambda: balancer.last["web2"] == 503, 60, "web2 is out")
            self.assertTrue(chain["web2"].app("mini")["drained"])
            self.drain_is_known(chain, "a new disk", began)
            commit = chain.commit("While one is drained")
            self.trigger(chain)
            wait_until(lambda: [chain.running_commit(name) for name in chain.NODES] == [commit] * 3, 60,
                       lambda: f"all run it: {chain['web1'].app('mini')}")
            chain.wait_for(commit, "succeeded")
            self.assertEqual(balancer.last["web2"], 503, "a rollout does not take back what a person took out")
            chain["web2"].kill()
            wait_until(lambda: balancer.last["web2"] is None, 60, "web2 does not answer")
            chain["web2"].start()
            wait_until(lambda: balancer.last["web2"] is not None, 60, "web2 answers again")
            self.assertEqual(balancer.last["web2"], 503, "nor does a restart")
            self.drain_is_known(chain, "a new disk", began)
            wait_until(lambda: [balancer.last[name] for name in ("web1", "web3")] == [200, 200], 60,
                       lambda: f"the others serve: {balancer.last}")
            chain.fleet.command("undrain", "mini", agent=chain["web2"])
            wait_until(lambda: balancer.last["web2"] == 200, 60, "web2 is back")
            self.assertEqual(chain.running_commit("web2"), commit)
            wait_until(lambda: all(self.row(chain, name)["in_service"] for name in chain.NODES), 60,
                       "every node knows that it is back")
            self.assertIsNone(self.row(chain, "web1")["drained"])

    @staticmethod
    def row(chain, by, of="web2"):
        """How `by` shows the node `of`."""
        return next(row for row in chain[by].app("mini")["nodes"] if row["node"] == of)

    def drain_is_known(self, chain, reason, began):
        """Every node shows that web2 does not serve, who wanted that, why and since when."""
        for name in chain.NODES:
            wait_until(lambda: self.row(chain, name)["drained"], 60, f"{name} knows of the drain")
            row = self.row(chain, name)
            self.assertFalse(row["in_service"], f"{name}: {row}")
            self.assertEqual(row["drained"]["reason"], reason)
            self.assertTrue(row["drained"]["by"], row)
            self.assertGreaterEqual(row["drained"]["since_ms"], began - 1)
        said = chain.fleet.command("status", "mini", agent=chain["web3"])
        self.assertIn("DRAINED by " + row["drained"]["by"], said.stdout)

    def test_a_drained_node_is_none_of_those_that_must_serve(self):
        chain = self.safe_chain(rollout="      min_healthy: 2\n")
        began = time.time()
        chain.fleet.command("drain", "mini", agent=chain["web3"])
        commit = chain.commit("While one of the three is drained")
        self.trigger(chain)
        wait_until(lambda: "1 are, 2 must be" in chain["web1"].app("mini")["waits_for"], 60,
                   lambda: f"web1 stays, or one alone would serve: {chain['web1'].app('mini')}")
        # Nor is it one after a restart.
        chain["web3"].kill()
        chain["web3"].start()
        wait_until(lambda: chain["web3"].app("mini")["drained"], 60, "web3 is back, and drained")
        self.assertEqual([event for name in chain.NODES for event in chain.events(name, began)], [])
        chain.fleet.command("undrain", "mini", agent=chain["web3"])
        self.settled(chain, commit)

    def test_a_drain_by_hand_reaches_a_load_balancer_that_does_not_ask(self):
        chain = self.chain(poll=False, app=FILE_TRAFFIC)
        flags = {name: chain.directory / f"{name}.out" for name in chain.NODES}

        def out():
            return [name for name in chain.NODES if flags[name].exists()]

        wait_until(lambda: not out(), 60, lambda: f"nobody is out: {out()}")
        chain.fleet.command("drain", "mini", agent=chain["web2"])
        wait_until(flags["web2"].exists, 60, "web2 is out")
        self.assertEqual(out(), ["web2"])
        commit = chain.commit("While one is drained")
        self.trigger(chain)
        chain.wait_for(commit, "succeeded")
        wait_until(lambda: [chain.running_commit(name) for name in chain.NODES] == [commit] * 3, 60,
                   lambda: f"all run it: {chain['web1'].app('mini')}")
        self.assertEqual(out(), ["web2"], "a rollout does not take back what a person took out")
        # As after a boot, which empties the folder of such files.
        chain["web2"].kill()
        flags["web2"].unlink()
        chain["web2"].start()
        wait_until(flags["web2"].exists, 60, "web2 is out again")
        # What could not be said is said to be so, and said in the end.
        chain["web2"].kill()
        flags["web2"].unlink()
        flags["web2"].mkdir()
        chain["web2"].start()
        wait_until(lambda: "the load balancer to be told" in chain["web2"].app("mini")["waits_for"], 60,
                   lambda: f"web2 says why: {chain['web2'].app('mini')}")
        flags["web2"].rmdir()
        wait_until(flags["web2"].is_file, 60, "web2 is out after all")
        wait_until(lambda: not chain["web2"].app("mini")["waits_for"], 60, "web2 waits for nothing")
        chain.fleet.command("undrain", "mini", agent=chain["web2"])
        wait_until(lambda: not out(), 60, lambda: f"web2 is back: {out()}")


if __name__ == "__main__":
    unittest.main()
