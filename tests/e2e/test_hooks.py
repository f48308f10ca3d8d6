# SPDX-License-Identifier: MIT
"""Webhooks as the forges send them, on all their paths: GitHub's own example payloads, and every forge's way to sign.
The app that they are about waits an hour before it looks at its repository, so nothing leaves this machine.
"""
import base64
import hashlib
import hmac
import http.client
import json
import time
import unittest
import urllib.parse

from harness import AGENT_PORT, APP_TOKEN, ChainCase, ask
from fleet import write_secret
from npm import node_modules

SECRET = "It's a Secret to Everybody"
STANDARD = "whsec_" + base64.b64encode(b"twenty-four random bytes").decode()
HELLO = """\
    keep_builds: 5
  hello:
    repository: https://github.com/Codertocat/Hello-World.git
    branch: master
    triggers:
      webhook_secret_file: [{directory}/secrets/new, {directory}/secrets/old, {directory}/secrets/standard]
      token_file: {directory}/secrets/mini.token
      quiet_period: 1h
"""
URL = "https://github.com/Codertocat/Hello-World.git"
COMMIT = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
ZEROS = "0" * 40


def mac(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard(body, identity="msg_1", ahead=0, key=STANDARD):
    """The headers of Standard Webhooks, as GitLab's signing token makes them too."""
    stamp = str(int(time.time()) + ahead)
    secret = base64.b64decode(key.removeprefix("whsec_"))
    signature = hmac.new(secret, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": identity, "webhook-timestamp": stamp,
            "webhook-signature": "v1,AAAA v1," + base64.b64encode(signature).decode()}


class HooksCase(ChainCase):
    def hooked(self):
        chain = self.chain(deployed=False, start=False, poll=False, app=HELLO)
        write_secret(chain.directory / "secrets" / "new", "the next secret, at no forge yet\n")
        write_secret(chain.directory / "secrets" / "old", SECRET + "\n")
        write_secret(chain.directory / "secrets" / "standard", STANDARD + "\n")
        self.agent = chain["web1"]
        self.agent.start()
        return chain

    def post(self, path, body, headers, method="POST", source="127.0.0.1"):
        connection = http.client.HTTPConnection(self.agent.host, AGENT_PORT, timeout=30, source_address=(source, 0))
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def waiting(self):
        """The queue items of hello; taken out, so that the next hook gets one of its own."""
        items = [item["id"] for item in self.agent.get("/queue/api/json")["items"]]
        for item in items:
            self.agent.post(f"/queue/cancelItem?id={item}", expect=(200, 302))
        return len(items)


class GitHubExamplesTest(HooksCase):
    @staticmethod
    def examples():
        """(product, event, payload) of GitHub and its enterprise versions."""
        for index in sorted((node_modules() / "@octokit" / "webhooks-examples").glob("*/index.json")):
            for event in json.loads(index.read_text(encoding="utf-8")):
                for payload in event["examples"]:
                    yield index.parent.name, event["name"], payload

    def test_every_example_payload_of_github_is_taken_for_what_it_is(self):
        self.hooked()
        tried, triggered = 0, 0
        for number, (product, event, payload) in enumerate(self.examples()):
            body = json.dumps(payload).encode()
            headers = {"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": str(number),
                       "X-Hub-Signature-256": "sha256=" + mac(body)}
            status, text = self.post("/webhook/hello", body, headers)
            named = f"{product} {event} #{number}: {status} {text}"
            clone = (payload.get("repository") or {}).get("clone_url")
            if event == "push" and clone != URL:
                self.assertEqual(status, 400, named)
            else:
                due = event == "push" and payload["ref"] == "refs/heads/master" and not payload["deleted"]
                self.assertEqual((status, json.loads(text)["triggered"]), (202 if due else 200, due), named)
                self.assertEqual(self.waiting(), 1 if due else 0, named)
                triggered += due
            # On the path of Jenkins' plugin, as a form: the same secret and repository find the app.
            form = ("payload=" + urllib.parse.quote_plus(json.dumps(payload))).encode()
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "X-GitHub-Delivery": f"form-{number}",
                        "X-Hub-Signature-256": "sha256=" + mac(form)}
            status, text = self.post("/github-webhook/", form, headers)
            self.assertEqual((status, text), (200, ""), named)
            if event == "push":
                self.assertEqual(self.waiting(), 1 if clone == URL and due else 0, named)
            tried += 1
        self.assertGreaterEqual(tried, 700)
        self.assertGreaterEqual(triggered, 2)
        print(f"\nGitHub's examples: {tried} payloads, each as JSON and as a form; {triggered} of them asked for a look")


class ForgesTest(HooksCase):
    def test_every_forge_is_understood_on_every_path_that_it_posts_to(self):
        self.hooked()
        github = json.dumps({"ref": "refs/heads/master", "after": COMMIT, "deleted": False, "pusher": {"name": "ann"},
                             "repository": {"clone_url": URL}}).encode()
        gitlab = json.dumps({"object_kind": "push", "ref": "refs/heads/master", "after": COMMIT, "user_name": "bo",
                             "checkout_sha": COMMIT, "project": {"git_http_url": URL}}).encode()
        bitbucket = json.dumps({"actor": {"nickname": "di"}, "push": {"changes": [
            {"new": {"type": "branch", "name": "master", "target": {"hash": COMMIT}}, "old": None}]},
            "repository": {"links": {"html": {"href": URL}}, "full_name": "Codertocat/Hello-World"}}).encode()
        gitea = {"X-Gitea-Event": "push", "X-GitHub-Event": "push", "X-Gogs-Event": "push", "X-Gitea-Signature": mac(github)}
        cases = [
            ("GitHub", github, {"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + mac(github)},
             ["/webhook/hello", "/webhook/hello/", "/github-webhook/", "/github-webhook", "/project/hello"]),
            ("Gitea", github, gitea, ["/webhook/hello", "/gitea-webhook/post", "/gogs-webhook/?job=hello"]),
            ("Forgejo", github, {"X-Forgejo-Event": "push", "X-Forgejo-Signature": mac(github)},
             ["/webhook/hello", "/gitea-webhook/post"]),
            ("Gogs", github, {"X-Gogs-Event": "push", "X-Gogs-Signature": mac(github)}, ["/gogs-webhook/?job=hello"]),
            ("GitLab, token", gitlab, {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET},
             ["/webhook/hello", "/project/hello", "/gitlab-webhook/post"]),
            ("GitLab, signing key", gitlab, {"X-Gitlab-Event": "Push Hook", **standard(gitlab)},
             ["/webhook/hello", "/project/hello"]),
            ("GitLab, system hook", gitlab, {"X-Gitlab-Event": "System Hook", "X-Gitlab-Token": SECRET}, ["/webhook/hello"]),
            ("Bitbucket", bitbucket, {"X-Event-Key": "repo:push", "X-Hub-Signature": "sha256=" + mac(bitbucket)},
             ["/webhook/hello", "/bitbucket-hook/", "/bitbucket-scmsource-hook/notify"]),
            ("Standard Webhooks", b"anything", standard(b"anything", "msg_2"), ["/webhook/hello"]),
            ("credentials in the URL", gitlab, {"X-Gitlab-Event": "Push Hook", "Authorization": "Basic "
             + base64.b64encode(f"demo:{self.agent.token}".encode()).decode()}, ["/project/hello", "/webhook/hello"]),
        ]
        tried = 0
        for forge, body, headers, paths in cases:
            for path in paths:
                # The signing key's message id is also its delivery, which is taken once.
                if "webhook-id" in headers:
                    headers |= standard(body, f"msg-{tried}")
                status, text = self.post(path, body, {"Content-Type": "application/json", **headers})
                self.assertIn(status, (200, 202), f"{forge} at {path}: {text}")
                self.assertEqual(self.waiting(), 1, f"{forge} at {path} asks for a look")
                # Nothing of it holds once a bit of the body is another.
                if "Token" not in "".join(headers) and "Authorization" not in headers:
                    self.assertIn(self.post(path, body + b" ", {"Content-Type": "application/json", **headers})[0],
                                  (400, 401), f"{forge} at {path}, changed")
                    self.assertEqual(self.waiting(), 0)
                self.assertEqual(self.post(path, None, headers, "GET")[0], 405, path)
                tried += 1
        print(f"\nforges: {tried} ways to sign and paths")

    def test_only_a_change_of_the_branch_asks_for_a_look(self):
        self.hooked()

        def sent(payload, event="push", path="/webhook/hello", **headers):
            body = json.dumps(payload).encode()
            status, text = self.post(path, body, {"X-GitHub-Event": event, "X-Hub-Signature-256": "sha256=" + mac(body),
                                                  **headers})
            return status, json.loads(text)["triggered"] if text.startswith("{") else None

        push = {"ref": "refs/heads/master", "after": COMMIT, "repository": {"clone_url": URL}}
        self.assertEqual(sent({"zen": "Keep it simple."}, "ping"), (200, False))
        self.assertEqual(sent({**push, "after": ZEROS, "deleted": True}), (200, False))
        self.assertEqual(sent({**push, "ref": "refs/tags/master"}), (200, False))
        self.assertEqual(sent({**push, "ref": "refs/heads/master2"}), (200, False))
        self.assertEqual(sent(push, "issues"), (200, False))
        self.assertEqual(sent({**push, "repository": {"clone_url": URL.replace("World", "Moon")}})[0], 400)
        self.assertEqual(self.waiting(), 0)
        # A large push is taken; one beyond what forges send is refused before it is read.
        large = {**push, "commits": [{"message": "x" * 1000}] * 24_000}
        self.assertEqual(sent(large), (202, True))
        self.assertEqual(self.waiting(), 1)
        head = {"X-GitHub-Event": "push", "Content-Length": str(26 * 1024 * 1024)}
        self.assertEqual(self.post("/webhook/hello", b"", head)[0], 413)
        # The same delivery once more says nothing new; one that could not be queued is not lost.
        self.agent.post("/job/hello/disable", expect=(200, 302))
        self.assertEqual(sent(push, **{"X-GitHub-Delivery": "d1"})[0], 409)
        self.agent.post("/job/hello/enable", expect=(200, 302))
        self.assertEqual(sent(push, **{"X-GitHub-Delivery": "d1"}), (202, True))
        self.assertEqual(sent(push, **{"X-GitHub-Delivery": "d1"}), (200, False))
        self.assertEqual(self.waiting(), 1)
        entry = self.agent.get("/api/v1/audit?app=hello")["entries"][1]
        self.assertEqual((entry["who"], entry["action"]), ("webhook", "trigger"))

    def test_strangers_learn_nothing_and_secrets_cannot_be_empty(self):
        chain = self.hooked()
        body = b'{"ref":"refs/heads/master"}'
        event = {"X-GitHub-Event": "push", "X-Gitlab-Event": "Push Hook"}
        answers = set()
        for number, path in enumerate(("/webhook/hello", "/webhook/mini", "/webhook/nothing", "/project/nothing")):
            for proof in ({}, {"X-Hub-Signature-256": "sha256=" + mac(body, "guess")}, {"X-Gitlab-Token": ""},
                          {"X-Hub-Signature-256": "sha256="}, {"X-Gitea-Signature": mac(body, "")},
                          {"X-Hub-Signature-256": "sha256=" + mac(body, "")}, standard(body, ahead=-400)):
                # From elsewhere each time: many wrong tokens from one address are not looked at any more.
                answers.add(self.post(path, body, {**event, **proof}, source=f"127.8.8.{number + 1}"))
        self.assertEqual({status for status, _ in answers}, {401}, answers)
        self.assertEqual(len(answers), 1, "every refusal reads the same")
        self.assertEqual(self.waiting(), 0)
        # An emptied secret file is no secret, and what its emptiness would sign is refused.
        for name in ("new", "old", "standard"):
            write_secret(chain.directory / "secrets" / name, "\n")
        self.assertEqual(self.post("/webhook/hello", body, {**event, "X-Hub-Signature-256": "sha256=" + mac(body, "")})[0], 401)
        self.assertIn("is empty", self.agent.log_file.read_text())

    def test_the_generic_paths_take_the_apps_token_in_every_place_that_their_plugins_do(self):
        self.hooked()
        for headers, query in (({}, f"?token={APP_TOKEN}"), ({"token": APP_TOKEN}, ""), ({"X-Gitlab-Token": APP_TOKEN}, ""),
                               ({"Authorization": f"Bearer {APP_TOKEN}"}, "")):
            status, text = self.post("/generic-webhook-trigger/invoke" + query, b"{}", headers)
            self.assertEqual(status, 200, text)
            self.assertTrue(json.loads(text)["jobs"]["hello"]["triggered"])
            self.waiting()
        status, text = self.post("/generic-webhook-trigger/invoke?token=guess", b"{}", {})
        self.assertEqual((status, json.loads(text)["jobs"]), (404, None))
        for spelled in (URL, "git@github.com:Codertocat/Hello-World", "ssh://git@github.com:22/Codertocat/Hello-World.git/"):
            status, _, text = ask(self.agent.host, AGENT_PORT, "GET", "/git/notifyCommit?" + urllib.parse.urlencode(
                {"url": spelled, "token": APP_TOKEN, "branches": "x,master", "sha1": COMMIT}))
            self.assertEqual((status, text), (200, b"Scheduled polling of hello\n"), spelled)
            self.assertEqual(self.waiting(), 1)


if __name__ == "__main__":
    unittest.main()
