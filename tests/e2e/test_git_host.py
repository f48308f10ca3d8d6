# SPDX-License-Identifier: MIT
"""A git host that lets one node in only, and then nobody: commits travel from agent to agent."""
import unittest

from git_host import GitHost
from safety import SafetyCase, wait_until, write_secret

APP = "    credentials: {{username: deploy, password_file: {directory}/secrets/git.password}}\n"


class GitHostTest(SafetyCase):
    def test_one_node_has_credentials_and_hands_every_commit_over(self):
        chain = self.chain(deployed=False, start=False, app=APP, repository="http://git.invalid/mini.git")
        host = GitHost(chain.directory, "deploy", "open-sesame")
        self.addCleanup(host.close)
        text = chain.fleet.config.read_text().replace("http://git.invalid", host.url)
        chain.fleet.config.write_text(text)
        write_secret(chain.directory / "secrets" / "git.password", "open-sesame\n")
        write_secret(chain.directory / "secrets" / "wrong.password", "guess\n")
        other = chain.directory / "agent-without.yaml"
        other.write_text(text.replace("git.password", "wrong.password"))
        for name in ("web2", "web3"):
            chain[name].config = str(other)
        chain.start()
        self.settled(chain, chain.first)
        for number in (1, 2):
            commit = chain.commit(f"Handed over, number {number}")
            self.settled(chain, commit)
            for name in ("web2", "web3"):
                self.assertIn(f"commit came from a peer app=mini commit={commit}", chain[name].log_file.read_text())
        self.assertGreater(host.refused, 0, "the git host has refused the others")
        # A trigger at a node that the git host refuses is kept, and says why it waits.
        last = chain.commit("Triggered where nobody may fetch")
        self.trigger(chain, "web3")
        wait_until(lambda: "trigger waits and will be tried again" in chain["web3"].log_tail(200), 60,
                   lambda: chain["web3"].log_tail())
        self.settled(chain, last)  # by the poll of web1


if __name__ == "__main__":
    unittest.main()
