#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An agent's /api/v1 on a real socket: a rollout that walks on by one step each time it is looked at.

Prints its port. What came in is asked for with GET /requests. Ends with its standard input.
"""
import http.server
import json
import os
import sys
import threading
import urllib.parse

COMMIT = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d"
OLD = "0000000000001111111111112222222222223333"
NOW = 1_764_000_000_000
ROLLOUT = "01KAPV000000000000000000AA"

# What each look at the rollout finds: its state, and stage and state of both nodes.
WALK = [
    ("running", ("test", "running"), ("queued", "waiting")),
    ("running", ("done", "succeeded"), ("permit", "waiting")),
    ("END", ("done", "succeeded"), ("END", "END")),
]


class Fake:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests = []
        self.looks = 0
        self.end = "succeeded"
        self.log_looks = 0


FAKE = Fake()


def node(name, stage, state, waits=""):
    return {"node": name, "address": "10.0.0.1:7070", "self": name == "web1", "reachable": True, "last_heard_ms_ago": 0,
            "current": COMMIT if state == "succeeded" else OLD, "stage": stage, "state": state, "since_ms": NOW - 12_000,
            "started_ms": NOW - 60_000, "finished_ms": 0, "build": 7, "waits_for": waits, "message": "", "in_service": True}


def rollout(state, nodes, reason=""):
    return {"id": ROLLOUT, "epoch": 1, "attempt": 1, "commit": COMMIT, "subject": "Add a basket \x1b[31mred", "author": "Ann",
            "kind": "deploy", "started_on": "web1", "started_ms": NOW - 130_000,
            "cause": {"kind": "user", "text": "Started by user ann", "who": "ann", "address": ""},
            "state": state, "reason": reason, "nodes": nodes}


def walk():
    step = WALK[min(FAKE.looks, len(WALK) - 1)]
    FAKE.looks += 1
    ended = step[0] == "END"
    state = FAKE.end if ended else step[0]
    second = ("done", "succeeded") if state == "succeeded" else ("test", "failed")
    if not ended:
        second = step[2]
    reason = "test failed on web2" if state == "halted" else ""
    return rollout(state, [node("web1", *step[1]), node("web2", *second, "a permit from web3" if second[0] == "permit" else "")], reason)


def status():
    now = rollout("running", [])
    nodes = [node("web1", "done", "succeeded"), node("web2", "permit", "waiting", "a permit from web3"),
             dict(node("web3", "queued", "waiting"), reachable=False, last_heard_ms_ago=90_000,
                  in_service=False, drained={"by": "ann", "reason": "a new disk", "since_ms": NOW - 3_600_000})]
    app = {"app": "shop", "phase": "asking", "frozen": None, "rollout": now, "waits_for": "", "nodes": nodes}
    blog = {"app": "blog", "phase": "idle", "rollout": None, "waits_for": "", "nodes": [],
            "frozen": {"by": "bob", "reason": "sale", "since_ms": NOW - 3_600_000, "until_ms": 0}}
    return {"node": "web1", "version": "0.1.0", "now_ms": NOW, "apps": [app, blog]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status_code, body, headers=(), kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status_code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def error(self, status_code, kind, message):
        self.answer(status_code, {"error": {"kind": kind, "message": message}})

    def do_GET(self):
        with FAKE.lock:
            self.get()

    def get(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/requests":
            return self.answer(200, {"requests": FAKE.requests})
        self.record("")
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/api/v1/status":
            if "app" in query:
                return self.answer(200, dict(status(), apps=[a for a in status()["apps"] if a["app"] == query["app"][0]]))
            return self.answer(200, status())
        if url.path == "/api/v1/audit":
            return self.answer(200, {"entries": [{"at_ms": NOW, "who": "ann", "address": "10.1.1.1", "action": "halt",
                                                  "app": "shop", "detail": "bad prices"}]})
        if url.path == "/api/v1/ledger":
            cost = {"deploys": 3, "measured": 1, "assumed": 1, "unknown": 1, "dark_ms": 1040, "exposed_ms": 1012,
                    "assumed_exposed_ms": 500, "out_ms": 0, "drain_ms": 0, "restart_ms": 1300, "rejoin_ms": 0, "cut": 7,
                    "visible_ms": 337.3, "request_chance": 0.0000039, "request_chance_measured": 0.0000019,
                    "visit_chance": 0.00019, "expected_failed": 33.73}
            assumed = {"check_ms": 2000, "check_fast_ms": 250, "fall": 3, "dark_share": 0.8, "retried": 0.5, "rate": 100}
            none = {"check_ms": None, "check_fast_ms": None, "fall": None, "dark_share": None, "retried": 0, "rate": 0}
            return self.answer(200, {"since_ms": NOW - 86400000, "until_ms": NOW, "nodes": 3, "apps": 1,
                                     "assumptions": assumed if "check_ms" in query else none,
                                     "visit_requests": 50, "sum": cost, "by_node": [dict(cost, node="web1")],
                                     "by_app": [], "by_rollout": [], "by_day": [dict(cost, day="2025-11-24")],
                                     "rows": []})
        parts = url.path.split("/")
        if parts[4] == "secret":
            return self.error(401, "unauthorized", "who are you?")
        if parts[4] != "shop":
            return self.error(404, "not_found", "no app '%s' is configured (known: shop)" % parts[4])
        if parts[5] == "rollouts":
            return self.answer(200, {"rollouts": [walk(), rollout("halted", [node("web1", "test", "failed")], "tests failed")]})
        if parts[5] == "queue":
            number = int(parts[6])
            if number == 9:
                return self.answer(200, {"state": "held", "rollout": "", "reason": "frozen by bob: sale"})
            if number == 8:
                return self.answer(200, {"state": "refused", "rollout": "", "reason": "no such commit"})
            return self.answer(200, {"state": "started", "rollout": ROLLOUT, "reason": ""})
        if parts[5] == "builds":
            return self.build(parts, query)
        self.error(404, "not_found", "nothing here")

    def build(self, parts, query):
        number = 7 if parts[6] == "last" else int(parts[6])
        if len(parts) == 7:
            return self.answer(200, {"number": number, "state": "running"})
        # Grows by a line with every other look until it is whole, so that a follower meets looks without news.
        whole = b"".join(b"line %d\n" % i for i in range(1, 4))
        FAKE.log_looks += 1
        visible = whole[: min(len(whole), 7 * ((FAKE.log_looks + 1) // 2))]
        start = int(query.get("start", ["0"])[0])
        running = [("X-More-Data", "true")] if FAKE.log_looks < 7 else []
        self.answer(200, visible[start:], [("X-Text-Size", str(len(visible)))] + running, "text/plain")

    def do_POST(self):
        with FAKE.lock:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            self.record(body)
            self.post(self.path.split("/"), json.loads(body))

    def post(self, parts, body):
        verb = parts[-1]
        if verb == "trigger":
            if body["commit"] == "busy":
                return self.answer(503, b"<html>proxy</html>", kind="text/html")
            queue = {"held": 9, "refused": 8}.get(body["commit"], 5)
            FAKE.end = "halted" if body["commit"] == "bad" else "succeeded"
            return self.answer(202, {"queue_id": queue, "rollout": None})
        if verb == "promote":
            return self.error(409, "conflict", "there is no canary that could be promoted")
        self.answer(202, {"message": "%s: done" % verb})

    def record(self, body):
        FAKE.requests.append({"method": self.command, "target": self.path, "body": body,
                              "authorization": self.headers.get("Authorization", "")})


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    # The test holds the other end: when it is gone, however it ended, so is this.
    while os.read(0, 100):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
