# SPDX-License-Identifier: MIT
"""What load balancers hear of a node whose agent is killed: never more than is true, and the end of a drain in the end."""
import contextlib
import os
import signal
import socket
import sqlite3
import time

from harness import AGENT_PORT, AskError, ChainCase, ask, health, wait_until

CHECK_PORT = 7071
# The time-out of mini/baton.yaml's health check.
LOOK_SECONDS = 1.0

TRAFFIC = """\
    traffic:
      method: haproxy_agent
      agent_check_listen: "${{NODE_ADDRESS}}:7071"
      acknowledged_polls: 2
      drain_timeout: 20s
"""


def agent_check(host):
    """What HAProxy's agent-check would read, or None where nobody listens."""
    try:
        with socket.create_connection((host, CHECK_PORT), timeout=20) as connection:
            return connection.makefile("rb").read().decode().strip()
    except OSError:
        return None


def readiness(host):
    try:
        return ask(host, AGENT_PORT, "GET", "/health/mini", timeout=5.0)[0]
    except AskError:
        return None


class Killed(ChainCase):
    def deployed(self):
        """A chain whose nodes are asked as a load balancer asks until their first version runs."""
        chain = self.chain(deployed=False, app=TRAFFIC)
        # Every node is asked in every round, since each of them waits to be asked.
        wait_until(lambda: [(agent_check(host), health(host)) for host in chain.hosts.values()]
                   == [("up", chain.first)] * 3, 90, "the first version runs everywhere")
        return chain

    @staticmethod
    def has_flag(chain, name, key):
        file = chain.directory / name / "state" / "baton.db"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=20)) as database:
            return database.execute("SELECT count(*) FROM flags WHERE key = ?", (key,)).fetchone()[0] > 0

    def restart(self, chain, name):
        chain[name].kill()
        chain[name].start()

    def test_a_drain_outlives_the_agent_and_so_does_its_end(self):
        chain = self.deployed()
        web1, host = chain["web1"], chain.hosts["web1"]
        chain.fleet.command("drain", "mini", agent=web1)
        self.assertEqual(agent_check(host), "drain")
        self.restart(chain, "web1")
        # From the first answer on, and not only after a while.
        self.assertEqual([agent_check(host) for _ in range(20)], ["drain"] * 20)
        self.assertEqual(readiness(host), 503)
        # Nobody asks between the order and the agent's death: whoever was told to drain has not heard the end of it.
        chain.fleet.command("undrain", "mini", agent=web1)
        self.restart(chain, "web1")
        self.assertEqual(agent_check(host), "up ready")
        # Said until it was heard twice, and not longer: an operator's own drain is not ours to end.
        wait_until(lambda: agent_check(host) == "up", 60, lambda: "web1 says up")
        wait_until(lambda: not self.has_flag(chain, "web1", "left"), 60, lambda: "web1 has stored that it was heard")
        self.restart(chain, "web1")
        self.assertEqual(agent_check(host), "up")

    def test_a_node_is_not_called_ready_before_its_app_was_looked_at(self):
        chain = self.deployed()
        host = chain.hosts["web1"]
        chain["web1"].kill()
        process = int((chain.directory / "web1" / "mini" / "run" / "pid").read_text().split()[0])
        os.kill(process, signal.SIGSTOP)
        # It accepts and does not answer: the agent's first look takes as long as its time-out. What the agent does about
        # an app that is down comes after that.
        chain["web1"].start()
        began = time.monotonic()
        answers = []
        while time.monotonic() - began < LOOK_SECONDS / 2:
            answers.append(readiness(host))
        self.assertEqual(set(answers), {503})
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
        wait_until(lambda: readiness(host) == 200, 60, lambda: "web1 is ready")
