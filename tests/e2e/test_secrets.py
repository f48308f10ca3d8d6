# SPDX-License-Identifier: MIT
"""No secret where others could read it: everything that an agent writes, answers and passes to a process is searched
for every secret that was used.
"""
import base64
import functools
import http.server
import pathlib
import re
import subprocess
import threading
import time
import unittest

from harness import AGENT_PORT, APP_TOKEN, ChainCase, Repeating, ask
from fleet import write_secret
from abuse import get, post, send

PASSWORD = "git-password-4f2a9c7d1b"
HOOK = "hook-secret-8e1d3b5a70"
APP = """\
    credentials: {{username: deploy, password_file: {directory}/secrets/git}}
"""
HOOKS = "      webhook_secret_file: {directory}/secrets/hook\n"


class GitHost(http.server.SimpleHTTPRequestHandler):
    """Serves a bare repository as plain files, slowly, to those who know the password."""

    expected = "Basic " + base64.b64encode(f"deploy:{PASSWORD}".encode()).decode()
    answered = []

    def do_GET(self):  # noqa: N802, the library's name
        if self.headers.get("Authorization") != self.expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        time.sleep(0.1)  # git lives long enough to be looked at
        self.answered.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


class Watch(Repeating):
    """Looks at every process below the agents, again and again: what it was started with, and its environment."""

    PAUSE_SECONDS = 0.005

    def __init__(self, roots):
        super().__init__()
        self.roots = roots
        self.seen = {}

    def once(self):
        parents = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
        for pid in parents:
            if self._below(pid, parents):
                self._note(pid)

    def _below(self, pid, parents):
        for _ in range(30):
            if pid in self.roots:
                return True
            if pid not in parents:
                return False
            pid = parents[pid]
        return False

    def _note(self, pid):
        for name in ("cmdline", "environ"):
            try:
                text = pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            if text:
                self.seen.setdefault((name, text), pid)

    def commands(self):
        return [text.replace(b"\0", b" ").decode(errors="replace") for name, text in self.seen if name == "cmdline"]


class SecretsTest(ChainCase):
    def secrets_of(self, chain):
        """Every secret in each of the forms in which it could come out."""
        key = (chain.directory / "secrets" / "cluster.key").read_text().split()[2]
        plain = {"git password": PASSWORD, "webhook secret": HOOK, "trigger token": APP_TOKEN,
                 "operator's token": chain.fleet.token, "cluster key": key}
        forms = {}
        for name, text in plain.items():
            forms[name] = [text.encode(), base64.b64encode(text.encode()).rstrip(b"=")[:-2]]
        forms["git password"].append(base64.b64encode(f"deploy:{PASSWORD}".encode()))
        forms["cluster key"].append(base64.b64decode(key))
        return forms

    def test_no_secret_is_in_a_log_an_answer_an_argument_or_an_environment(self):
        chain = self.chain(deployed=False, start=False, poll=False, triggers=HOOKS, app=APP)
        write_secret(chain.directory / "secrets" / "hook", HOOK + "\n")
        write_secret(chain.directory / "secrets" / "git", PASSWORD + "\n")
        url = self.host_repository(chain)
        config = chain.fleet.config
        config.write_text(re.sub(r"(repository: ).*", r"\g<1>" + url, config.read_text()))
        chain.start()
        roots = {chain[name].process.pid for name in chain.NODES}
        answers = []
        with Watch(roots) as watch:
            chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
            chain.wait_for(chain.first, "succeeded")
            answers += self.provoke(chain)
            # A build that fails, since then the most is told.
            self.commit(chain, "Fails its tests", tax_percent=7)
            chain["web2"].post(f"/job/mini/build?token={APP_TOKEN}")
            chain.wait_for(self.last, "halted", seen_by="web2")
        commands = " ".join(watch.commands())
        self.assertIn("git ", commands, "children were looked at")
        self.assertIn("suite.py", commands, "steps were looked at")
        self.assertGreater(len(GitHost.answered), 5, "the password was used")
        chain.fleet.stop()
        forms = self.secrets_of(chain)
        for (name, text), pid in watch.seen.items():
            self.search(forms, text, f"{name} of process {pid}")
        for answer in answers:
            self.search(forms, answer, "an answer")
        files = [file for name in chain.NODES for file in (chain.directory / name).rglob("*")
                 if file.is_file() and not file.is_symlink()]
        self.assertTrue(any(file.name.startswith("baton.db") for file in files))
        for file in files:
            self.search(forms, file.read_bytes(), str(file))
        print(f"\nsecrets: {len(forms)} in {len(files)} files, {len(watch.seen)} arguments and environments, "
              f"{len(answers)} answers")

    def search(self, forms, text, where):
        for name, spellings in forms.items():
            for spelling in spellings:
                self.assertNotIn(spelling, text, f"the {name} is in {where}")

    def host_repository(self, chain):
        self.update(chain)
        handler = functools.partial(GitHost, directory=str(chain.directory))
        server = http.server.ThreadingHTTPServer((chain.hosts["web1"], 0), handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://{chain.hosts['web1']}:{server.server_address[1]}/mini.git"

    @staticmethod
    def update(chain):
        subprocess.run(["git", "-C", str(chain.directory / "mini.git"), "update-server-info"], check=True, timeout=30)

    def commit(self, chain, subject, **options):
        self.last = chain.commit(subject, **options)
        self.update(chain)

    def provoke(self, chain):
        """The answers to requests that hold secrets and are wrong in some way."""
        agent = chain["web1"]
        address = (agent.host, AGENT_PORT)
        bearer = f"Authorization: Bearer {agent.token}\r\n".encode()
        token = APP_TOKEN.encode()
        hook = f"X-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: {HOOK}\r\n".encode()
        answers = [send(address, request) for request in (
            get(b"/job/mini/build?token=" + token + b"&delay=soon"), get(b"/job/mini/build?token=" + token + b"%zz"),
            get(b"/job/nothing/build?token=" + token), get(b"/nothing/" + b"?token=" + token, bearer),
            get(b"/api/v1/nothing?token=" + token, bearer), post(b"/api/v1/apps/mini/trigger?token=" + token, bearer),
            get(b"/git/notifyCommit?token=" + token + b"&url=http://deploy:" + PASSWORD.encode() + b"@host/x.git"),
            get(b"/git/notifyCommit?token=" + token + b"&url=%zz"),
            post(b"/webhook/mini", hook + b"Content-Length: 2\r\n", b"{]"), post(b"/webhook/mini", hook),
            get(b"/job/mini/config.xml", bearer), get(b"/job/mini/api/json?depth=9&tree=*[*[*[*]]]", bearer),
            get(b"/api/json?depth=5&pretty=true", bearer), get(b"/metrics", bearer), get(b"/api/v1/status", bearer),
            get(b"/api/v1/audit", bearer), get(b"/job/mini/lastBuild/injectedEnvVars/api/json", bearer),
            get(b"/job/mini/lastBuild/api/xml?depth=6", bearer))]
        for path in ("/api/v1/apps/mini/builds/last/log", "/job/mini/lastBuild/consoleText"):
            answers.append(ask(agent.host, AGENT_PORT, "GET", path, agent.token)[2])
        answers.append(chain.fleet.command("status", "--json", agent=agent).stdout.encode())
        answers.append(chain.fleet.command("check-config", str(chain.fleet.config)).stdout.encode())
        return answers


if __name__ == "__main__":
    unittest.main()
