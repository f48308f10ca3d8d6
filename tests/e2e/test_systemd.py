# SPDX-License-Identifier: MIT
"""The unit files of the examples, and the recipe in which systemd holds the sockets, on a real systemd."""
import http.client
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import APP_PORT, binary, has_failed
from fleet import wait_until
from systemd import EXAMPLES, Systemd
from test_strategies import BLUE_PORT, GREEN_PORT, RECIPES, SOCKET_PORT, StrategyCase, Users


class UnitFiles(unittest.TestCase):
    def setUp(self):
        self.units = pathlib.Path(tempfile.mkdtemp(prefix="baton-e2e-"))
        self.addCleanup(shutil.rmtree, self.units)

    def complaints(self):
        """What systemd has against the units; it warns of most faults and goes on."""
        names = [path.name for path in self.units.iterdir() if path.is_file()]
        done = subprocess.run(["systemd-analyze", "verify", *names],
                              env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{self.units}:/lib/systemd/system"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        return done.stdout + ("" if done.returncode == 0 else f"exit status {done.returncode}")

    def test_every_unit_file_of_the_examples_is_accepted_by_systemd_without_a_word(self):
        files = [path for path in EXAMPLES.rglob("*") if path.suffix in (".service", ".socket")]
        self.assertGreaterEqual(len(files), 8)
        for path in files:
            # An instance stands for its template.
            name = path.name.replace("@.", "@blue.")
            text = path.read_text(encoding="utf-8").replace("ExecStart=baton ", f"ExecStart={binary()} ")
            (self.units / name).write_text(text, encoding="utf-8")
        drop_in = self.units / "baton.service.d" / "program.conf"
        drop_in.parent.mkdir()
        shutil.copy(EXAMPLES / "self-upgrade" / "program.conf", drop_in)
        self.assertEqual(self.complaints(), "")
        # It would have said so.
        drop_in.write_text("[Service]\nRestartSecs=2\n")
        self.assertIn("RestartSecs", self.complaints())


class SystemdCase(StrategyCase):
    """The services of the examples are known to a systemd that runs here."""

    SERVICES = ()

    def setUp(self):
        super().setUp()
        # The services run as another user, who has to reach the releases.
        self.directory.chmod(0o755)
        self.shared = self.directory / "web1" / "shop" / "shared"
        self.shared.mkdir(parents=True)
        self.systemd = Systemd(self.directory)
        self.addCleanup(self.systemd.stop)
        for path in (RECIPES / "systemd").iterdir():
            text = path.read_text(encoding="utf-8").replace("/srv/shop/shared", str(self.shared))
            text = text.replace("/etc/shop", f"{self.directory}/etc").replace("RestartSec=1s", "RestartSec=200ms")
            text = text.replace("ListenStream=127.0.0.1:", f"ListenStream={self.host}:")
            (self.systemd.units / path.name).write_text(text, encoding="utf-8")
        self.systemd.start()

    def use(self, recipe, *changes):
        """The recipe as the repository's baton.yaml."""
        text = (RECIPES / recipe).read_text(encoding="utf-8")
        for old, new in (("/srv/shop/shared", str(self.shared)), ("http://127.0.0.1:", f"http://{self.host}:"),
                         ("min_healthy_time: 3s", "min_healthy_time: 1s"), *changes,
                         ("sudo systemctl", str(self.systemd.systemctl))):
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.repository.write("baton.yaml", text)

    def _finish(self):
        if has_failed(self):
            print(self.systemd.log())
        super()._finish()

    def services(self):
        return {name: self.systemd.state(name) for name in self.SERVICES}

    def live(self):
        """The service that runs, which is the only one."""
        running = [name for name, state in self.services().items() if state not in ("inactive", "failed")]
        self.assertEqual(len(running), 1, self.services())
        return running[0]

    def ended(self, commit, state):
        wait_until(lambda: any(row["commit"] == commit and row["state"] == state
                               for row in self.agent.rollouts("shop")), 60, lambda: f"{commit} is {state}")

    def deploy(self):
        commit = self.release()
        self.ended(commit, "succeeded")
        return commit

    def three_more(self, commits, users):
        """Deploys three further releases, each after users have met the one before; what was live before each."""
        live = []
        for _ in range(3):
            users.meet(commits[-1])
            live.append(self.live())
            commits.append(self.deploy())
        users.meet(commits[-1])
        return live


class SystemdHoldsTheSockets(SystemdCase):
    SERVICES = ("shop@blue", "shop@green", "shop-trial@blue", "shop-trial@green")

    def setUp(self):
        super().setUp()
        for unit in ("shop.socket", "shop-own@blue.socket", "shop-own@green.socket"):
            self.assertEqual(self.systemd.call("start", unit), (0, ""))
        self.use("overlap-systemd.yaml", ("healthy_deadline: 30s", "healthy_deadline: 15s"))
        self.start_agent()

    def test_under_real_systemd_releases_take_each_others_place_on_its_socket_and_no_request_fails(self):
        commits = [self.deploy()]
        with Users(self.host, SOCKET_PORT) as users:
            live = self.three_more(commits, users)
        self.assertEqual(users.failures, [])
        self.assertEqual(users.seen, set(commits))
        self.assertGreater(users.answers, 100)
        self.assertEqual(live, ["shop@blue", "shop@green", "shop@blue"])
        self.assertEqual(self.live(), "shop@green")
        print(f"3 releases by systemd's sockets: {users.answers} requests, {len(users.failures)} failed")

    def test_under_real_systemd_users_meet_no_release_that_is_sick_and_none_that_ends_by_itself(self):
        good = self.deploy()
        with Users(self.host, SOCKET_PORT) as users:
            self.repository.write("sick", "yes")
            self.ended(self.release(), "halted")
            (self.repository.work / "sick").unlink()
            # It says that it is ready, and dies soon after.
            app = (self.repository.work / "app.py").read_text(encoding="utf-8")
            self.repository.write("app.py", app + "\nimport threading\nthreading.Timer(0.4, os.kill, (os.getppid(), 9)).start()\n")
            self.ended(self.release(), "halted")
            self.assertEqual(self.live(), "shop@blue")
        self.assertEqual(users.failures, [])
        self.assertEqual(users.seen, {good})
        # The sockets are still systemd's.
        for unit in ("shop.socket", "shop-own@blue.socket", "shop-own@green.socket"):
            self.assertEqual(self.systemd.state(unit), "active")

    def test_under_real_systemd_a_service_that_ends_again_and_again_takes_no_socket_from_the_other(self):
        good = self.deploy()
        # As a release that is well while it is looked at, and never again.
        broken = self.directory / "broken"
        shutil.copytree(self.repository.work, broken)
        (broken / "app.py").write_text("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n")
        (self.directory / "web1" / "shop" / "shared" / "green").symlink_to(broken)
        with Users(self.host, SOCKET_PORT) as users:
            self.assertEqual(self.systemd.call("start", "shop@green")[0], 0)
            # systemd would give up at the fifth within 10 s.
            wait_until(lambda: int(self.systemd.call("show", "--value", "-p", "NRestarts", "shop@green")[1]) > 6, 60,
                       lambda: f"shop@green was started again and again: {self.systemd.call('status', 'shop@green')[1]}")
            self.assertEqual(self.systemd.call("stop", "shop@green")[0], 0)
        for unit in ("shop.socket", "shop-own@blue.socket", "shop-own@green.socket", "shop@blue"):
            self.assertEqual(self.systemd.state(unit), "active")
        self.assertEqual(users.seen, {good})

    def test_under_real_systemd_a_request_starts_no_release_that_baton_did_not_start(self):
        self.deploy()
        newest = self.deploy()
        self.agent.stop()
        # As after a boot: the sockets are there, the services are not, and blue is the release before.
        self.assertEqual(self.systemd.call("stop", self.live())[0], 0)
        waiting = http.client.HTTPConnection(self.host, SOCKET_PORT, timeout=60)
        waiting.request("GET", "/")
        for port in (BLUE_PORT, GREEN_PORT):
            early = http.client.HTTPConnection(self.host, port, timeout=60)
            early.request("GET", "/health")
            self.addCleanup(early.close)
        wait_until(lambda: self.systemd.state("shop-wait") == "active", 60, lambda: "systemd has seen the request")
        self.assertEqual(set(self.services().values()), {"inactive"})
        self.start_agent()
        self.assertEqual(waiting.getresponse().read().decode().split()[0], newest)
        waiting.close()
        self.live()


class SystemdRunsTwoPorts(SystemdCase):
    SERVICES = ("shop-port@blue", "shop-port@green")

    def setUp(self):
        super().setUp()
        (self.directory / "etc").mkdir()
        for colour, port in (("blue", BLUE_PORT), ("green", GREEN_PORT)):
            (self.directory / "etc" / f"{colour}.env").write_text(f"BIND={self.host}:{port}\n")
        conf = self.start_web_server()
        # nginx was not started by this systemd, and is told to read its files again as it is everywhere else.
        self.use("blue-green-systemd.yaml", ("server 127.0.0.1:", f"server {self.host}:"),
                 (f"http://{self.host}:8080/", f"http://{self.host}:{APP_PORT}/"), ("healthy_deadline: 30s", "healthy_deadline: 15s"),
                 ("sudo nginx -t -q && sudo systemctl reload nginx", f"nginx -c {conf} -t -q && nginx -c {conf} -s reload"))
        self.start_agent()

    def test_under_real_systemd_releases_go_from_port_to_port_and_no_request_fails(self):
        commits = [self.deploy()]
        with Users(self.host, APP_PORT) as users:
            live = self.three_more(commits, users)
            self.repository.write("sick", "yes")
            self.ended(self.release(), "halted")
        self.assertEqual(users.failures, [])
        self.assertEqual(users.seen, set(commits))
        self.assertGreater(users.answers, 100)
        self.assertEqual(live, ["shop-port@blue", "shop-port@green", "shop-port@blue"])
        self.assertEqual(self.live(), "shop-port@green")
        print(f"3 releases from port to port: {users.answers} requests, {len(users.failures)} failed")

    def test_under_real_systemd_the_newest_release_is_started_after_a_boot(self):
        self.deploy()
        newest = self.deploy()
        self.agent.stop()
        self.assertEqual(self.systemd.call("stop", self.live())[0], 0)
        self.assertEqual(self.ask(), 502)
        self.start_agent()
        # At which of the two ports is the agent's to say; nginx's workers of before ask the other for a moment yet.
        wait_until(lambda: all(self.ask() == 200 for _ in range(30)), 60, lambda: f"it is back: {self.services()}")
        with Users(self.host, APP_PORT) as users:
            wait_until(lambda: users.answers > 20, 60, lambda: "users are served")
        self.assertEqual((users.failures, users.seen), ([], {newest}))
        wait_until(lambda: list(self.services().values()).count("active") == 1, 60, lambda: f"one runs: {self.services()}")

    def ask(self):
        """The status that a user gets."""
        connection = http.client.HTTPConnection(self.host, APP_PORT, timeout=10)
        connection.request("GET", "/")
        status = connection.getresponse().status
        connection.close()
        return status


if __name__ == "__main__":
    unittest.main()
