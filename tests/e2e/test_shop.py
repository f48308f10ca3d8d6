# SPDX-License-Identifier: MIT
"""The real thing: Django over FastCGI behind nginx, Redis, 900 tests with JUnit, three agents."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import HERE, ask, binary, free_network, has_failed, wait_until
from load import Load

ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "examples" / "django-shop"))

import demo  # noqa: E402
import lab  # noqa: E402

NODES = ("web1", "web2", "web3")
PORTS = (lab.AGENT_PORT, lab.WEB_PORT, lab.FASTCGI_PORT, lab.FRONT_PORT, lab.STATS_PORT, lab.REDIS_PORT)


class ShopTest(unittest.TestCase):
    def shop(self, haproxy=None):
        """The demo's set-up with the first version deployed; taken down, and kept when the test fails."""
        directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-shop-"))
        shop = demo.Demo(binary(), directory, free_network(PORTS), haproxy=haproxy)
        self.addCleanup(self.finish, shop)
        first = shop.set_up()
        self.assertEqual(shop.watch(first)["state"], "succeeded")
        self.assertEqual(self.versions(shop), [(200, first)] * 3)
        return shop, first

    def finish(self, shop):
        if not has_failed(self):
            shop.tear_down()
            shutil.rmtree(shop.directory, ignore_errors=True)
        else:
            print(f"\nkept: {shop.directory}\n{shop.help_text()}", file=sys.stderr)
            shop.tear_down()

    @staticmethod
    def versions(shop):
        answers = [ask(host, lab.WEB_PORT, "GET", "/health") for host in shop.lab.hosts.values()]
        return [(status, headers["X-Version"]) for status, headers, _ in answers]

    def server_pids(self, shop):
        return [(shop.directory / name / "shop/shared/run/uwsgi.pid").read_text() for name in NODES]

    def test_a_shop_that_is_sick_or_cannot_be_built_stops_at_the_first_node(self):
        shop, first = self.shop()
        servers = self.server_pids(shop)

        sick = shop.lab.commit_change("sick")
        self.assertEqual(shop.watch(sick)["state"], "halted")
        self.assertEqual(self.versions(shop), [(200, first)] * 3, "the release before is back on the first node")
        self.assertNotEqual(self.server_pids(shop)[0], servers[0], "it was tried there")
        self.assertEqual(self.server_pids(shop)[1:], servers[1:], "and nowhere else")
        servers = self.server_pids(shop)

        broken = shop.lab.commit_change("broken_requirements")
        self.assertEqual(shop.watch(broken)["state"], "halted")
        self.assertIn("Django==99.0", shop.fleet["web1"].build_log("shop"))
        self.assertEqual(self.server_pids(shop), servers, "nobody noticed")

        good = shop.lab.commit_change("good")
        self.assertEqual(shop.watch(good)["state"], "succeeded")
        self.assertEqual(self.versions(shop), [(200, good)] * 3)
        status, _, body = ask(shop.lab.hosts["web3"], lab.WEB_PORT, "GET", "/")
        self.assertEqual(status, 200)
        self.assertIn(b"Welcome to the shop (3)", body)
        build = shop.fleet["web3"].get("/api/v1/apps/shop/builds/last")
        self.assertGreater(build["tests"]["total"], 900)
        self.assertEqual(build["tests"]["failed"], 0)

    def rollout_under_load(self, haproxy):
        """A rollout behind HAProxy with users at the shop; every request is answered, every order taken once."""
        shop, first = self.shop(haproxy)
        wait_until(lambda: self.front_answers(shop), 60, "HAProxy has the nodes")
        with Load(shop.lab.front_url, rate=60, post=0.2) as load:
            wait_until(lambda: len(load.records) > 60, 60, "users are there")
            commit = shop.lab.commit_change("good")
            self.assertEqual(shop.watch(commit)["state"], "succeeded")
            seen = len(load.records)
            wait_until(lambda: len(load.records) > seen + 60, 60, "users are there afterwards")
        report = load.report()
        self.assertEqual(load.failures(), [], report)
        self.assertEqual(set(report["versions"]), {first, commit})
        self.assertEqual(set(report["nodes"]), set(NODES))
        times = self.executions(shop, load.run)
        self.assertEqual(set(times), load.ordered())
        self.assertEqual(set(times.values()), {1}, "no order was run twice")

    @staticmethod
    def front_answers(shop):
        """All three nodes are in service: that many requests in a row meet all three."""
        answers = [ask(shop.lab.front, lab.FRONT_PORT, "GET", "/health") for _ in range(6)]
        return {headers.get("X-Node") for _, headers, _ in answers} == set(NODES)

    @staticmethod
    def executions(shop, run):
        """How often Redis says that each order of a load run was executed."""
        command = ["redis-cli", "-h", shop.lab.front, "-p", str(lab.REDIS_PORT), "--json", "hgetall", "executions"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return {name: int(times) for name, times in json.loads(done.stdout).items() if name.startswith(run)}

    def test_no_request_fails_behind_haproxy_that_asks_the_agents(self):
        self.rollout_under_load("agent")

    def test_the_demo_shows_a_commit_walking_the_chain_and_one_that_stops(self):
        network = free_network(PORTS)
        environment = {**os.environ, "BATON_BINARY": binary()}
        done = subprocess.run([ROOT / "scripts" / "demo", "--network", network], env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=270, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        walk = done.stdout.split("== a push: a new greeting")[1].split("== ")[0]
        commit = re.match(r" \(([0-9a-f]{8})\)", walk).group(1)
        first_seen = [walk.find(f"{name} [{commit}]") for name in NODES]
        self.assertEqual(first_seen, sorted(first_seen), "one after the other:\n" + walk)
        self.assertNotIn(-1, first_seen, walk)
        for name in NODES:
            self.assertIn(f"{name}: 200 {commit}", walk.splitlines()[-2] + walk.splitlines()[-1])
        stopped = done.stdout.split("== a push that breaks a test")[1]
        self.assertIn("halted: ", stopped)
        self.assertIn(f"web1: 200 {commit}   web2: 200 {commit}   web3: 200 {commit}", stopped)
        self.assert_nothing_is_left(network)

    def assert_nothing_is_left(self, network):
        """Nobody listens on the demo's addresses any more."""
        def listening():
            found = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, timeout=20, check=True).stdout
            return [line for line in found.splitlines() if f" {network}." in line]
        wait_until(lambda: not listening(), 60, lambda: f"all ports are free; found {listening()}")


if __name__ == "__main__":
    unittest.main()
