# SPDX-License-Identifier: MIT
"""A chain of real agents on one machine: start, stop, kill and ask them. Used by the demo and by the e2e tests.

Everything lives below one directory. Only processes started here are ever signalled, by their pid.
"""
import hashlib
import http.client
import json
import os
import pathlib
import secrets
import signal
import subprocess
import time


class AskError(Exception):
    """An agent did not answer, or answered with a status that was not expected."""

    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status


def wait_until(condition, within, what, every=0.05):
    """Polls until `condition()` is true and returns its value; TimeoutError naming `what` after `within` seconds.

    `what` may be a function, called only when the wait has failed, so that the message can show the last state.
    """
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise TimeoutError(f"not within {within:g} s: {text}")
        time.sleep(every)


def write_secret(path, text):
    """Writes a file that only its owner can read, whatever the umask. Who reads it meanwhile gets all or nothing."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
    os.replace(aside, path)
    return path


def ask(host, port, method, path, token=None, body=None, timeout=20.0, tls=None, headers=None):
    """One HTTP request; (status, headers by name in any case, body as bytes). AskError when there is no answer.
    `tls`: an SSLContext, for https."""
    if tls:
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=tls)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    headers = dict(headers or {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read(16 * 1024 * 1024)
    except (OSError, http.client.HTTPException) as error:
        raise AskError(f"{method} http://{host}:{port}{path}: {error}") from error
    finally:
        connection.close()


class Agent:
    """One agent process. Its standard error goes to `log_file`, appended to over restarts. `inside` is what its command
    begins with, where it runs in surroundings of its own."""

    def __init__(self, binary, config, name, host, port, log_file, token, inside=()):
        self.binary = str(binary)
        self.config = str(config)
        self.name = name
        self.host = host
        self.port = port
        self.log_file = pathlib.Path(log_file)
        self.token = token
        self.inside = list(inside)
        self.tls = None  # an SSLContext, for agents that speak https
        self.process = None

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, within=60.0):
        """Starts the agent and waits until /healthz answers 200."""
        if self.running():
            raise RuntimeError(f"agent {self.name} runs already")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BATON_")}
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log_file, "ab") as log:
            # A session of its own: Ctrl-C in a terminal must reach the demo alone, which then stops agents in order.
            self.process = subprocess.Popen(
                [*self.inside, self.binary, "agent", "--config", self.config, "--node", self.name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)
        wait_until(self._up_or_dead, within, lambda: f"agent {self.name} is healthy; its log ends:\n{self.log_tail()}")

    def _up_or_dead(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"agent {self.name} ended with {self.process.returncode}:\n{self.log_tail()}")
        return self.healthy()

    def healthy(self):
        try:
            return ask(self.host, self.port, "GET", "/healthz", timeout=1.0, tls=self.tls)[0] == 200
        except AskError:
            return False

    def kill(self):
        """SIGKILL, as when the machine loses power; waits for the end."""
        if self.running():
            os.kill(self.process.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(timeout=10)

    def stop(self, within=20.0):
        """SIGTERM, and SIGKILL if that is not obeyed in time. Returns the exit status, None if it never ran."""
        if self.process is None:
            return None
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(timeout=within)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def log_tail(self, lines=40):
        if not self.log_file.exists():
            return "(no log)"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    # --- asking ---

    def get(self, path, expect=200):
        """GET that must answer `expect`; its body as JSON where it is JSON, else as text."""
        status, headers, body = ask(self.host, self.port, "GET", path, self.token, tls=self.tls)
        return self._read("GET", path, status, headers, body, (expect,))

    def post(self, path, body=None, expect=(200, 201, 202)):
        status, headers, answer = ask(self.host, self.port, "POST", path, self.token, body, tls=self.tls)
        return self._read("POST", path, status, headers, answer, expect)

    def _read(self, method, path, status, headers, body, expect):
        text = body.decode("utf-8", errors="replace")
        if status not in expect:
            raise AskError(f"{method} {self.url}{path}: {status} {text[:300]}", status)
        return json.loads(text) if "json" in headers.get("Content-Type", "") and text else text

    def app(self, app):
        """The app's part of /api/v1/status."""
        for row in self.get("/api/v1/status")["apps"]:
            if row["app"] == app:
                return row
        raise AskError(f"{self.url} knows no app {app!r}")

    def rollouts(self, app):
        return self.get(f"/api/v1/apps/{app}/rollouts?limit=20")["rollouts"]

    def build_log(self, app, number="last"):
        try:
            return self.get(f"/api/v1/apps/{app}/builds/{number}/log")
        except AskError as error:
            return f"(no build log: {error})"


class Fleet:
    """The agents of one chain over one configuration file. `nodes` is a list of (name, host, port); `inside(name)` is
    what the command of a node's agent begins with."""

    def __init__(self, binary, directory, config_text, nodes, inside=lambda name: ()):
        self.directory = pathlib.Path(directory)
        self.binary = pathlib.Path(binary)
        self.config = self.directory / "agent.yaml"
        self.token = secrets.token_hex(20)
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(config_text, encoding="utf-8")
        self.token_file = write_secret(self.directory / "secrets" / "operator.token", self.token + "\n")
        digest = hashlib.sha256(self.token.encode()).hexdigest()
        write_secret(self.directory / "secrets" / "tokens", f"demo operate {digest}\n")
        key = self.command("keygen").stdout
        write_secret(self.directory / "secrets" / "cluster.key", key)
        self.agents = [Agent(binary, self.config, name, host, port, self.directory / name / "agent.log", self.token,
                             inside(name)) for name, host, port in nodes]

    def __getitem__(self, name):
        for agent in self.agents:
            if agent.name == name:
                return agent
        raise KeyError(name)

    def command(self, *arguments, agent=None, check=True, timeout=60):
        """Runs the command line program; with `agent`, against that one and with the operator's token."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BATON_")}
        if agent is not None:
            environment["BATON_AGENT"] = agent.url
            environment["BATON_TOKEN_FILE"] = str(self.token_file)
        done = subprocess.run([str(self.binary), *arguments], capture_output=True, text=True, timeout=timeout,
                              env=environment, stdin=subprocess.DEVNULL, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"baton {' '.join(arguments)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self):
        for agent in self.agents:
            agent.start()

    def stop(self):
        for agent in self.agents:
            if agent.running():
                agent.process.terminate()
        for agent in self.agents:
            agent.stop()
