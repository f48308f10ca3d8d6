# SPDX-License-Identifier: MIT
"""The short form of scripts/lab: a rollout in each way of deploying, with users at the shop whose requests all count."""
import dataclasses
import statistics
import unittest

from zero_downtime import methods, network, trial, world

RATE = 100  # what two cores carry that have other things to do


class MethodsTest(unittest.TestCase):
    def trial(self, name):
        method = methods.BY_NAME[name]
        if method.isolated and not network.possible():
            self.skipTest("machines with a packet filter of their own need root's network namespaces")
        result = trial.run(world.environment_binary(), method, 1, RATE)
        print("\n" + str(dataclasses.asdict(result)))
        self.assertTrue(result.kept_promise(), result)
        self.assertGreater(result.orders, 50, "users did order")
        return result

    def nobody_stopped(self, result):
        """A restart takes more than a second on each node; that a look waits for a busy machine hits one of them."""
        self.assertLess(statistics.median(result.dark_s.values()), 0.3, result.dark_s)

    def test_the_lab_sees_what_a_restart_behind_a_plain_health_check_loses(self):
        result = self.trial("none")
        self.assertIn("http_502", result.kinds, "the node's web server answers for an app that is away")
        self.assertEqual(result.ledger_kinds, {"measured": 3})
        self.assertGreater(result.predicted, 0)

    def test_no_request_fails_when_agents_answer_haproxys_check(self):
        self.trial("readiness")

    def test_no_request_fails_when_agents_tell_haproxys_runtime_api(self):
        self.trial("haproxy_socket")

    def test_no_request_fails_when_a_node_refuses_connections_from_nginx(self):
        self.trial("refuse_nginx")

    def test_no_request_fails_when_a_file_fails_the_nodes_own_check(self):
        self.trial("file")

    def test_no_request_fails_when_commands_change_nginxs_upstream(self):
        self.trial("command_nginx")

    def test_no_request_fails_when_releases_overlap_and_no_load_balancer_knows(self):
        result = self.trial("overlap")
        self.nobody_stopped(result)

    def test_no_request_fails_when_a_node_goes_from_one_port_to_the_other(self):
        result = self.trial("blue_green")
        self.nobody_stopped(result)


if __name__ == "__main__":
    unittest.main()
