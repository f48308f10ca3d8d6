# SPDX-License-Identifier: MIT
"""Plays systemd for one agent: `unit.py FALLBACK DIRECTORY CONFIG NODE`.

As examples/systemd/baton.service with examples/self-upgrade/program.conf would have it: runs DIRECTORY/current/baton,
or FALLBACK while there is none; restarts it when it ends (Restart=always) and when somebody writes to DIRECTORY/unit.fifo;
stops it with SIGTERM to the agent alone, and kills what is left of its processes when it has gone (KillMode=mixed).
Each start is a line of DIRECTORY/unit.log: the program's real path.
"""
import ctypes
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
STOP_SECONDS = 60


def children():
    """The processes that were left to this one, and their descendants."""
    found = []
    for task in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((task / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
        found.append((int(task.name), parent))
    mine, grew = {os.getpid()}, True
    while grew:
        more = {pid for pid, parent in found if parent in mine} - mine
        grew = bool(more)
        mine |= more
    return mine - {os.getpid()}


class Unit:
    def __init__(self, fallback, directory, config, node):
        self.directory = pathlib.Path(directory)
        self.fallback, self.config, self.node = fallback, config, node
        self.agent = None
        self.ending = False

    def start(self):
        program = self.directory / "current" / "baton"
        program = program.resolve() if os.access(program, os.X_OK) else pathlib.Path(self.fallback)
        with open(self.directory / "unit.log", "a", encoding="utf-8") as log:
            log.write(f"{program}\n")
        self.agent = subprocess.Popen([program, "agent", "--config", self.config, "--node", self.node])

    def stop(self):
        if self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
            try:
                self.agent.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
        deadline = time.monotonic() + 10
        while children() and time.monotonic() < deadline:
            for pid in children():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.01)

    def run(self):
        fifo = self.directory / "unit.fifo"
        if not fifo.exists():
            os.mkfifo(fifo, 0o600)
        # For writing too, so that the end of one writer is not the end of the file.
        orders = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        self.start()
        while not self.ending:
            if select.select([orders], [], [], 0.05)[0]:
                os.read(orders, 4096)
                self.stop()
                self.start()
            elif self.agent.poll() is not None:
                self.stop()
                self.start()
        self.stop()


def main():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    unit = Unit(*sys.argv[1:])

    def end(*_):
        unit.ending = True
    signal.signal(signal.SIGTERM, end)
    unit.run()


if __name__ == "__main__":
    main()
