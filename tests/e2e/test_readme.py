# SPDX-License-Identifier: MIT
"""README.md does what it says: its shell and YAML blocks are run as they are written, in a private root."""
import configparser
import getpass
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import AGENT_PORT, APP_PORT, HERE, binary, end_app, free_network, has_failed, wait_until
from readme_blocks import README, ROOT, blocks, command_lines, of_kind

from fleet import Agent
from repository import Repository

NODES = ("web1", "web2", "web3")
ROLLOUT_SECONDS = 60


def baton(*arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BATON_")}
    return subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=30, check=False,
                          stdin=subprocess.DEVNULL, env=environment)


class PageTest(unittest.TestCase):
    """What can be held against the page without a running agent."""

    def test_every_yaml_block_of_the_readme_passes_check_config(self):
        checked = 0
        with tempfile.TemporaryDirectory(prefix="baton-readme-") as directory:
            for block in of_kind("check-config"):
                self.assertEqual(block.language, "yaml", str(block))
                file = pathlib.Path(directory) / "block.yaml"
                file.write_text(block.text, encoding="utf-8")
                done = baton("check-config", str(file))
                self.assertEqual((done.returncode, done.stderr), (0, ""), f"{block}")
                checked += 1
            # The check can fail: a key that is none is found.
            file.write_text(block.text + "\nno_such_key: 1\n", encoding="utf-8")
            self.assertEqual(baton("check-config", str(file)).returncode, 1)
        self.assertEqual(checked, sum(block.language == "yaml" for block in blocks()), "no YAML block is left out")
        self.assertGreaterEqual(checked, 3)

    def test_every_key_that_is_read_is_in_the_readme(self):
        page = README.read_text(encoding="utf-8")
        words = set(re.findall(r"[a-z_]+", page))
        reads = re.compile(r'\w+\.(?:line|lines|block|path|inner_path|flag|duration|size|share|address|whole|choice|each|'
                           r'value|entry|require)\(\s*"([a-z_]+)"')
        keys = set()
        for name in ("agent_reader", "app_reader", "pipeline_reader", "traffic_reader"):
            keys |= set(reads.findall((ROOT / "common" / "config" / f"{name}.cpp").read_text(encoding="utf-8")))
        self.assertGreater(len(keys), 80, "the readers' keys were found")
        self.assertEqual(keys - words, set(), "keys that the page does not name")

    def test_every_baton_command_of_the_readme_is_one(self):
        helps = {}
        root = baton("--help").stdout
        lines = command_lines()
        self.assertGreater(len(lines), 25)
        for number, words in lines:
            where = f"README.md:{number}: baton {' '.join(words)}"
            while words and words[0] == "--agent":  # of the whole command line, with its value
                words = words[2:]
            if words[0] in ("COMMAND", "is"):
                continue
            path = tuple(words[:2] if words[0] == "token" else words[:1])
            if path not in helps:
                done = baton(*path, "--help")
                self.assertEqual(done.returncode, 0, f"{where}: {done.stderr}")
                self.assertIn(f"baton {' '.join(path)}", done.stdout, where)
                helps[path] = done.stdout
            for word in words:
                if word.startswith("-"):
                    option = re.escape(word.split("=")[0])
                    self.assertRegex(helps[path] + root, rf"(?m)(^|[\s,]){option}\b", where)
        self.assertNotIn("baton no-such-command", baton("no-such-command", "--help").stdout, "one that is none is noticed")

    def test_the_scripts_that_the_readme_names_know_the_options(self):
        page = README.read_text(encoding="utf-8")
        texts = {"demo": (ROOT / "examples/django-shop/demo.py").read_text(encoding="utf-8")}
        texts["lab"] = (ROOT / "tests/e2e/zero_downtime/__main__.py").read_text(encoding="utf-8")
        for name in ("test", "setup"):
            texts[name] = (ROOT / "scripts" / name).read_text(encoding="utf-8")
        for name, option in (("demo", "--keep"), ("demo", "--haproxy"), ("test", "--quick"), ("setup", "--list"),
                             ("lab", "--faults"), ("lab", "--latency")):
            self.assertIn(option, page)
            self.assertIn(option, texts[name])
        for script in re.findall(r"scripts/[a-z-]+", page):
            self.assertTrue(os.access(ROOT / script, os.X_OK), script)
        for link in re.findall(r"\]\(([^)#:]+)\)", page):
            self.assertTrue((ROOT / link).exists(), link)

    def test_the_load_balancers_accept_the_examples(self):
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        files = sorted((ROOT / "examples/haproxy").glob("*.cfg"))
        self.assertGreaterEqual(len(files), 8)
        for file in files:
            done = subprocess.run([shutil.which("haproxy", path=path), "-c", "-f", file],
                                  capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 0, f"{file}: {done.stdout}{done.stderr}")
        for name in ("load-balancer.conf", "upstream.conf"):
            with tempfile.TemporaryDirectory(prefix="baton-nginx-") as directory:
                text = (ROOT / "examples/nginx" / name).read_text(encoding="utf-8")
                pathlib.Path(directory, "shop-members.conf").write_text("server 10.0.0.11:8080 down; # web1\n"
                                                                        "server 10.0.0.12:8080; # web2\n")
                # Trying it out makes the files that it names, and binds its addresses: not those of this machine.
                for old in ("/run/", "/var/log/nginx/", "/etc/nginx/"):
                    text = text.replace(old, f"{directory}/")
                config = pathlib.Path(directory) / "nginx.conf"
                config.write_text(text.replace("listen 10.0.0.10:80", "listen 127.0.0.1:80"), encoding="utf-8")
                done = subprocess.run([shutil.which("nginx", path=path), "-t", "-e", f"{directory}/early.log",
                                       "-p", directory, "-c", config], capture_output=True, text=True, timeout=30,
                                      check=False)
                self.assertEqual(done.returncode, 0, f"{name}: {done.stderr}")

    def test_the_traffic_examples_are_sections_of_the_agents_file(self):
        files = sorted((ROOT / "examples/chain/traffic").glob("*.yaml"))
        methods = set()
        with tempfile.TemporaryDirectory(prefix="baton-traffic-") as directory:
            for example in files:
                text = example.read_text(encoding="utf-8")
                methods.add(re.search(r"^  method: (\w+)", text, re.MULTILINE).group(1))
                file = pathlib.Path(directory) / "agent.yaml"
                file.write_text((ROOT / "examples/chain/agent.yaml").read_text(encoding="utf-8") + text, encoding="utf-8")
                done = baton("check-config", str(file))
                self.assertEqual((done.returncode, done.stderr), (0, ""), str(example))
        self.assertEqual(methods, {"none", "haproxy_agent", "haproxy_socket", "readiness", "refuse", "file",
                                   "command"})

    def test_the_unit_runs_the_agent_as_the_readme_says(self):
        unit = configparser.RawConfigParser(strict=True)
        unit.optionxform = str
        unit.read(ROOT / "examples/systemd/baton.service", encoding="utf-8")
        service = unit["Service"]
        for key, value in (("Type", "notify"), ("Restart", "always"), ("KillMode", "mixed"), ("Delegate", "yes"),
                           ("TimeoutStopSec", "60s"), ("StateDirectory", "baton")):
            self.assertEqual(service[key], value)
        words = service["ExecStart"].split()
        self.assertEqual(words[0], "baton", "found in /usr/local/bin as in /usr/bin")
        self.assertEqual(baton(*words[1:], "--help").returncode, 0)


class WalkTest(unittest.TestCase):
    """The installation on three VMs, on three loopback addresses."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="baton-readme-"))
        self.agents = []
        self.addCleanup(self.finish)
        network = free_network((AGENT_PORT, APP_PORT))
        self.repository = self.make_repository()
        self.values = {f"WEB{index}": f"{network}.{10 + index}" for index in (1, 2, 3)}
        self.values |= {"REPOSITORY": str(self.repository.bare), "APP_USER": getpass.getuser(),
                        "DESTDIR": str(self.directory / "root"), "STATE": f"{self.directory}/${{NODE_NAME}}/state",
                        "SRV": f"{self.directory}/${{NODE_NAME}}/shop"}
        # As if cmake had built in the checkout's build/release.
        (self.directory / "checkout/build").mkdir(parents=True)
        (self.directory / "checkout/build/release").symlink_to(pathlib.Path(binary()).parent)
        (self.directory / "checkout/scripts").symlink_to(ROOT / "scripts")
        (self.directory / "home").mkdir()

    def make_repository(self):
        repository = Repository.create(self.directory, "shop", HERE / "mini")
        repository.write("behaviour.json", json.dumps(
            {"healthy": True, "ready_after_ms": 0, "tax_percent": 19, "gates": ""}) + "\n")
        self.commit = repository.commit("The shop")
        repository.push()
        return repository

    def finish(self):
        for agent in self.agents:
            if has_failed(self):
                print(f"--- {agent.name}\n{agent.log_tail(15)}", file=sys.stderr)
            agent.stop()
        for name in NODES:
            end_app(self.directory / name / "shop/run/pid")
        if has_failed(self):
            print(f"kept: {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def run_blocks(self, chosen):
        """The blocks in one shell after the other's end, as a person pastes them: what one exports the next one has."""
        script = "".join(f"echo '## {block}'\n{block.text}\n" for block in chosen)
        environment = {"PATH": f"{self.values['DESTDIR']}/usr/local/bin:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
                       "HOME": str(self.directory / "home")}
        done = subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", script], cwd=self.directory / "checkout",
                              env=environment | self.values, capture_output=True, text=True, timeout=150, check=False,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def start_agents(self):
        program = f"{self.values['DESTDIR']}/usr/local/bin/baton"
        config = f"{self.values['DESTDIR']}/etc/baton/agent.yaml"
        for index, name in enumerate(NODES, 1):
            agent = Agent(program, config, name, self.values[f"WEB{index}"], AGENT_PORT, self.directory / name / "log",
                          (self.directory / "home/.baton-token").read_text(encoding="utf-8").strip())
            self.agents.append(agent)
            agent.start()

    def test_the_installation_of_the_readme_leads_to_a_rollout_on_three_nodes(self):
        (values,) = of_kind("set")
        self.assertEqual(set(re.findall(r"(\w+)=", values.text)), set(self.values), "the page's names are the test's")
        self.run_blocks(of_kind("run", ""))
        root = pathlib.Path(self.values["DESTDIR"])
        self.assertTrue((root / "usr/local/lib/systemd/system/baton.service").is_file())
        for secret in ("cluster.key", "tokens", "shop.token"):
            self.assertEqual((root / "etc/baton" / secret).stat().st_mode & 0o077, 0, secret)
        self.start_agents()
        # The first poll starts a rollout by itself; the page's blocks then find it, or start one anew.
        out = self.run_blocks(of_kind("run", "agents"))
        self.assertRegex(out, r"(?m)^HTTP/1\.1 201 ")
        self.assertRegex(out, r"(?mi)^Location: http://.*/queue/item/\d+/")
        for agent in self.agents:
            wait_until(lambda: self.runs(agent), ROLLOUT_SECONDS, lambda: f"{agent.name} runs the commit: {agent.app('shop')}")

    def runs(self, agent):
        row = next(row for row in agent.app("shop")["nodes"] if row["node"] == agent.name)
        return row["current"] == self.commit


if __name__ == "__main__":
    unittest.main()
