# SPDX-License-Identifier: MIT
"""The demonstration that scripts/demo starts: three agents with one configuration file over the shop."""
import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CHAIN = HERE.parent / "chain"
sys.path[:0] = [str(HERE), str(CHAIN)]

import balancer  # noqa: E402
from fleet import AskError, Fleet, ask, wait_until, write_secret  # noqa: E402
from lab import AGENT_PORT, METHODS, PORTS, WEB_PORT, Lab  # noqa: E402

ROLLOUT_SECONDS = 180
ENDED = ("succeeded", "halted", "held")
NETWORK_OF_THE_FILE = "127.0.0"
DIRECTORY_OF_THE_FILE = "/srv/baton-demo"


def say(text=""):
    print(text, flush=True)


class Demo:
    def __init__(self, binary, directory, network, haproxy):
        self.directory = directory
        self.haproxy = haproxy
        self.lab = Lab(directory, network)
        # The example's file as it is, but for where it lies (and on which loopback addresses).
        text = (CHAIN / "agent.yaml").read_text(encoding="utf-8")
        text = text.replace(DIRECTORY_OF_THE_FILE, str(directory))
        for last in (11, 12, 13):
            text = text.replace(f"{NETWORK_OF_THE_FILE}.{last}:", f"{network}.{last}:")
        traffic = METHODS[haproxy][1] if haproxy else None
        if traffic:
            text += balancer.traffic_config(traffic, directory, self.lab.front, PORTS)
        self.trigger_token = "shop-" + os.urandom(12).hex()
        write_secret(directory / "secrets" / "shop.token", self.trigger_token + "\n")
        self.fleet = Fleet(binary, directory, text, [(name, host, AGENT_PORT) for name, host in self.lab.hosts.items()])

    # --- watching ---

    def rollout(self, commit):
        """The rollout of a commit as the first node shows it, or None while it is not known there."""
        try:
            app = self.fleet.agents[0].app("shop")
        except AskError:
            return None, []
        rollout = app.get("rollout")
        return (rollout, app["nodes"]) if rollout and rollout["commit"] == commit else (None, [])

    def watch(self, commit):
        """Prints the chain whenever it changes, until the rollout of `commit` has ended; the rollout."""
        began = time.monotonic()
        last = None
        while time.monotonic() - began < ROLLOUT_SECONDS:
            rollout, nodes = self.rollout(commit)
            if rollout:
                line = "   ".join(self.node_text(node, commit) for node in nodes)
                if line != last:
                    say(f"  {time.monotonic() - began:5.1f} s  {line}")
                    last = line
                if rollout["state"] in ENDED:
                    return rollout
            time.sleep(0.1)
        raise TimeoutError(f"the rollout of {commit[:8]} has not ended within {ROLLOUT_SECONDS} s")

    @staticmethod
    def node_text(node, commit):
        runs = (node["current"] or "-")[:8]
        if node["state"] in ("failed", "stuck", "restored"):
            what = f"{node['state']} in {node['stage']}" if node["stage"] != "done" else node["state"]
        elif node["current"] == commit:
            what = "ok" if node["state"] == "succeeded" else node["stage"]
        else:
            what = node["stage"] if node["state"] == "running" else ""
        return f"{node['node']} [{runs:8}] {what:14}"

    def versions(self):
        """What each node's /health says, through its web server."""
        texts = []
        for name, host in self.lab.hosts.items():
            try:
                status, headers, _ = ask(host, WEB_PORT, "GET", "/health", timeout=3)
                texts.append(f"{name}: {status} {headers.get('X-Version', '?')[:8]}")
            except AskError:
                texts.append(f"{name}: no answer")
        return "   ".join(texts)

    # --- the acts ---

    def set_up(self):
        self.lab.start(haproxy=self.haproxy)
        repository = self.lab.make_repository()
        say(f"Redis and three nginx run; the shop's repository is {repository.bare}")
        self.fleet.start()
        say("three agents run with one and the same file: " + " ".join(agent.url for agent in self.fleet.agents))
        return repository.head()

    def walk(self, title, commit):
        say(f"\n== {title} ({commit[:8]})")
        rollout = self.watch(commit)
        if rollout["state"] != "succeeded":
            raise RuntimeError(f"the rollout is {rollout['state']}: {rollout['reason']}\n{self.help_text()}")
        say(f"  rolled out. The shops say: {self.versions()}")

    def stop_at_first(self):
        good = self.lab.commit_change("good")
        self.walk("a push: a new greeting", good)
        bad = self.lab.commit_change("failing_test")
        say(f"\n== a push that breaks a test ({bad[:8]})")
        rollout = self.watch(bad)
        if rollout["state"] == "succeeded":
            raise RuntimeError("a commit with a failing test was rolled out")
        say(f"  {rollout['state']}: {rollout['reason']}")
        wait_until(lambda: self.versions().count(f"200 {good[:8]}") == 3, 60,
                   lambda: f"all three still serve {good[:8]}; they say {self.versions()}")
        say(f"  stopped at the first node. The shops still say: {self.versions()}")
        status = self.fleet.command("status", agent=self.fleet.agents[0], check=False)
        say(f"\n$ baton status\n{status.stdout}{status.stderr}")

    def help_text(self):
        """The end of the first node's build and of its log."""
        first = self.fleet.agents[0]
        build = "\n".join(first.build_log("shop").splitlines()[-20:])
        return f"--- last build of {first.name}\n{build}\n--- log of {first.name}\n{first.log_tail(20)}"

    def how_to_play(self):
        first, second = self.fleet.agents[:2]
        work = self.lab.directory / "shop-work"
        say(f"""
It goes on running until Ctrl-C. In another terminal:
  export BATON_AGENT={first.url} BATON_TOKEN_FILE={self.fleet.token_file}
  {self.fleet.binary} status --watch
  curl -X POST '{first.url}/job/shop/build?token={self.trigger_token}'
  cd {work} && $EDITOR shop/banner.py && git -c user.name=me -c user.email=me@example.com commit -am 'New words' && git push origin HEAD:main
  kill -9 {second.process.pid}    # {second.name}'s agent: the chain goes round it
The API: {first.url}/api/v1/status    a shop: http://{first.host}:{WEB_PORT}/    everything lies in {self.directory}""")
        if self.haproxy:
            say(f"Through the load balancer: {self.lab.front_url}/    its view: {self.lab.stats_url[:-4]}")

    def tear_down(self):
        self.fleet.stop()
        self.lab.stop()


def parse():
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Shows a commit walking a chain of three agents.")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C, and say how to play with it")
    parser.add_argument("--directory", type=pathlib.Path, help="where everything goes (default: a temporary one)")
    parser.add_argument("--network", default=NETWORK_OF_THE_FILE, help="first three numbers of the loopback addresses")
    parser.add_argument("--haproxy", choices=METHODS, help="put HAProxy in front, with this kind of health check")
    return parser.parse_args()


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, interrupt)
    directory = arguments.directory or pathlib.Path(tempfile.mkdtemp(prefix="baton-demo-"))
    directory = directory.resolve()
    demo = None
    failed = True
    try:
        demo = Demo(os.environ["BATON_BINARY"], directory, arguments.network, arguments.haproxy)
        began = time.monotonic()
        demo.walk("the first version, on three empty nodes", demo.set_up())
        demo.stop_at_first()
        say(f"That took {time.monotonic() - began:.0f} s.")
        failed = False
        if arguments.keep:
            demo.how_to_play()
            signal.pause()
    except KeyboardInterrupt:
        say("\nstopping")
    except (RuntimeError, TimeoutError, AskError) as error:
        print(f"demo: {error}", file=sys.stderr)
        if demo:
            print(demo.help_text(), file=sys.stderr)
    finally:
        if demo:
            demo.tear_down()
        if failed:
            print(f"demo: kept for a look: {directory}", file=sys.stderr)
        elif not arguments.directory:
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
