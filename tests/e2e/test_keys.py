# SPDX-License-Identifier: MIT
"""The cluster key changes under running agents, and a peer that is not right is told what is wrong with it."""
import base64
import datetime
import hashlib
import hmac
import http.client
import os
import secrets
import time
import unittest

from harness import AGENT_PORT, APP_TOKEN, ChainCase, wait_until
from fleet import write_secret


def signed(key_line, sender, receiver, target, body=b"", ahead=0.0, nonce=None):
    """The headers of a peer's POST, made without any of baton's code."""
    _, key_id, key = key_line.split()[:3]
    when, nonce = str(int((time.time() + ahead) * 1000)), nonce or secrets.token_hex(16)
    text = "\n".join(("v1", "POST", target, sender, receiver, when, nonce, hashlib.sha256(body).hexdigest()))
    signature = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).hexdigest()
    return {"Baton-From": sender, "Baton-To": receiver, "Baton-Time": when, "Baton-Nonce": nonce,
            "Baton-Signature": f"v1={key_id}:{signature}"}


class KeysTest(ChainCase):
    def key_files(self, chain):
        """A key file for each node, as on machines of their own."""
        shared = chain.directory / "secrets" / "cluster.key"
        text = chain.fleet.config.read_text()
        for name in chain.NODES:
            own = write_secret(chain.directory / name / "cluster.key", shared.read_text())
            chain[name].config = str(chain.directory / name / "agent.yaml")
            with open(chain[name].config, "w", encoding="utf-8") as file:
                file.write(text.replace(str(shared), str(own)))
        return [chain.directory / name / "cluster.key" for name in chain.NODES]

    def post(self, chain, headers, target="/peer/v1/chain/mini", body=b"{}"):
        connection = http.client.HTTPConnection(chain.hosts["web1"], AGENT_PORT, timeout=10)
        try:
            connection.request("POST", target, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def test_keys_are_changed_without_a_restart_and_each_refusal_tells_why(self):
        chain = self.chain(deployed=False, poll=False, start=False)
        files = self.key_files(chain)
        old = files[0].read_text().splitlines()[0]
        chain.start()
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(chain.first, "succeeded")
        target, body = "/peer/v1/chain/mini", b"{}"
        good = signed(old, "web2", "web1", target, body)
        self.assertEqual(self.post(chain, good)[0], 202)
        for headers, why in (
                (good, "it was seen before (a replay)"),
                (signed(old, "web2", "web3", target, body), "it was meant for 'web3', this is 'web1'"),
                (signed(old, "web2", "web1", target, body, ahead=330), "the clock of web2 is 5m"),
                (signed(old, "web2", "web1", target, body, ahead=-305), "behind the clock of web1"),
                (signed(old, "web9", "web1", target, body), "not in this agent's chain"),
                (signed(old, "web2", "web1", target, b"{} "), "the signature does not fit"),
                (signed(old, "web2", "web1", "/peer/v1/chain/other", body), "the signature does not fit"),
                (signed("key other " + old.split()[2], "web2", "web1", target, body), "key 'other' is not in")):
            status, text = self.post(chain, headers)
            self.assertEqual(status, 401, why)
            self.assertIn(why, text)
        # However many wrong ones came from there, a right one is heard.
        for _ in range(30):
            self.post(chain, signed(old, "web2", "web3", target, body))
        self.assertEqual(self.post(chain, signed(old, "web2", "web1", target, body))[0], 202)
        # Rotated on one machine so that the new key signs soon, copied to the others.
        if os.geteuid() == 0:
            os.chown(files[0], 65534, 65534)
        owner = files[0].stat().st_uid
        chain.fleet.command("keygen", "--rotate", str(files[0]), "--after", "8s")
        self.assertEqual(files[0].stat().st_uid, owner, "whoever rotates it, its owner can still read it")
        new = files[0].read_text().splitlines()[1]
        self.assertIn("until=", files[0].read_text().splitlines()[0])
        self.assertEqual(files[0].stat().st_mode & 0o777, 0o600)
        for file in files[1:]:
            write_secret(file, files[0].read_text())
        begins = datetime.datetime.fromisoformat(new.rsplit("from=", 1)[1].replace("Z", "+00:00")).timestamp()
        wait_until(lambda: time.time() > begins, 60, "the new key's time has come")
        commit = chain.commit("Under the new key")
        chain["web2"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(commit, "succeeded", seen_by="web2")
        self.assertEqual(self.post(chain, signed(new, "web2", "web1", target, body))[0], 202)
        self.assertEqual(self.post(chain, signed(old, "web2", "web1", target, body))[0], 202, "the old one overlaps")
        # The old one is taken out by hand; agents see it at once.
        for file in files:
            write_secret(file, new.split(" from=")[0] + "\n")
        status, text = self.post(chain, signed(old, "web2", "web1", target, body))
        self.assertEqual(status, 401)
        self.assertIn("is not in this node's cluster key file", text)
        last = chain.commit("Without the old key")
        chain["web3"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(last, "succeeded", seen_by="web3")
        for name in chain.NODES:
            self.assertNotIn("status 401", chain[name].log_tail(1000), "no letter was refused on the way")
            self.assertIn("cluster keys read again", chain[name].log_tail(1000))

    def test_nodes_have_keys_of_their_own_that_speak_for_nobody_else(self):
        chain = self.chain(deployed=False, poll=False, start=False)
        files = self.key_files(chain)
        shared = files[0].read_text().splitlines()[0]
        nodes = [word for name in chain.NODES for word in ("--node", name)]
        chain.fleet.command("keygen", "--rotate", str(files[0]), *nodes, "--after", "1s")
        lines = files[0].read_text().splitlines()
        self.assertEqual(len(lines), 4)
        # As if that had been long ago: without a beginning they count at once, and everybody's key no longer does.
        text = "".join(line.split(" from=")[0] + "\n" for line in lines)
        for file in files:
            write_secret(file, text)
        own = {line.rsplit("node=", 1)[1]: line for line in text.splitlines()[1:]}
        chain.start()
        chain["web1"].post(f"/job/mini/build?token={APP_TOKEN}")
        chain.wait_for(chain.first, "succeeded")
        target, body = "/peer/v1/chain/mini", b"{}"
        self.assertEqual(self.post(chain, signed(own["web2"], "web2", "web1", target, body))[0], 202)
        status, told = self.post(chain, signed(own["web3"], "web2", "web1", target, body))
        self.assertEqual((status, "is web3's, not web2's" in told), (401, True), told)
        status, told = self.post(chain, signed(shared, "web2", "web1", target, body))
        self.assertEqual((status, "web2 has a key of its own" in told), (401, True), told)


if __name__ == "__main__":
    unittest.main()
