# SPDX-License-Identifier: MIT
"""Without a majority nothing goes out of service: two nodes, the witness that helps them, and a person's own word."""
import unittest

from harness import APP_TOKEN, ChainCase, wait_until


class MajorityTest(ChainCase):
    MEMBERS = ("web1", "web2")

    def pair(self):
        """Two nodes and a witness, the first version on both."""
        chain = self.chain(deployed=False, poll=False, witness="web3", handoff_timeout="2s")
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(chain.first, "succeeded")
        self.assertEqual([chain.running_commit(name) for name in self.MEMBERS], [chain.first] * 2)
        return chain

    def test_a_witness_lets_one_of_two_nodes_deploy_while_the_other_is_dead(self):
        chain = self.pair()
        self.assertIsNone(chain.running_commit("web3"), "a witness runs no app")
        chain["web2"].kill()
        commit = chain.commit("With the witness's word")
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        wait_until(lambda: chain.running_commit("web1") == commit, 60, "web1 switched")
        self.assertEqual(chain.running_commit("web2"), chain.first)
        chain["web2"].start()
        wait_until(lambda: chain.running_commit("web2") == commit, 60, "web2 caught up")

    def test_without_a_majority_nothing_goes_out_unless_a_person_forces_it(self):
        chain = self.pair()
        chain["web2"].kill()
        chain["web3"].kill()
        commit = chain.commit("Alone")
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")

        def waits():
            text = chain["web1"].app("mini")["waits_for"]
            return text if "1 of 2" in text else None
        text = wait_until(waits, 60, lambda: f"status says what is missing; it says {chain['web1'].app('mini')}")
        self.assertIn("web2", text)
        self.assertEqual(chain.running_commit("web1"), chain.first)
        done = chain.fleet.command("force", "mini", agent=chain["web1"])
        self.assertIn("without a majority", done.stdout)
        wait_until(lambda: chain.running_commit("web1") == commit, 60, "web1 switched on a person's word")
        entry = next(row for row in chain["web1"].get("/api/v1/audit")["entries"] if row["action"] == "force")
        self.assertEqual(entry["who"], "demo")


if __name__ == "__main__":
    unittest.main()
