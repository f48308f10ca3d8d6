# SPDX-License-Identifier: MIT
"""What the e2e tests stand on: three real agents on loopback addresses of their own, a real git repository, and an
app of one process a node. The agent under test is the program that BATON_BINARY names.
"""
import contextlib
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import sqlite3
import ssl
import sys
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "examples" / "chain"))

from fleet import Agent, AskError, Fleet, ask, wait_until, write_secret  # noqa: E402
from repository import Repository  # noqa: E402
from certificates import Authority  # noqa: E402

AGENT_PORT = 7070
APP_PORT = 8080
APP_TOKEN = "let-it-roll-0123456789"
# A rollout of the small app takes two to three seconds; the limits are for a machine that is busy with other things.
ROLLOUT_SECONDS = 60

CONFIG = """\
state_dir: {directory}/${{NODE_NAME}}/state
executors: 2
build_priority: normal
{top}chain:
  nodes:
{nodes}
security:
  cluster_key_file: {directory}/secrets/cluster.key
  tokens_file: {directory}/secrets/tokens
  anonymous: none
apps:
  mini:
    repository: {repository}
    branch: main
    deploy_to: {directory}/${{NODE_NAME}}/mini
    triggers:
{poll}      token_file: {directory}/secrets/mini.token
    rollout:
      handoff_timeout: {handoff_timeout}
      max_unreachable: 1
{rollout}{app}"""


def binary():
    """The agent under test; without it there is nothing to test, which is a failure and not a reason to skip."""
    name = os.environ.get("BATON_BINARY", "")
    if not name or not os.access(name, os.X_OK):
        raise RuntimeError(f"BATON_BINARY must name the baton program, found {name!r}")
    return name


def free_network(ports=(AGENT_PORT, APP_PORT)):
    """`127.A.B` on whose .10 to .17 nothing listens, so that several runs can share a machine."""
    start = os.getpid()
    for step in range(200):
        number = (start + step * 7919) % (120 * 250)
        network = f"127.{100 + number // 250}.{1 + number % 250}"
        if all(_is_free(f"{network}.{last}", port) for last in range(10, 18) for port in ports):
            return network
    raise RuntimeError("no free loopback network found")


def _is_free(host, port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class Repeating:
    """Does `once()` again and again on a thread of its own, from `with` to its end."""

    PAUSE_SECONDS = 0.02

    def __init__(self):
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join(timeout=30)

    def _run(self):
        while not self._stopping.is_set():
            self.once()
            self._stopping.wait(self.PAUSE_SECONDS)

    def once(self):
        raise NotImplementedError


class Sampler:
    """Asks every node's /health without a pause from a thread each, and keeps every answer with its time."""

    PAUSE_SECONDS = 0.01

    def __init__(self, hosts):
        self.samples = {name: [] for name in hosts}
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(name, host), daemon=True)
                         for name, host in hosts.items()]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _run(self, name, host):
        while not self._stopping.is_set():
            began = time.time()
            self.samples[name].append((began, health(host), time.time()))
            self._stopping.wait(self.PAUSE_SECONDS)

    def outages(self, name):
        """Spells in which the node was out without a doubt, as (begin, end)."""
        spells = []
        for good, run in itertools.groupby(self.samples[name], key=lambda sample: sample[1] is not None):
            # A bad answer tells of some instant while it was waited for, however long that took this process: sure is
            # the time from the end of the first to the begin of the last.
            samples = list(run)
            if not good and samples[0][2] < samples[-1][0]:
                spells.append((samples[0][2], samples[-1][0]))
        return spells

    def commits(self, name):
        """The commits that answered, in order, without repetition."""
        answered = [commit for _, commit, _ in self.samples[name] if commit]
        return [commit for commit, _ in itertools.groupby(answered)]


def health(host):
    """The commit that answers there with 200, or None. One that is down refuses at once; a slow answer is one."""
    try:
        status, _, body = ask(host, APP_PORT, "GET", "/health", timeout=10.0)
        return json.loads(body)["commit"] if status == 200 else None
    except (AskError, ValueError):
        return None


class Chain:
    """Agents over the small app, below a directory of their own; three unless told otherwise."""

    def __init__(self, poll=True, triggers="", app="", rollout="", top="", witness=None, handoff_timeout="20s", nodes=3,
                 repository="{directory}/mini.git", network=None, port=AGENT_PORT, tls=None, neighbours="",
                 secrets=None):
        self.NODES = tuple(f"web{number + 1}" for number in range(nodes))
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-e2e-"))
        network = network or free_network()
        self.hosts = {name: f"{network}.{11 + index}" for index, name in enumerate(self.NODES)}
        self.gates = self.directory / "gates"
        self.gates.mkdir()
        write_secret(self.directory / "secrets" / "mini.token", APP_TOKEN + "\n")
        for name, secret in (secrets or {}).items():
            write_secret(self.directory / "secrets" / name, secret + "\n")
        role = {witness: ", role: witness"}
        nodes = "".join(f'    - {{name: {name}, address: "{host}:{AGENT_PORT}"{role.get(name, "")}}}\n'
                        for name, host in self.hosts.items())
        # `neighbours`: nodes after the first that have no agent.
        first, rest = nodes.split("\n", 1)
        nodes = first + "\n" + neighbours.format(directory=self.directory, network=network) + rest
        # `triggers`, `rollout`, `app` and `top`: further lines of those sections. `port`: where the agents are asked.
        poll = ("      poll_interval: 1s\n" if poll else "") + triggers.format(directory=self.directory)
        text = CONFIG.format(directory=self.directory, nodes=nodes.rstrip(), poll=poll,
                             repository=repository.format(directory=self.directory),
                             handoff_timeout=handoff_timeout, rollout=rollout, top=top,
                             app=app.format(directory=self.directory))
        self.repository = Repository.create(self.directory, "mini", HERE / "mini")
        self.first = self.repository.commit("The first version")
        self.repository.push()
        self._changes = 0
        self.commits = [self.first]  # as they were pushed
        self.fleet = Fleet(binary(), self.directory, text,
                           [(name, host, port) for name, host in self.hosts.items()])
        if tls:
            self._speak_tls(text, mutual=tls == "both sides")

    def _speak_tls(self, text, mutual):
        """Every node gets a certificate, and a configuration of its own that names it. With `mutual` clients must show
        one too."""
        self.authority = Authority(self.directory / "tls", "ca")
        self.certificates = {}
        for name, host in self.hosts.items():
            certificate, key = self.certificates[name] = self.authority.issue(name, host)
            client = f", client_ca_file: {self.authority.certificate}" if mutual else ""
            section = (f"  tls: {{certificate_file: {certificate}, private_key_file: {key},"
                       f" ca_file: {self.authority.certificate}{client}}}\n")
            agent = self[name]
            agent.config = str(self.directory / name / "agent.yaml")
            pathlib.Path(agent.config).parent.mkdir(exist_ok=True)
            pathlib.Path(agent.config).write_text(text.replace("apps:\n", section + "apps:\n", 1), encoding="utf-8")
            agent.tls = ssl.create_default_context(cafile=str(self.authority.certificate))
            if mutual:
                agent.tls.load_cert_chain(certificate, key)

    def __getitem__(self, name):
        return self.fleet[name]

    def start(self):
        self.fleet.start()
        return self

    def stop(self):
        """Agents first, then the apps that they started, by the pids that those wrote down."""
        for gate in list(self.gates.iterdir()):
            if gate.suffix not in (".reached", ".open", ".fail"):
                self.open_gate(gate.name)
        self.fleet.stop()
        for name in self.NODES:
            end_app(self.directory / name / "mini" / "run" / "pid")

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- commits ---

    def commit(self, subject, healthy=True, tax_percent=19, ready_after_ms=0):
        """A new commit of the app, pushed. Unhealthy: passes its tests and fails /health. Tax other than 19: fails a
        test. `ready_after_ms`: how long after its start it says that it is not ready."""
        self._changes += 1
        self.repository.write("behaviour.json", json.dumps(
            {"change": self._changes, "healthy": healthy, "ready_after_ms": ready_after_ms, "tax_percent": tax_percent,
             "gates": str(self.gates)}) + "\n")
        commit = self.repository.commit(subject)
        self.repository.push()
        self.commits.append(commit)
        return commit

    # --- gates: commit() makes steps pass by them ---

    def close_gate(self, stage, node):
        name = f"{stage}.{node}"
        (self.gates / name).touch()
        return name

    def open_gate(self, name):
        (self.gates / f"{name}.open").touch()

    def fail_gate(self, stage, node):
        """Whoever comes to that gate next fails at once."""
        (self.gates / f"{stage}.{node}.fail").touch()
        self.open_gate(self.close_gate(stage, node))

    def reached(self, name):
        return (self.gates / f"{name}.reached").exists()

    # --- what is going on ---

    def running_commit(self, name):
        return health(self.hosts[name])

    def events(self, name, since=0.0):
        """What the app on a node noted since a wall time: dicts with `at`, `event` (stop, up) and `commit`."""
        file = self.directory / name / "mini" / "run" / "events.jsonl"
        if not file.exists():
            return []
        whole = file.read_text().rpartition("\n")[0]  # the last line may be half written
        return [event for event in map(json.loads, whole.splitlines()) if event["at"] >= since]

    def rollout(self, commit, seen_by="web1"):
        """The newest rollout of a commit as one agent shows it, or None."""
        try:
            found = [row for row in self[seen_by].rollouts("mini") if row["commit"] == commit]
        except AskError:
            return None
        return max(found, key=lambda row: (row["epoch"], row["id"]), default=None)

    def stored(self, node):
        """What a node keeps on disk of the protocol, and its builds that have not ended."""
        file = self.directory / node / "state" / "baton.db"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20)) as database:
            state = json.loads(database.execute("SELECT state FROM chain_state WHERE app = 'mini'").fetchone()[0])
            open_builds = database.execute("SELECT number, stage, message FROM builds WHERE finished_ms = 0").fetchall()
        return state, open_builds

    def wait_for(self, commit, state, seen_by="web1", within=ROLLOUT_SECONDS):
        """Waits until a rollout of `commit` has come to `state` there, and when it has succeeded until no agent that runs
        keeps a permit of it: the last one is given back a moment after all show the end. The rollout."""
        def there():
            rollout = self.rollout(commit, seen_by)
            return rollout if rollout and rollout["state"] == state else None
        rollout = wait_until(there, within, lambda: f"{state} on {seen_by}; it says {self.rollout(commit, seen_by)}")

        def kept():
            grants = [(name, grant) for name in self.NODES if self[name].running() for grant in self.stored(name)[0]["grants"]]
            return [(name, grant) for name, grant in grants if grant["target"]["id"] == rollout["id"]]
        if state == "succeeded":
            wait_until(lambda: not kept(), within, lambda: f"its permits are given back: {kept()}")
        return rollout

    def node_row(self, node, seen_by="web1"):
        """The row of one node in another's status."""
        return next(row for row in self[seen_by].app("mini")["nodes"] if row["node"] == node)

    def report(self):
        """Everything that helps to read a failure."""
        parts = []
        for name in self.NODES:
            parts.append(f"--- {name}: {self[name].log_file}\n{self[name].log_tail(25)}")
            if self[name].running():
                parts.append(f"--- {name}, last build\n" + "\n".join(self[name].build_log("mini").splitlines()[-25:]))
        return "\n".join(parts)


def end_app(pid_file):
    """Ends the process that a pid file names, if it is still the one that wrote it."""
    try:
        pid, born = pid_file.read_text().split()
        handle = os.pidfd_open(int(pid))
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if stat[19] == born:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], 5)
    except (FileNotFoundError, ProcessLookupError):
        pass
    finally:
        os.close(handle)


def has_failed(case):
    """Whether a test has failed so far, as seen by its clean-up (where `_outcome.success` speaks of the clean-up)."""
    result = case._outcome.result
    return any(getattr(test, "test_case", test) is case for test, _ in result.failures + result.errors)


class ChainCase(unittest.TestCase):
    """A test case with `self.chain(...)`; its directory is kept and named when the test fails."""

    def chain(self, deployed=True, start=True, **options):
        """A started chain; `deployed`: the first version already runs on all three nodes."""
        chain = Chain(**options)
        self.addCleanup(self._finish, chain)
        if not start:
            return chain
        chain.start()
        if deployed:
            if not options.get("poll", True):
                chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
            chain.wait_for(chain.first, "succeeded")
            self.assertEqual([chain.running_commit(name) for name in chain.NODES], [chain.first] * len(chain.NODES))
        return chain

    def _finish(self, chain):
        failed = has_failed(self)
        if failed:
            print(f"\n{self.id()} failed; kept: {chain.directory}\n{chain.report()}", file=sys.stderr)
        chain.stop()
        if not failed:
            chain.remove()

    def assert_disjoint(self, spells):
        """`spells` maps a name to (begin, end) pairs; no two of different names may overlap."""
        rows = sorted((begin, end, name) for name, pairs in spells.items() for begin, end in pairs)
        for (_, end, name), (begin, _, other) in zip(rows, rows[1:]):
            if name != other:
                self.assertLessEqual(end, begin, f"{name} and {other} were out at the same time: {rows}")
