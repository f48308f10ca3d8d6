# SPDX-License-Identifier: MIT
"""A commit travels three agents: real processes, real git, real HTTP."""
import subprocess
import time
import unittest

from harness import APP_TOKEN, ChainCase, Sampler, ask, wait_until


class ChainTest(ChainCase):
    def switch_spells(self, chain, commit, since):
        """Per node, from the stop of the old process until the new one answers, as the app itself noted it."""
        spells = {}
        for name in chain.NODES:
            events = chain.events(name, since)
            self.assertEqual([event["event"] for event in events], ["stop", "up"], f"{name} restarted once: {events}")
            self.assertEqual(events[1]["commit"], commit)
            spells[name] = (events[0]["at"], events[1]["at"])
        return spells

    def assert_untouched(self, chain, names, commit, since):
        """These nodes still run `commit`, and their app was never stopped or started since."""
        for name in names:
            self.assertEqual(chain.events(name, since), [], f"{name} was not to be touched")
            self.assertEqual(chain.running_commit(name), commit)

    def test_a_push_reaches_all_three_nodes_in_order_and_never_two_at_once(self):
        chain = self.chain()
        with Sampler(chain.hosts) as sampler:
            began = time.time()
            # Slow to get ready, so that a chain that does not wait for health would have two nodes out at once.
            commit = chain.commit("A second version", ready_after_ms=1000)
            chain.wait_for(commit, "succeeded")
            wait_until(lambda: all(chain.running_commit(name) == commit for name in chain.NODES), 60, "all run it")
        spells = self.switch_spells(chain, commit, began)
        # Each gets ready in 1 s and is proved healthy for 300 ms before the next one is stopped.
        for one, next_one in zip(chain.NODES, chain.NODES[1:]):
            self.assertGreaterEqual(spells[next_one][0] - spells[one][1], 1.3, f"{one} then {next_one}: {spells}")
        self.assert_disjoint({name: sampler.outages(name) for name in chain.NODES})
        for name in chain.NODES:
            self.assertEqual(sampler.commits(name), [chain.first, commit], f"{name} went from one to the other")
            self.assertGreater(len(sampler.samples[name]), 20)

    def test_every_agent_shows_the_same_rollout(self):
        chain = self.chain()
        commit = chain.commit("Seen from everywhere")
        for name in chain.NODES:
            rollout = chain.wait_for(commit, "succeeded", seen_by=name)
            self.assertEqual(rollout["subject"], "Seen from everywhere")
            self.assertEqual(rollout["author"], "Ann Author")
            self.assertEqual(rollout["started_on"], "web1")
            self.assertEqual(rollout["cause"]["kind"], "poll")
            self.assertEqual(rollout["id"], chain.rollout(commit, "web1")["id"])
            for node in chain.NODES:
                row = wait_until(lambda: self.row_if(chain, node, name, commit), 60, f"{name} knows of {node}")
                self.assertEqual(row["state"], "succeeded")

    @staticmethod
    def row_if(chain, node, seen_by, commit):
        row = chain.node_row(node, seen_by)
        return row if row["current"] == commit and row["state"] == "succeeded" else None

    def test_a_failing_test_stops_at_the_first_node(self):
        chain = self.chain()
        began = time.time()
        commit = chain.commit("Breaks the tax", tax_percent=20)
        rollout = chain.wait_for(commit, "halted")
        self.assertIn("test_a_hundred_is_taxed_by_nineteen", rollout["reason"] + chain["web1"].build_log("mini"))
        for name in ("web2", "web3"):
            chain.wait_for(commit, "halted", seen_by=name)
        self.assert_untouched(chain, chain.NODES, chain.first, began)
        # The chain is not blocked by it: a good commit goes all the way, and the bad one was never published.
        good = chain.commit("Mends the tax")
        chain.wait_for(good, "succeeded")
        for name in chain.NODES:
            self.assertEqual([event["commit"] for event in chain.events(name, began)], [good, good])

    def test_a_sick_release_is_undone_on_the_first_node_and_goes_no_further(self):
        chain = self.chain()
        began = time.time()
        commit = chain.commit("Passes its tests and is ill", healthy=False)
        chain.wait_for(commit, "halted")
        self.assertEqual(chain.running_commit("web1"), chain.first, "the release before is back")
        self.assertEqual([event["commit"] for event in chain.events("web1", began) if event["event"] == "up"],
                         [commit, chain.first])
        self.assertEqual(chain.node_row("web1")["current"], chain.first)
        self.assert_untouched(chain, ("web2", "web3"), chain.first, began)
        good = chain.commit("Well again")
        chain.wait_for(good, "succeeded")
        self.assertEqual([chain.running_commit(name) for name in chain.NODES], [good] * 3)
        self.assertNotIn(commit, [event["commit"] for name in ("web2", "web3") for event in chain.events(name, began)])

    def test_the_next_agent_killed_before_the_handoff_and_restarted_goes_on(self):
        chain = self.chain()
        gate = chain.close_gate("test", "web1")
        began = time.time()
        commit = chain.commit("Waits for web2")
        wait_until(lambda: chain.reached(gate), 60, "web1 tests")
        chain["web2"].kill()
        chain.open_gate(gate)
        wait_until(lambda: chain.running_commit("web1") == commit, 60, "web1 switched")
        self.assert_untouched(chain, ("web3",), chain.first, began)
        chain["web2"].start()
        chain.wait_for(commit, "succeeded")
        self.assertEqual([chain.running_commit(name) for name in chain.NODES], [commit] * 3)
        self.assert_disjoint({name: [spell] for name, spell in self.switch_spells(chain, commit, began).items()})

    def test_the_next_agent_killed_after_it_took_the_rollout_goes_on_with_it(self):
        chain = self.chain()
        gate = chain.close_gate("test", "web2")
        began = time.time()
        commit = chain.commit("Survives SIGKILL")
        wait_until(lambda: chain.reached(gate), 60, "web2 took the rollout and tests")
        self.assertEqual(chain.running_commit("web1"), commit)
        chain["web2"].kill()
        chain.open_gate(gate)
        self.assert_untouched(chain, ("web2", "web3"), chain.first, began)
        chain["web2"].start()
        chain.wait_for(commit, "succeeded", seen_by="web2")
        self.assertEqual([chain.running_commit(name) for name in chain.NODES], [commit] * 3)
        self.assert_disjoint({name: [spell] for name, spell in self.switch_spells(chain, commit, began).items()})

    def test_a_dead_next_node_is_skipped(self):
        chain = self.chain(handoff_timeout="2s")
        chain["web2"].kill()
        began = time.time()
        commit = chain.commit("Round the dead one")
        wait_until(lambda: chain.running_commit("web3") == commit, 60, "web3 switched")
        self.assertEqual(chain.running_commit("web1"), commit)
        self.assert_untouched(chain, ("web2",), chain.first, began)

    def test_a_bare_curl_starts_a_rollout(self):
        chain = self.chain(poll=False)
        commit = chain.commit("By hand")
        url = f"{chain['web1'].url}/job/mini/build?token={APP_TOKEN}"
        curl = subprocess.run(["curl", "-sS", "-i", "--max-time", "10", "-X", "POST", url], capture_output=True,
                              text=True, timeout=20, check=True)
        self.assertIn(" 201 ", curl.stdout.splitlines()[0])
        self.assertRegex(curl.stdout, r"(?m)^Location: http://.*/queue/item/\d+/")
        rollout = chain.wait_for(commit, "succeeded")
        self.assertEqual(rollout["cause"]["kind"], "remote")
        self.assertEqual([chain.running_commit(name) for name in chain.NODES], [commit] * 3)

    def test_a_trigger_at_the_last_node_wraps_round(self):
        chain = self.chain(poll=False)
        began = time.time()
        commit = chain.commit("From the end")
        chain["web3"].post(f"/job/mini/build?token={APP_TOKEN}")
        rollout = chain.wait_for(commit, "succeeded", seen_by="web3")
        self.assertEqual(rollout["started_on"], "web3")
        spells = self.switch_spells(chain, commit, began)
        self.assertEqual(sorted(spells, key=lambda name: spells[name]), ["web3", "web1", "web2"])

    def test_a_wrong_token_starts_nothing(self):
        chain = self.chain(poll=False)
        began = time.time()
        commit = chain.commit("Nobody may")
        host = chain.hosts["web1"]
        for path in ("/job/mini/build", "/job/mini/build?token=wrong", "/job/mini/build?token="):
            status = ask(host, chain["web1"].port, "POST", path)[0]
            self.assertIn(status, (401, 403, 404), path)
        self.assertIsNone(chain.rollout(commit))
        # The right one is taken right after: what was refused left nothing behind that could still start.
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(commit, "succeeded")
        self.assertEqual(len([row for row in chain["web1"].rollouts("mini") if row["commit"] == commit]), 1)
        self.switch_spells(chain, commit, began)


if __name__ == "__main__":
    unittest.main()
