# SPDX-License-Identifier: MIT
"""The shop's users: the load generator as a process of its own, so that nothing else the lab does makes it late."""
import json
import signal
import subprocess

from fleet import wait_until
from load import Readings

from zero_downtime import E2E, network

START_SECONDS = 20
# Answers that are due when the load ends: the slowest request, its time-out and a busy machine.
END_SECONDS = 40


class Users(Readings):
    """Requests at `rate` a second from `with` to its end; then everything of Readings is there to be read."""

    def __init__(self, url, records, rate, post=0.1, slow=0.05, kept=0.3):
        super().__init__()
        self._records_file = records
        self._command = [*network.WITH_US, "/usr/bin/python3", "-B", str(E2E / "load.py"), url, "--rate", str(rate),
                         "--seconds", "3600", "--post", str(post), "--slow", str(slow), "--kept", str(kept),
                         "--records", str(records)]
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(self._has_records, START_SECONDS, "the users have come")
        return self

    def _has_records(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"the load generator ended: {self._process.stderr.read()}")
        return self._records_file.exists() and self._records_file.stat().st_size > 0

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        try:
            said, errors = self._process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        if self._process.returncode not in (0, 1):
            raise RuntimeError(f"the load generator ended with {self._process.returncode}: {errors}")
        self.most_late_ms = json.loads(said)["most_late_ms"]
        with open(self._records_file, encoding="utf-8") as file:
            self.records = [json.loads(line) for line in file]


def version_regressions(records, order):
    """Answers of a node that went back to an older version: where one request had its answer before another was sent,
    the later one must not get the older version. `order`: commit -> its place in time. Lists of (node, record, how many
    versions it was behind, how long in seconds after the newer one was first seen)."""
    found = []
    for node in sorted({record["node"] for record in records if record["node"]}):
        mine = [record for record in records if record["node"] == node and record["version"] in order]
        ended = sorted(mine, key=lambda record: record["at"] + record["latency_ms"] / 1000)
        newest, since, next_ended = -1, 0.0, 0
        for record in sorted(mine, key=lambda record: record["at"]):
            while next_ended < len(ended) and (ended[next_ended]["at"] + ended[next_ended]["latency_ms"] / 1000
                                               < record["at"]):
                place = order[ended[next_ended]["version"]]
                if place > newest:
                    newest, since = place, ended[next_ended]["at"]
                next_ended += 1
            behind = newest - order[record["version"]]
            if behind > 0:
                found.append((node, record, behind, record["at"] - since))
    return found
