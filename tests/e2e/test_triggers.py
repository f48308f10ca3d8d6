# SPDX-License-Identifier: MIT
"""Who and what may start a rollout: webhooks of forges, tokens by role, and what many triggers at once come to."""
import hashlib
import hmac
import http.client
import json
import unittest

from harness import AGENT_PORT, APP_TOKEN, ChainCase, ask, wait_until
from fleet import write_secret

SECRET = "It's a Secret to Everybody"
TRIGGERS = "      webhook_secret_file: [{directory}/secrets/hook.new, {directory}/secrets/hook.old]\n"


def post(host, path, body, headers):
    """A POST with exactly these headers; status and body."""
    connection = http.client.HTTPConnection(host, AGENT_PORT, timeout=10)
    try:
        connection.request("POST", path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class TriggerTest(ChainCase):
    def hooked(self, **options):
        """A chain that runs its first version and takes webhooks; polls nothing, so that only hooks can start it."""
        chain = self.chain(deployed=False, poll=False, triggers=TRIGGERS, **options)
        write_secret(chain.directory / "secrets" / "hook.new", "another secret, not in use yet\n")
        write_secret(chain.directory / "secrets" / "hook.old", SECRET + "\n")
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(chain.first, "succeeded")
        return chain

    @staticmethod
    def push_event(chain, commit, branch="main"):
        return json.dumps({
            "ref": f"refs/heads/{branch}", "after": commit, "deleted": False, "pusher": {"name": "ann"},
            "head_commit": {"id": commit},
            "repository": {"clone_url": f"file://{chain.directory}/mini.git", "full_name": "shop/mini"}}).encode()

    @staticmethod
    def github_headers(body, event="push", delivery="1", secret=SECRET):
        return {"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": delivery,
                "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}

    def rollouts(self, chain):
        return len(chain["web1"].rollouts("mini"))

    def test_a_signed_push_of_github_starts_a_rollout_and_its_repeat_does_not(self):
        chain = self.hooked()
        commit = chain.commit("Pushed to the forge")
        body = self.push_event(chain, commit)
        status, answer = post(chain.hosts["web2"], "/webhook/mini", body, self.github_headers(body))
        self.assertEqual(status, 202, answer)
        rollout = chain.wait_for(commit, "succeeded", seen_by="web2")
        self.assertEqual(rollout["cause"]["kind"], "webhook")
        self.assertEqual(rollout["cause"]["text"], "Started by GitHub push by ann")
        self.assertEqual([chain.running_commit(name) for name in chain.NODES], [commit] * 3)
        count = self.rollouts(chain)
        status, answer = post(chain.hosts["web2"], "/webhook/mini", body, self.github_headers(body))
        self.assertEqual((status, json.loads(answer)["message"]), (200, "delivered before"))
        # A new delivery of the same push finds nothing new.
        status, answer = post(chain.hosts["web2"], "/webhook/mini", body, self.github_headers(body, delivery="2"))
        self.assertEqual(status, 202)
        item = json.loads(answer)["queue_id"]
        wait_until(lambda: chain["web2"].get(f"/api/v1/apps/mini/queue/{item}")["reason"] == "nothing new", 60,
                   "the queue item says that nothing is new")
        self.assertEqual(self.rollouts(chain), count)

    def test_a_hook_that_is_not_genuine_or_not_about_the_branch_starts_nothing(self):
        chain = self.hooked()
        commit = chain.commit("Nobody pushed this")
        before = self.rollouts(chain)
        body = self.push_event(chain, commit)
        host = chain.hosts["web1"]
        forged = self.github_headers(body, secret="guess")
        self.assertEqual(post(host, "/webhook/mini", body, forged)[0], 401)
        unsigned = {"Content-Type": "application/json", "X-GitHub-Event": "push"}
        self.assertEqual(post(host, "/webhook/mini", body, unsigned)[0], 401)
        self.assertEqual(post(host, "/webhook/other", body, self.github_headers(body))[0], 401, "unknown looks the same")
        self.assertEqual(post(host, "/github-webhook/", body, forged)[0], 400)
        ping = b'{"zen":"Design for failure."}'
        status, answer = post(host, "/webhook/mini", ping, self.github_headers(ping, event="ping"))
        self.assertEqual((status, json.loads(answer)["triggered"]), (200, False))
        other = self.push_event(chain, commit, branch="feature")
        status, answer = post(host, "/webhook/mini", other, self.github_headers(other, delivery="9"))
        self.assertEqual((status, json.loads(answer)["triggered"]), (200, False))
        self.assertEqual(chain["web1"].get("/queue/api/json")["items"], [])
        self.assertEqual(self.rollouts(chain), before)

    def test_hooks_made_for_jenkins_work_as_they_are(self):
        chain = self.hooked()
        host = chain.hosts["web1"]
        one = chain.commit("Through the GitHub plugin's path")
        body = self.push_event(chain, one)
        self.assertEqual(post(host, "/github-webhook/", body, self.github_headers(body)), (200, b""))
        chain.wait_for(one, "succeeded")
        two = chain.commit("Through the git plugin's path")
        url = f"file://{chain.directory}/mini.git"
        self.assertEqual(ask(host, AGENT_PORT, "GET", f"/git/notifyCommit?url={url}")[0], 401)
        self.assertEqual(ask(host, AGENT_PORT, "GET", f"/git/notifyCommit?url={url}&token=wrong")[0], 403)
        status, headers, text = ask(host, AGENT_PORT, "GET", f"/git/notifyCommit?url={url}&token={APP_TOKEN}")
        self.assertEqual((status, text), (200, b"Scheduled polling of mini\n"))
        self.assertEqual(headers["Triggered"], f"http://{host}:{AGENT_PORT}/job/mini/")
        chain.wait_for(two, "succeeded")
        three = chain.commit("By GitLab's token")
        body = json.dumps({"object_kind": "push", "ref": "refs/heads/main", "after": three, "user_name": "bob",
                           "project": {"git_http_url": url}}).encode()
        headers = {"Content-Type": "application/json", "X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET}
        self.assertEqual(post(host, "/webhook/mini", body, headers)[0], 202)
        self.assertEqual(chain.wait_for(three, "succeeded")["cause"]["text"], "Started by GitLab push by bob")

    def test_each_role_may_do_its_part_and_no_more(self):
        chain = self.hooked()
        tokens = {}
        lines = (chain.directory / "secrets" / "tokens").read_text()
        for role in ("read", "trigger"):
            tokens[role] = f"{role}-token-0123456789"
            lines += f"{role}er {role} {hashlib.sha256(tokens[role].encode()).hexdigest()}\n"
        write_secret(chain.directory / "secrets" / "tokens", lines)
        host = chain.hosts["web1"]

        def status(method, path, token, body=None):
            return ask(host, AGENT_PORT, method, path, token, body)[0]

        for path in ("/api/v1/status", "/metrics", "/api/json", "/job/mini/api/json", "/job/nothing/api/json"):
            self.assertEqual(status("GET", path, None), 403, f"{path} without a token")
            self.assertEqual(status("GET", path, "wrong"), 401, f"{path} with a wrong one")
        self.assertEqual(status("GET", "/api/v1/status", tokens["read"]), 200)
        self.assertEqual(status("GET", "/healthz", None), 200)
        self.assertEqual(status("GET", "/health/mini", None), 200)
        self.assertEqual(status("POST", "/api/v1/apps/mini/trigger", tokens["read"], {}), 403)
        self.assertEqual(status("POST", "/api/v1/apps/mini/freeze", tokens["trigger"], {"reason": "x"}), 403)
        self.assertEqual(status("POST", "/peer/v1/chain/mini", chain.fleet.token, {}), 401, "a token is no peer")
        self.assertEqual(status("POST", "/api/v1/apps/mini/trigger", tokens["trigger"], {}), 202)
        entries = chain["web1"].get("/api/v1/audit")["entries"]
        self.assertEqual((entries[0]["who"], entries[0]["action"]), ("triggerer", "trigger"))
        self.assertNotIn(tokens["trigger"], chain["web1"].log_tail(1000))

    def test_wrong_tokens_are_slowed_down_and_right_ones_elsewhere_are_not(self):
        chain = self.hooked()
        answers = [ask(chain.hosts["web1"], AGENT_PORT, "GET", "/api/v1/status", "guess")[0] for _ in range(25)]
        self.assertEqual(answers[0], 401)
        self.assertEqual(answers[-1], 503, "the address is made to wait")
        self.assertEqual(ask(chain.hosts["web2"], AGENT_PORT, "GET", "/api/v1/status", chain.fleet.token)[0], 200)

    def test_triggers_that_wait_for_the_same_thing_become_one(self):
        chain = self.hooked()
        commit = chain.commit("Asked for many times")
        locations = set()
        for delay in ["600sec"] * 9 + ["0sec"]:  # the last one has it begin
            status, headers, _ = ask(chain.hosts["web1"], AGENT_PORT, "POST",
                                     f"/job/mini/build?token={APP_TOKEN}&delay={delay}&cause=again")
            self.assertEqual(status, 201)
            locations.add(headers["Location"])
        self.assertEqual(len(locations), 1, "one queue item stands for all")
        chain.wait_for(commit, "succeeded")
        self.assertEqual(len([row for row in chain["web1"].rollouts("mini") if row["commit"] == commit]), 1)


if __name__ == "__main__":
    unittest.main()
