# SPDX-License-Identifier: MIT
"""What a person orders is known everywhere, survives restarts and is not undone by a poll."""
import time
import unittest

from safety import SafetyCase, wait_until


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
                       or not chain.node_row("web1", "web2")["reachable"], 60, "web2 polls in the place of web1")
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
            wait_until(lambda: chain.reached(gate), 60, "web2 switches")
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
            wait_until(lambda: chain.reached(gate), 60, "web2 tests")
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
            wait_until(lambda: "is halted by demo" in chain["web1"].log_tail(), 60, "the trigger is held")
            wait_until(lambda: not chain.stored("web2")[1], 60, "no build is left without an end")
            self.assertEqual([chain.running_commit(name) for name in chain.NODES], [commit, chain.first, chain.first])
            chain.fleet.command("resume", "mini", agent=chain["web2"])
            self.settled(chain, commit)
            self.assertEqual(self.migrated(chain, commit), 1)

    def test_freeze_and_unfreeze_are_known_everywhere_and_survive_restarts(self):
        chain = self.safe_chain(poll=True)
        began = time.time()
        chain.fleet.command("freeze", "mini", "--reason", "sale", agent=chain["web2"])
        for name in chain.NODES:
            frozen = wait_until(lambda: chain[name].app("mini")["frozen"], 60, f"{name} is frozen")
            self.assertEqual((frozen["by"], frozen["reason"]), ("demo", "sale"))
        for name in chain.NODES:
            chain[name].kill()
        for name in chain.NODES:
            chain[name].start()
        for name in chain.NODES:
            self.assertEqual(chain[name].app("mini")["frozen"]["reason"], "sale")
        commit = chain.commit("Waits for the thaw")
        wait_until(lambda: "frozen by demo" in chain["web1"].log_tail(), 60, "the poll is held")
        self.assertEqual([chain.events(name, began) for name in chain.NODES], [[], [], []])
        chain.fleet.command("unfreeze", "mini", agent=chain["web3"])
        self.settled(chain, commit)
        for name in chain.NODES:
            self.assertIsNone(chain[name].app("mini")["frozen"])


if __name__ == "__main__":
    unittest.main()
