# SPDX-License-Identifier: MIT
"""Signed commits: what nobody allowed has signed never reaches a step."""
import subprocess
import unittest

from harness import ChainCase, wait_until

APP = "    verify_commit: ssh\n    allowed_signers_file: {directory}/allowed_signers\n"


class SignedTest(ChainCase):
    @staticmethod
    def make_key(directory, name):
        file = directory / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(file)], check=True, timeout=30)
        return file

    @staticmethod
    def sign_with(chain, key):
        """Commits of the clone are signed from now on; with None they are not."""
        chain.repository.git("config", "gpg.format", "ssh")
        chain.repository.git("config", "commit.gpgsign", "true" if key else "false")
        if key:
            chain.repository.git("config", "user.signingkey", str(key))

    def refused(self, chain, commit, word):
        rollout = chain.wait_for(commit, "halted")
        self.assertIn(word, rollout["reason"])
        log = chain["web1"].build_log("mini")
        self.assertNotIn("note the commit", log, "no step has run")
        self.assertNotIn(commit, [chain.running_commit(name) for name in chain.NODES])

    def test_only_a_commit_signed_by_someone_allowed_reaches_a_step(self):
        chain = self.chain(deployed=False, app=APP)
        key, other = self.make_key(chain.directory, "ann"), self.make_key(chain.directory, "eve")
        public = key.with_suffix(".pub").read_text()
        (chain.directory / "allowed_signers").write_text(f"ann@example.com {public}")
        self.refused(chain, chain.first, "sign")
        self.sign_with(chain, key)
        good = chain.commit("Signed by Ann")
        chain.wait_for(good, "succeeded")
        wait_until(lambda: [chain.running_commit(name) for name in chain.NODES] == [good] * 3, 60, "all run it")
        self.sign_with(chain, other)
        self.refused(chain, chain.commit("Signed by Eve"), "sign")
        self.sign_with(chain, None)
        self.refused(chain, chain.commit("Signed by nobody"), "sign")
        self.assertEqual([chain.running_commit(name) for name in chain.NODES], [good] * 3)


if __name__ == "__main__":
    unittest.main()
