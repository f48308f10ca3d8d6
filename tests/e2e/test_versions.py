# SPDX-License-Identifier: MIT
"""Agents of different versions in one chain: the version before is understood, one too new is refused in words."""
import re
import unittest

from between import LISTEN, LISTEN_PORT, Between
from harness import HERE
from safety import SafetyCase, wait_until

OWN = int(re.search(r"protocol_version = (\d+);",
                    (HERE.parent.parent / "agent" / "chain" / "message.h").read_text()).group(1))


def as_before(value):
    """What an agent of the protocol version before this one would have said: no member that is newer."""
    value = {key: part for key, part in value.items() if key != "protocol"}
    for message in value.get("messages", []):
        message["header"]["protocol"] = OWN - 1
    return value


def as_after(value):
    """What an agent of the next version may say: members, bodies and words that this one does not know."""
    value = dict(value, protocol=OWN + 1, weather="fine")
    for message in value.get("messages", []):
        message["header"]["protocol"] = OWN + 1
        message["header"]["weather"] = {"sky": "blue"}
    if value.get("messages"):
        header = value["messages"][0]["header"]
        value["messages"] = [{"header": header, "sing": {"song": 1}}, *value["messages"]]
    for row in value.get("progress", [])[:1]:
        value["progress"] = [dict(row, stage="meditate"), *value["progress"]]
    return value


def too_new(value):
    value = dict(value, protocol=OWN + 2)
    for message in value.get("messages", []):
        message["header"]["protocol"] = OWN + 2
    return value


class VersionsTest(SafetyCase):
    def chain_with(self, change):
        """A chain whose web2 speaks as `change` makes it, to all and in every answer."""
        def rewrite(sender, value):
            return change(value) if sender == "web2" else value

        def stand(chain):
            chain.between = Between(chain, rewrite)
            self.addCleanup(chain.between.close)
        return self.safe_chain(handoff_timeout="2s", top=LISTEN, port=LISTEN_PORT, before_start=stand)

    def rolls_out(self, chain):
        with self.one_at_a_time(chain):
            for node in ("web1", "web2"):
                commit = chain.commit(f"Started at {node}")
                self.trigger(chain, node)
                self.settled(chain, commit)
                self.assertEqual(self.migrated(chain, commit), 1)
                for seen_by in ("web1", "web3"):
                    wait_until(lambda seen_by=seen_by: chain.node_row("web2", seen_by)["state"] == "succeeded", 60,
                               lambda seen_by=seen_by: f"its progress is understood: {chain.node_row('web2', seen_by)}")

    def test_a_rollout_over_an_agent_of_the_version_before(self):
        chain = self.chain_with(as_before)
        self.rolls_out(chain)
        self.assertIn(f"speaks another version of the protocol peer=web2 theirs={OWN - 1} ours={OWN}",
                      chain["web1"].log_file.read_text())
        chain.fleet.command("halt", "mini", "--reason", "nothing runs", agent=chain["web2"], check=False)
        bad = chain.commit("Taken back by an order through the older agent")
        self.trigger(chain)
        self.settled(chain, bad)
        first = chain.rollout(bad)["id"]
        chain.fleet.command("rollback", "mini", agent=chain["web2"])
        wait_until(lambda: chain.running_commit("web3") != bad, 60, f"rollout {first} is taken back")

    def test_a_rollout_over_an_agent_of_the_next_version(self):
        chain = self.chain_with(as_after)
        self.rolls_out(chain)
        self.assertIn("passed over what a newer agent said", chain["web1"].log_file.read_text())

    def test_an_agent_that_is_too_new_is_refused_in_words_on_both_sides(self):
        spoken = {"change": lambda value: value}
        chain = self.chain_with(lambda value: spoken["change"](value))
        spoken["change"] = too_new
        with self.one_at_a_time(chain):
            commit = chain.commit("The others go on")
            self.trigger(chain)
            wait_until(lambda: [chain.running_commit(name) for name in ("web1", "web3")] == [commit] * 2, 60,
                       lambda: f"web2 is passed over: {chain['web1'].app('mini')}")
            words = f"the peer speaks version {OWN + 2} of the chain protocol, this agent {OWN - 1} to {OWN + 1}"
            wait_until(lambda: words in chain["web1"].log_tail(400), 60, lambda: chain["web1"].log_tail())
            wait_until(lambda: words in chain["web2"].log_tail(400), 60, lambda: chain["web2"].log_tail())
            spoken["change"] = lambda value: value
            self.settled(chain, commit)


if __name__ == "__main__":
    unittest.main()
