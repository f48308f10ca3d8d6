# SPDX-License-Identifier: MIT
"""A man in the middle before every agent: HTTP that passes, is swallowed, is heard but not answered, or is rewritten.

Agents listen on another port (`listen:` in agent.yaml) than the one at which their peers call them; there stands one of
these. Peers say who they are in Baton-From, so what happens may differ for each pair and each direction.
"""
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import threading

LISTEN_PORT = 7072
LISTEN = f'listen: "${{NODE_ADDRESS}}:{LISTEN_PORT}"\n'
MOST_SECONDS = 60


class ClusterKeys:
    """Signs as agents do: HMAC-SHA256 over method, path, names, time, nonce and the body's digest."""

    def __init__(self, file):
        words = [line.split() for line in file.read_text().splitlines() if line.startswith("key ")]
        self.secrets = {name: base64.b64decode(secret) for _, name, secret in words}

    def sign(self, method, target, headers, body):
        version, rest = headers["Baton-Signature"].split("=", 1)
        key = rest.split(":", 1)[0]
        text = "\n".join([version, method, target, headers["Baton-From"], headers["Baton-To"], headers["Baton-Time"],
                          headers["Baton-Nonce"], hashlib.sha256(body).hexdigest()])
        return f"{version}={key}:{hmac.new(self.secrets[key], text.encode(), hashlib.sha256).hexdigest()}"


class Between:
    """`links[(sender, receiver)]` is `swallow` (it never arrives) or `unanswered` (it arrives, the answer does not).

    `rewrite(sender, value)` may change what `sender` says, in requests and in answers; it gets and gives the JSON.
    """

    def __init__(self, chain, rewrite=None):
        self.keys = ClusterKeys(chain.directory / "secrets" / "cluster.key")
        self.links = {}
        self.rewrite = rewrite
        self.kept = []  # (sender, receiver, path or `answer`, body) of what passed, while `keep` is set
        self.keep = False
        self._changed = threading.Condition()
        self._servers = []
        for name, host in chain.hosts.items():
            server = _Server((host, 7070), _Handler)
            server.between, server.node, server.upstream = self, name, (host, LISTEN_PORT)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            self._servers.append(server)

    def close(self):
        self.heal()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def cut(self, node, others):
        self._set({pair: "swallow" for other in others for pair in ((node, other), (other, node))})

    def deafen(self, node, others):
        """What it says arrives, but it hears nothing: neither calls nor answers."""
        self._set({(node, other): "unanswered" for other in others})
        self._set({(other, node): "swallow" for other in others})

    def mute(self, node, others):
        """It hears everything, but nothing that it says arrives: neither calls nor answers."""
        self._set({(node, other): "swallow" for other in others})
        self._set({(other, node): "unanswered" for other in others})

    def heal(self):
        with self._changed:
            self.links = {}
            self._changed.notify_all()

    def _set(self, links):
        with self._changed:
            self.links.update(links)

    def hold(self, pair):
        """Until the link is well again, as for packets that are lost."""
        with self._changed:
            self._changed.wait_for(lambda: pair not in self.links, timeout=MOST_SECONDS)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = MOST_SECONDS

    def handle_any(self):
        between = self.server.between
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sender = self.headers.get("Baton-From")
        pair = (sender, self.server.node)
        if between.links.get(pair) == "swallow":
            return self.give_up(pair)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "host")}
        if sender and between.keep:
            between.kept.append((*pair, self.path, body.decode()))
        if sender and between.rewrite:
            body = self.rewritten(sender, body)
            headers["Content-Length"] = str(len(body))
            headers["Baton-Signature"] = between.keys.sign(self.command, self.path, headers, body)
        try:
            connection = http.client.HTTPConnection(*self.server.upstream, timeout=30)
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # as if nobody listened
            return None
        if between.links.get(pair) == "unanswered":
            return self.give_up(pair)
        if sender and between.keep:
            between.kept.append((self.server.node, sender, "answer", content.decode(errors="replace")))
        if sender and between.rewrite and "json" in (answer.headers.get("Content-Type") or ""):
            content = self.rewritten(self.server.node, content)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("connection", "content-length", "server", "date", "keep-alive"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    do_GET = do_POST = handle_any

    def rewritten(self, sender, body):
        try:
            value = json.loads(body)
        except ValueError:
            return body
        return json.dumps(self.server.between.rewrite(sender, value), ensure_ascii=False).encode()

    def give_up(self, pair):
        self.server.between.hold(pair)
        self.close_connection = True

    def log_message(self, *arguments):
        pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # the other side has given up
