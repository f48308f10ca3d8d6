# SPDX-License-Identifier: MIT
"""What the tests of safety stand on: a chain whose every stage can be held, and what must be true at the end."""
import collections
import contextlib
import os
import pathlib
import signal
import time

from harness import APP_TOKEN, Agent, AskError, Chain, ChainCase, Sampler, ask, wait_until, write_secret

PIPELINE = """\
prepare:
  - run: printf '%s\\n' "$GIT_COMMIT" > COMMIT
  - run: /usr/bin/python3 -I gate.py prepare
test:
  - run: /usr/bin/python3 -I gate.py test
  - run: /usr/bin/python3 -I suite.py
    timeout: 60s
    junit: reports/*.xml
migrate:
  - run: /usr/bin/python3 -I gate.py migrate
  - run: |
      /usr/bin/python3 -I gate.py once
      printf '%s %s\\n' "$GIT_COMMIT" "$BATON_ROLLOUT" >> {migrations}
    once: true
  - run: /usr/bin/python3 -I gate.py migrated
switch:
  publish: symlink
  stop:
    - run: /usr/bin/python3 -I app.py stop
  restart:
    - run: /usr/bin/python3 -I gate.py switch
    - run: /usr/bin/python3 -I app.py restart
      keep_processes: true
health:
  http: "http://${{NODE_ADDRESS}}:8080/health"
  expect_status: 200
  expect_body: "${{GIT_COMMIT}}"
  interval: 50ms
  timeout: 1s
  min_healthy_time: 100ms
  healthy_deadline: 20s
"""

# The load balancer's command passes by gates, too: leaving is the stage drain, coming back is rejoin.
TRAFFIC = """\
traffic:
  method: command
  leave_command: {gate} drain
  rejoin_command: {gate} rejoin
  drain_timeout: 60s
  rejoin_timeout: 60s
  settle: 0s
"""

GATE = """\
#!/bin/sh
g={gates}/$1.$NODE_NAME
[ -e "$g" ] || exit 0
touch "$g.reached"
i=0
while [ ! -e "$g.open" ] && [ $i -lt 3000 ]; do sleep 0.02; i=$((i + 1)); done
"""


class SlowSampler(Sampler):
    """A little less eager, since a test here lasts longer."""

    PAUSE_SECONDS = 0.03


class HeldRepository:
    """The git host accepts connections and then says nothing: its HEAD is a pipe until `release()`."""

    def __init__(self, bare):
        self.head = bare / "HEAD"
        self.aside = bare / "HEAD.aside"
        self.writer = None
        os.rename(self.head, self.aside)
        os.mkfifo(self.head)

    def reached(self):
        """Whether somebody reads; from then on he waits."""
        if self.writer is None:
            with contextlib.suppress(OSError):
                self.writer = os.open(self.head, os.O_WRONLY | os.O_NONBLOCK)
        return self.writer is not None

    def release(self):
        if self.aside.exists():
            os.rename(self.aside, self.head)
        if self.writer is not None:
            os.close(self.writer)
            self.writer = None


class SafetyCase(ChainCase):
    def safe_chain(self, before_start=None, **options):
        """A started chain whose every stage has a gate, with its first version on all nodes. `before_start(chain)`."""
        options.setdefault("poll", False)
        chain = Chain(**options)
        self.addCleanup(self._finish, chain)
        chain.migrations = chain.directory / "migrations"
        chain.repository.write("baton.yaml", PIPELINE.format(migrations=chain.migrations))
        gate = chain.directory / "gate"
        gate.write_text(GATE.format(gates=chain.gates))
        gate.chmod(0o755)
        text = chain.fleet.config.read_text()
        chain.fleet.config.write_text(text.replace("\napps:\n", "\n" + TRAFFIC.format(gate=gate) + "apps:\n"))
        chain.first = chain.commit("The first version")
        if before_start:
            before_start(chain)
        chain.start()
        self.trigger(chain)
        self.settled(chain, chain.first)
        return chain

    @staticmethod
    def trigger(chain, node="web1"):
        chain[node].post(f"/job/mini/build?token={APP_TOKEN}")

    @staticmethod
    def pause(chain, *nodes):
        for node in nodes:
            os.kill(chain[node].process.pid, signal.SIGSTOP)

    @staticmethod
    def go_on(chain, *nodes):
        for node in nodes:
            os.kill(chain[node].process.pid, signal.SIGCONT)

    @staticmethod
    def clear_gates(chain):
        for file in chain.gates.iterdir():
            file.unlink()

    @staticmethod
    def service(chain, node):
        """What a load balancer hears of a node: the status of GET /health/mini."""
        try:
            return ask(chain.hosts[node], chain[node].port, "GET", "/health/mini", timeout=10.0)[0]
        except AskError:
            return None

    @staticmethod
    def steps_alive(chain, node):
        """Processes of a node's steps, but for the app, which its step was told to leave."""
        owner = f"BATON_STEP_OWNER={node}@{chain.directory / node / 'state'}".encode()
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                variables = entry.read_bytes().split(b"\0")
                if owner in variables and b"BATON_KEEP_PROCESSES=1" not in variables:
                    found.append((entry.parent / "cmdline").read_bytes())
        return found

    def unsettled(self, chain, commit, nodes, state="succeeded"):
        """Why the chain is not at rest on `commit`; empty when it is. `state` is that of the rollout as a whole."""
        for name in nodes:
            try:
                app = chain[name].app("mini")
                if chain.running_commit(name) != commit:
                    return f"{name} runs {chain.running_commit(name)}: {app}"
                if app["current"] != commit or app["phase"] != "idle" or app["waits_for"] or not app["in_service"]:
                    return f"{name} says {app}"
                if self.service(chain, name) != 200:
                    return f"{name} is out of service"
                rollout = chain.rollout(commit, name)
                if not rollout or rollout["state"] != state:
                    return f"{name} shows {rollout}"
            except AskError as error:
                return str(error)
            stored, open_builds = chain.stored(name)
            for part, key in ((stored, "grants"), (stored["course"], "claim"), (stored["course"], "duty")):
                if part.get(key):
                    return f"{name} still keeps {key}: {part[key]}"
            if open_builds:
                return f"{name} has builds without an end: {open_builds}"
        return ""

    def settled(self, chain, commit, within=120, nodes=None, state="succeeded"):
        """Waits until all is at rest on `commit`: in service, no permit left, no build without an end, shown by all."""
        nodes = nodes or chain.NODES
        wait_until(lambda: not self.unsettled(chain, commit, nodes, state), within,
                   lambda: self.unsettled(chain, commit, nodes, state), every=0.1)

    def stopped_spells(self, chain, since):
        """Per node, from each stop of its app until one is up again, as the apps themselves noted it."""
        spells = {}
        for name in chain.NODES:
            spells[name] = []
            began = None
            for event in chain.events(name, since):
                if event["event"] == "stop":
                    began = began or event["at"]
                elif began:
                    spells[name].append((began, event["at"]))
                    began = None
            if began:
                spells[name].append((began, time.time()))
        return spells

    @contextlib.contextmanager
    def one_at_a_time(self, chain, sampled=True):
        """Inside, two apps are never down at once: as sampled from outside, and as the apps noted it."""
        began = time.time()
        with SlowSampler(chain.hosts) as sampler:
            yield
        if sampled:
            self.assert_disjoint({name: sampler.outages(name) for name in chain.NODES})
        self.assert_disjoint(self.stopped_spells(chain, began))

    def migrated(self, chain, commit):
        """How often the `once` step has succeeded in the whole chain; of a commit's rollouts, the one with most."""
        lines = chain.migrations.read_text().splitlines() if chain.migrations.exists() else []
        return max(collections.Counter(line for line in lines if line.startswith(commit)).values(), default=0)

    def rows(self, chain, seen_by="web1"):
        return [(row["commit"], row["kind"], row["state"]) for row in chain[seen_by].rollouts("mini")]
