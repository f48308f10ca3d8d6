# SPDX-License-Identifier: MIT
"""The lab's results as tables for people."""


def of_results(results):
    head = ("method", "rollouts", "requests", "failed", "twice", "back", "mixed s", "p50 ms", "p99 ms", "worst ms",
            "out of service s", "dark s", "rollout s", "ledger expects", "late p99 ms", "")
    return _table([head, *map(_result, results)])


def _result(result):
    spread = [f"{min(seconds.values()):.1f}-{max(seconds.values()):.1f}" if seconds else "-"
              for seconds in (result.out_s, result.dark_s)]
    return (result.method, str(result.rollouts), str(result.requests), str(result.failed), str(result.twice),
            str(result.back), f"{result.mixed_s:.1f}", f"{result.p50_ms:.1f}", f"{result.p99_ms:.0f}", f"{result.worst_ms:.0f}", *spread,
            f"{result.rollout_s:.1f}", f"{result.predicted:.0f}", f"{result.late_p99_ms:.0f}",
            " ".join(filter(None, (_verdict(result), "" if result.promise else "no promise:", _kinds(result)))))


def of_outcomes(outcomes):
    head = ("fault", "method", "requests", "failed", "within s", "twice", "back", "")
    return _table([head, *((outcome.fault, outcome.method, str(outcome.requests), str(outcome.failed),
                            f"{outcome.lasted_s:.1f}", str(outcome.twice), str(outcome.back),
                            " ".join(filter(None, (_verdict(outcome), "" if outcome.promise else "no promise:",
                                                   _kinds(outcome))))) for outcome in outcomes)])


def of_phases(phases):
    head = ("node", "seconds", "requests", "failed", "p50 ms", "p99 ms", "worst ms", "p99 to idle")
    return _table([head, *((phase.name, f"{phase.seconds:.0f}", str(phase.requests), str(phase.failed),
                            f"{phase.p50_ms:.1f}", f"{phase.p99_ms:.1f}", f"{phase.worst_ms:.0f}",
                            f"{phase.p99_ratio:.2f}") for phase in phases)])


def _verdict(result):
    return "ok" if result.kept_promise() else "FAILED"


def _kinds(result):
    return " ".join(f"{kind}:{count}" for kind, count in sorted(result.kinds.items()))


def _table(rows):
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in rows)
