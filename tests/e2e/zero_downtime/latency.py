# SPDX-License-Identifier: MIT
"""What users of a node notice while its agent prepares and tests: their latency then, beside that of a quiet node, and
of one on which the same suite runs as if it were as important as they are."""
import dataclasses
import shutil
import subprocess
import time

import lab
from fleet import AskError, ask, wait_until

from zero_downtime import methods
from zero_downtime.trial import latencies
from zero_downtime.users import Users
from zero_downtime.world import ROLLOUT_SECONDS, TRIGGER_TOKEN, World

IDLE_SECONDS = 15
# One run of the suite takes two seconds on a quiet machine: too short for a p99.
SUITE_RUNS = 3
SUITE = f"for run in $(seq {SUITE_RUNS}); do python3 manage.py test || exit 1; done"
COMPILE = "python3 -m compileall -q -f -j 0 --invalidation-mode checked-hash shop manage.py"
# A plain CI job beside the shop: nothing is switched, so that what is measured is prepare and test.
PIPELINE = f"""\
prepare:
  - virtualenv: requirements.txt
  - run: {COMPILE}
test:
  - name: the suite, {SUITE_RUNS} times
    run: {SUITE}
    timeout: 10m
    junit: reports/*.xml
    min_tests: 800
"""
APP = """\
  suite:
    repository: {directory}/shop.git
    branch: main
    pipeline: suite.yaml
    deploy_to: {directory}/${{NODE_NAME}}/suite
    wheels: {directory}/wheels
    triggers:
      token_file: {directory}/secrets/shop.token
"""


class SuiteWorld(World):
    """With the suite as a job of its own."""

    def agent_yaml(self):
        text = super().agent_yaml()
        return text.replace("\napps:\n", "\napps:\n" + APP.format(directory=self.directory), 1)

    def _write_pipeline(self):
        super()._write_pipeline()
        self.repository.write("suite.yaml", PIPELINE)

    def run_suite_by_agents(self):
        """The job on web1; the chain would go on to the others, which are not looked at here."""
        before = self._ended_builds()
        began = time.time()
        status, _, body = ask(self.lab.hosts["web1"], lab.AGENT_PORT, "POST", f"/job/suite/build?token={TRIGGER_TOKEN}")
        if status != 201:
            raise RuntimeError(f"the suite's trigger was answered {status}: {body[:200]}")
        wait_until(lambda: self._ended_builds() > before, ROLLOUT_SECONDS, "web1's agent has run the suite")
        ended = time.time()
        state = self.fleet["web1"].get("/api/v1/apps/suite/builds/last")["state"]
        if state != "succeeded":
            raise RuntimeError(f"the suite on web1 is {state}: {self.fleet['web1'].build_log('suite')[-2000:]}")
        # Whether or not it is over already, as it is when the others were quick.
        self.fleet.command("halt", "suite", "--reason", "enough was seen", agent=self.fleet["web1"], check=False)
        wait_until(self._suite_is_over, ROLLOUT_SECONDS, "the suite has stopped everywhere")
        return began, ended

    def _suite_is_over(self):
        builds = [build for agent in self.fleet.agents for build in agent.get("/api/v1/apps/suite/builds")["builds"]]
        return all(build["state"] != "running" for build in builds)

    def _ended_builds(self):
        """How many builds of the suite web1's agent has come to the end of."""
        try:
            builds = self.fleet["web1"].get("/api/v1/apps/suite/builds?limit=100")["builds"]
        except AskError:
            return 0
        return sum(build["state"] != "running" for build in builds)

    def run_suite_as_anybody(self):
        """The same commands, as someone who logged in on web1 would run them."""
        tree = self.directory / "by-hand"
        shutil.copytree(self.repository.work, tree, ignore=shutil.ignore_patterns(".git"))
        began = time.time()
        done = subprocess.run([*self.network.inside("web1"), "sh", "-c", f"{COMPILE} && {SUITE}"], cwd=tree,
                              env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(tree)}, capture_output=True,
                              text=True, timeout=ROLLOUT_SECONDS, check=False)
        ended = time.time()
        if done.returncode != 0:
            raise RuntimeError(f"the suite failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        shutil.rmtree(tree)
        return began, ended


@dataclasses.dataclass
class Phase:
    name: str
    seconds: float = 0.0
    requests: int = 0
    failed: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    worst_ms: float = 0.0
    p99_ratio: float = 0.0  # to that of the idle node


def run(binary, rounds, rate, say=lambda text: None):
    """The phases idle, agent and by hand, `rounds` times each in turn, so that what else the machine does hits all."""
    spans = {"idle": [], "agent": [], "by hand": []}
    with SuiteWorld(binary, methods.BY_NAME["none"]) as world:
        users = Users(f"http://{world.lab.hosts['web1']}:{lab.WEB_PORT}", world.directory / "requests.jsonl", rate)
        with users:
            for number in range(rounds):
                began = time.time()
                time.sleep(IDLE_SECONDS)
                spans["idle"].append((began, time.time()))
                spans["agent"].append(world.run_suite_by_agents())
                spans["by hand"].append(world.run_suite_as_anybody())
                say(f"latency: round {number + 1} of {rounds}")
        return _phases(users.records, spans)


def _phases(records, spans):
    phases = []
    for name, pieces in spans.items():
        mine = [record for record in records if any(begin <= record["at"] < end for begin, end in pieces)]
        good = [record["latency_ms"] for record in mine if record["outcome"] == "ok" and not record["slow"]]
        p50, p99 = latencies(mine)
        failed = sum(record["outcome"] != "ok" for record in mine)
        phases.append(Phase(name, round(sum(end - begin for begin, end in pieces), 1), len(mine), failed, p50 or 0.0,
                            p99 or 0.0, max(good, default=0.0)))
    for phase in phases:
        phase.p99_ratio = round(phase.p99_ms / phases[0].p99_ms, 2) if phases[0].p99_ms else 0.0
    return phases
