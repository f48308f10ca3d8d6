# SPDX-License-Identifier: MIT
"""Pushes and triggers that come at once, in a row, or with another history."""
import random
import time
import unittest

from safety import SafetyCase, wait_until


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
            wait_until(lambda: chain.reached(gate), 60, "the first one is being tested")
            commits.append(chain.commit("Two of three"))
            commits.append(chain.commit("Three of three"))
            wait_until(lambda: chain.rollout(commits[2]), 60, "the third one is on its way")
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
        wait_until(lambda: "does not descend" in chain["web1"].log_tail(), 60, "the forced push is noticed")
        # A poll or two later, and at another node as well.
        self.trigger(chain, "web2")
        wait_until(lambda: "does not descend" in chain["web2"].log_tail(), 60, "web2 holds it, too")
        self.assertEqual([chain.events(name, began) for name in chain.NODES], [[], [], []])
        self.settled(chain, good)
        chain.fleet.command("trigger", "mini", "--commit", other, agent=chain["web1"])
        self.settled(chain, other)


if __name__ == "__main__":
    unittest.main()
