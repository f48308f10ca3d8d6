# SPDX-License-Identifier: MIT
"""A systemd of a test's own. The manager of `systemd --user` is the program that PID 1 is, with the same sockets and
services; it runs here where no systemd was booted, in namespaces of its own for mounts, processes and control groups."""
import os
import pathlib
import subprocess
import sys
import unittest

from fleet import wait_until

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples"

# What services and sockets belong to by default.
TARGETS = ("basic.target", "default.target", "shutdown.target", "sockets.target", "network.target")

BOOT = """\
set -e
mount -t cgroup2 none "$1"
mkdir "$1/$2"
echo 0 > "$1/$2/cgroup.procs"
umount "$1"
exec unshare --cgroup /bin/sh -c '
    set -e
    mount -t cgroup2 none /sys/fs/cgroup
    mount -t tmpfs none /run
    mkdir -p /run/systemd/system
    exec 3>&- 4>&-
    /lib/systemd/systemd --user --unit=default.target & wait $!
'
"""
SWEEP = """\
mount -t cgroup2 none "$1" && { test ! -d "$1/$2" || find "$1/$2" -depth -type d -exec rmdir {} +; }
"""


class Systemd:
    """Its unit files are in `units`: write them before start(). Needs root and control groups of version 2."""

    def __init__(self, directory):
        self.directory = directory / "systemd"
        self.units = self.directory / "units"
        self.units.mkdir(parents=True)
        (self.directory / "cgroups").mkdir()
        self._runtime = self.directory / "run"
        self._runtime.mkdir(mode=0o755)
        self._group = f"baton-test-systemd-{os.getpid()}"
        self._process = None
        for target in TARGETS:
            (self.units / target).write_text(f"[Unit]\nDescription={target}\nDefaultDependencies=no\n")

    def start(self):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR": str(self._runtime),
                       "SYSTEMD_UNIT_PATH": str(self.units), "SYSTEMD_LOG_TARGET": "console"}
        with open(self.directory / "log", "wb") as log:
            # When `unshare` is killed, the first process of its namespace is, and with it all others of that.
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "/bin/sh", "-c", BOOT, "boot",
                 str(self.directory / "cgroups"), self._group],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: self._process.poll() is not None or (self._runtime / "systemd" / "private").exists(), 60,
                       lambda: "systemd runs")
        except TimeoutError:
            self.stop()
        if self._process.poll() is not None:
            # Nothing of baton's has been tried yet: it is the machine that does not let it.
            why = "no systemd can run here, which needs root, namespaces and control groups of version 2"
            print(f"NOT TRIED: {why}:\n{self.log()}", file=sys.stderr)
            raise unittest.SkipTest(why)
        # As PID 1's is: services of other users tell there that they are ready.
        (self._runtime / "systemd" / "notify").chmod(0o777)
        (init,) = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.systemctl = self.directory / "systemctl"
        self.systemctl.write_text(
            f"#!/bin/sh\nXDG_RUNTIME_DIR={self._runtime} exec nsenter --target {init} --mount --pid "
            'systemctl --user --no-pager "$@"\n')
        self.systemctl.chmod(0o755)

    def call(self, *arguments):
        """systemctl: its status and output."""
        done = subprocess.run([self.systemctl, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, check=False)
        return done.returncode, done.stdout

    def state(self, unit):
        """`active`, `inactive`, `failed`, `activating`, …"""
        return self.call("is-active", unit)[1].strip()

    def log(self):
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def stop(self):
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(timeout=20)
        # The control groups are the machine's, and stay when the namespace has gone.
        wait_until(lambda: subprocess.run(
            ["unshare", "--mount", "/bin/sh", "-c", SWEEP, "sweep", str(self.directory / "cgroups"), self._group],
            capture_output=True, check=False).returncode == 0, 60, lambda: "its control groups are gone")
