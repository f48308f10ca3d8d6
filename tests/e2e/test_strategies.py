# SPDX-License-Identifier: MIT
"""The recipes of examples/strategies on a real agent that is killed with SIGKILL in the middle of them: whatever it had
done, it goes on after its next start, and users notice nothing of either."""
import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

from harness import AGENT_PORT, APP_PORT, APP_TOKEN, HERE, binary, free_network, has_failed
from fleet import Fleet, wait_until, write_secret
from repository import Repository

RECIPES = HERE.parent.parent / "examples" / "strategies"
SOCKET_PORT, BLUE_PORT, GREEN_PORT = 8000, 9001, 9002

CONFIG = """\
state_dir: {directory}/web1/state
build_priority: normal
chain:
  nodes:
    - {{name: web1, address: "{host}:{port}"}}
security:
  cluster_key_file: {directory}/secrets/cluster.key
  tokens_file: {directory}/secrets/tokens
traffic: {{method: none, settle: 500ms}}
apps:
  shop:
    repository: {directory}/shop.git
    deploy_to: {directory}/web1/shop
    triggers: {{token_file: {directory}/secrets/shop.token}}
"""

# The app's start and end pass by here: who laid `kill.POINT` wants the agent killed at that point, once.
POINT = """\
#!/bin/sh
if mv {points}/kill.$1 {points}/killed.$1 2>/dev/null; then kill -9 "$(cat {points}/agent)"; sleep 0.3; fi
"""
START = """\
#!/bin/sh
POINT=users; [ "$LISTEN_FDS" = 1 ] && POINT=trial
export POINT
{points}/point $POINT-start
"""
HOOKS = """\
import os, subprocess
def on_exit(server):
    subprocess.run(["{points}/point", os.environ["POINT"] + "-stop"])
"""


class Users:
    """Three who ask without a pause over new connections, one of them for something that takes its time."""

    def __init__(self, host, port):
        self.failures, self.seen, self.answers = [], set(), 0
        self._where = (host, port)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(path,), daemon=True)
                         for path in ("/", "/", "/slow")]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=40)

    def meet(self, commit):
        """Until one of them was answered by that release: there has to be time for it between two releases."""
        wait_until(lambda: commit in self.seen, 60, lambda: f"users meet {commit}; they met {self.seen}")

    def _run(self, path):
        while not self._stopping.is_set():
            connection = http.client.HTTPConnection(*self._where, timeout=30)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status == 200:
                    self.seen.add(body.split()[0])
                else:
                    self.failures.append(f"{answer.status} {body[:200]}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            finally:
                connection.close()
            self.answers += 1


class StrategyCase(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-e2e-"))
        self.host = free_network((AGENT_PORT, APP_PORT, SOCKET_PORT, BLUE_PORT, GREEN_PORT)) + ".11"
        self.points = self.directory / "points"
        self.points.mkdir()
        self._script("point", POINT.format(points=self.points))
        write_secret(self.directory / "secrets" / "shop.token", APP_TOKEN + "\n")
        self.repository = Repository.create(self.directory, "shop", RECIPES)
        self.fleet = Fleet(binary(), self.directory,
                           CONFIG.format(directory=self.directory, host=self.host, port=AGENT_PORT),
                           [("web1", self.host, AGENT_PORT)])
        self.agent = self.fleet["web1"]
        self.addCleanup(self._finish)

    def _finish(self):
        if has_failed(self):
            log = self.agent.build_log("shop") if self.agent.running() else ""
            print(f"\n{self.id()} failed; kept: {self.directory}\n{self.agent.log_tail()}\n{log}", file=sys.stderr)
        self.fleet.stop()
        for colour in ("blue", "green"):
            self._end_app(colour)
        if not has_failed(self):
            shutil.rmtree(self.directory, ignore_errors=True)

    def _end_app(self, colour):
        """A holder ends its app on SIGTERM; what it notes leads to both."""
        for process in self.running(colour):
            holder = int(pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
            if holder > 1:
                os.kill(holder, signal.SIGTERM)
        wait_until(lambda: not self.running(colour), 60, lambda: f"{colour} has ended")

    def running(self, colour=None):
        """The main processes of the instances, or of one."""
        folder = self.directory / "web1" / "state" / "instances" / "shop"
        found = []
        for colour in [colour] if colour else ["blue", "green"]:
            record = folder / f"{colour}.json"
            if record.exists():
                process = int(record.read_text().split('"pid":')[1].split(",")[0])
                if pathlib.Path(f"/proc/{process}/cmdline").exists():
                    found.append(process)
        return found

    def _script(self, name, text):
        path = self.points / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def recipe(self, name, *changes):
        """A recipe as the repository's baton.yaml, quicker, and with points at the app's start and end."""
        text = (RECIPES / name).read_text(encoding="utf-8")
        changes += (("min_healthy_time: 3s", "min_healthy_time: 300ms"),
                    ("exec /usr/bin/gunicorn", f". {self.points}/start; exec /usr/bin/gunicorn --config {self.points}/hooks.py"))
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self._script("start", START.format(points=self.points))
        self._script("hooks.py", HOOKS.format(points=self.points))
        self.repository.write("baton.yaml", text)

    def start_web_server(self):
        """The recipe's nginx at APP_PORT, which knows of no release yet; its configuration file."""
        conf = self.directory / "nginx.conf"
        shared = self.directory / "web1" / "shop" / "shared"
        shared.mkdir(parents=True, exist_ok=True)
        (shared / "upstream.conf").write_text("server 127.0.0.1:9;\n")
        text = (RECIPES / "nginx.conf").read_text(encoding="utf-8")
        for old, new in (("/srv/shop/shared", str(shared)), ("/run/nginx.pid", f"{self.directory}/nginx.pid"),
                         ("/var/log/nginx", str(self.directory)), ("127.0.0.1:8080", f"{self.host}:{APP_PORT}")):
            self.assertIn(old, text)
            text = text.replace(old, new)
        conf.write_text(text)
        nginx = subprocess.Popen(["/usr/sbin/nginx", "-c", str(conf), "-g", "daemon off;"], stdin=subprocess.DEVNULL)
        self.addCleanup(nginx.wait, 20)
        self.addCleanup(nginx.terminate)
        wait_until(lambda: (self.directory / "nginx.pid").exists(), 60, lambda: "nginx runs")
        return conf

    def start_agent(self):
        self.agent.start()
        (self.points / "agent").write_text(str(self.agent.process.pid))

    def release(self):
        commit = self.repository.commit("another")
        self.repository.push()
        self.agent.post(f"/job/shop/build?token={APP_TOKEN}")
        return commit

    def wait_for(self, commit):
        wait_until(lambda: any(row["commit"] == commit and row["state"] == "succeeded"
                               for row in self.agent.rollouts("shop")), 60, lambda: f"{commit} is deployed")
        wait_until(lambda: len(self.running()) == 1, 60, lambda: f"one instance is left, not {self.running()}")

    def killed_at(self, point, users):
        """A release during which the agent is killed at `point` and started again; it comes through all the same."""
        (self.points / f"kill.{point}").touch()
        commit = self.release()
        wait_until(lambda: (self.points / f"killed.{point}").exists(), 60, lambda: f"{point} is reached")
        self.agent.process.wait(timeout=10)
        self.assertEqual(self.agent.process.returncode, -signal.SIGKILL)
        self.start_agent()
        self.wait_for(commit)
        users.meet(commit)
        return commit


class KilledAgents(StrategyCase):
    def test_an_agent_killed_at_any_point_of_an_overlap_costs_no_request(self):
        self.recipe("overlap-gunicorn.yaml")
        self.start_agent()
        commits = [self.release()]
        self.wait_for(commits[0])
        with Users(self.host, SOCKET_PORT) as users:
            users.meet(commits[0])
            for point in ("trial-start", "trial-stop", "users-start", "users-stop"):
                commits.append(self.killed_at(point, users))
        self.assertEqual(users.failures, [])
        self.assertEqual(users.seen, set(commits))

    def test_an_agent_killed_at_any_point_of_a_blue_green_switch_costs_no_request(self):
        conf = self.start_web_server()
        point = self.points / "point"
        self.recipe("blue-green-nginx.yaml",
                    ("nginx -t -q && nginx -s reload",
                     f"{point} before-reload && nginx -c {conf} -t -q && nginx -c {conf} -s reload && {point} reloaded"))
        self.start_agent()
        commits = [self.release()]
        self.wait_for(commits[0])
        with Users(self.host, APP_PORT) as users:
            users.meet(commits[0])
            for name in ("users-start", "before-reload", "reloaded", "users-stop"):
                commits.append(self.killed_at(name, users))
        self.assertEqual(users.failures, [])
        self.assertEqual(users.seen, set(commits))


if __name__ == "__main__":
    unittest.main()
