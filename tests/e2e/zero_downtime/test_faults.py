# SPDX-License-Identifier: MIT
"""What goes wrong in mid-rollout costs users nothing where the load balancer could know of it."""
import dataclasses
import unittest

from zero_downtime import faults, network, world

RATE = 100


class FaultsTest(unittest.TestCase):
    def suffer(self, name, method="haproxy_agent"):
        outcome = faults.run(world.environment_binary(), name, method, RATE)
        print("\n" + str(dataclasses.asdict(outcome)))
        self.assertTrue(outcome.kept_promise(), outcome)

    def test_no_request_fails_when_an_agent_dies_while_its_app_is_down(self):
        self.suffer("agent-killed-down")

    def test_no_request_fails_when_a_release_never_comes_up(self):
        self.suffer("app-never-up")

    def test_no_request_fails_when_haproxy_is_reloaded_in_a_switch(self):
        self.suffer("balancer-reloaded")

    def test_no_request_fails_when_a_node_dies_in_its_switch(self):
        if not network.possible():
            self.skipTest("which process belongs to which machine is known of network namespaces only")
        self.suffer("node-dies")


if __name__ == "__main__":
    unittest.main()
