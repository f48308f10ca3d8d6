# SPDX-License-Identifier: MIT
"""A network of its own for every node, with a wire to a switch that can be pulled: network namespaces and veth pairs.

Where the machine does not allow that, `Wires.possible()` says so.
"""
import os
import subprocess


def _ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Wires:
    """Nodes get the addresses NETWORK.11, .12, …; the test itself is NETWORK.1."""

    def __init__(self, count):
        # Short enough for the kernel (15 characters), and of this process alone.
        number = os.getpid() % 60_000
        self.network = f"10.{200 + number // 250 % 50}.{1 + number % 250}"
        self.switch = f"bt{number}"
        self.namespaces = {}
        try:
            _ip("link", "add", self.switch, "type", "bridge")
            _ip("address", "add", f"{self.network}.1/24", "dev", self.switch)
            _ip("link", "set", self.switch, "up")
            for index in range(count):
                self._add(f"web{index + 1}", f"{self.switch}n{index + 1}", f"{self.network}.{11 + index}")
        except Exception:
            self.close()
            raise

    def _add(self, node, name, address):
        self.namespaces[node] = name
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", name, "master", self.switch, "up")
        _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "up")

    @staticmethod
    def possible():
        try:
            Wires(1).close()
        except (RuntimeError, OSError):
            return False
        return True

    def prefix(self, node):
        """What comes before a command that is to run on that node."""
        return ["ip", "netns", "exec", self.namespaces[node]]

    def cut(self, node):
        _ip("link", "set", self.namespaces[node], "down")

    def heal(self, node):
        _ip("link", "set", self.namespaces[node], "up")

    def close(self):
        for name in self.namespaces.values():
            subprocess.run(["ip", "link", "delete", name], capture_output=True, timeout=20, check=False)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=20, check=False)
        self.namespaces = {}
        subprocess.run(["ip", "link", "delete", self.switch], capture_output=True, timeout=20, check=False)
