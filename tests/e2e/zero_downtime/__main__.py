# SPDX-License-Identifier: MIT
"""What scripts/lab runs."""
import argparse
import dataclasses
import json
import pathlib
import signal
import sys
import time

from zero_downtime import faults, latency, methods, tables, trial, world

LATENCY_RATE = 60
LATENCY_ROUNDS = 3


def parse():
    parser = argparse.ArgumentParser(
        prog="scripts/lab", description="Rolls releases out behind real load balancers under load, and accounts for "
        "every request. Exit status: 0 every promise was kept, 1 one was not, 2 the lab could not be run.")
    parser.add_argument("names", nargs="*", metavar="METHOD",
                        help="some of: " + " ".join(methods.BY_NAME) + " (default: all); with --faults some of: "
                        + " ".join(faults.FAULTS))
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--faults", action="store_true", help="things that go wrong in mid-rollout instead")
    kind.add_argument("--latency", action="store_true",
                      help="instead, what users of a node notice while its agent runs the whole suite")
    parser.add_argument("--rollouts", type=int, default=20, help="of each method (default: 20)")
    parser.add_argument("--rounds", type=int, default=LATENCY_ROUNDS, help="of --latency (default: %(default)s)")
    parser.add_argument("--rate", type=float, help=f"requests a second (default: 200; with --latency {LATENCY_RATE})")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    known = faults.FAULTS if given.faults else methods.BY_NAME
    for name in given.names:
        if name not in known or given.latency:
            parser.error(f"{name!r} is not known here; expected {'no name' if given.latency else ' '.join(known)}")
    given.rate = given.rate or (LATENCY_RATE if given.latency else 200)
    if given.rollouts < 1 or given.rounds < 1 or not 0 < given.rate <= 2000:
        parser.error("--rollouts and --rounds must be at least 1, --rate between 0 and 2000")
    return given


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def try_all(names, attempt, show):
    """Results of each in turn; a table of those that there are, also when one cannot be tried."""
    results = []
    try:
        for name in names:
            results.append(attempt(name))
            print(show(results[-1:]), file=sys.stderr, flush=True)
            if results[-1].trouble:
                say(f"{name}: {results[-1].trouble}")
    finally:
        print(show(results))
    return results


def main():
    given = parse()
    binary = world.environment_binary()
    if given.latency:
        results = latency.run(binary, given.rounds, given.rate, say)
        print(tables.of_phases(results))
        kept = not any(phase.failed for phase in results)
    elif given.faults:
        results = try_all(given.names or faults.FAULTS, lambda name: faults.run(binary, name, rate=given.rate),
                          tables.of_outcomes)
        kept = all(outcome.kept_promise() for outcome in results)
    else:
        results = try_all(given.names or methods.BY_NAME,
                          lambda name: trial.run(binary, methods.BY_NAME[name], given.rollouts, given.rate, say),
                          tables.of_results)
        kept = all(result.kept_promise() for result in results)
    if given.json:
        given.json.write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=2) + "\n",
                              encoding="utf-8")
    return 0 if kept else 1


def interrupt(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main())
    except (RuntimeError, TimeoutError, OSError) as problem:
        print(f"lab: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(2)
