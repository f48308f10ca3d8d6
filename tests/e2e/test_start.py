# SPDX-License-Identifier: MIT
"""An agent that cannot start says why and what to do, in words for the one who reads its log."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import AGENT_PORT, binary, free_network

from fleet import Agent, write_secret


class StartTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-start-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.host = f"{free_network((AGENT_PORT,))}.11"
        key = subprocess.run([binary(), "keygen"], capture_output=True, text=True, timeout=20, check=True).stdout
        self.key = write_secret(self.directory / "cluster.key", key)

    def config(self, name="agent.yaml", state="state", host=None, extra=""):
        file = self.directory / name
        file.write_text(f'state_dir: {self.directory / state}\nchain:\n  nodes:\n    - {{name: web1, address: '
                        f'"{host or self.host}:{AGENT_PORT}"}}\nsecurity:\n  cluster_key_file: {self.key}\n{extra}',
                        encoding="utf-8")
        return file

    def refused(self, config, node="web1"):
        """What an agent says that does not start, which is exit status 1."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BATON_")}
        done = subprocess.run([binary(), "agent", "--config", str(config), "--node", node], capture_output=True,
                              text=True, timeout=20, check=False, env=environment)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_a_second_agent_on_the_address_or_the_state_directory_is_refused(self):
        agent = Agent(binary(), self.config(), "web1", self.host, AGENT_PORT, self.directory / "log", None)
        agent.start()
        self.addCleanup(agent.stop)
        text = self.refused(self.config("other.yaml", state="other"))
        self.assertIn(f"{self.host}:{AGENT_PORT}: the address is in use; does another agent run here?", text)
        self.assertNotIn("baton status", text.replace("systemctl status baton", ""))
        text = self.refused(self.config("again.yaml"))
        self.assertIn(f"state directory {self.directory / 'state'}", text)
        self.assertIn("is locked by another process", text)
        self.assertIn("Does one run here already?", text)
        self.assertTrue(agent.healthy(), "the first one was not disturbed")

    def test_a_cluster_key_that_others_can_read_is_refused(self):
        self.key.chmod(0o644)
        text = self.refused(self.config())
        self.assertIn(f"{self.key} holds a secret but is open to others (mode 0644): chmod 600 {self.key}", text)

    def test_all_faults_of_a_configuration_come_in_one_report(self):
        config = self.config(extra="executers: 2\ntraffic: {method: haproxy}\n")
        text = self.refused(config)
        self.assertIn(f"{config}:7:1: unknown key 'executers'", text)
        self.assertIn("did you mean 'executors'?", text)
        self.assertIn(f"{config}:8:", text)

    def test_an_unknown_node_a_foreign_address_and_an_unusable_directory_are_named(self):
        self.assertIn("the chain has no node 'web9' (known: web1; did you mean 'web1'?)", self.refused(self.config(), "web9"))
        self.assertIn("this machine does not have that address", self.refused(self.config(host="192.0.2.77")))
        text = self.refused(self.config("proc.yaml", state="/proc/no/such"))
        self.assertIn("/proc/no/such: No such file or directory", text)
        self.assertNotIn("filesystem error", text)

    def test_a_state_directory_of_another_node_is_refused(self):
        agent = Agent(binary(), self.config(), "web1", self.host, AGENT_PORT, self.directory / "log", None)
        agent.start()
        agent.stop()
        file = self.config()
        file.write_text(file.read_text(encoding="utf-8").replace("name: web1", "name: web2"), encoding="utf-8")
        self.assertIn("belongs to node 'web1', and this is node 'web2'", self.refused(file, "web2"))


if __name__ == "__main__":
    unittest.main()
