# SPDX-License-Identifier: MIT
"""What the lab says of requests rests on these: they have to notice what goes wrong."""
import dataclasses
import unittest

from zero_downtime import trial
from zero_downtime.users import version_regressions

ORDER = {"old": 0, "new": 1, "newest": 2}


def answer(at, version, node="web1", latency_ms=10.0):
    return {"at": at, "latency_ms": latency_ms, "node": node, "version": version, "outcome": "ok", "slow": False}


class AccountingTest(unittest.TestCase):
    def test_a_node_that_goes_back_to_an_older_version_is_noticed(self):
        forward = [answer(1, "old"), answer(2, "new"), answer(3, "newest")]
        self.assertEqual(version_regressions(forward, ORDER), [])
        back = forward + [answer(4, "old"), answer(4.5, "newest")]
        self.assertEqual([(node, record["at"], behind, after) for node, record, behind, after
                          in version_regressions(back, ORDER)], [("web1", 4, 2, 1)])
        # Each node for itself, and what ran side by side is in no order.
        self.assertEqual(version_regressions([answer(1, "new"), answer(2, "old", node="web2")], ORDER), [])
        self.assertEqual(version_regressions([answer(1, "old", latency_ms=3000), answer(2, "new")], ORDER), [])
        self.assertEqual(version_regressions([answer(1, "new", latency_ms=3000), answer(2, "old")], ORDER), [])
        # An answer without a version, as a load balancer's own, says nothing.
        self.assertEqual(version_regressions([answer(1, "new"), answer(2, "")], ORDER), [])

    def test_a_promise_is_not_kept_by_a_lab_in_which_anything_went_wrong(self):
        good = trial.Result("some", promise=True, isolated=True, rollouts=1, requests=100)
        self.assertTrue(good.kept_promise())
        for fault in ({"failed": 1}, {"twice": 1}, {"lost_orders": 1}, {"back": 1}, {"requests": 0},
                      {"trouble": "halted"}):
            self.assertFalse(dataclasses.replace(good, **fault).kept_promise(), fault)
        # A way without a promise has to show what the lab is there to see.
        self.assertFalse(dataclasses.replace(good, promise=False).kept_promise())
        self.assertTrue(dataclasses.replace(good, promise=False, failed=3).kept_promise())


if __name__ == "__main__":
    unittest.main()
