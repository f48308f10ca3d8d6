# SPDX-License-Identifier: MIT
"""SIGKILL at each stage in turn: the agents come back and do the right thing, never two apps down."""
import time
import unittest

from safety import HeldRepository, SafetyCase, wait_until


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
                wait_until(lambda: chain.reached(gate), 60, "web1 tests")
                held = HeldRepository(chain.repository.bare)
                self.addCleanup(held.release)
                chain.open_gate(gate)
            else:
                held = HeldRepository(chain.repository.bare)
                self.addCleanup(held.release)
                self.trigger(chain)
            wait_until(held.reached, 60, f"{node} fetches")
            return commit, held.release
        if stage in ("permit", "handoff"):
            gate = chain.close_gate("test" if stage == "permit" else "rejoin", node)
            commit = chain.commit(f"Killed in {stage}")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 60, f"{node} comes to its gate before {stage}")
            paused = others if stage == "permit" else [after]
            self.pause(chain, *paused)
            chain.open_gate(gate)
            said = "permit" if stage == "permit" else f"{after} to take the rollout"
            wait_until(lambda: chain[node].app("mini")["waits_for"].startswith(said), 60,
                       lambda: f"{node} waits for {said}, says {chain[node].app('mini')}")
            return commit, lambda: self.go_on(chain, *paused)
        if stage == "verify":
            gate = chain.close_gate(stage, node)
            commit = chain.commit(f"Killed in {stage}")
            self.trigger(chain)
            wait_until(lambda: chain.node_row(node, node)["stage"] == "verify"
                       and chain[node].app("mini")["rollout"]["commit"] == commit, 60, f"{node} verifies")
            return commit, lambda: chain.open_gate(gate)
        gate = chain.close_gate(stage, node)
        commit = chain.commit(f"Killed in {stage}")
        self.trigger(chain)
        wait_until(lambda: chain.reached(gate), 60, f"{node} is in {stage}")
        return commit, lambda: chain.open_gate(gate)

    def kill_at_each(self, node, after, stages):
        chain = self.safe_chain()
        for stage in stages:
            with self.subTest(stage=stage, node=node), self.one_at_a_time(chain):
                commit, let_go = self.bring_to(chain, node, stage, after)
                chain[node].kill()
                began = time.monotonic()
                # What a step had started does not outlive the agent, even before the next one comes.
                wait_until(lambda: not self.steps_alive(chain, node), 60, lambda: str(self.steps_alive(chain, node)))
                if stage != "verify":
                    let_go()
                chain[node].start()
                if stage == "verify":
                    let_go()  # the next agent has found an app that is not ready yet
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
            wait_until(lambda: chain.reached(gate), 60, "web1 is in its switch, its app down")
            self.assertIsNone(chain.running_commit("web1"))
            chain["web1"].kill()
            began = time.time()
            chain.open_gate(gate)
            newer = chain.commit("Comes meanwhile")
            self.trigger(chain, "web2")
            wait_until(lambda: "web1" in chain["web2"].app("mini")["waits_for"], 60,
                       lambda: f"web2 names who holds the lane: {chain['web2'].app('mini')}")
            for name in ("web2", "web3"):
                self.assertEqual(chain.events(name, began), [], f"{name} must not go out while web1 is")
            chain["web1"].start()
            restarted = time.time()
            wait_until(lambda: chain.events("web2", began), 60, "the chain goes on")
            went_on = chain.events("web2", began)[0]["at"]
            print(f"SIGKILL of the holder to the chain going on: {went_on - began:.1f} s, of which "
                  f"{went_on - restarted:.1f} s after its agent was back")
            self.settled(chain, newer)
            self.assertLessEqual(self.migrated(chain, commit), 1)

    def test_killed_while_it_puts_the_release_before_back(self):
        chain = self.safe_chain()
        slow = chain.commit("Slow to come up, also when it is put back", ready_after_ms=2000)
        self.trigger(chain)
        self.settled(chain, slow)
        with self.one_at_a_time(chain):
            chain.fail_gate("switch", "web2")
            bad = chain.commit("Does not start on web2")
            self.trigger(chain)
            wait_until(lambda: " back\n" in chain["web2"].build_log("mini"), 60, "web2 puts the release before back")
            chain["web2"].kill()
            chain["web2"].start()
            chain.wait_for(bad, "halted", seen_by="web3")
            wait_until(lambda: chain["web2"].app("mini")["phase"] == "idle" and self.service(chain, "web2") == 200, 60,
                       lambda: f"web2 is back in service: {chain['web2'].app('mini')}")
            self.assertEqual([chain.running_commit(name) for name in chain.NODES], [bad, slow, slow])
            wait_until(lambda: not chain.stored("web2")[1], 60, "no build is left without an end")
            chain.fleet.command("resume", "mini", agent=chain["web3"])
            self.settled(chain, bad)
            self.assertEqual(self.migrated(chain, bad), 1)

    def test_killed_in_the_middle_of_a_migration_waits_for_a_person(self):
        chain = self.safe_chain()
        with self.one_at_a_time(chain):
            gate = chain.close_gate("once", "web1")
            commit = chain.commit("A migration is cut off")
            self.trigger(chain)
            wait_until(lambda: chain.reached(gate), 60, "web1 migrates")
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


if __name__ == "__main__":
    unittest.main()
