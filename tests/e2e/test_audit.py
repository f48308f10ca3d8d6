# SPDX-License-Identifier: MIT
"""Who may look and who may change, with each kind of credentials, and that every change is written down with who it was
and from where.
"""
import base64
import hashlib
import http.client
import json
import unittest

from harness import AGENT_PORT, APP_TOKEN, ChainCase
from fleet import write_secret

ANN, CI, EYE = "ann-may-operate-0123456789", "ci-may-trigger-0123456789", "eye-may-read-0123456789"
HERE = "127.5.5.5"


class AuditTest(ChainCase):
    def staffed(self, **options):
        """web1 alone, nothing built, with a token for each role."""
        chain = self.chain(deployed=False, start=False, poll=False, **options)
        lines = (chain.directory / "secrets" / "tokens").read_text()
        for name, role, token in (("ann", "operate", ANN), ("ci", "trigger", CI), ("eye", "read", EYE)):
            lines += f"{name} {role} {hashlib.sha256(token.encode()).hexdigest()}\n"
        write_secret(chain.directory / "secrets" / "tokens", lines)
        self.agent = chain["web1"]
        self.agent.start()
        return chain

    def ask(self, method, path, authorization=None, body=None):
        connection = http.client.HTTPConnection(self.agent.host, AGENT_PORT, timeout=20, source_address=(HERE, 0))
        try:
            headers = {"Authorization": authorization} if authorization else {}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    @staticmethod
    def basic(user, token):
        return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()

    def test_every_change_is_written_down_with_who_and_from_where(self):
        chain = self.staffed()
        ann, bearer = self.basic("ann", ANN), f"Bearer {CI}"
        self.agent.post("/quietDown", expect=(200, 302))  # by the demo's token: what is triggered stays in the queue
        changes = [
            ("POST", "/api/v1/apps/mini/trigger", bearer, {}, "ci", "trigger"),
            ("POST", "/job/mini/build", bearer, None, "ci", "trigger"),
            ("GET", f"/job/mini/build?token={APP_TOKEN}", None, None, "app token", "trigger"),
            ("GET", f"/buildByToken/build?job=mini&token={APP_TOKEN}", None, None, "app token", "trigger"),
            ("POST", "/queue/cancelItem?id={item}", ann, None, "ann", "cancel"),
            ("POST", "/api/v1/apps/mini/freeze", ann, {"reason": "lunch"}, "ann", "freeze"),
            ("POST", "/api/v1/apps/mini/unfreeze", ann, {}, "ann", "unfreeze"),
            ("POST", "/api/v1/apps/mini/drain", ann, {}, "ann", "drain"),
            ("POST", "/api/v1/apps/mini/undrain", ann, {}, "ann", "undrain"),
            ("POST", "/job/mini/disable", ann, None, "ann", "disable"),
            ("POST", "/job/mini/enable", ann, None, "ann", "enable"),
            ("POST", "/cancelQuietDown", ann, None, "ann", "cancel-quiet-down"),
        ]
        for method, path, authorization, body, who, action in changes:
            if "{item}" in path:
                path = path.format(item=self.agent.get("/queue/api/json")["items"][0]["id"])
            status, text = self.ask(method, path, authorization, body)
            self.assertIn(status, (200, 201, 202, 302), f"{path}: {text}")
            newest = self.agent.get("/api/v1/audit?limit=1")["entries"][0]
            self.assertEqual((newest["who"], newest["address"], newest["action"]), (who, HERE, action), path)
        told = chain.fleet.command("history", "mini", "--audit", agent=self.agent).stdout
        for word in ("ann", "ci", "app token", HERE, "freeze", "lunch", "disable"):
            self.assertIn(word, told)
        self.assertNotIn("quiet-down", told, "that is the agent's, not the app's")
        self.assertIn("quiet-down", chain.fleet.command("history", "--audit", agent=self.agent).stdout)

    def test_roles_hold_for_basic_and_bearer_and_nothing_is_written_down_for_the_refused(self):
        self.staffed()
        for name, token, may_trigger, may_operate in (("eye", EYE, False, False), ("ci", CI, True, False),
                                                      ("ann", ANN, True, True)):
            for authorization in (self.basic(name, token), f"Bearer {token}", f"bearer  {token}"):
                self.assertEqual(self.ask("GET", "/api/v1/status", authorization)[0], 200)
                self.assertEqual(self.ask("GET", "/job/mini/api/json", authorization)[0], 200)
                self.assertEqual(self.ask("POST", "/api/v1/apps/mini/trigger", authorization, {})[0],
                                 202 if may_trigger else 403)
                for path in ("/api/v1/apps/mini/freeze", "/api/v1/apps/mini/unfreeze", "/api/v1/nodes/web9/forget"):
                    self.assertEqual(self.ask("POST", path, authorization, {"reason": "x"})[0] != 403, may_operate, path)
                self.assertEqual(self.ask("POST", "/quietDown", authorization)[0] != 403, may_operate)
        for wrong in (self.basic("ci", ANN), self.basic("ANN", ANN), self.basic("", ANN), "Basic !!", "Basic",
                      f"Bearer {ANN}x", "Bearer", f"Digest {ANN}"):
            self.assertEqual(self.ask("GET", "/api/v1/status", wrong)[0], 401, wrong)
        for path in ("/api/v1/status", "/job/mini/api/json", "/metrics", "/api/v1/audit", "/job/none/api/json"):
            self.assertEqual(self.ask("GET", path)[0], 403, path)
        entries = self.agent.get("/api/v1/audit?limit=200")["entries"]
        self.assertEqual({entry["who"] for entry in entries}, {"ci", "ann"})

    def test_anonymous_reading_is_reading_and_no_more(self):
        chain = self.staffed()
        self.agent.stop()
        config = chain.fleet.config
        config.write_text(config.read_text().replace("anonymous: none", "anonymous: read"))
        self.agent.start()
        for path in ("/api/v1/status", "/job/mini/api/json", "/metrics", "/api/json"):
            self.assertEqual(self.ask("GET", path)[0], 200, path)
        for path in ("/api/v1/apps/mini/trigger", "/api/v1/apps/mini/freeze", "/job/mini/build", "/job/mini/disable",
                     "/quietDown", "/queue/cancelItem?id=1", "/peer/v1/chain/mini"):
            self.assertIn(self.ask("POST", path, None, {})[0], (401, 403), path)
        self.assertEqual(self.ask("GET", "/job/mini/build?token=guess")[0], 403)
        self.assertEqual(self.ask("GET", "/api/v1/status", "Bearer guess")[0], 401, "wrong is wrong where none is fine")
        self.assertEqual(self.agent.get("/api/v1/audit")["entries"], [])

    def test_a_fault_in_a_file_of_secrets_is_told_to_the_log_once_and_to_nobody_else(self):
        chain = self.staffed()
        secrets, log = chain.directory / "secrets", self.agent.log_file
        good, ann_hash = (secrets / "tokens").read_text(), hashlib.sha256(ANN.encode()).hexdigest()
        faulty, mended = "the tokens file is faulty", "the tokens file is good again"

        def told(words):
            return [line for line in log.read_text().splitlines() if words in line]

        for change, name in enumerate(("late", "later"), 1):
            write_secret(secrets / "tokens", good + f"{name} {ann_hash} operate\n")
            for _ in range(12):  # more often than an address may fail
                for right in (f"Bearer {ANN}", self.basic("ann", ANN)):
                    self.assertEqual(self.ask("GET", "/api/v1/status", right)[0], 200)
            self.assertEqual(self.ask("GET", "/api/v1/status", f"Bearer {ANN}x"),
                             self.ask("GET", "/api/v1/status", self.basic("late", ANN)))
            self.assertEqual(self.ask("GET", "/api/v1/status", f"Bearer {ANN}x")[0], 401)
            self.assertEqual(len(told(faulty)), change)
            self.assertIn(f"{secrets}/tokens:{len(good.splitlines()) + 1}:1: ", told(faulty)[-1])
        write_secret(secrets / "tokens", good)
        self.assertEqual(self.ask("GET", "/api/v1/status", f"Bearer {ANN}")[0], 200)
        self.assertEqual(len(told(mended)), 1)

        write_secret(secrets / "mini.token", "")
        paths = ("/job/mini/build?token=", f"/job/mini/build?token={APP_TOKEN}", "/job/mini/polling?token=x",
                 f"/buildByToken/build?job=mini&token={APP_TOKEN}", f"/git/notifyCommit?url=x&token={APP_TOKEN}",
                 f"/generic-webhook-trigger/invoke?token={APP_TOKEN}")
        for _ in range(4):
            for path in paths:
                status, text = self.ask("GET", path)
                self.assertEqual(status, 503, path)
                self.assertIn("cannot check the token now", text)
                self.assertNotIn(str(secrets), text)
        self.assertEqual(len(told("secret cannot be read")), 1)
        self.assertIn(f"{secrets}/mini.token", told("secret cannot be read")[0])
        write_secret(secrets / "mini.token", APP_TOKEN + "\n")
        self.assertEqual(self.ask("POST", paths[1])[0], 201, "nobody's address has failed")
        self.assertEqual(len(told("can be read again")), 1)
        for secret in (ann_hash, ANN, APP_TOKEN):
            self.assertNotIn(secret, log.read_text())


if __name__ == "__main__":
    unittest.main()
