# SPDX-License-Identifier: MIT
"""How far a failure reaches: a node's own trouble halts nothing, and a canary that falls ill is put back."""
import unittest

from harness import APP_TOKEN, ChainCase, ask, end_app, wait_until


class ReachTest(ChainCase):
    def commit_tested_by(self, chain, subject):
        """A commit whose tests fail on a node for which there is a file `broken.NODE`."""
        pipeline = (chain.repository.work / "baton.yaml").read_text()
        if "broken" not in pipeline:
            probe = f"test:\n  - name: this machine\n    run: test ! -e {chain.directory}/broken.$NODE_NAME\n"
            chain.repository.write("baton.yaml", pipeline.replace("test:\n", probe, 1))
        return chain.commit(subject)

    def service(self, chain, node):
        return ask(chain.hosts[node], chain[node].port, "GET", "/health/mini")[0]

    def test_a_node_that_alone_cannot_build_halts_nothing_and_tries_again(self):
        chain = self.chain(poll=False, handoff_timeout="2s")
        chain["web3"].kill()
        commit = self.commit_tested_by(chain, "Runs everywhere but here")
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(commit, "succeeded")
        wait_until(lambda: not any("duty" in chain.stored(name)[0]["course"] for name in ("web1", "web2")), 60,
                   "web3 is passed over, and nobody waits for it")
        broken = chain.directory / "broken.web3"
        broken.touch()
        chain["web3"].start()

        def told():
            row = chain.node_row("web3")
            return row if "its own build" in row["waits_for"] and row["state"] == "failed" else None
        row = wait_until(told, 60, lambda: f"web1 shows what web3 waits for; it shows {chain.node_row('web3')}")
        self.assertIn("this machine", row["waits_for"])
        self.assertEqual(chain.rollout(commit)["state"], "running", "one node's trouble does not halt a proven rollout")
        self.assertEqual(chain.running_commit("web3"), chain.first, "it goes on with what it has")
        self.assertEqual(self.service(chain, "web3"), 200)
        broken.unlink()
        wait_until(lambda: chain.running_commit("web3") == commit, 60, "web3 tried again")
        chain.wait_for(commit, "succeeded")
        wait_until(lambda: chain.node_row("web3")["waits_for"] == "", 60, "nobody waits any more")

    def test_a_canary_is_watched_while_it_bakes_and_put_back_when_it_falls_ill(self):
        chain = self.chain(start=False, poll=False)
        config = chain.fleet.config
        config.write_text(config.read_text().replace("    rollout:\n", "    rollout:\n      bake_time: 3s\n"))
        chain.start()
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(chain.first, "succeeded")
        for agent in chain.fleet.agents:
            agent.kill()
        config.write_text(config.read_text().replace("bake_time: 3s", "bake_time: 5m"))
        for agent in chain.fleet.agents:
            agent.start()
        commit = chain.commit("Falls ill later")
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")

        def baking():
            row = chain.node_row("web1", seen_by="web3")
            return row if "watched for" in row["waits_for"] and row["current"] == commit else None
        wait_until(baking, 60, lambda: f"web3 shows that web1 bakes; it shows {chain.node_row('web1', 'web3')}")
        # Its agent is killed meanwhile: the node serves all along.
        chain["web1"].kill()
        chain["web1"].start()
        wait_until(lambda: self.service(chain, "web1") == 200, 60, "the baking node serves after its agent's restart")
        self.assertEqual(chain["web1"].app("mini")["phase"], "out", "it bakes still")
        self.assertEqual(chain.running_commit("web2"), chain.first)
        end_app(chain.directory / "web1" / "mini" / "run" / "pid")
        rollout = chain.wait_for(commit, "halted", seen_by="web2")
        self.assertIn("bake time", rollout["reason"])
        wait_until(lambda: chain.running_commit("web1") == chain.first, 60, "the previous release is back")
        wait_until(lambda: self.service(chain, "web1") == 200, 60, "and serves")
        self.assertEqual(chain.running_commit("web2"), chain.first)


if __name__ == "__main__":
    unittest.main()
