# SPDX-License-Identifier: MIT
"""What steps are told of the place where they run, as Jenkins tells them."""
import pathlib
import unittest

from harness import wait_until
from job import JobCase


class StepsTest(JobCase):
    def test_builds_side_by_side_are_told_their_own_executor_and_workspace_and_the_same_node(self):
        job = self.job()
        job.close_gate()
        jobs = ("mini", "plain.job")
        for name in jobs:
            status, _, _ = job.ask("POST", f"/job/{name}/build" + ("WithParameters?LEVEL=low" if name == "mini" else ""))
            self.assertEqual(status, 201)
        for name in jobs:
            wait_until(lambda name=name: "held at gate" in job.ask("GET", f"/job/{name}/1/consoleText")[2], 60,
                       lambda name=name: f"{name} is in its tests")
        job.open_gate()
        seen = {}
        for name in jobs:
            self.assertEqual(job.ended(name)["result"], "SUCCESS")
            seen[name] = job.environment(1, name)
            self.assertEqual(seen[name]["NODE_LABELS"], "ci1")
            self.assertEqual(seen[name]["JENKINS_HOME"], str(job.directory / "state"))
            self.assertEqual(seen[name]["WORKSPACE_TMP"], seen[name]["WORKSPACE"] + "@tmp")
            self.assertFalse(pathlib.Path(seen[name]["WORKSPACE_TMP"]).exists())
        self.assertEqual({one["EXECUTOR_NUMBER"] for one in seen.values()}, {"0", "1"})
        self.assertEqual(len({one["WORKSPACE"] for one in seen.values()}), 2)
        # One alone has the first executor again.
        self.assertEqual(job.ask("POST", "/job/plain.job/build")[0], 201)
        self.assertEqual(job.ended("plain.job", 2)["result"], "SUCCESS")
        self.assertEqual(job.environment(2, "plain.job")["EXECUTOR_NUMBER"], "0")


if __name__ == "__main__":
    unittest.main()
