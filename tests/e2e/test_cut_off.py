# SPDX-License-Identifier: MIT
"""A node that the others cannot reach in the middle of its switch keeps its lane, and goes on when it is back."""
import time
import unittest

from between import LISTEN, LISTEN_PORT, Between
from safety import SafetyCase, wait_until
from wires import Wires


class CutOffTest(SafetyCase):
    """web2 is in its switch, its app down; it is cut off; a newer commit comes to the others; web2 is back."""

    def between_chain(self, **options):
        """A chain with a man in the middle before every agent: `chain.between`."""
        def stand(chain):
            chain.between = Between(chain)
            self.addCleanup(chain.between.close)
        return self.safe_chain(handoff_timeout="1s", top=LISTEN, port=LISTEN_PORT, before_start=stand, **options)

    def wired_chain(self):
        """Nodes with a network each, or what comes next to it where the machine gives none: (chain, cut, heal)."""
        if not Wires.possible():
            chain = self.between_chain()
            return chain, lambda: chain.between.cut("web2", ("web1", "web3")), chain.between.heal
        wires = Wires(3)
        self.addCleanup(wires.close)

        def inside(chain):
            for name in chain.NODES:
                chain[name].inside = wires.prefix(name)
        chain = self.safe_chain(handoff_timeout="1s", network=wires.network, before_start=inside)
        return chain, lambda: wires.cut("web2"), lambda: wires.heal("web2")

    def into_its_switch(self, chain):
        gate = chain.close_gate("switch", "web2")
        chain.commit("Cut off")
        self.trigger(chain)
        wait_until(lambda: chain.reached(gate), 60, "web2 is in its switch")
        return gate

    def newer_waits(self, chain, began):
        """A newer commit at web1; waits until it is seen to wait for web2."""
        newer = chain.commit("Comes meanwhile")
        self.trigger(chain)
        wait_until(lambda: "web2" in chain["web1"].app("mini")["waits_for"], 60,
                   lambda: f"web1 names who holds the lane: {chain['web1'].app('mini')}")
        self.nobody_went_out(chain, began)
        return newer

    def nobody_went_out(self, chain, began):
        for name in ("web1", "web3"):
            self.assertEqual(chain.events(name, began), [], f"{name} must not go out while web2 is")

    def goes_on(self, chain, began, what):
        healed = time.time()
        wait_until(lambda: chain.events("web1", began) or chain.events("web3", began), 60, "the chain goes on")
        first = min(event["at"] for name in ("web1", "web3") for event in chain.events(name, began))
        print(f"{what}: the chain goes on {first - healed:.1f} s after it was healed")

    def test_a_node_that_hangs_in_the_middle_of_its_switch(self):
        chain = self.safe_chain(handoff_timeout="1s")
        with self.one_at_a_time(chain):
            gate = self.into_its_switch(chain)
            self.pause(chain, "web2")
            began = time.time()
            newer = self.newer_waits(chain, began)
            # Longer than a peer has to be silent to count as away: it keeps its lane all the same.
            wait_until(lambda: not chain.node_row("web2", "web3")["reachable"], 60, "web2 counts as away")
            self.nobody_went_out(chain, began)
            self.go_on(chain, "web2")
            chain.open_gate(gate)
            self.settled(chain, newer)
            self.assertEqual(self.migrated(chain, newer), 1)

    def test_a_node_whose_wire_is_pulled_in_the_middle_of_its_switch(self):
        chain, cut, heal = self.wired_chain()
        # Not sampled: the one who samples would take a pulled wire for an app that is down.
        with self.one_at_a_time(chain, sampled=False):
            gate = self.into_its_switch(chain)
            cut()
            began = time.time()
            newer = self.newer_waits(chain, began)
            chain.open_gate(gate)
            wait_until(lambda: any(event["event"] == "up" for event in chain.events("web2", began)), 60,
                       "web2 ends its switch all by itself")
            wait_until(lambda: not chain.node_row("web2", "web3")["reachable"], 60, "web2 counts as away")
            self.nobody_went_out(chain, began)
            heal()
            self.goes_on(chain, began, "the wire of a holder pulled and put back")
            self.settled(chain, newer)
            self.assertEqual(self.migrated(chain, newer), 1)

    def test_a_node_that_is_only_heard_or_only_hears(self):
        chain = self.between_chain()
        for way in (chain.between.deafen, chain.between.mute):
            with self.subTest(way=way.__name__), self.one_at_a_time(chain):
                gate = self.into_its_switch(chain)
                way("web2", ("web1", "web3"))
                began = time.time()
                newer = self.newer_waits(chain, began)
                chain.open_gate(gate)
                wait_until(lambda: any(event["event"] == "up" for event in chain.events("web2", began)), 60,
                           "web2 ends its switch all by itself")
                if way == chain.between.mute:
                    self.nobody_went_out(chain, began)  # else its release may have been heard
                chain.between.heal()
                self.goes_on(chain, began, f"a holder that was {'deaf' if way == chain.between.deafen else 'mute'}")
                self.settled(chain, newer)
                self.assertEqual(self.migrated(chain, newer), 1)
            self.clear_gates(chain)


if __name__ == "__main__":
    unittest.main()
