# SPDX-License-Identifier: MIT
"""Three machines with the shop on them, their agents, Redis and a load balancer, for one way of deploying."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import balancer
import lab
from fleet import AskError, Fleet, ask, wait_until, write_secret

from zero_downtime import ROOT, network

NODES = ("web1", "web2", "web3")
MACHINES = {"redis": 9, "balancer": 10, "web1": 11, "web2": 12, "web3": 13}
PORTS = (lab.AGENT_PORT, lab.AGENT_CHECK_PORT, lab.WEB_PORT, lab.FASTCGI_PORT, lab.FRONT_PORT, lab.STATS_PORT,
         lab.RUNTIME_PORT, lab.REDIS_PORT)
TRIGGER_TOKEN = "lab-let-it-roll-0123456789"
ROLLOUT_SECONDS = 240
ENDED = ("succeeded", "halted", "held")
# Enough of the shop's tests to be a test stage; a rollout of the lab is about what comes after it.
FEW_TESTS = "shop.tests.test_money shop.tests.test_tax"
FEW = 40
# All processes of the server at once, and then nothing for longer than any load balancer here needs to notice: an
# outage with sharp borders, as when a machine dies.
KILL = "kill -s KILL -- -$(cut -d' ' -f1 $(dirname $BATON_CURRENT_DIR)/shared/run/uwsgi.pid) && sleep 3"
AGENT_YAML = ROOT / "examples" / "chain" / "agent.yaml"


class World:
    """`with World(binary, method) as world`: the first release is deployed on all nodes and the load balancer has them.

    `gates`: the switch stops at gate("drained", node) and gate("down", node) where they are closed.
    """

    def __init__(self, binary, method, gates=False, places=None):
        self.method = method
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-lab-"))
        self.network = places or network.make(MACHINES, PORTS)
        self.lab = lab.Lab(self.directory, self.network.prefix, NODES, self.network.redis, self.network.inside)
        self.commits = []
        self._changes = 0
        self._gates = self.directory / "gates"
        self._gates.mkdir()
        self._gated = gates
        self.repository = None
        write_secret(self.directory / "secrets" / "shop.token", TRIGGER_TOKEN + "\n")
        self.fleet = Fleet(binary, self.directory, self.agent_yaml(),
                           [(name, host, lab.AGENT_PORT) for name, host in self.lab.hosts.items()],
                           self.network.inside)

    def __enter__(self):
        try:
            self._set_up()
        except BaseException:
            self.close(keep=True)
            raise
        return self

    def __exit__(self, kind, *_):
        self.close(keep=kind is not None)

    def close(self, keep=False):
        """`keep`: the directory stays for a look, and is named."""
        try:
            self.fleet.stop()
            self.lab.stop()
            # What outlives an agent: the servers of overlap and blue_green.
            if self.network.isolated:
                for name in NODES:
                    kill_all(self.network.processes(name))
        finally:
            self.network.close()
            if keep:
                print(f"lab: kept for a look: {self.directory}")
            else:
                shutil.rmtree(self.directory, ignore_errors=True)

    # --- setting up ---

    def agent_yaml(self):
        """The example's file, in this place; rollouts are started by hand, on whichever node."""
        text = AGENT_YAML.read_text(encoding="utf-8").replace("/srv/baton-demo", str(self.directory))
        for name, host in self.lab.hosts.items():
            text = re.sub(rf'(name: {name}, address: )"[^"]+"', rf'\1"{host}:{lab.AGENT_PORT}"', text)
        text = re.sub(r"\n +poll_interval: .*", "", text)
        text = text.replace("max_unavailable: 1", "max_unavailable: 1\n      prepare_ahead: all")
        if self.method.traffic:
            text += balancer.traffic_config(self.method.traffic, self.directory, self.lab.front, lab.PORTS)
        return text

    def _set_up(self):
        self.lab.start()
        self.start_balancer()
        self.repository = self.lab.make_repository()
        self._write_pipeline()
        self.fleet.start()
        # Nobody has the shop yet, so no load balancer will take a node; the first rollout is not one under load.
        self.roll_out(self.commit())
        wait_until(self.all_answer, 60, lambda: f"the load balancer has all nodes; it meets {self.nodes_met()}")

    def start_balancer(self):
        if self.method.balancer == "haproxy":
            self.lab.start_haproxy(self.method.example, self.method.edits)
        else:
            self.lab.start_nginx(self.method.example)

    def restart_balancer(self):
        """Stops it and starts it again, as an operator does who does not reload."""
        self.lab.stop_one("balancer")
        self.start_balancer()

    def _write_pipeline(self):
        file = self.repository.work / "baton.yaml"
        text = file.read_text(encoding="utf-8")
        text = _replaced(text, "run: python3 manage.py test\n", f"run: python3 manage.py test {FEW_TESTS}\n")
        text = _replaced(text, "min_tests: 800", f"min_tests: {FEW}")
        if self.method.pipeline:
            start = text.index("switch:\n")
            text = text[:start] + (self.repository.work / "deploy" / self.method.pipeline).read_text(encoding="utf-8")
        if self.method.killed:
            text = _replaced(text, "  restart:\n", f"  stop:\n    - run: {KILL}\n  restart:\n")
        if self._gated:
            wait = "while [ -e {0}.$NODE_NAME ]; do touch {0}.$NODE_NAME.reached; sleep 0.05; done"
            stop = [wait.format(self._gates / "drained"), "/usr/bin/python3 -I deploy/restart.py stop",
                    wait.format(self._gates / "down")]
            text = _replaced(text, "  restart:\n", "  stop:\n" + "".join(f'    - run: "{run}"\n' for run in stop)
                             + "  restart:\n")
        file.write_text(text, encoding="utf-8")

    # --- rollouts ---

    def commit(self, kind="good"):
        self._changes += 1
        commit = self.lab.commit_change(kind)
        self.commits.append(commit)
        return commit

    def start_rollout(self, commit, node="web1"):
        # The agent there may know of the commit only after it has fetched: it is the branch's tip that is asked for.
        status, _, body = ask(self.lab.hosts[node], lab.AGENT_PORT, "POST",
                              f"/job/shop/build?token={TRIGGER_TOKEN}")
        if status != 201:
            raise RuntimeError(f"the trigger for {commit[:8]} on {node} was answered {status}: {body[:200]}")

    def rollout(self, commit, node="web1"):
        """The newest rollout of a commit as that node's agent shows it, or None."""
        try:
            rollout = self.fleet[node].app("shop").get("rollout")
        except AskError:
            return None
        return rollout if rollout and rollout["commit"] == commit else None

    def wait_for_end(self, commit, node="web1", within=ROLLOUT_SECONDS):
        def there():
            rollout = self.rollout(commit, node)
            return rollout if rollout and rollout["state"] in ENDED else None
        return wait_until(there, within, lambda: f"the rollout of {commit[:8]} has ended: {self.report()}")

    def roll_out(self, commit, node="web1", expect="succeeded"):
        """Starts it and waits for its end; how many seconds that took."""
        began = time.monotonic()
        self.start_rollout(commit, node)
        rollout = self.wait_for_end(commit, node)
        if rollout["state"] != expect:
            raise RuntimeError(f"the rollout of {commit[:8]} is {rollout['state']}: {rollout['reason']}\n"
                               + self.report())
        return time.monotonic() - began

    # --- gates ---

    def close_gate(self, which, node):
        gate = self._gates / f"{which}.{node}"
        gate.touch()
        return gate

    @staticmethod
    def reached(gate):
        return gate.with_name(gate.name + ".reached").exists()

    @staticmethod
    def open_gate(gate):
        gate.unlink(missing_ok=True)

    # --- looking ---

    def nodes_met(self, asked=12):
        """The nodes that answer through the load balancer, in so many new connections."""
        met = set()
        for _ in range(asked):
            try:
                status, headers, _ = ask(self.lab.front, lab.FRONT_PORT, "GET", "/health", timeout=10)
                met.add(headers.get("X-Node") if status == 200 else status)
            except AskError as error:
                met.add(str(error))
        return met

    def all_answer(self):
        return self.nodes_met() == set(NODES)

    def versions(self):
        """node -> the commit that its web server serves, or what is wrong."""
        said = {}
        for name, host in self.lab.hosts.items():
            try:
                status, headers, _ = ask(host, lab.WEB_PORT, "GET", "/health", timeout=10)
                said[name] = headers.get("X-Version") if status == 200 else f"status {status}"
            except AskError as error:
                said[name] = str(error)
        return said

    def stage_of(self, node, seen_by="web1"):
        row = next(row for row in self.fleet[seen_by].app("shop")["nodes"] if row["node"] == node)
        return row["stage"]

    def executions(self):
        """Order request -> how often it ran, as the shop noted it in Redis."""
        command = ["redis-cli", "-h", self.lab.redis_host, "-p", str(lab.REDIS_PORT), "--json", "hgetall", "executions"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return {name: int(times) for name, times in json.loads(done.stdout).items()}

    def ledger(self, since, checks=""):
        """The ledger since a wall time, as the first node's agent adds it up with these further arguments."""
        target = f"/api/v1/ledger?app=shop&since_ms={int(since * 1000)}"
        return self.fleet["web1"].get(target + ("&" + checks if checks else ""))

    def report(self):
        """What helps to read a failure."""
        parts = []
        for agent in self.fleet.agents:
            if agent.running():
                parts.append(f"--- {agent.name}: {agent.log_file}\n{agent.log_tail(8)}\n--- its last build\n"
                             + "\n".join(agent.build_log("shop").splitlines()[-15:]))
        return "\n".join(parts)

    def pids_of(self, name):
        return self.network.processes(name)


def environment_binary():
    name = os.environ.get("BATON_BINARY", "")
    if not os.access(name, os.X_OK):
        raise RuntimeError(f"BATON_BINARY must name the baton program, found {name!r}")
    return name


def kill_all(pids):
    """SIGKILL to exactly these, and waits for their end."""
    handles = []
    for pid in pids:
        try:
            handles.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for handle in handles:
        select.select([handle], [], [], 10)
        os.close(handle)


def _replaced(text, old, new):
    if text.count(old) != 1:
        raise RuntimeError(f"expected once, found {text.count(old)} times: {old!r}")
    return text.replace(old, new)
