# SPDX-License-Identifier: MIT
"""A real agent that faces a hostile network: each abuse is refused cleanly, others are served meanwhile, and the
memory stays flat. The figures are printed.
"""
import contextlib
import gzip
import http.client
import json
import resource
import select
import socket
import ssl
import time
import unittest

from harness import AGENT_PORT, APP_TOKEN, ChainCase, wait_until
from fleet import write_secret
from abuse import MIB, Figures, connect, flood, get, post, read_answer, send, status_of
import certificates

KIB_OF_GROWTH = 24 * 1024
# Seconds less than any deadline by which the server would get rid of who keeps others out.
SLOWEST_MS = 4_500
HOOKS = "      webhook_secret_file: {directory}/secrets/hook\n"


def children_seconds():
    """The processor's time that ended children have had, which does not depend on what else a machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class ExposedCase(ChainCase):
    def exposed(self):
        """web1 alone, with a build behind it, and its figures."""
        chain = self.chain(deployed=False, poll=False, triggers=HOOKS)
        write_secret(chain.directory / "secrets" / "hook", "a secret of the forge\n")
        self.agent = chain["web1"]
        self.address = (self.agent.host, AGENT_PORT)
        self.figures = Figures(self.agent.process.pid, self.served)
        self.addCleanup(lambda: print("\n" + self.figures.table(), flush=True))
        return chain

    def served(self):
        """What somebody else gets: an answer of the agent's, with a token, from an address of their own."""
        connection = http.client.HTTPConnection(*self.address, timeout=20, source_address=("127.9.9.9", 0))
        try:
            connection.request("GET", "/api/v1/status", headers={"Authorization": f"Bearer {self.agent.token}"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"answered {answer.status}")
        finally:
            connection.close()

    def assert_figures(self):
        self.assertTrue(self.agent.running(), "the agent lives")
        for name, answers, before, after, count, worst, failures in self.figures.rows:
            self.assertEqual(failures, [], f"{name}: somebody else was not served")
            self.assertGreaterEqual(count, 5, name)
            self.assertLess(worst, SLOWEST_MS, f"{name}: somebody else waited")
            self.assertLess(after - before, KIB_OF_GROWTH, f"{name}: memory grew from {before} to {after} KiB")


class FloodTest(ExposedCase):
    def test_floods_bombs_and_ambiguous_requests_are_refused_while_others_are_served(self):
        self.exposed()
        address, case = self.address, self.figures.case
        megabyte = b"x" * MIB
        # Threads and buffers that any traffic brings come before the first measure.
        for _ in range(20):
            self.served()
            send(address, post(b"/webhook/mini", b"Content-Length: 1000000\r\n"), megabyte[:1_000_000])
        with case("an endless request line, 100 MiB") as answers:
            answers.append(flood(address, b"GET /", megabyte, 100))
        with case("an endless header line, 100 MiB") as answers:
            answers.append(flood(address, b"GET / HTTP/1.1\r\nHost: h\r\nX: ", megabyte, 100))
        with case("a million headers") as answers:
            answers.append(flood(address, b"GET / HTTP/1.1\r\nHost: h\r\n", b"a:b\r\n" * 10_000, 100))
        with case("a chunked body without an end, 100 MiB") as answers:
            head = b"POST /webhook/mini HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            answers.append(flood(address, head, b"100000\r\n" + megabyte + b"\r\n", 100))
        with case("a megabyte of chunk extensions a byte") as answers:
            answers.append(flood(address, head, b"1;" + b"e" * 200 + b"\r\nx\r\n", 100_000))
        with case("a length of 200 MiB") as answers:
            answers.append(flood(address, post(b"/", b"Content-Length: 209715200\r\n"), megabyte, 200))
        with case("a body without a length, 50 MiB") as answers:
            answers.append(status_of(send(address, post(b"/webhook/mini"), *[megabyte] * 50)))
        with case("a gzip bomb of 64 MiB") as answers:
            bomb = gzip.compress(b"\0" * (64 * MIB), 9)
            fields = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(bomb)
            answers.append(status_of(send(address, post(b"/webhook/mini", fields, bomb))))
        with case("two lengths, a length and chunks") as answers:
            for fields in (b"Content-Length: 3\r\nContent-Length: 4\r\n",
                           b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 3, 4\r\n"):
                answers.append(status_of(send(address, post(b"/webhook/mini", fields, b"abc"))))
        with case("1,900 ranges of four bytes") as answers:
            ranges = b"Range: bytes=0-1" + b",0-1" * 1_900 + b"\r\n"
            answer = send(address, get(b"/healthz", ranges))
            answers.append(status_of(answer))
            self.assertLess(len(answer), 2_000)
        with case("1,000 requests in one go") as answers:
            one = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
            answer = send(address, one * 999 + get(b"/healthz"), within=10)
            answers.append(answer.count(b"HTTP/1.1 200 "))
        expected = {"an endless request line, 100 MiB": {414, 431}, "an endless header line, 100 MiB": {431},
                    "a million headers": {431}, "a chunked body without an end, 100 MiB": {413},
                    "a megabyte of chunk extensions a byte": {400}, "a length of 200 MiB": {413},
                    "a body without a length, 50 MiB": {401}, "a gzip bomb of 64 MiB": {415},
                    "two lengths, a length and chunks": {400}, "1,900 ranges of four bytes": {200},
                    "1,000 requests in one go": {1000}}
        for row in self.figures.rows:
            self.assertLessEqual(set(row[1]), expected[row[0]], row[0])
        self.assert_figures()

    def test_crowds_that_hold_connections_open_keep_nobody_out(self):
        self.exposed()
        case = self.figures.case
        for _ in range(20):
            self.served()
        with case("600 half-open heads from 3 addresses") as answers, contextlib.ExitStack() as crowd:
            for number in range(600):
                one = crowd.enter_context(connect(self.address, f"127.8.8.{number % 3 + 1}"))
                with contextlib.suppress(OSError):
                    one.sendall(b"GET / HT")
            for _ in range(20):
                self.served()
        with case("heads of a byte a second, 60 clients") as answers:
            answers.extend(self.drip(60, b"GET /", 30))
        # Three bodies that would be all that is kept for bodies, and never come to an end; a small one is taken.
        with case("large bodies that never end, and a small one") as answers, contextlib.ExitStack() as crowd:
            for _ in range(3):
                one = crowd.enter_context(connect(self.address, "127.8.8.1"))
                one.sendall(post(b"/webhook/mini", b"Content-Length: 25000000\r\n"))
                with contextlib.suppress(OSError):
                    one.sendall(b"x" * (22 * MIB))
            body = b'{"reason": "small"}'
            fields = b"Authorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % (
                self.agent.token.encode(), len(body))
            answers.append(status_of(send(self.address, post(b"/api/v1/apps/mini/freeze", fields, body))))
        # What bodies hold is given back, so memory is looked at once they are gone.
        rows = {row[0]: row for row in self.figures.rows}
        self.assertEqual(set(rows["heads of a byte a second, 60 clients"][1]), {408})
        self.assertEqual(rows["large bodies that never end, and a small one"][1], [202])
        name, answers, before, _, count, worst, failures = self.figures.rows.pop()
        self.assertEqual(failures, [])
        self.assertLess(worst, SLOWEST_MS)
        self.assert_figures()

    def drip(self, clients, head, seconds):
        """The statuses that so many clients get who send a byte a second after their head."""
        crowd = [connect(self.address, "127.8.8.4") for _ in range(clients)]
        statuses = []
        try:
            for one in crowd:
                one.sendall(head)
            deadline = time.monotonic() + seconds
            while crowd and time.monotonic() < deadline:
                ready, _, _ = select.select(crowd, [], [], 1.0)
                for one in ready:
                    statuses.append(status_of(read_answer(one, 2)))
                    one.close()
                    crowd.remove(one)
                for one in crowd:
                    with contextlib.suppress(OSError):
                        one.sendall(b"x")
        finally:
            for one in crowd:
                one.close()
        return statuses + [0] * len(crowd)


class TrickTest(ExposedCase):
    def test_what_looks_like_a_path_a_header_or_an_address_is_taken_for_what_it_is(self):
        chain = self.exposed()
        self.agent.post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(chain.first, "succeeded")
        token = b"Authorization: Bearer " + self.agent.token.encode() + b"\r\n"
        self.path_tricks(chain, token)
        self.injected_lines(token)
        self.spoofed_addresses()
        self.malformed_text(token)
        self.assert_figures()

    def path_tricks(self, chain, token):
        """No path that names a file leads out of its folder."""
        (chain.directory / "outside").write_text("root:x:0:0:the secret")
        up = [b"..%2f" * 12 + b"etc/passwd", b"%2e%2e/" * 12 + b"etc/passwd", b"..%5c..%5c..%5cetc%5cpasswd",
              b"..%252f..%252fetc/passwd", b"%2fetc%2fpasswd", b"/etc/passwd", b"..;/..;/etc/passwd", b"a%00b",
              b"....//....//etc/passwd", b".%2e/.%2e/etc/passwd", b"%c0%ae%c0%ae/etc/passwd", b"../" * 12 + b"etc/passwd",
              b"x" * 4000]
        folders = [b"/job/mini/1/artifact/", b"/job/mini/lastBuild/artifact/", b"/job/mini/ws/", b"/userContent/",
                   b"/static/", b"/job/mini/1/", b"/api/v1/apps/mini/builds/", b"/webhook/", b"/job/", b"/",
                   b"/job/mini/1/execution/node/", b"/plugin/", b"/adjuncts/", b"/health/", b"/computer/"]
        with self.figures.case(f"path tricks, {len(up) * len(folders)} of them") as answers:
            for folder in folders:
                for trick in up:
                    answer = send(self.address, get(folder + trick, token))
                    answers.append(status_of(answer))
                    self.assertNotIn(b"root:", answer, folder + trick)
                    self.assertIn(status_of(answer), (400, 401, 403, 404, 405, 501), folder + trick)

    def injected_lines(self, token):
        with self.figures.case("line ends in paths, queries and hosts") as answers:
            for target in (b"/%0d%0aSet-Cookie:%20x=1", b"/job/mini/api/json?tree=%0d%0aSet-Cookie:%20x=1",
                           b"/git/notifyCommit?url=%0d%0aSet-Cookie:x=1&token=" + APP_TOKEN.encode(),
                           b"/job/mini/build?token=%0d%0aSet-Cookie:x=1&delay=%0d%0aX:y",
                           b"/webhook/%0d%0aSet-Cookie:%20x=1"):
                answer = send(self.address, get(target, token))
                answers.append(status_of(answer))
                self.assertNotIn(b"\nSet-Cookie", answer.split(b"\r\n\r\n")[0].title(), target)
            for host in (b"h\r\n X: y", b"h/../<x>", b"h%0d%0aX:y", b"a b"):
                answer = send(self.address, b"GET /job/mini/api/json HTTP/1.1\r\nHost: " + host
                              + b"\r\nConnection: close\r\n" + token + b"\r\n")
                answers.append(status_of(answer))
                self.assertEqual(status_of(answer), 400, host)
        audit = self.agent.get("/api/v1/audit")["entries"]
        self.assertTrue(all("\n" not in entry["detail"] for entry in audit))

    def spoofed_addresses(self):
        """Wrong credentials count for who sent them, whatever the headers say, and nobody else pays for it."""
        with self.figures.case("60 wrong tokens under 60 claimed addresses") as answers:
            for number in range(60):
                fields = b"".join(name + b": 127.9.9.9\r\n" if number % 2 else name + b": 10.0.0.%d\r\n" % number
                                  for name in (b"X-Forwarded-For", b"REMOTE_ADDR", b"Remote-Addr", b"X-Real-IP",
                                               b"Forwarded", b"Client-IP"))
                fields += b"Authorization: Bearer guess%d\r\n" % number
                answers.append(status_of(send(self.address, get(b"/api/v1/status", fields), source="127.8.8.9")))
        self.assertEqual(answers[:20], [401] * 20)
        self.assertEqual(answers[20:], [503] * 40, "the sender is made to wait, not whom it names")
        metrics = self.agent.get("/metrics")
        failed = next(line for line in metrics.splitlines() if line.startswith("baton_failed_logins_total "))
        self.assertGreaterEqual(int(failed.split()[1]), 20)
        refused = next(line for line in metrics.splitlines() if line.startswith("baton_http_refused_requests_total "))
        self.assertGreaterEqual(int(refused.split()[1]), 4, "the malformed requests before were counted")

    def malformed_text(self, token):
        deep = b"[" * 1_000_000
        cases = {
            b"/api/v1/apps/mini/trigger": [deep[:900_000], b'{"a":' * 100_000, b"\xff\xfe", b'{"commit":"\xc3("}',
                                           b'{"commit":"\\ud800"}', b'{"commit":"a","commit":"b"}', b"{" + b"\0" * 100],
            b"/api/v1/apps/mini/freeze": [b'{"reason":"\xed\xa0\x80"}', b"[]", b"7", b'{"until_ms":1e400}'],
        }
        with self.figures.case("deep JSON, bad UTF-8, doubled keys") as answers:
            for path, bodies in cases.items():
                for body in bodies:
                    answer = send(self.address, post(path, token + b"Content-Length: %d\r\n" % len(body), body))
                    answers.append(status_of(answer))
                    self.assertEqual(status_of(answer), 400, body[:40])
                    told = json.loads(answer.split(b"\r\n\r\n", 1)[1].decode("utf-8"))
                    self.assertEqual(told["error"]["kind"], "invalid", body[:40])
        with self.figures.case("bad UTF-8 in paths and headers") as answers:
            for request in (get(b"/job/%ff%fe/api/json", token), get(b"/job/mini/api/json?tree=%ff", token),
                            get(b"/job/\xff\xfe/api/json", token), get(b"/api/json", b"Authorization: Basic \xff\xff\r\n"),
                            get(b"/api/v1/apps/%ed%a0%80/builds", token)):
                answer = send(self.address, request)
                answers.append(status_of(answer))
                self.assertIn(status_of(answer), (200, 400, 401, 403, 404), request)
                answer.split(b"\r\n\r\n", 1)[1].decode("utf-8")

    def test_what_is_refused_before_it_is_read_has_the_shape_of_its_path(self):
        self.exposed()
        long = b"x" * 20_000
        for path, request, status in ((b"/api/v1/status", get(b"/api/v1/status", b"X: " + long + b"\r\n"), 431),
                                      (b"/api/v1/", get(b"/api/v1/" + long), 414),
                                      (b"/api/v1/apps/mini/trigger",
                                       post(b"/api/v1/apps/mini/trigger", b"Content-Length: 99999999\r\n"), 413),
                                      (b"/job/mini/api/json", get(b"/job/mini/api/json", b"X: " + long + b"\r\n"), 431),
                                      (b"/job/mini/build", post(b"/job/mini/build", b"Content-Length: 9\r\n"
                                                                                    b"Transfer-Encoding: chunked\r\n"), 400)):
            answer = send(self.address, request)
            self.assertEqual(status_of(answer), status, path)
            head, body = answer.split(b"\r\n\r\n", 1)
            self.assertIn(b"\r\nX-Jenkins: ", head, path)
            if path.startswith(b"/api/v1"):
                self.assertIn(b"application/json", head, path)
                self.assertIn(json.loads(body)["error"]["kind"], ("too_large", "invalid"), path)
            else:
                self.assertIn(b"text/plain", head, path)

    def test_followers_of_a_log_are_limited_and_starve_nobody(self):
        chain = self.exposed()
        gate = chain.close_gate("test", "web1")
        commit = chain.commit("Waits in its test")
        self.agent.post(f"/job/mini/build?token={APP_TOKEN}")
        wait_until(lambda: chain.reached(gate), 60, f"{commit} waits at its gate")
        path = b"/api/v1/apps/mini/builds/last/log?start=%d&wait=30"
        size = len(self.agent.build_log("mini").encode())
        token = b"Authorization: Bearer " + self.agent.token.encode() + b"\r\n"
        with self.figures.case("100 followers of one log") as answers, contextlib.ExitStack() as crowd:
            followers = [crowd.enter_context(connect(self.address, "127.8.8.5")) for _ in range(100)]
            for one in followers:
                one.sendall(get(path % size, token))
            refused = wait_until(lambda: self.answered(followers, 52), 20, "those beyond the limit are answered")
            answers.extend(status_of(read_answer(one, 2)) for one in refused)
        self.assertEqual(set(answers), {503}, "48 of one address follow, the others are told to come back")
        chain.open_gate(gate)
        self.assert_figures()

    @staticmethod
    def answered(connections, enough):
        """Those that have an answer with a status by now that is no stream's; none while there are fewer."""
        ready, _, _ = select.select(connections, [], [], 0)
        refused = [one for one in ready if b" 503 " in one.recv(64, socket.MSG_PEEK)]
        return refused if len(refused) >= enough else None

    def test_a_deep_or_huge_configuration_is_refused_at_once(self):
        chain = self.exposed()
        for name, text in (("deep.yaml", "test:\n  - run: " + "[" * 100_000),
                           ("bomb.yaml", "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
                               f"{chr(98 + i)}: &{chr(98 + i)} [" + ",".join([f"*{chr(97 + i)}"] * 9) + "]\n"
                               for i in range(9))),
                           ("huge.yaml", "test:\n" + "  - run: x\n" * 400_000),
                           ("utf8.yaml", "test:\n  - run: \"\udcff\"\n")):
            file = chain.directory / name
            file.write_bytes(text.encode("utf-8", "surrogateescape"))
            before = children_seconds()
            done = chain.fleet.command("check-config", str(file), check=False)
            self.assertEqual(done.returncode, 1, f"{name}: {done.stderr[:300]}")
            self.assertIn(name, done.stderr)
            self.assertLess(children_seconds() - before, 10, name)


class TlsAbuseTest(ExposedCase):
    def test_over_tls_stalled_handshakes_old_versions_and_renegotiation_are_refused(self):
        chain = self.chain(deployed=False, poll=False, tls="one side")
        self.agent = chain["web1"]
        self.address = (self.agent.host, AGENT_PORT)
        authority = chain.authority.certificate
        trusting = ssl.create_default_context(cafile=str(authority))

        def served():
            with trusting.wrap_socket(connect(self.address, "127.9.9.9"), server_hostname=self.agent.host) as stream:
                stream.sendall(get(b"/healthz"))
                if status_of(read_answer(stream)) != 200:
                    raise RuntimeError("not served")
        self.figures = Figures(self.agent.process.pid, served)
        self.addCleanup(lambda: print("\n" + self.figures.table(), flush=True))
        for _ in range(30):
            served()
        with self.figures.case("300 TCP connections without a greeting"), contextlib.ExitStack() as crowd:
            silent = [crowd.enter_context(connect(self.address, f"127.8.8.{n % 2 + 1}")) for n in range(300)]
            gone = lambda: len(select.select(silent, [], [], 0)[0]) >= 290
            wait_until(gone, 20, "the silent ones are dropped")
        with self.figures.case("plain HTTP to the TLS port") as answers:
            answers.append(status_of(send(self.address, get(b"/healthz"))))
        with self.figures.case("half a greeting, then nothing, 50 times"), contextlib.ExitStack() as crowd:
            for _ in range(50):
                one = crowd.enter_context(connect(self.address, "127.8.8.3"))
                one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 32)
            served()
        with self.figures.case("TLS 1.1") as answers:
            old = certificates.ask_with_openssl(self.address, authority, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
            answers.append("200" if "HTTP/1.1 200" in old else "refused")
            self.assertIn("alert protocol version", old)
        with self.figures.case("TLS 1.2, renegotiation asked for") as answers:
            again = certificates.renegotiate_with_openssl(self.address, authority)
            answers.append("200" if "HTTP/1.1 200" in again else "refused")
            self.assertIn("RENEGOTIATING", again)
        rows = {row[0]: row[1] for row in self.figures.rows}
        self.assertEqual(rows["plain HTTP to the TLS port"], [0])
        self.assertEqual(rows["TLS 1.1"], ["refused"])
        self.assertEqual(rows["TLS 1.2, renegotiation asked for"], ["refused"])
        self.assertIn("HTTP/1.1 200", certificates.ask_with_openssl(self.address, authority, "-tls1_2"))
        self.assert_figures()


if __name__ == "__main__":
    unittest.main()
