# SPDX-License-Identifier: MIT
"""What scripts/lab runs."""
import argparse
import dataclasses
import json
import pathlib
import sys
import time

from zero_downtime import methods, trial, world


def parse():
    parser = argparse.ArgumentParser(
        prog="scripts/lab", description="Rolls releases out behind real load balancers under load, and accounts for "
        "every request. Exit status: 0 every promise was kept, 1 one was not, 2 the lab could not be run.")
    parser.add_argument("methods", nargs="*", metavar="METHOD",
                        help="some of: " + " ".join(methods.BY_NAME) + " (default: all)")
    parser.add_argument("--rollouts", type=int, default=20, help="of each method (default: 20)")
    parser.add_argument("--rate", type=float, default=200, help="requests a second (default: 200)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    unknown = [name for name in given.methods if name not in methods.BY_NAME]
    if unknown:
        parser.error(f"no method {unknown[0]!r}; the lab knows {' '.join(methods.BY_NAME)}")
    if given.rollouts < 1 or not 0 < given.rate <= 2000:
        parser.error("--rollouts must be at least 1, --rate between 0 and 2000")
    return given


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


HEAD = ("method", "rollouts", "requests", "failed", "twice", "back", "p50 ms", "p99 ms", "worst ms", "out of service s",
        "dark s", "rollout s", "ledger expects", "late p99 ms", "")


def row(result):
    spread = [f"{min(seconds.values()):.1f}-{max(seconds.values()):.1f}" if seconds else "-"
              for seconds in (result.out_s, result.dark_s)]
    kinds = " ".join(f"{kind}:{count}" for kind, count in sorted(result.kinds.items()))
    verdict = ("ok" if result.kept_promise() else "FAILED") + ("" if result.promise else ", no promise")
    return (result.method, str(result.rollouts), str(result.requests), str(result.failed), str(result.twice),
            str(result.back), f"{result.p50_ms:.1f}", f"{result.p99_ms:.0f}", f"{result.worst_ms:.0f}", *spread,
            f"{result.rollout_s:.1f}", f"{result.predicted:.1f}", f"{result.late_p99_ms:.0f}",
            f"{verdict} {kinds}".strip())


def table(rows):
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in rows)


def main():
    given = parse()
    binary = world.environment_binary()
    results = []
    try:
        for method in [methods.BY_NAME[name] for name in given.methods] or methods.ALL:
            results.append(trial.run(binary, method, given.rollouts, given.rate, say))
            print(table([HEAD, row(results[-1])]), file=sys.stderr, flush=True)
            if results[-1].trouble:
                say(f"{method.name}: {results[-1].trouble}")
    finally:
        print(table([HEAD, *map(row, results)]))
        if given.json:
            given.json.write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=2) + "\n",
                                  encoding="utf-8")
    return 0 if all(result.kept_promise() for result in results) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, TimeoutError, OSError) as problem:
        print(f"lab: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(2)
