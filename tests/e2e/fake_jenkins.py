# SPDX-License-Identifier: MIT
"""A server that behaves as a real Jenkins does towards a caller that triggers a job and follows it: crumbs, quiet
period, queue items that become builds and are forgotten, folders, restarts. A double at the edge of the world: Debian
has no Jenkins. What it does is in the remote access API's specification; what it saw is kept for the tests.
"""
import base64
import http.server
import json
import os
import re
import secrets
import ssl
import sys
import threading
import time
import urllib.parse

USER, TOKEN = "baton", "11aa22bb33cc44dd"


class Build:
    def __init__(self, number, item, parameters, causes):
        self.number, self.queue_id, self.parameters, self.causes = number, item, parameters, causes
        self.began, self.ended, self.result = time.time(), None, None


class FakeJenkins:
    """`parameters`: names that the job declares. `seconds`: how long a build takes; `hold()` keeps it from ending."""

    def __init__(self, job="shop-deploy", parameters=("COMMIT", "BATON_ROLLOUT"), seconds=0.3, quiet=0.2,
                 crumbs=False, context="", host=None, tls=None):
        self.path = "".join(f"/job/{segment}" for segment in job.split("/"))
        self.job, self.parameters, self.seconds, self.quiet = job, list(parameters), seconds, quiet
        # Not 127.0.0.1, from which everybody calls: between stop() and start() the port could become a caller's.
        self.host = host or f"127.250.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"
        self.crumbs, self.context = crumbs, context
        self.tls = tls                # (certificate, key) of its https
        self.results = []             # of the builds to come; SUCCESS when empty
        self.disabled = False
        self.forget_items = False     # left items are 404 at once, as after five minutes
        self.lose_answers = 0         # so many triggers are accepted, and their answers lost
        self.refuse_triggers = []     # statuses that the next triggers are answered with, and nothing is queued
        self.trigger_answer = "201"   # or "302": as before Jenkins 1.519, back to the job without a queue item's id
        self.builds, self.items, self.requests = [], {}, []
        self._next_item = 1000
        self._held = False
        self._lock = threading.RLock()
        self._sessions = {}
        self._server = None
        self._port = 0
        self._ending = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self.start()
        self._ticker.start()

    # --- the machine ---

    def start(self):
        server = type("BoundServer", (Server,), {"allow_reuse_address": True})
        handler = type("BoundHandler", (Handler,), {"jenkins": self})
        self._server = server((self.host, self._port), handler)
        self._server.daemon_threads = True
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            # The handshake on the connection's own thread: who breaks it off keeps nobody else from being heard.
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        """The HTTP listener is gone, and so are sessions and the items that have left the queue. Builds stay."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        with self._lock:
            self._sessions.clear()
            self.items = {number: item for number, item in self.items.items() if item["build"] is None}

    def close(self):
        self._ending.set()
        self.stop()
        self._ticker.join(timeout=5)

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.host}:{self._port}{self.context}"

    def node(self, name="old1", **options):
        """Its line in the chain of an agent.yaml; `options` are further keys of `jenkins`."""
        more = "".join(f", {key}: {value}" for key, value in options.items())
        # For harness.Chain(neighbours=…), which puts the directory in.
        return (f'    - {{{{name: {name}, jenkins: {{{{url: "{self.url}", job: "{self.job}", user: {USER}, '
                f'token_file: "{{directory}}/secrets/jenkins.token"{more}}}}}}}}}\n')

    def hold(self):
        self._held = True

    def release(self):
        self._held = False

    def _tick(self):
        while not self._ending.wait(0.02):
            with self._lock:
                now = time.time()
                running = [build for build in self.builds if build.result is None]
                for build in running:
                    if not self._held and now - build.began >= self.seconds:
                        build.result = self.results.pop(0) if self.results else "SUCCESS"
                        build.ended = now
                if running:
                    continue
                for number, item in sorted(self.items.items()):
                    if item["build"] is None and not item["cancelled"] and now >= item["due"]:
                        build = Build(len(self.builds) + 1, number, item["parameters"], item["causes"])
                        self.builds.append(build)
                        item["build"] = build.number
                        break

    # --- what tests look at ---

    def triggers(self):
        """The POSTs that asked for a build."""
        return [request for request in self.requests if request["method"] == "POST" and "/build" in request["path"]]

    def building(self):
        return any(build.result is None for build in self.builds)

    def spells(self):
        """When its machine was out: from the begin of each build to its end."""
        return [(build.began, build.ended or time.time()) for build in self.builds]

    def enqueue(self, parameters, causes):
        with self._lock:
            for number, item in self.items.items():  # what asks for the same is one item
                waits = item["build"] is None and not item["cancelled"]
                if waits and item["parameters"] == parameters:
                    item["causes"] += causes
                    return number
            self._next_item += 1
            self.items[self._next_item] = {"due": time.time() + self.quiet, "parameters": parameters, "causes": causes,
                                           "build": None, "cancelled": False}
            return self._next_item


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ssl.SSLError):  # a client that does not believe us hangs up
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    jenkins = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._serve("GET", b"")

    def do_POST(self):
        self._serve("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, method, body):
        jenkins = self.jenkins
        parts = urllib.parse.urlsplit(self.path)
        arguments = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        if "urlencoded" in self.headers.get("Content-Type", ""):
            arguments.update(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        path = urllib.parse.unquote(parts.path)[len(jenkins.context):]
        with jenkins._lock:
            jenkins.requests.append({"method": method, "path": path, "arguments": arguments, "at": time.time(),
                                     "headers": dict(self.headers)})
            given = self.headers.get("Authorization", "")
            expected = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
            if given and given != expected:
                return self._answer(401, "wrong credentials")
            if not given:
                return self._answer(403, "Authentication required")
            return self._route(method, path, arguments)

    def _route(self, method, path, arguments):
        jenkins = self.jenkins
        if path == "/crumbIssuer/api/json":
            session = secrets.token_hex(8)
            jenkins._sessions[session] = secrets.token_hex(32)
            return self._json({"_class": "hudson.security.csrf.DefaultCrumbIssuer",
                               "crumb": jenkins._sessions[session], "crumbRequestField": "Jenkins-Crumb"},
                              {"Set-Cookie": f"JSESSIONID.1={session}; Path=/; HttpOnly"})
        if method == "POST" and jenkins.crumbs and not self._crumb_is_right():
            return self._answer(403, "<html>Error 403 No valid crumb was included in the request</html>")
        if path == "/queue/api/json":
            return self._json({"items": [self._item(number) for number, item in jenkins.items.items()
                                         if item["build"] is None and not item["cancelled"]]})
        if found := re.fullmatch(r"/queue/item/(\d+)/api/json", path):
            return self._queue_item(int(found[1]))
        if not path.startswith(jenkins.path + "/"):
            return self._answer(404, "no such job")
        return self._job(method, path[len(jenkins.path):], arguments)

    def _crumb_is_right(self):
        session = re.search(r"JSESSIONID\.1=(\w+)", self.headers.get("Cookie", ""))
        crumb = self.jenkins._sessions.get(session[1]) if session else None
        return crumb is not None and crumb == self.headers.get("Jenkins-Crumb")

    def _queue_item(self, number):
        item = self.jenkins.items.get(number)
        if item is None or (self.jenkins.forget_items and item["build"]):
            return self._answer(404, "no such item")
        return self._json(self._item(number))

    def _item(self, number):
        jenkins, item = self.jenkins, self.jenkins.items[number]
        value = {"id": number, "actions": self._actions(item["parameters"], item["causes"]), "blocked": False,
                 "buildable": False, "cancelled": item["cancelled"],
                 "task": {"name": jenkins.job.split("/")[-1], "url": f"http://jenkins.example.com{jenkins.path}/"}}
        if item["build"]:
            # Of a Jenkins that knows itself by another name: only the path and the number are good.
            value["executable"] = {"number": item["build"],
                                   "url": f"http://jenkins.example.com{jenkins.path}/{item['build']}/"}
        else:
            value["why"] = "In the quiet period. Expires in 0.1 sec"
        return value

    def _actions(self, parameters, causes):
        actions = [{"causes": causes}, {}]
        if parameters:
            actions.insert(0, {"parameters": [{"name": n, "value": v} for n, v in parameters.items()]})
        return actions

    def _job(self, method, rest, arguments):
        jenkins = self.jenkins
        if rest == "/api/json":
            definitions = [{"name": name, "type": "StringParameterDefinition"} for name in jenkins.parameters]
            return self._json({
                "buildable": not jenkins.disabled, "nextBuildNumber": len(jenkins.builds) + 1,
                "property": [{"parameterDefinitions": definitions}] if definitions else [], "actions": [{}],
                "builds": [{"number": build.number, "queueId": build.queue_id,
                            "actions": self._actions(build.parameters, build.causes)}
                           for build in reversed(jenkins.builds)]})
        if rest in ("/build", "/buildWithParameters"):
            return self._trigger(method, rest, arguments)
        if found := re.fullmatch(r"/(\d+)/(api/json|stop)", rest):
            if not 1 <= int(found[1]) <= len(jenkins.builds):
                return self._answer(404, "no such build")
            build = jenkins.builds[int(found[1]) - 1]
            if found[2] == "stop":
                if build.result is None:
                    build.result, build.ended = "ABORTED", time.time()
                return self._answer(302, "", {"Location": f"{jenkins.url}{jenkins.path}/{build.number}/"})
            return self._json({"building": build.result is None, "result": build.result, "actions": [{}]})
        return self._answer(404, "nothing there")

    def _trigger(self, method, rest, arguments):
        jenkins = self.jenkins
        if method != "POST":
            return self._answer(405, "POST is required", {"Allow": "POST"})
        if jenkins.refuse_triggers:
            return self._answer(jenkins.refuse_triggers.pop(0), "not now")
        if jenkins.disabled:
            return self._answer(409, f"{jenkins.job} is not buildable")
        if (rest == "/buildWithParameters") != bool(jenkins.parameters):
            return self._answer(400, "Nothing is submitted" if rest == "/build" else "not parameterized")
        parameters = {name: arguments.get(name, "") for name in jenkins.parameters}
        # An API token is a login: `cause` counts only together with a job's own token.
        causes = [{"_class": "hudson.model.Cause$UserIdCause", "shortDescription": f"Started by user {USER}",
                   "userId": USER, "userName": USER}]
        number = jenkins.enqueue(parameters, causes)
        if jenkins.lose_answers:
            jenkins.lose_answers -= 1
            self.close_connection = True
            self.connection.close()
            return None
        if jenkins.trigger_answer == "302":
            return self._answer(302, "", {"Location": f"{jenkins.url}{jenkins.path}/"})
        return self._answer(201, "", {"Location": f"http://jenkins.example.com{jenkins.context}/queue/item/{number}/"})

    def _json(self, value, headers=None):
        self._answer(200, json.dumps(value), {"Content-Type": "application/json;charset=utf-8", **(headers or {})})

    def _answer(self, status, text, headers=None):
        body = text.encode()
        self.send_response(status)
        self.send_header("X-Jenkins", "2.462.3")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
