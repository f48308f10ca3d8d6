# SPDX-License-Identifier: MIT
"""What a person orders is known everywhere, survives restarts and is not undone by a poll."""
import time
import unittest

from harness import APP_TOKEN, ask
from safety import SafetyCase, wait_until

LEVEL = """\
    parameters:
      - {{name: LEVEL, default_value: normal}}
"""


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

    def test_a_roll_back_goes_to_a_commit_that_exists_and_no_repetition_takes_it_further(self):
        chain = self.safe_chain()
        commits = [chain.first]
        for subject in ("Second", "Third"):
            commits.append(chain.commit(subject))
            self.trigger(chain)
            self.settled(chain, commits[-1])

        def refused(*arguments):
            done = chain.fleet.command(*arguments, agent=chain["web3"], check=False)
            self.assertNotEqual(done.returncode, 0, done.stdout)
            return done.stderr + done.stdout
        for unknown in ("zzzz", "0123456789ab", "a" * 40):
            self.assertIn(f"no commit '{unknown}'", refused("rollback", "mini", "--commit", unknown))
        self.assertIn("accepted already", refused("accept", "web1"))
        audit = chain["web3"].get("/api/v1/audit?limit=2")["entries"]
        self.assertIn("refused: ", audit[0]["detail"])
        # Whoever gives the order twice means the same roll-back.
        gate = chain.close_gate("switch", "web1")
        chain.fleet.command("rollback", "mini", "--commit", commits[1][:9], agent=chain["web3"])
        wait_until(lambda: chain.reached(gate), 60, "web1 is taken back")
        self.assertIn("under way", refused("rollback", "mini"))
        chain.open_gate(gate)
        self.settled(chain, commits[1])
        # Given again when it is over it goes one release further back, and never to what was left.
        chain.fleet.command("rollback", "mini", agent=chain["web3"])
        self.settled(chain, chain.first)
        self.assertIn("no earlier release", refused("rollback", "mini"))
        chain["web3"].kill()
        chain["web3"].start()
        self.settled(chain, chain.first)

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

    def test_what_a_freeze_held_goes_on_with_its_parameters(self):
        chain = self.safe_chain(app=LEVEL)
        chain.fleet.command("freeze", "mini", "--reason", "sale", agent=chain["web1"])
        commit = chain.commit("With a parameter")
        done = chain.fleet.command("trigger", "mini", "--param", "LEVEL=high", "--wait", agent=chain["web1"], check=False)
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        chain.fleet.command("unfreeze", "mini", agent=chain["web1"])
        self.settled(chain, commit)
        self.assertEqual(self.last_build(chain), ({"LEVEL": "high"}, ["Started by user demo"]))

    def test_two_triggers_with_different_parameters_become_two_rollouts(self):
        chain = self.safe_chain(app=LEVEL, rollout="      on_new_commit: queue\n")
        gate = chain.close_gate("test", "web1")
        commit = chain.commit("With two parameters")
        for level in ("low", "high"):
            chain.fleet.command("trigger", "mini", "--param", f"LEVEL={level}", agent=chain["web1"])
            wait_until(lambda: chain.reached(gate), 60, "web1 tests")
        # The same once more joins what is under way.
        chain.fleet.command("trigger", "mini", "--param", "LEVEL=high", agent=chain["web1"])
        wait_until(lambda: len(chain["web1"].app("mini")["queued"]) == 1, 60, "the other parameter waits for its turn")
        chain.open_gate(gate)
        wait_until(lambda: self.last_build(chain)[0] == {"LEVEL": "high"}, 60, lambda: f"it ran: {self.last_build(chain)}")
        self.settled(chain, commit)
        self.assertEqual(len([row for row in chain["web1"].rollouts("mini") if row["commit"] == commit]), 2)

    def test_every_item_of_the_queue_comes_to_an_end_for_those_who_follow_it(self):
        chain = self.safe_chain()
        gate = chain.close_gate("switch", "web1")
        chain.commit("Second")
        self.trigger(chain)
        wait_until(lambda: chain.reached(gate), 60, "web1 is out")
        items = []
        for subject in ("Third", "Fourth"):
            commit = chain.commit(subject)
            items.append(self.queue_item(chain))
            wait_until(lambda: chain.rollout(commit), 60, f"{subject} is a rollout")
        self.assertEqual(chain["web1"].get(items[1])["_class"], "hudson.model.Queue$BuildableItem")
        chain.open_gate(gate)
        self.settled(chain, commit)
        overtaken, built = (chain["web1"].get(item) for item in items)
        self.assertEqual((overtaken["_class"], overtaken["cancelled"]), ("hudson.model.Queue$LeftItem", True))
        self.assertIn("another rollout", overtaken["why"])
        self.assertEqual((built["cancelled"], built["executable"]["number"]), (False, 3))
        # Who wants a build of what has ended gets one, also when somebody's look at git came before and both became one.
        wait_until(lambda: [one["ended"] for one in chain.stored("web1")[0]["known"]
                            if one["rollout"]["commit"] == commit] == [True], 60, "web1 knows that all have it")
        chain["web1"].post("/quietDown", expect=(302,))
        self.assertIn("QUIETING DOWN (demo)", chain.fleet.command("status", agent=chain["web1"]).stdout)
        chain["web1"].post("/job/mini/polling", expect=(200, 201, 302))
        item = self.queue_item(chain)
        chain["web1"].post("/cancelQuietDown", expect=(302,))
        wait_until(lambda: chain["web1"].get(item).get("executable"), 60, lambda: f"it is built: {chain['web1'].get(item)}")
        self.assertEqual(chain["web1"].get(item)["executable"]["number"], 4)
        self.settled(chain, commit)
        # As with Jenkins it ends with a restart.
        chain["web1"].post("/quietDown", expect=(302,))
        chain["web1"].kill()
        chain["web1"].start()
        self.assertNotIn("QUIETING", chain.fleet.command("status", agent=chain["web1"]).stdout)

    @staticmethod
    def queue_item(chain):
        """Triggers on web1; where its item is read."""
        _, headers, _ = ask(chain.hosts["web1"], chain["web1"].port, "POST", f"/job/mini/build?token={APP_TOKEN}")
        return "/" + headers["Location"].split("/", 3)[3] + "api/json"

    @staticmethod
    def last_build(chain):
        """The parameters and causes of the newest build of web1."""
        parameters, causes = {}, []
        for action in chain["web1"].get("/job/mini/lastBuild/api/json")["actions"]:
            parameters.update({one["name"]: one["value"] for one in action.get("parameters", ())})
            causes += [cause["shortDescription"] for cause in action.get("causes", ())]
        return parameters, causes


if __name__ == "__main__":
    unittest.main()
