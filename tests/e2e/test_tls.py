# SPDX-License-Identifier: MIT
"""Agents that speak TLS to each other and to everybody, with certificates of their own, renewed without a restart."""
import os
import shutil
import signal
import ssl
import unittest

from harness import AGENT_PORT, APP_TOKEN, ChainCase, Repeating, wait_until
from abuse import connect, get, post, read_answer, status_of
from certificates import Authority, serial_of
from test_keys import signed


class Kept(Repeating):
    """Asks on one connection again and again, since an agent closes one that is idle for five seconds."""

    PAUSE_SECONDS = 0.3

    def __init__(self, stream, ask):
        super().__init__()
        self._stream, self._ask = stream, ask
        self.statuses = []

    def once(self):
        try:
            self.statuses.append(self._ask(self._stream))
        except OSError as error:
            self.statuses.append(str(error))


class TlsTest(ChainCase):
    def asks(self, chain, authority, certificate=None):
        """What web1 answers to somebody who trusts `authority` and shows `certificate` (with its key); 0 when TLS
        comes to nothing."""
        trusting = ssl.create_default_context(cafile=str(authority.certificate))
        if certificate:
            trusting.load_cert_chain(*certificate)
        host = chain.hosts["web1"]
        try:
            with trusting.wrap_socket(connect((host, AGENT_PORT)), server_hostname=host) as stream:
                stream.sendall(get(b"/healthz"))
                return status_of(read_answer(stream))
        except OSError:
            return 0

    def test_a_rollout_walks_over_mutual_tls_and_strangers_get_nothing(self):
        chain = self.chain(deployed=False, poll=False, tls="both sides")
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(chain.first, "succeeded")
        self.assertEqual([chain.running_commit(name) for name in chain.NODES], [chain.first] * 3)
        other = Authority(chain.directory / "other", "other")
        stranger = other.issue("web2", chain.hosts["web2"])
        self.assertEqual(self.asks(chain, chain.authority, chain.certificates["web2"]), 200)
        self.assertEqual(self.asks(chain, chain.authority), 0, "no certificate")
        self.assertEqual(self.asks(chain, chain.authority, stranger), 0, "a certificate of another authority")
        self.assertEqual(self.asks(chain, other, chain.certificates["web2"]), 0, "a server of another authority")
        # A node's certificate speaks for that node alone, although all have the cluster key.
        key = (chain.directory / "secrets" / "cluster.key").read_text()
        self.assertEqual(self.speaks(chain, key, "web2", chain.certificates["web2"]), 202)
        self.assertEqual(self.speaks(chain, key, "web3", chain.certificates["web2"]), 401)
        shared = chain.authority.issue("everybody", chain.hosts["web2"])
        self.assertEqual(self.speaks(chain, key, "web3", shared), 202, "one for all nodes is allowed too")
        odd = chain.authority.issue("everybody,CN=web2", chain.hosts["web2"], "odd")
        self.assertEqual(self.speaks(chain, key, "web3", odd), 202, "a comma within a name divides nothing")
        # A certificate is no token: it lets in, and nothing more.
        host = chain.hosts["web1"]
        with chain["web1"].tls.wrap_socket(connect((host, AGENT_PORT)), server_hostname=host) as stream:
            stream.sendall(get(b"/api/v1/status"))
            self.assertEqual(status_of(read_answer(stream)), 403)
        certificate, key = chain.certificates["web3"]
        done = chain.fleet.command("status", "mini", "--json", "--ca-file", str(chain.authority.certificate),
                                   "--certificate-file", str(certificate), "--private-key-file", str(key),
                                   agent=chain["web1"])
        self.assertIn(chain.first, done.stdout)

    @staticmethod
    def speaks(chain, key, sender, certificate):
        """The status of a signed message of `sender` that comes with `certificate`."""
        host = chain.hosts["web1"]
        trusting = ssl.create_default_context(cafile=str(chain.authority.certificate))
        trusting.load_cert_chain(*certificate)
        headers = "".join(f"{name}: {value}\r\n" for name, value in signed(
            key, sender, "web1", "/peer/v1/chain/mini", b"{}").items())
        with trusting.wrap_socket(connect((host, AGENT_PORT)), server_hostname=host) as stream:
            stream.sendall(post(b"/peer/v1/chain/mini", headers.encode() + b"Content-Length: 2\r\n", b"{}"))
            return status_of(read_answer(stream))

    def test_new_certificates_are_served_after_sighup_and_old_connections_go_on(self):
        chain = self.chain(deployed=False, poll=False, tls="both sides")
        host = chain.hosts["web1"]
        before = serial_of(chain.certificates["web1"][0])
        self.assertEqual(self.served_serial(chain), before)
        kept = chain["web1"].tls.wrap_socket(connect((host, AGENT_PORT)), server_hostname=host)
        self.addCleanup(kept.close)
        with Kept(kept, self.on) as asker:
            self.renews(chain, before)
            asked = len(asker.statuses)
            wait_until(lambda: len(asker.statuses) > asked + 1, 60, "the connection of before is asked once more")
        self.assertEqual(set(asker.statuses), {200}, "the connection of before goes on")
        for name in chain.NODES:
            chain[name].tls = ssl.create_default_context(cafile=str(self.new.certificate))
            chain[name].tls.load_cert_chain(*chain.certificates[name])
        self.assertNotEqual(self.served_serial(chain), before)
        self.assertEqual(self.served_serial(chain), serial_of(chain.certificates["web1"][0]))
        # Peers too have taken the new ones.
        commit = chain.commit("Over new certificates")
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(commit, "succeeded")

    def renews(self, chain, before):
        # A broken file changes nothing.
        certificate, key = chain.certificates["web1"]
        good = certificate.read_bytes()
        certificate.write_bytes(b"broken")
        self.hang_up(chain, ["web1"], "cannot be read again")
        self.assertEqual(self.served_serial(chain), before)
        certificate.write_bytes(good)
        # Every node a new certificate of a new authority, in the usual order: trust both, renew, trust the new one.
        new = self.new = Authority(chain.directory / "new", "new")
        both = chain.authority.certificate.read_bytes() + new.certificate.read_bytes()
        chain.authority.certificate.write_bytes(both)
        self.hang_up(chain, chain.NODES, "read again")
        for name in chain.NODES:
            for fresh, old in zip(new.issue(name, chain.hosts[name]), chain.certificates[name]):
                shutil.copy(fresh, old)
        self.hang_up(chain, chain.NODES, "read again")
        chain.authority.certificate.write_bytes(new.certificate.read_bytes())
        self.hang_up(chain, chain.NODES, "read again")

    @staticmethod
    def on(stream):
        """Asks on a connection that stays open; the status."""
        stream.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = b""
        while b"ok\n" not in answer:
            piece = stream.recv(4096)
            if not piece:
                break
            answer += piece
        return status_of(answer)

    @staticmethod
    def served_serial(chain):
        host = chain.hosts["web1"]
        with chain["web1"].tls.wrap_socket(connect((host, AGENT_PORT)), server_hostname=host) as stream:
            return f"serial={stream.getpeercert()['serialNumber']}"

    @staticmethod
    def hang_up(chain, names, says):
        """SIGHUP to each, and waits until its log speaks of the TLS files once more."""
        def count(name):
            lines = chain[name].log_file.read_text().splitlines()
            return sum(says in line and "the TLS files" in line for line in lines)
        for name in names:
            before = count(name)
            os.kill(chain[name].process.pid, signal.SIGHUP)
            wait_until(lambda name=name, before=before: count(name) > before, 60, f"{name} says {says!r}")


if __name__ == "__main__":
    unittest.main()
