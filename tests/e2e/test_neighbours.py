# SPDX-License-Identifier: MIT
"""What the entry of a Jenkins in the chain can say: whose certificates are good, which results are, how long a build may
take; and two Jenkins, one after the other.
"""
import subprocess
import unittest

from harness import APP_TOKEN, ChainCase, binary, wait_until
from certificates import Authority

from fake_jenkins import TOKEN, FakeJenkins


class NeighboursTest(ChainCase):
    def jenkins(self, **options):
        jenkins = FakeJenkins(**options)
        self.addCleanup(jenkins.close)
        return jenkins

    def alone(self, neighbours, **options):
        """web1, and behind it those."""
        return self.chain(poll=False, nodes=1, neighbours=neighbours, secrets={"jenkins.token": TOKEN}, **options)

    def trigger(self, chain):
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")

    def test_a_jenkins_over_https_is_believed_by_its_own_authority_only(self):
        chain = self.alone("", start=False)
        folder = chain.directory / "jenkins-tls"
        ours, others = Authority(folder, "ours"), Authority(folder, "others")
        trusted = folder / "trusted.pem"
        trusted.write_text(ours.certificate.read_text())
        jenkins = self.jenkins(seconds=0.1, host="127.0.0.1", tls=ours.issue("old1", "127.0.0.1"))
        config = chain.fleet.config
        line = jenkins.node(ca_file=f'"{trusted}"').format(directory=chain.directory)
        config.write_text(config.read_text().replace("security:\n", line + "security:\n", 1)
                          .replace("handoff_timeout: 20s", "handoff_timeout: 8s"))
        chain.start()
        self.trigger(chain)
        chain.wait_for(chain.first, "succeeded")
        self.assertEqual(jenkins.builds[-1].parameters["COMMIT"], chain.first)

        # Another's: nothing is told to whoever answers there, and the operator reads why.
        trusted.write_text(others.certificate.read_text())
        commit = chain.commit("For a Jenkins that cannot be believed")
        self.trigger(chain)
        wait_until(lambda: "the certificate is not accepted" in chain.node_row("old1")["waits_for"], 60,
                   lambda: chain.node_row("old1"))
        chain.wait_for(commit, "succeeded")
        self.assertRegex(chain.node_row("old1")["message"], "passed over: .*the certificate is not accepted")
        self.assertRegex(chain["web1"].log_file.read_text(), "passes a neighbour over.*the certificate is not accepted")
        self.assertEqual(len(jenkins.builds), 1)

        # A file that is gone, or no certificate: check-config says so beforehand.
        for text, said in ((None, "No such file"), ("no certificate\n", "CA file")):
            if text is None:
                trusted.unlink()
            else:
                trusted.write_text(text)
            done = subprocess.run([binary(), "check-config", "--quiet", str(config)], capture_output=True, text=True,
                                  timeout=30, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, f"agent.yaml: 'ca_file' of old1: CA file .*trusted.pem")
        commit = chain.commit("With a broken file")
        self.trigger(chain)
        self.assertIn("CA file", chain.wait_for(commit, "halted")["reason"])
        # Mended, without a restart.
        trusted.write_text(ours.certificate.read_text())
        chain.fleet.command("resume", "mini", agent=chain["web1"])
        chain.wait_for(commit, "succeeded")
        self.assertEqual(jenkins.builds[-1].parameters["COMMIT"], commit)

    def test_two_jenkins_in_a_row_have_their_turns_one_after_the_other_and_each_its_own_idea_of_good(self):
        first, second = self.jenkins(seconds=0.5), self.jenkins(seconds=0.5)
        chain = self.alone(first.node("old1", accept_unstable="true") + second.node("old2"))
        first.results, second.results = ["UNSTABLE"], ["UNSTABLE"]
        commit = chain.commit("Not quite good")
        self.trigger(chain)
        reason = chain.wait_for(commit, "halted")["reason"]
        self.assertIn("old2 (Jenkins): build #2 ended with UNSTABLE", reason)
        self.assertEqual(chain.node_row("old1")["state"], "succeeded")
        self.assertEqual([len(one.builds) for one in (first, second)], [2, 2])
        chain.fleet.command("resume", "mini", agent=chain["web1"])
        chain.wait_for(commit, "succeeded")
        self.assertEqual(chain.node_row("old2")["state"], "succeeded")
        self.assert_disjoint({"old1": first.spells(), "old2": second.spells()})
        for one in (first, second):
            self.assertEqual({build.parameters["COMMIT"] for build in one.builds}, {chain.first, commit})

    def test_a_jenkins_that_came_back_waits_for_the_one_that_a_killed_agent_had_begun(self):
        first, second = self.jenkins(seconds=0.1), self.jenkins(seconds=0.1)
        chain = self.alone(first.node("old1") + second.node("old2"), handoff_timeout="2s")
        first.stop()
        second.hold()
        commit = chain.commit("Begun behind one that was away")
        self.trigger(chain)
        wait_until(second.building, 60, "old2 builds")
        chain["web1"].kill()
        first.start()
        chain["web1"].start()
        wait_until(lambda: "build #2 to end" in chain.node_row("old2")["waits_for"], 60, "web1 follows again")
        second.release()
        chain.wait_for(commit, "succeeded")
        wait_until(lambda: chain.node_row("old1")["state"] == "succeeded", 60, lambda: chain.node_row("old1"))
        self.assert_disjoint({"old1": first.spells(), "old2": second.spells()})
        for one in (first, second):
            self.assertEqual([build.parameters["COMMIT"] for build in one.builds], [chain.first, commit])

    def test_a_build_of_a_jenkins_that_never_ends_is_stopped_and_has_failed(self):
        jenkins = self.jenkins()
        chain = self.alone(jenkins.node(timeout="3s"), deployed=False)
        jenkins.hold()
        self.trigger(chain)
        reason = chain.wait_for(chain.first, "halted")["reason"]
        self.assertIn("old1 (Jenkins): no end of it within 3s", reason)
        wait_until(lambda: [build.result for build in jenkins.builds] == ["ABORTED"], 60, "the build is stopped")
        self.assertEqual(chain.running_commit("web1"), chain.first)


if __name__ == "__main__":
    unittest.main()
