# SPDX-License-Identifier: MIT
"""A git host over HTTP that asks for a name and a password: git's own http-backend behind a small server."""
import base64
import http.server
import os
import subprocess
import threading
import urllib.parse


class GitHost:
    """Serves the repositories below `directory` at `url` to `username` with `password`; counts whom it refused."""

    def __init__(self, directory, username, password):
        self.directory = str(directory)
        self.wanted = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self.refused = 0
        self.served = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.host = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        host = self.server.host
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        given = self.headers.get("Authorization")
        if given != host.wanted:
            host.refused += given is not None  # git asks without first
            self.answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"who are you?\n")
            return
        host.served += 1
        target = urllib.parse.urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": host.directory, "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
            "PATH_INFO": urllib.parse.unquote(target.path), "QUERY_STRING": target.query, "REQUEST_METHOD": self.command, "REMOTE_USER": "deploy",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environment, timeout=60,
                              check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    do_GET = do_POST = handle_any

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass
