#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Open-loop load on the shop: requests leave at their time whether or not earlier ones were answered, as users do.

    load.py URL --rate 200 --seconds 30 [--post 0.1] [--slow 0.05] [--kept 0.3] [--records FILE]

Every request's outcome is recorded; the report is JSON on standard output; the exit status is 1 when one failed.
SIGTERM ends it as its time does: no more is sent, and what is due is waited for.
As a library: `with Load(url, rate=100) as load: …` and then `load.report()`.
"""
import argparse
import asyncio
import collections
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.parse

MOST_SECONDS = 3600
MOST_IN_FLIGHT = 2000
# A server may close an idle connection at any time; one that was used a moment ago it keeps.
MOST_IDLE_SECONDS = 2.0
MOST_BODY = 4 * 1024 * 1024


class Failed(Exception):
    """The request came to no answer; the text is the kind of outcome."""


class Connection:
    """One connection; `last_used` is the loop's time."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.last_used = 0.0

    @classmethod
    async def open(cls, host, port):
        try:
            return cls(*await asyncio.open_connection(host, port))
        except ConnectionRefusedError:
            raise Failed("refused") from None
        except OSError as error:
            raise Failed(f"connect_{error.errno}") from None

    async def exchange(self, request):
        """Sends a request and reads its answer: (status, headers, whether the connection can be used again)."""
        try:
            self.writer.write(request)
            await self.writer.drain()
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, headers = parse_head(head)
            kept = await self._body(headers)
        except asyncio.IncompleteReadError as error:
            raise Failed("cut_off" if error.partial else "closed") from None
        except asyncio.LimitOverrunError:
            raise Failed("head_too_long") from None
        except OSError:
            raise Failed("reset") from None
        return status, headers, kept and headers.get("connection", "").lower() != "close"

    async def _body(self, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                await self.reader.readexactly(size + 2)
                if size == 0:
                    return True
        if "content-length" in headers:
            await self.reader.readexactly(min(int(headers["content-length"]), MOST_BODY))
            return True
        await self.reader.read(MOST_BODY)
        return False

    def close(self):
        self.writer.close()


def parse_head(head):
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[1].isdigit():
        raise Failed("not_http")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(parts[1]), headers


class Readings:
    """What was recorded: `records`, and how late requests left."""

    def __init__(self):
        self.records = []
        self.most_late_ms = 0.0

    def failures(self):
        return [record for record in self.records if record["outcome"] != "ok"]

    def ordered(self):
        """The request ids of the orders that were confirmed."""
        return {record["id"] for record in self.records if record["method"] == "POST" and record["outcome"] == "ok"}

    def report(self):
        good = sorted(record["latency_ms"] for record in self.records if record["outcome"] == "ok"
                      and not record["slow"])
        late = sorted(record["late_ms"] for record in self.records)
        times = [record["at"] for record in self.records]
        return {
            "requests": len(self.records), "failed": len(self.failures()),
            "seconds": round(max(times) - min(times), 2) if times else 0,
            "outcomes": dict(collections.Counter(record["outcome"] for record in self.records)),
            "methods": dict(collections.Counter(record["method"] for record in self.records)),
            "versions": dict(collections.Counter(record["version"] for record in self.records if record["version"])),
            "nodes": dict(collections.Counter(record["node"] for record in self.records if record["node"])),
            "latency_ms": {name: percentile(good, share) for name, share in
                           (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))},
            # How late requests left: more than some tens of milliseconds means that this machine was the limit.
            "late_p99_ms": percentile(late, 0.99),
            "most_late_ms": round(self.most_late_ms, 1),
        }


class Load(Readings):
    """`post`, `slow`, `kept`: shares of requests that order, that take `slow_ms`, that use a kept connection."""

    def __init__(self, url, rate=100, seconds=MOST_SECONDS, post=0.1, slow=0.05, kept=0.3, slow_ms=800, timeout=15.0,
                 seed=None, write=None):
        super().__init__()
        where = urllib.parse.urlsplit(url)
        self.host, self.port = where.hostname, where.port or 80
        self.rate, self.seconds = rate, min(seconds, MOST_SECONDS)
        self.post, self.slow, self.kept, self.slow_ms, self.timeout = post, slow, kept, slow_ms, timeout
        # Part of every request's id; plain characters only, since a `+` would arrive as a blank.
        self.run = f"load{os.getpid()}x{int(time.time() * 1000) % 10**9}"
        self._write = write
        self._random = random.Random(seed)
        self._idle = collections.deque()
        self._in_flight = set()
        self._stopping = threading.Event()
        self._thread = None
        self._began = 0.0

    # --- running ---

    def __enter__(self):
        self._thread = threading.Thread(target=lambda: asyncio.run(self.generate()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        """Sends no more, and waits for the answers that are due."""
        self.stop()
        self._thread.join(timeout=self.timeout + self.slow_ms / 1000 + 30)
        if self._thread.is_alive():
            raise RuntimeError("the load generator does not end")

    async def generate(self):
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._began = time.time()
        number = 0
        while not self._stopping.is_set():
            # Not `due - began`: what the sum is rounded to would now and then let one more go.
            if number / self.rate >= self.seconds:
                break
            due = began + number / self.rate
            late = loop.time() - due
            if late < 0:
                await asyncio.sleep(min(-late, 0.1))
                continue
            self.most_late_ms = max(self.most_late_ms, late * 1000)
            self._launch(number, late * 1000)
            number += 1
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=self.timeout + 5)
        for connection in self._idle:
            connection.close()

    def _launch(self, number, late_ms):
        if len(self._in_flight) >= MOST_IN_FLIGHT:
            self._keep(number, "none", "", time.time(), 0.0, "not_sent", 0, {}, False, late_ms)
            return
        task = asyncio.ensure_future(self._one(number, late_ms))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    def _choose(self, number):
        """(method, target, body, whether it is slow) of a request."""
        slow = self._random.random() < self.slow
        wait = f"ms={self.slow_ms}" if slow else ""
        if self._random.random() < self.post:
            fields = f"request_id={self.run}-{number:06d}&sku=st-mug&quantity=1" + (f"&{wait}" if wait else "")
            return "POST", "/order", fields, slow
        return "GET", f"/slow?{wait}" if slow else "/", "", slow

    async def _one(self, number, late_ms):
        method, target, body, slow = self._choose(number)
        kept = self._random.random() < self.kept
        wall, began = time.time(), asyncio.get_running_loop().time()
        status, headers, outcome = 0, {}, ""
        try:
            status, headers = await asyncio.wait_for(self._send(method, target, body, kept), self.timeout)
            outcome = "ok" if 200 <= status < 300 else f"http_{status}"
        except asyncio.TimeoutError:
            outcome = "timeout"
        except Failed as error:
            outcome = str(error)
        took = (asyncio.get_running_loop().time() - began) * 1000
        self._keep(number, method, target, wall, took, outcome, status, headers, slow, late_ms)

    async def _send(self, method, target, body, kept):
        connection = self._take_idle() if kept else None
        connection = connection or await Connection.open(self.host, self.port)
        keep = False
        try:
            lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}:{self.port}",
                     f"Connection: {'keep-alive' if kept else 'close'}"]
            if method == "POST":
                lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
            request = "\r\n".join(lines) + "\r\n\r\n" + body
            status, headers, keep = await connection.exchange(request.encode("ascii"))
            return status, headers
        finally:
            if keep and kept:
                connection.last_used = asyncio.get_running_loop().time()
                self._idle.append(connection)
            else:
                connection.close()

    def _take_idle(self):
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.last_used < MOST_IDLE_SECONDS and not connection.reader.at_eof():
                return connection
            connection.close()
        return None

    def _keep(self, number, method, target, wall, took, outcome, status, headers, slow, late_ms):
        record = {"id": f"{self.run}-{number:06d}", "at": round(wall, 4), "method": method, "target": target,
                  "slow": slow, "outcome": outcome, "status": status, "version": headers.get("x-version", ""),
                  "node": headers.get("x-node", ""), "latency_ms": round(took, 2), "late_ms": round(late_ms, 2)}
        self.records.append(record)
        if self._write:
            self._write(record)

    def stop(self):
        """Sends no more."""
        self._stopping.set()

    def report(self):
        return {"run": self.run, **super().report()}


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=100, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10, help=f"at most {MOST_SECONDS}")
    parser.add_argument("--post", type=float, default=0.1, help="share of orders")
    parser.add_argument("--slow", type=float, default=0.05, help="share of slow requests")
    parser.add_argument("--kept", type=float, default=0.3, help="share of requests over kept connections")
    parser.add_argument("--slow-ms", type=int, default=800)
    parser.add_argument("--timeout", type=float, default=15.0)
    parser.add_argument("--records", help="a file for every request's record, a line of JSON each")
    arguments = parser.parse_args()
    with open(arguments.records or os.devnull, "w", encoding="utf-8", buffering=1) as file:
        load = Load(arguments.url, arguments.rate, arguments.seconds, arguments.post, arguments.slow, arguments.kept,
                    arguments.slow_ms, arguments.timeout, write=lambda record: file.write(json.dumps(record) + "\n"))
        signal.signal(signal.SIGTERM, lambda *_: load.stop())
        try:
            asyncio.run(load.generate())
        except KeyboardInterrupt:
            pass
    json.dump(load.report(), sys.stdout, indent=2)
    print()
    return 1 if load.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
