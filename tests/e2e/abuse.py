# SPDX-License-Identifier: MIT
"""What a hostile client sends, byte by byte, and what is measured meanwhile: the memory of the agent, and how long
those who mean well wait for their answers.
"""
import contextlib
import pathlib
import socket
import time

from harness import Repeating, wait_until

MIB = 1024 * 1024


def connect(address, source=None, timeout=10.0):
    """A connection to (host, port), from another loopback address where `source` says so."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    if source:
        connection.bind((source, 0))
    connection.connect(address)
    return connection


def read_answer(connection, within=10.0):
    """All that comes until the other side closes, cut at a mebibyte."""
    connection.settimeout(within)
    received = b""
    with contextlib.suppress(OSError):
        while len(received) < MIB and (piece := connection.recv(65536)):
            received += piece
    return received


def status_of(answer):
    """The status of the first response in `answer`; 0 when there is none."""
    words = answer[:20].split(b" ")
    return int(words[1]) if answer.startswith(b"HTTP/1.") and len(words) > 1 else 0


def send(address, *pieces, within=10.0, source=None):
    """Sends the pieces as far as they are taken, then reads the answer."""
    with connect(address, source) as connection:
        with contextlib.suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
        return read_answer(connection, within)


def flood(address, head, piece, pieces):
    """The status that ends a flood of `pieces` times `piece`."""
    return status_of(send(address, head, *([piece] * pieces)))


def post(path, fields=b"", body=b""):
    return b"POST " + path + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + fields + b"\r\n" + body


def get(path, fields=b""):
    return b"GET " + path + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + fields + b"\r\n"


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"no VmRSS of {pid}")


class Witness(Repeating):
    """Somebody who means well, asking again and again from an address of their own while something else goes on."""

    def __init__(self, ask):
        super().__init__()
        self._ask = ask
        self.failures = []
        self.milliseconds = []

    def once(self):
        began = time.monotonic()
        try:
            self._ask()
        except Exception as error:  # every way of failing is one of the same: not served
            self.failures.append(f"after {time.monotonic() - began:.2f} s: {error!r}")
        self.milliseconds.append((time.monotonic() - began) * 1000)

    def worst(self):
        return max(self.milliseconds, default=0.0)


class Figures:
    """A line for each case: what was answered, the agent's memory before and after, and the witness's waits."""

    def __init__(self, pid, ask):
        self.pid = pid
        self._ask = ask
        self.rows = []

    @contextlib.contextmanager
    def case(self, name):
        """Yields a list for the statuses that come; measures around it."""
        answers = []
        before = resident_kib(self.pid)
        with Witness(self._ask) as witness:
            yield answers
            # However short the case is, a few of the witness's answers fall into it.
            wait_until(lambda: len(witness.milliseconds) >= 5, 60, "the witness is answered", every=0.01)
        self.rows.append((name, answers, before, resident_kib(self.pid), len(witness.milliseconds), witness.worst(),
                          witness.failures))

    def table(self):
        lines = [f"{'case':44} {'answers':22} {'RSS before':>11} {'after':>9} {'served':>7} {'slowest':>9}"]
        for name, answers, before, after, count, worst, failures in self.rows:
            told = ",".join(str(answer) for answer in sorted(set(answers)))
            lines.append(f"{name:44} {told:22} {before:>7} KiB {after:>5} KiB {count:>7} {worst:>6.0f} ms"
                         + (f"  FAILED: {failures[:2]}" if failures else ""))
        return "\n".join(lines)
