# SPDX-License-Identifier: MIT
"""A token that may trigger may also take back what it has triggered, as programs do that use one credential for both;
and nothing that anybody else wants.
"""
import hashlib
import json
import unittest

from harness import AGENT_PORT, APP_TOKEN, ask, wait_until, write_secret
from job import JobCase

TOKENS = {"ci": "ci-token-0123456789", "other": "other-token-0123456789"}


class OwnTest(JobCase):
    def start(self):
        job = self.job()
        tokens = job.directory / "secrets" / "tokens"
        write_secret(tokens, tokens.read_text() + "".join(
            f"{name} trigger {hashlib.sha256(secret.encode()).hexdigest()}\n" for name, secret in TOKENS.items()))
        return job

    @staticmethod
    def post(job, who, path):
        """(status, Location's last number) of a POST in the name of a token."""
        status, headers, _ = ask(job.host, AGENT_PORT, "POST", path, TOKENS.get(who, job.token))
        return status, headers.get("Location", "").rstrip("/").rsplit("/", 1)[-1]

    def build_of(self, job, item):
        """The number of its build, once that is in its tests."""
        def number():
            value = json.loads(job.ask("GET", f"/queue/item/{item}/api/json")[2])
            return value.get("executable", {}).get("number")
        number = wait_until(number, 60, "it has a build")
        wait_until(job.held, 60, "its tests run")
        return number

    def result(self, job, number):
        return wait_until(lambda: json.loads(job.ask("GET", f"/job/plain.job/{number}/api/json")[2])["result"], 60,
                          "it has ended")

    def test_who_may_trigger_may_stop_what_was_triggered_in_its_name_and_nothing_else(self):
        job = self.start()
        job.close_gate()
        number = self.build_of(job, self.post(job, "ci", "/job/plain.job/build")[1])
        for path in (f"/job/plain.job/{number}/stop", f"/job/plain.job/{number}/term",
                     f"/api/v1/apps/plain.job/builds/{number}/stop"):
            self.assertEqual(self.post(job, "other", path)[0], 403, path)
            self.assertEqual(ask(job.host, AGENT_PORT, "POST", path)[0], 403, path)
        self.assertEqual(self.post(job, "ci", f"/job/plain.job/{number}/stop")[0], 302)
        self.assertEqual(self.result(job, number), "ABORTED")
        self.assertIn("Aborted by ci\nFinished: ABORTED\n", job.ask("GET", f"/job/plain.job/{number}/consoleText")[2])
        audit = json.loads(job.ask("GET", "/api/v1/audit")[2])["entries"]
        self.assertEqual([(one["who"], one["action"], one["detail"]) for one in audit if one["action"] == "stop"],
                         [("ci", "stop", f"build {number}")])

        # Others have joined what ci began, by whichever way: then it is no longer ci's alone.
        for path, who in (("/job/plain.job/build", "other"), (f"/job/plain.job/build?token={APP_TOKEN}", "ci")):
            job.commit(f"Wanted by two, {who}")
            job.close_gate()
            number = self.build_of(job, self.post(job, "ci", "/job/plain.job/build")[1])
            joined = self.post(job, who, path)[1]
            wait_until(lambda: "executable" in json.loads(job.ask("GET", f"/queue/item/{joined}/api/json")[2]), 60,
                       "it has joined")
            self.assertEqual(self.post(job, "ci", f"/job/plain.job/{number}/stop")[0], 403)
            self.assertEqual(self.post(job, "operator", f"/job/plain.job/{number}/stop")[0], 302)
            self.assertEqual(self.result(job, number), "ABORTED")

    def test_who_may_trigger_may_cancel_its_own_queue_items_only(self):
        job = self.start()
        self.assertEqual(self.post(job, "operator", "/quietDown")[0], 302)
        mine = self.post(job, "ci", "/job/mini/buildWithParameters?LEVEL=low")[1]
        shared = self.post(job, "ci", "/job/mini/buildWithParameters?LEVEL=high")[1]
        self.assertEqual(self.post(job, "other", "/job/mini/buildWithParameters?LEVEL=high")[1], shared)
        self.assertEqual(self.post(job, "other", f"/queue/cancelItem?id={mine}")[0], 403)
        self.assertEqual(self.post(job, "ci", f"/queue/cancelItem?id={shared}")[0], 403)
        self.assertEqual(self.post(job, "ci", f"/queue/item/{shared}/cancelQueue")[0], 403)
        self.assertEqual(self.post(job, "ci", "/job/mini/cancelQueue")[0], 403)
        self.assertEqual(self.post(job, "ci", f"/queue/cancelItem?id={mine}")[0], 302)
        cancelled = {item: json.loads(job.ask("GET", f"/queue/item/{item}/api/json")[2]).get("cancelled", False)
                     for item in (mine, shared)}
        self.assertEqual(cancelled, {mine: True, shared: False})
        self.assertEqual(self.post(job, "operator", "/job/mini/cancelQueue")[0], 302)
        self.assertTrue(json.loads(job.ask("GET", f"/queue/item/{shared}/api/json")[2])["cancelled"])


if __name__ == "__main__":
    unittest.main()
