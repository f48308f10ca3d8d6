# SPDX-License-Identifier: MIT
"""Where the lab's machines are: a network namespace each, joined by a bridge; or loopback addresses where namespaces
are not allowed."""
import ctypes
import os
import subprocess
import sys

from harness import free_network

CLONE_NEWNET = 0x40000000
WITH_US = ["setpriv", "--pdeathsig", "TERM", "--"]
_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """Namespaces cannot be made here; the text says why."""


def possible():
    """Whether namespaces can be made here. Tried in a process of its own."""
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, timeout=20, check=False).returncode == 0


def make(machines, ports):
    """Namespaces if possible; says on standard error which of the two it is."""
    try:
        return Namespaces(machines)
    except Unavailable as reason:
        print(f"lab: loopback addresses, since there are no network namespaces here: {reason}", file=sys.stderr)
        return Loopback(ports)


class Loopback:
    """All machines share this one's network. What a packet filter would do is not possible: loopback is excepted."""

    isolated = False

    def __init__(self, ports):
        self.prefix = free_network(ports)
        self.redis = f"{self.prefix}.10"

    def inside(self, _):
        return WITH_US

    def processes(self, _):
        raise Unavailable("nobody knows here which process belongs to which machine")

    def close(self):
        pass


class Namespaces:
    """Each machine's namespace lives as long as a sleeping process in it, which ends with this one. The thread that
    makes this, and all that it starts, are the client: in a namespace of their own as well, with the bridge in it. So
    nothing outside is touched, and no names are taken."""

    isolated = True
    prefix = "10.77.0"
    redis = "10.77.0.9"

    def __init__(self, machines):
        """`machines`: name -> last number of the address."""
        self._holders = {}
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if _libc.unshare(CLONE_NEWNET) != 0:
            os.close(self._home)
            raise Unavailable(os.strerror(ctypes.get_errno()))
        try:
            _run("ip link set lo up", "ip link add lab0 type bridge", f"ip addr add {self.prefix}.1/24 dev lab0",
                 "ip link set lab0 up")
            for name, last in machines.items():
                self._add(name, last)
        except BaseException as error:
            self.close()
            if isinstance(error, (OSError, subprocess.CalledProcessError)):
                raise Unavailable(getattr(error, "stderr", "") or str(error)) from error
            raise

    def _add(self, name, last):
        # In this thread, whose end would be the holder's: it is the one that runs the lab.
        holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c",
                                   "echo ready; exec sleep infinity"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._holders[name] = holder
        if holder.stdout.readline() != "ready\n":
            raise OSError(holder.stderr.read().strip())
        _run(f"ip link add v{last} type veth peer name eth0 netns {holder.pid}", f"ip link set v{last} master lab0 up")
        enter = " ".join(self.inside(name))
        _run(f"{enter} ip link set lo up", f"{enter} ip addr add {self.prefix}.{last}/24 dev eth0",
             f"{enter} ip link set eth0 up")

    def inside(self, name):
        """What a command begins with to run there. The program replaces it: its pid is the one that was started. It
        ends with the thread that started it, so that a lab that was killed leaves nobody behind."""
        return [*WITH_US, "nsenter", f"--net=/proc/{self._holders[name].pid}/ns/net", "--"]

    def processes(self, name):
        """The pids that live on a machine, as when its power is cut; without what holds the machine itself."""
        holder = self._holders[name].pid
        wanted = os.stat(f"/proc/{holder}/ns/net").st_ino
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if int(pid) != holder and os.stat(f"/proc/{pid}/ns/net").st_ino == wanted:
                    found.append(int(pid))
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
        return found

    def close(self):
        for holder in self._holders.values():
            holder.kill()
            holder.wait(timeout=10)
            holder.stdout.close()
            holder.stderr.close()
        self._holders.clear()
        if self._home is not None:
            # Back to where this thread came from; the bridge goes with the namespace.
            _libc.setns(self._home, CLONE_NEWNET)
            os.close(self._home)
            self._home = None


def _run(*commands):
    for command in commands:
        subprocess.run(command.split(), check=True, capture_output=True, text=True, timeout=20)
