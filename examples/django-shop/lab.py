#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The surroundings of a chain on one machine: a Redis, an nginx for each node, a load balancer in front, and a
repository with the shop in it. All of it below one directory, as the invoking user; no system service is touched.

    lab.py start DIRECTORY [--haproxy none|check|readiness|agent]
    lab.py stop DIRECTORY
"""
import argparse
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import string
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
APP = HERE / "app"
sys.path[:0] = [str(HERE), str(HERE.parent / "chain")]

import balancer  # noqa: E402
from repository import Repository  # noqa: E402

WEB_PORT = 8080
FASTCGI_PORT = 9000
AGENT_PORT = 7070
AGENT_CHECK_PORT = 7071
FRONT_PORT = 8000
STATS_PORT = 8404
RUNTIME_PORT = 9999
REDIS_PORT = 6390
START_SECONDS = 60
# Ways of HAProxy to check the nodes: its example file, and the traffic section that goes with it.
METHODS = {"check": ("check.cfg", None), "readiness": ("readiness.cfg", "readiness"),
           "agent": ("agent-check.cfg", "haproxy_agent")}
PORTS = {"front": FRONT_PORT, "stats": STATS_PORT, "runtime": RUNTIME_PORT}


class Lab:
    """`network` are the first three numbers of the addresses: nodes get .11, .12, …; the load balancer and Redis .10,
    or Redis another one. `inside(where)` is what a command begins with to run on a node, "balancer" or "redis"."""

    def __init__(self, directory, network="127.0.0", names=("web1", "web2", "web3"), redis=None,
                 inside=lambda where: []):
        self.directory = pathlib.Path(directory).resolve()
        self.front = f"{network}.10"
        self.redis_host = redis or self.front
        self.hosts = {name: f"{network}.{11 + index}" for index, name in enumerate(names)}
        self.redis_url = f"redis://{self.redis_host}:{REDIS_PORT}/0"
        self.front_url = f"http://{self.front}:{FRONT_PORT}"
        self.stats_url = f"http://{self.front}:{STATS_PORT}/stats;csv"
        self.balancer_home = self.directory / "lab" / "balancer"
        self._inside = inside
        self._pids = self.directory / "lab" / "pids.json"
        self._children = []
        self._repository = None
        self._changes = 0

    # --- the parts ---

    def start(self, haproxy=None):
        """Redis and the nodes' nginx; `haproxy`: one of METHODS, or None for no load balancer. All or nothing."""
        try:
            self.start_redis()
            for name in self.hosts:
                self.start_node(name)
            if haproxy:
                self.start_haproxy(METHODS[haproxy][0])
        except BaseException:
            self.stop()
            raise

    def start_redis(self):
        home = self._home("redis")
        # Not saved by a timer: the lab's data lives as long as the lab.
        self._spawn("redis", ["redis-server", "--bind", self.redis_host, "--port", str(REDIS_PORT), "--dir", str(home),
                              "--save", "", "--appendonly", "no", "--protected-mode", "no"],
                    self.redis_host, REDIS_PORT)

    def start_node(self, name):
        """What a VM has besides the agent: the web server, and the node's own settings of the shop."""
        host = self.hosts[name]
        shared = self.directory / name / "shop" / "shared"
        (shared / "run").mkdir(parents=True, exist_ok=True)
        (shared / "node.env").write_text(
            f"# Settings of this node, not of a release.\nSHOP_FASTCGI={host}:{FASTCGI_PORT}\n"
            f"SHOP_REDIS_URL={self.redis_url}\n", encoding="utf-8")
        # Written once: where the agent changes it, what it has written is true.
        upstream = shared / "upstream.conf"
        if not upstream.exists():
            upstream.write_text(f"server {host}:{FASTCGI_PORT};\n", encoding="utf-8")
        run = self._home(f"{name}-nginx")
        template = string.Template((APP / "deploy" / "nginx.conf").read_text(encoding="utf-8"))
        config = run / "nginx.conf"
        config.write_text(template.substitute(
            user_line=_user_line(), run=run, shared=shared, address=host, port=WEB_PORT,
            flag=balancer.flag_location(self.directory, name)), encoding="utf-8")
        self._spawn(f"{name}-nginx", [_program("nginx"), "-e", str(run / "nginx.error.log"), "-p", str(run),
                                      "-c", str(config)], host, WEB_PORT, name)

    def start_haproxy(self, example, edits=()):
        """HAProxy as a file of examples/haproxy says; `edits` are pairs of a text in it and another one."""
        config = self._home("balancer") / "haproxy.cfg"
        text = balancer.haproxy_config(example, config.parent, self.front, self.hosts, PORTS)
        for old, new in edits:
            text = balancer.replaced(text, old, new)
        config.write_text(text, encoding="utf-8")
        # A master and its worker, as Debian's unit runs it: such a HAProxy can be reloaded.
        self._spawn("balancer", [_program("haproxy"), "-W", "-f", str(config)], self.front, FRONT_PORT)

    def start_nginx(self, example):
        """nginx as the load balancer, as a file of examples/nginx says."""
        home = self._home("balancer")
        config = home / "nginx.conf"
        config.write_text(balancer.nginx_config(example, home, self.front, self.hosts, PORTS, _user_line()),
                          encoding="utf-8")
        self._spawn("balancer", [_program("nginx"), "-e", str(home / "early.log"), "-p", str(home), "-c", str(config)],
                    self.front, FRONT_PORT)

    def reload_haproxy(self, keep_state):
        """As an operator does; `keep_state`: with what the example files say to do before."""
        if keep_state:
            balancer.save_state(self.balancer_home)
        os.kill(self.pids()["balancer"], signal.SIGUSR2)

    def stop_one(self, name, number=signal.SIGTERM):
        """Ends one of the parts that were started; also one that has died, which can then be started again."""
        recorded = self._recorded()
        pid, born = recorded.pop(name)
        _end(pid, born, number)
        for child in [child for child in self._children if child.pid == pid]:
            child.wait(timeout=START_SECONDS)
            self._children.remove(child)
        self._pids.write_text(json.dumps(recorded), encoding="utf-8")

    def stop(self):
        """Ends what this or an earlier Lab of the same directory started, and the nodes' FastCGI servers."""
        for name in self.hosts:
            _end_recorded(self.directory / name / "shop" / "shared" / "run" / "uwsgi.pid", signal.SIGINT)
        for name, (pid, born) in reversed(self._recorded().items()):
            _end(pid, born, signal.SIGTERM)
        for child in self._children:
            child.wait(timeout=START_SECONDS)
        self._children.clear()
        self._pids.unlink(missing_ok=True)

    def pids(self):
        """name -> pid of the processes that were started."""
        return {name: pid for name, (pid, _) in self._recorded().items()}

    def _home(self, name):
        home = self.directory / "lab" / name
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _recorded(self):
        try:
            return json.loads(self._pids.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def _spawn(self, name, command, host, port, where=None):
        """Starts a program and waits until it listens; its output goes to a file of its home."""
        if _listens(host, port):
            raise RuntimeError(f"{name}: something listens on {host}:{port} already")
        log_file = self._home(name) / "output.log"
        with open(log_file, "ab") as log:
            child = subprocess.Popen([*self._inside(where or name), *command], stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=log, start_new_session=True)
        self._children.append(child)
        self._pids.write_text(json.dumps({**self._recorded(), name: (child.pid, _birth(child.pid))}), encoding="utf-8")
        deadline = time.monotonic() + START_SECONDS
        while not _listens(host, port):
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not listen on {host}:{port}: {log_file.read_text(errors='replace')}")
            time.sleep(0.02)

    # --- the repository ---

    def make_repository(self):
        """DIRECTORY/shop.git with the shop as its first commit, pushed; and an empty directory of wheels."""
        (self.directory / "wheels").mkdir(parents=True, exist_ok=True)
        self._repository = Repository.create(self.directory, "shop", APP)
        self._repository.commit("The shop")
        self._repository.push()
        return self._repository

    def commit_change(self, kind="good", subject=None):
        """Commits and pushes a change of the shop; the commit's id.

        good: a new text on the first page. failing_test: a wrong limit, which a test notices. sick: passes every test,
        and its /health fails on the nodes, which lack a setting. broken_requirements: a version that does not exist.
        """
        self._changes += 1
        edits = {
            "good": ("shop/banner.py", None, None, f"Greet for the {self._changes}. time"),
            "failing_test": ("shop/pricing.py", "FREE_SHIPPING_FROM = 5000", "FREE_SHIPPING_FROM = 4900",
                             "Send for free a little earlier"),
            "sick": ("shop/health.py", 'REQUIRED = ("SHOP_REDIS_URL",)',
                     'REQUIRED = ("SHOP_REDIS_URL", "SHOP_PAYMENT_KEY")', "Take payments"),
            "broken_requirements": ("requirements.txt", "Django>=3.2,<3.3", "Django==99.0", "Use the newest Django"),
        }
        if kind not in edits:
            raise ValueError(f"unknown kind {kind!r}, expected one of {', '.join(edits)}")
        file, old, new, message = edits[kind]
        # A bad change goes on top of a good tree, and the next change takes it back.
        for name, (path, before, _, _) in edits.items():
            if before is not None:
                shutil.copyfile(APP / path, self._repository.work / path)
        if kind == "sick":  # its own tests know the setting, as a developer's machine would
            self._write("shop/runner.py", 'os.environ["SHOP_REDIS_URL"] =',
                        'os.environ["SHOP_PAYMENT_KEY"] = os.environ["SHOP_REDIS_URL"] =')
        else:
            shutil.copyfile(APP / "shop/runner.py", self._repository.work / "shop/runner.py")
        if old is None:
            text = (APP / file).read_text(encoding="utf-8")
            self._repository.write(file, text.replace("Welcome to the shop", f"Welcome to the shop ({self._changes})"))
        else:
            self._write(file, old, new)
        commit = self._repository.commit(subject or message)
        self._repository.push()
        return commit

    def _write(self, file, old, new):
        text = (APP / file).read_text(encoding="utf-8")
        if old not in text:
            raise RuntimeError(f"{file} does not hold {old!r}")
        self._repository.write(file, text.replace(old, new))


def _program(name):
    """nginx and haproxy are in /usr/sbin, which is not on every user's PATH."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise RuntimeError(f"{name} is not installed")
    return found


def _user_line():
    """Workers of a root's nginx would become another user, who cannot enter the lab's directory."""
    return "user root;" if os.geteuid() == 0 else ""


def _listens(host, port):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def _birth(pid):
    """When a process started, in the kernel's ticks: tells a process from a later one with its number."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _end_recorded(pid_file, number):
    try:
        pid, born = pid_file.read_text().split()
    except (FileNotFoundError, ValueError):
        return
    _end(int(pid), born, number)


def _end(pid, born, number):
    """Signals exactly the process that was recorded, waits, and kills it when it does not obey."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _birth(pid) == born:
            signal.pidfd_send_signal(handle, number)
            if not select.select([handle], [], [], START_SECONDS)[0]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], START_SECONDS)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("directory")
    parser.add_argument("--haproxy", choices=("none", *METHODS.keys()), default="none")
    arguments = parser.parse_args()
    lab = Lab(arguments.directory)
    if arguments.what == "stop":
        lab.stop()
        return
    lab.start(haproxy=None if arguments.haproxy == "none" else arguments.haproxy)
    for name, pid in lab.pids().items():
        print(f"{name}: pid {pid}")


if __name__ == "__main__":
    main()
