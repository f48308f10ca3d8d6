# SPDX-License-Identifier: MIT
"""The load generator has to notice what goes wrong: it is the witness of every claim about failed requests."""
import http.server
import threading
import unittest

from harness import wait_until
from load import Load


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers every tenth request badly, each kind of bad in turn; counts orders by their id."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    asked = 0
    orders = []
    ending = threading.Event()

    def answer(self):
        with Answering.lock:
            Answering.asked += 1
            number = Answering.asked
        length = int(self.headers.get("Content-Length", 0))
        fields = self.rfile.read(length).decode()
        if number % 10:
            if fields:
                Answering.orders.append(fields.split("&")[0].split("=")[1])
            self.reply(200)
        elif number % 40 == 0:
            self.reply(502)
        elif number % 40 == 10:
            self.close_connection = True  # no answer at all
        elif number % 40 == 20:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            self.close_connection = True
        else:
            Answering.ending.wait(60)  # longer than the client waits
            self.close_connection = True

    do_GET = do_POST = answer

    def reply(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.send_header("X-Version", "v1")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    # What a machine that stood still has to send all at once finds room: who is dropped comes again after seconds.
    request_queue_size = 512


class LoadTest(unittest.TestCase):
    def setUp(self):
        Answering.asked, Answering.orders, Answering.ending = 0, [], threading.Event()
        self.server = Server(("127.0.0.1", 0), Answering)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(Answering.ending.set)

    def wait_for_requests(self, count):
        wait_until(lambda: Answering.asked >= count, 60, lambda: f"{count} requests, {Answering.asked} came",
                   every=0.01)

    def test_load_records_every_kind_of_failure(self):
        # The time-out is for the answers that never come; a slow machine's own pauses are shorter.
        with Load(self.url, rate=200, post=0.3, slow=0, kept=0.5, timeout=5.0, seed=1) as load:
            self.wait_for_requests(200)
        report = load.report()
        self.assertEqual(report["requests"], Answering.asked, "every request that was sent is in the report")
        tenth = Answering.asked // 10
        self.assertEqual(report["failed"], tenth)
        for kind in ("http_502", "closed", "cut_off", "timeout"):
            self.assertAlmostEqual(report["outcomes"].get(kind, 0), tenth / 4, delta=1, msg=kind)
        self.assertEqual(load.ordered(), set(Answering.orders))
        self.assertEqual(len(Answering.orders), len(set(Answering.orders)), "no order was sent twice")
        self.assertEqual(set(report["versions"]), {"v1"})

    def test_load_goes_on_while_answers_are_missing(self):
        with Load(self.url, rate=100, seconds=2, post=0, slow=0, kept=0, timeout=5.0) as load:
            wait_until(lambda: len(load.records) == 200, 60, lambda: f"200 requests, {len(load.records)} have ended")
        self.assertEqual(Answering.asked, 200, "the rate does not depend on the answers")

    def test_load_counts_refused_connections(self):
        self.server.shutdown()
        self.server.server_close()
        with Load(self.url, rate=100, seconds=0.2) as load:
            wait_until(lambda: len(load.records) == 20, 60, "every request has come to its end")
        self.assertEqual(set(record["outcome"] for record in load.records), {"refused"})


if __name__ == "__main__":
    unittest.main()
