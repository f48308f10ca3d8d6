# SPDX-License-Identifier: MIT
"""The agents deploy themselves: examples/self-upgrade as it stands, under a small process that plays systemd."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from harness import (AGENT_PORT, APP_TOKEN, HERE, Agent, AskError, Fleet, Repository, binary, free_network, has_failed,
                     wait_until, write_secret)

EXAMPLE = HERE.parent.parent / "examples" / "self-upgrade"
NODES = ("web1", "web2", "web3")
CONFIG = """\
state_dir: {directory}/${{NODE_NAME}}/state
chain:
  nodes:
{nodes}
security:
  cluster_key_file: {directory}/secrets/cluster.key
  tokens_file: {directory}/secrets/tokens
apps:
  baton:
    repository: {directory}/baton.git
    deploy_to: {directory}/${{NODE_NAME}}/srv
    triggers: {{token_file: {directory}/secrets/trigger.token}}
    parameters:
      - {{name: AGENT_CONFIG, default_value: {directory}/agent.yaml}}
"""
# What the example leaves to its user: where the program comes from, and who restarts it.
BUILD = "#!/bin/sh\nset -e\ncp {program} baton\nprintf '%s' \"$GIT_COMMIT\" >> baton\n"
RESTART = '#!/bin/sh\necho restart > {directory}/"$NODE_NAME"/srv/unit.fifo\n'


class UnitAgent(Agent):
    """An agent under a unit: started and ended through it, its process replaced behind it."""

    def start(self, within=60.0):
        home = pathlib.Path(self.config).parent / self.name / "srv"
        home.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-B", str(HERE / "unit.py"), self.binary, str(home), self.config, self.name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={key: value for key, value in os.environ.items() if not key.startswith("BATON_")})
        wait_until(self._up_or_dead, within, lambda: f"agent {self.name} is healthy; its log ends:\n{self.log_tail()}")

    def programs(self):
        """What the unit has started, in turn."""
        return (pathlib.Path(self.config).parent / self.name / "srv" / "unit.log").read_text().splitlines()


class SelfUpgradeTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-upgrade-"))
        self.addCleanup(self.finish)
        self.agents = {}
        # Stripped: a release is made of it on every node.
        self.program = self.directory / "program"
        shutil.copyfile(binary(), self.program)
        subprocess.run(["strip", str(self.program)], check=True, timeout=60)
        self.program.chmod(0o755)
        source = self.directory / "source"
        shutil.copytree(EXAMPLE, source)
        self.script(source / "build", BUILD.format(program=self.program))
        self.script(source / "restart", RESTART.format(directory=self.directory))
        self.repository = Repository.create(self.directory, "baton", source)
        write_secret(self.directory / "secrets" / "trigger.token", APP_TOKEN + "\n")
        network = free_network((AGENT_PORT,))
        hosts = {name: f"{network}.{11 + number}" for number, name in enumerate(NODES)}
        nodes = "\n".join(f'    - {{name: {name}, address: "{host}:{AGENT_PORT}"}}' for name, host in hosts.items())
        self.fleet = Fleet(self.program, self.directory, CONFIG.format(directory=self.directory, nodes=nodes), [])
        self.fleet.agents = [UnitAgent(self.program, self.fleet.config, name, host, AGENT_PORT,
                                       self.directory / name / "agent.log", self.fleet.token)
                             for name, host in hosts.items()]
        self.fleet.start()

    @staticmethod
    def script(file, text):
        file.write_text(text)
        file.chmod(0o755)

    def finish(self):
        if has_failed(self):
            print(f"\n{self.id()} failed; kept: {self.directory}", file=sys.stderr)
            for agent in self.fleet.agents:
                print(f"--- {agent.name}\n{agent.log_tail(40)}\n{agent.build_log('baton')}", file=sys.stderr)
        for agent in self.fleet.agents:
            agent.stop(within=90)
        if not has_failed(self):
            shutil.rmtree(self.directory, ignore_errors=True)

    def upgrade(self, subject):
        """A commit that brings a new program, deployed; the commit, and how long it took."""
        self.repository.write("VERSION", subject + "\n")
        commit = self.repository.commit(subject)
        self.repository.push()
        began = time.monotonic()
        self.fleet["web1"].post(f"/job/baton/build?token={APP_TOKEN}")

        def ended():
            try:
                rows = [row for row in self.fleet["web2"].rollouts("baton") if row["commit"] == commit]
                return rows and rows[0]["state"] in ("succeeded", "halted") and rows[0]
            except AskError:
                return None  # it is being restarted
        rollout = wait_until(ended, 120, f"{subject} comes to its end")
        self.assertEqual(rollout["state"], "succeeded", rollout)
        return commit, time.monotonic() - began

    def test_agents_that_deploy_themselves_go_on_at_verify_with_the_new_program(self):
        for name in ("agent.yaml", "baton.yaml"):
            self.fleet.command("check-config", "--quiet", str(EXAMPLE / name))
        for number in (1, 2):
            before = {agent.name: len(agent.programs()) for agent in self.fleet.agents}
            commit, seconds = self.upgrade(f"Version {number}")
            print(f"self-upgrade number {number}: three agents in {seconds:.1f} s")
            for agent in self.fleet.agents:
                started = agent.programs()[before[agent.name]:]
                self.assertEqual(len(started), 1, f"{agent.name} was restarted once: {started}")
                self.assertIn(commit[:12], started[0], "by the release of that commit")
                running = pathlib.Path(started[0])
                self.assertTrue(running.read_bytes().endswith(commit.encode()), "which is the new program")
                log = agent.build_log("baton")
                self.assertIn("the agent is ending: its next start goes on from here", log)
                self.assertIn("the new release runs already: it is not restarted again", log)
                self.assertEqual(log.count("step restart the agent: ok"), 1, log)
                wait_until(lambda agent=agent: agent.app("baton")["phase"] == "idle", 60,
                           lambda agent=agent: f"{agent.name} is done: {agent.app('baton')}")
        def costs():
            rows = self.fleet["web3"].get("/api/v1/ledger?app=baton")["rows"]
            return rows if len(rows) == 6 else None
        # Nobody watched across the restart of the one who watches: that is what the rows say, and not "nothing".
        rows = wait_until(costs, 60, lambda: f"six rows: {self.fleet['web3'].get('/api/v1/ledger?app=baton')}")
        self.assertEqual([row["kind"] for row in rows], ["unknown"] * 6)
        self.assertEqual(self.fleet["web3"].get("/api/v1/ledger?app=baton")["sum"]["dark_ms"], 0)


if __name__ == "__main__":
    unittest.main()
