# SPDX-License-Identifier: MIT
"""A plain CI job for the tests of clients: one agent that is no chain, and an app whose pipeline has no `switch`."""
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

from harness import AGENT_PORT, APP_TOKEN, HERE, Fleet, Repository, ask, binary, free_network, has_failed, wait_until
from harness import write_secret

CONFIG = """\
state_dir: {directory}/state
chain: {{nodes: [{{name: ci1, address: "{host}:7070"}}]}}
security: {{cluster_key_file: {directory}/secrets/cluster.key, tokens_file: {directory}/secrets/tokens}}
apps:
  mini:
    repository: {directory}/mini.git
    triggers: {{token_file: {directory}/secrets/mini.token, quiet_period: {quiet}}}
    parameters:
      - {{name: TARGET, default_value: staging, description: "where to"}}
      - {{name: LEVEL, type: choice, choices: [low, high]}}
      - {{name: DRY, type: boolean}}
      - {{name: NOTES, type: text}}
      - {{name: SECRET, type: password}}
  plain.job:
    repository: {directory}/mini.git
    triggers: {{token_file: {directory}/secrets/mini.token}}
"""
# What came of the parameters is kept, so that a test can read what the steps saw.
PIPELINE = """\
prepare:
  - run: printf '%s\\n' "$GIT_COMMIT" > COMMIT
test:
  - name: environment
    run: /usr/bin/env -0 | sort -z | tr '\\0' '\\n' > environment.txt
  - name: gate
    run: /usr/bin/python3 -I gate.py test
  - name: unit tests
    run: /usr/bin/python3 -I suite.py
    junit: reports/*.xml
artifacts: [environment.txt, reports/*.xml]
"""


class Job:
    """`mini`, with parameters, and `plain.job`, without; nothing is built before somebody asks."""

    def __init__(self, quiet="0s"):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-e2e-"))
        self.host = free_network() + ".11"
        self.gates = self.directory / "gates"
        self.gates.mkdir()
        write_secret(self.directory / "secrets" / "mini.token", APP_TOKEN + "\n")
        self.repository = Repository.create(self.directory, "mini", HERE / "mini")
        self.repository.write("baton.yaml", PIPELINE)
        self.commit("The first version")
        self.fleet = Fleet(binary(), self.directory, CONFIG.format(directory=self.directory, host=self.host, quiet=quiet),
                           [("ci1", self.host, AGENT_PORT)])
        self.agent = self.fleet["ci1"]
        self.token = self.fleet.token

    @property
    def url(self):
        return self.agent.url

    def commit(self, subject, tax_percent=19):
        self.repository.write("behaviour.json", json.dumps({"subject": subject, "tax_percent": tax_percent,
                                                            "gates": str(self.gates)}) + "\n")
        self.head = self.repository.commit(subject)
        self.repository.push()
        return self.head

    def close_gate(self):
        """The next builds wait in their tests."""
        for file in self.gates.iterdir():
            file.unlink()
        (self.gates / "test.ci1").touch()

    def open_gate(self):
        (self.gates / "test.ci1.open").touch()

    def held(self):
        return (self.gates / "test.ci1.reached").exists()

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, text), as the operator."""
        status, answer, text = ask(self.host, AGENT_PORT, method, path, self.token, body, headers=headers)
        return status, answer, text.decode()

    def build(self, job="mini", number="lastBuild"):
        return json.loads(self.ask("GET", f"/job/{job}/{number}/api/json")[2])

    def ended(self, job="mini", number=1):
        def over():
            status, _, text = self.ask("GET", f"/job/{job}/{number}/api/json")
            return json.loads(text) if status == 200 and '"building":false' in text else None
        return wait_until(over, 60, lambda: f"{job} #{number} has ended: {self.agent.log_tail()}")

    def environment(self, number, job="mini"):
        """What the steps of a build saw."""
        text = self.ask("GET", f"/job/{job}/{number}/artifact/environment.txt")[2]
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


class JobCase(unittest.TestCase):
    def job(self, **options):
        job = Job(**options)
        self.addCleanup(self._finish, job)
        job.fleet.start()
        return job

    def _finish(self, job):
        failed = has_failed(self)
        if failed:
            print(f"\n{self.id()} failed; kept: {job.directory}\n{job.agent.log_tail()}", file=sys.stderr)
        job.open_gate()
        job.fleet.stop()
        if not failed:
            shutil.rmtree(job.directory, ignore_errors=True)
