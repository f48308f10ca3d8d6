# SPDX-License-Identifier: MIT
"""A machine that died while it was out of service, and is not coming back: what a person does, and what if it does."""
import shutil
import time
import unittest

from safety import SafetyCase, wait_until


class GoneTest(SafetyCase):
    def test_a_machine_that_died_out_of_service_is_forgotten_barred_and_accepted_again(self):
        chain = self.safe_chain(handoff_timeout="2s")
        others = ("web2", "web3")
        began = time.time()
        gate = chain.close_gate("switch", "web1")
        chain.commit("The machine dies of it")
        self.trigger(chain)
        wait_until(lambda: chain.reached(gate), 60, "web1 is in its switch, its app down")
        chain["web1"].kill()
        commit = chain.commit("The next one")
        self.trigger(chain, "web2")
        wait_until(lambda: "web1 is out of service" in chain["web2"].app("mini")["waits_for"], 60,
                   lambda: f"web2 says whom it waits for: {chain['web2'].app('mini')}")
        self.assertEqual([event for name in others for event in chain.events(name, began)], [], "nobody else is out")

        chain.fleet.command("forget", "web1", "--reason", "burnt", agent=chain["web3"])
        self.settled(chain, commit, nodes=others)
        for name in others:
            row = chain.node_row("web1", name)
            self.assertEqual(row["forgotten"]["reason"], "burnt", row)
            self.assertTrue(row["forgotten"]["by"], row)
            self.assertFalse(row["in_service"], row)
        self.assertIn("FORGOTTEN by " + row["forgotten"]["by"], chain.fleet.command("status", "mini", agent=chain["web2"]).stdout)

        # It was not off after all. What it remembers counts no more, and it says what to do.
        chain.open_gate(gate)
        chain["web1"].start()
        wait_until(lambda: "forgotten" in chain["web1"].app("mini")["waits_for"], 60,
                   lambda: f"it says that it is barred: {chain['web1'].app('mini')}")
        chain["web1"].kill()
        shutil.rmtree(chain.directory / "web1" / "state")
        chain["web1"].start()
        wait_until(lambda: "baton accept web1" in chain["web1"].app("mini")["waits_for"], 60,
                   lambda: f"its new database waits for a person: {chain['web1'].app('mini')}")
        chain.fleet.command("accept", "web1", "--reason", "repaired", agent=chain["web2"])
        self.settled(chain, commit)
        wait_until(lambda: chain.node_row("web1", "web3")["forgotten"] is None, 60, "web3 has heard of it, too")
        for row in chain["web2"].get("/api/v1/audit?app=mini")["entries"]:
            if row["action"] == "accept":
                self.assertEqual(row["detail"], "web1: repaired")
                break
        else:
            self.fail("the order is in the audit")


if __name__ == "__main__":
    unittest.main()
