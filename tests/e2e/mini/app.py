# SPDX-License-Identifier: MIT
"""The smallest app that can be deployed: one process, one page, a /health that names its commit.

`app.py restart` ends the running one and starts this release; `app.py stop` only ends it. What was done when is
noted in `run/events.jsonl` beside the releases, for the tests to read.
"""
import http.server
import json
import os
import pathlib
import select
import signal
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# Not resolved: `current` is a link, and what belongs to the node lives beside it.
RUN = pathlib.Path(os.environ["BATON_CURRENT_DIR"]).parent / "run"
STOP_SECONDS = 10
PORT = 8080


def note(event):
    line = json.dumps({"at": time.time(), "event": event, "commit": (HERE / "COMMIT").read_text().strip()})
    with open(RUN / "events.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")


def stop_running():
    """Ends the process of the pid file and waits for its end (a pidfd also sees a process that nobody has reaped)."""
    try:
        pid, born = (RUN / "pid").read_text().split()
        handle = os.pidfd_open(int(pid))
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    try:
        if birth(int(pid)) != born:
            return  # the number was given to somebody else
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], STOP_SECONDS)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], STOP_SECONDS)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def birth(pid):
    """When a process started, in the kernel's ticks; empty when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Handler(http.server.BaseHTTPRequestHandler):
    commit = ""
    healthy = True
    ready_at = 0.0
    gate = None  # of a start that is to take until a test lets it go on, as gate.py's

    def do_GET(self):
        status = 200
        if self.path == "/health" and not self.healthy:
            status = 500
        elif self.path == "/health" and (time.monotonic() < self.ready_at or self.held()):
            status = 503
        body = json.dumps({"commit": self.commit, "node": os.environ["NODE_NAME"], "healthy": self.healthy}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", self.commit)
        self.end_headers()
        self.wfile.write(body)

    def held(self):
        gate = self.gate
        return gate is not None and gate.exists() and not gate.with_name(gate.name + ".open").exists()

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # a stop answers the requests that it has accepted


def serve():
    behaviour = json.loads((HERE / "behaviour.json").read_text())
    Handler.commit = (HERE / "COMMIT").read_text().strip()
    Handler.healthy = behaviour["healthy"]
    gate = pathlib.Path(behaviour["gates"]) / f"verify.{os.environ['NODE_NAME']}"
    if behaviour["gates"] and gate.exists():  # one that is closed later is not for a release that runs already
        Handler.gate = gate
    server = Server((os.environ["NODE_ADDRESS"], PORT), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    temporary = RUN / "pid.new"
    temporary.write_text(f"{os.getpid()} {birth(os.getpid())}\n")
    temporary.rename(RUN / "pid")
    note("up")
    # After the note, so that the time between is never less than was asked for.
    Handler.ready_at = time.monotonic() + behaviour["ready_after_ms"] / 1000
    server.serve_forever(poll_interval=0.01)
    server.server_close()


def become_daemon():
    """The parent returns False at once; the child, in a session of its own and with its output in a file, True."""
    if os.fork():
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir(HERE)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(RUN / "app.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    return True


def main():
    RUN.mkdir(parents=True, exist_ok=True)
    note("stop")
    stop_running()
    if sys.argv[1] == "restart" and become_daemon():
        serve()


if __name__ == "__main__":
    main()
