# SPDX-License-Identifier: MIT
"""The smallest app that can be proved: /health names its commit, which prepare wrote beside it."""
import os
import pathlib
import time

COMMIT = (pathlib.Path(__file__).resolve().parent / "commit").read_text(encoding="ascii").strip()


def application(environ, start_response):
    path = environ.get("PATH_INFO", "/")
    if path == "/slow":
        time.sleep(0.4)
    healthy = path != "/health" or not os.path.exists("sick")
    body = f"{COMMIT} {os.getpid()}\n".encode("ascii")
    start_response("200 OK" if healthy else "500 Sick",
                   [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
