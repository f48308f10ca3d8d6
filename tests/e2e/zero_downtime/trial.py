# SPDX-License-Identifier: MIT
"""One trial: so many rollouts in one way of deploying, with users at the shop all along, and what became of them."""
import collections
import dataclasses
import statistics
import time

from fleet import wait_until
from load import percentile

from zero_downtime.users import Users, version_regressions
from zero_downtime.world import NODES, World

LEDGER_SECONDS = 60
# The release before answers until the new one is proved and its own requests are done.
MOST_MIXED_SECONDS = 15.0


@dataclasses.dataclass
class Result:
    method: str
    promise: bool           # no request may fail
    isolated: bool          # in namespaces, not on loopback addresses
    rollouts: int = 0
    requests: int = 0
    rate: float = 0.0       # requests a second that really left
    failed: int = 0
    kinds: dict = dataclasses.field(default_factory=dict)
    orders: int = 0
    twice: int = 0          # orders that ran more than once
    lost_orders: int = 0    # confirmed, but never run
    back: int = 0           # answers of an older version than the same node had given before
    mixed_s: float = 0.0    # where both may answer for a moment: the longest such moment
    p50_ms: float = 0.0     # of quick requests
    p99_ms: float = 0.0
    worst_ms: float = 0.0   # of all that were answered
    late_p99_ms: float = 0.0   # how late requests left: the generator's own fault
    most_late_ms: float = 0.0
    out_s: dict = dataclasses.field(default_factory=dict)   # out of service, mean of a switch, for each node
    dark_s: dict = dataclasses.field(default_factory=dict)  # did not answer, likewise
    rollout_s: float = 0.0  # mean
    predicted: float = 0.0  # failed requests that the ledger expects
    ledger_kinds: dict = dataclasses.field(default_factory=dict)
    trouble: str = ""       # a rollout did not succeed

    def kept_promise(self):
        """For a way without a promise: its losses were seen."""
        if self.trouble or self.twice or self.lost_orders or self.back or not self.requests:
            return False
        return self.failed == 0 if self.promise else self.failed > 0


def run(binary, method, rollouts, rate, say=lambda text: None):
    """`say` is told how it goes."""
    with World(binary, method) as world:
        say(f"{method.name}: three nodes run the shop ({'namespaces' if world.network.isolated else 'loopback'})")
        result = Result(method.name, not method.loses, world.network.isolated)
        since = time.time()
        users = Users(world.lab.front_url, world.directory / "requests.jsonl", rate)
        took = []
        with users:
            for number in range(rollouts):
                commit = world.commit()
                try:
                    took.append(world.roll_out(commit, NODES[number % len(NODES)]))
                except (RuntimeError, TimeoutError) as error:
                    result.trouble = str(error)
                    break
                say(f"{method.name}: rollout {number + 1} of {rollouts} took {took[-1]:.1f} s")
            time.sleep(1)  # what a node that has just come back does wrong is part of the rollout
        result.rollouts = len(took)
        result.rollout_s = statistics.mean(took) if took else 0.0
        account_for(result, users, world)
        if took:
            read_ledger(result, world, since, len(took) * len(NODES))
        return result


def account_for(result, users, world):
    """What became of every request."""
    report = users.report()
    result.requests, result.failed = report["requests"], report["failed"]
    result.rate = result.requests / report["seconds"] if report["seconds"] else 0.0
    result.kinds = {kind: count for kind, count in report["outcomes"].items() if kind != "ok"}
    result.p50_ms, result.p99_ms = report["latency_ms"]["p50"] or 0.0, report["latency_ms"]["p99"] or 0.0
    result.worst_ms = max((record["latency_ms"] for record in users.records if record["outcome"] == "ok"), default=0.0)
    result.late_p99_ms, result.most_late_ms = report["late_p99_ms"] or 0.0, report["most_late_ms"]
    executions = world.executions()
    orders = users.ordered()
    result.orders = len(orders)
    result.twice = sum(times > 1 for times in executions.values())
    result.lost_orders = len(orders - set(executions))
    order = {commit: place for place, commit in enumerate(world.commits)}
    for _, _, behind, after_s in version_regressions(users.records, order):
        if world.method.mixes and behind == 1 and after_s < MOST_MIXED_SECONDS:
            result.mixed_s = round(max(result.mixed_s, after_s), 2)
        else:
            result.back += 1


def read_ledger(result, world, since, switches):
    """What the agents say that it cost; what the ledger expects beside what was counted."""
    method = world.method
    terms = "&".join(filter(None, (f"rate={result.rate:.3f}&retried={method.retried}", method.assumed)))

    def complete():
        view = world.ledger(since, terms)
        return view if len(view["rows"]) >= switches else None
    view = wait_until(complete, LEDGER_SECONDS, lambda: f"{switches} switches are in the ledger: {world.ledger(since)}")
    for name in NODES:
        rows = [row for row in view["rows"] if row["node"] == name]
        result.out_s[name] = round(statistics.mean(row["out_ms"] for row in rows) / 1000, 2)
        result.dark_s[name] = round(statistics.mean(row["dark_ms"] for row in rows) / 1000, 2)
    result.ledger_kinds = dict(collections.Counter(row["kind"] for row in view["rows"]))
    # What a stop found in flight is finished by a server that ends in peace, and lost by one that is killed.
    cut = view["sum"]["cut"] * (1 - method.retried) if method.killed else 0
    result.predicted = round(view["sum"]["expected_failed"] + cut, 1)


def latencies(records):
    """p50 and p99 of the quick requests among some records."""
    quick = sorted(record["latency_ms"] for record in records if record["outcome"] == "ok" and not record["slow"])
    return percentile(quick, 0.5), percentile(quick, 0.99)
