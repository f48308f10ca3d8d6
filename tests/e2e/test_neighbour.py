# SPDX-License-Identifier: MIT
"""A node of the chain that is still a Jenkins: it gets its turn like any other, between the agents before and after it.
The Jenkins is a double across a real socket (fake_jenkins.py), and once an agent of another chain, which speaks as one.
"""
import time
import unittest

from harness import AGENT_PORT, APP_TOKEN, ChainCase, Fleet, ask, binary, end_app, health, wait_until, write_secret

from fake_jenkins import TOKEN, FakeJenkins


class NeighbourTest(ChainCase):
    def jenkins(self, **options):
        jenkins = FakeJenkins(**options)
        self.addCleanup(jenkins.close)
        return jenkins

    def behind_web1(self, jenkins, app="", node_options=None, **options):
        """web1, old1 (Jenkins), web2, web3; the first version runs on the three with agents, and Jenkins had it."""
        chain = self.chain(poll=False, app=app, neighbours=jenkins.node(**(node_options or {})),
                           secrets={"jenkins.token": TOKEN}, **options)
        return chain

    def trigger(self, chain, node="web1"):
        chain[node].post(f"/job/mini/build?token={APP_TOKEN}")

    def test_a_jenkins_in_the_chain_has_its_turn_between_the_agents_around_it(self):
        jenkins = self.jenkins()
        chain = self.behind_web1(jenkins)
        self.assertEqual(len(jenkins.triggers()), 1)
        self.assertEqual(jenkins.triggers()[0]["arguments"]["COMMIT"], chain.first)
        began = time.time()
        jenkins.hold()
        commit = chain.commit("By way of a Jenkins")
        self.trigger(chain)
        wait_until(jenkins.building, 60, "old1 builds")
        # Everybody sees who has the rollout, and that web1 serves meanwhile.
        row = wait_until(lambda: self.row_in_stage(chain, "old1", "switch", "web3"), 60,
                         lambda: chain.node_row("old1", "web3"))
        self.assertIn("build #2 to end", row["waits_for"])
        self.assertTrue(row["jenkins"])
        self.assertEqual(chain.running_commit("web1"), commit)
        self.assertIn("old1", chain["web1"].app("mini")["waits_for"])
        self.assertEqual(chain.events("web2", began), [])
        jenkins.release()
        chain.wait_for(commit, "succeeded")
        self.assertEqual(len(jenkins.triggers()), 2)
        self.assertEqual(jenkins.builds[-1].parameters["COMMIT"], commit)
        wait_until(lambda: chain.node_row("old1", "web2")["state"] == "succeeded", 60,
                   lambda: chain.node_row("old1", "web2"))
        self.assert_one_at_a_time(chain, jenkins, began)
        shown = chain.fleet.command("status", agent=chain["web2"]).stdout
        self.assertRegex(shown, r"old1\s+" + commit[:7])

    def test_a_jenkins_whose_build_fails_halts_the_rollout_and_a_resume_asks_it_again(self):
        jenkins = self.jenkins(seconds=0.1)
        chain = self.behind_web1(jenkins)
        began = time.time()
        jenkins.results = ["FAILURE"]
        commit = chain.commit("Not for old1")
        self.trigger(chain)
        rollout = chain.wait_for(commit, "halted", seen_by="web3")
        self.assertIn("old1 (Jenkins): build #2 ended with FAILURE", rollout["reason"])
        self.assertEqual(chain.running_commit("web1"), commit)
        self.assertEqual([chain.running_commit(name) for name in ("web2", "web3")], [chain.first] * 2)
        chain.fleet.command("resume", "mini", agent=chain["web2"])
        chain.wait_for(commit, "succeeded")
        self.assertEqual(len(jenkins.builds), 3)
        # web1 had it: only what hangs on it was missing.
        self.assertEqual(len([e for e in chain.events("web1", began) if e["event"] == "up"]), 1)
        self.assert_one_at_a_time(chain, jenkins, began)
        # Back again: Jenkins gets the earlier commit too.
        chain.fleet.command("rollback", "mini", "--reason", "prices wrong", agent=chain["web2"])
        wait_until(lambda: [chain.running_commit(name) for name in chain.NODES] == [chain.first] * 3, 60, "rolled back")
        wait_until(lambda: jenkins.builds[-1].parameters["COMMIT"] == chain.first, 60, "old1 was rolled back as well")

    def test_a_killed_agent_follows_the_build_that_it_had_begun_and_triggers_no_second(self):
        jenkins = self.jenkins()
        chain = self.behind_web1(jenkins)
        began = time.time()
        jenkins.hold()
        commit = chain.commit("Interrupted")
        self.trigger(chain)
        wait_until(jenkins.building, 60, "old1 builds")
        chain["web1"].kill()
        # As when the machine of the steward is gone for a while: old1 is out, so nobody else goes out.
        jenkins.stop()
        chain["web1"].start()
        jenkins.start()
        self.assertEqual([health(chain.hosts[name]) for name in ("web2", "web3")], [chain.first] * 2)
        wait_until(lambda: self.row_in_stage(chain, "old1", "switch", "web1"), 60, "web1 follows again")
        wait_until(lambda: ask(chain.hosts["web1"], AGENT_PORT, "GET", "/health/mini")[0] == 200, 60, "web1 serves")
        jenkins.release()
        chain.wait_for(commit, "succeeded")
        self.assertEqual(len(jenkins.triggers()), 2)
        self.assert_one_at_a_time(chain, jenkins, began)

    def test_lost_answers_restarts_crumbs_and_forgotten_queue_items_lead_to_one_build(self):
        # In a folder, below a path, with crumbs, without parameters, and answering as before Jenkins 1.519.
        jenkins = self.jenkins(job="shop/deploy to old1", parameters=(), crumbs=True, context="/ci", seconds=1.5)
        jenkins.trigger_answer = "302"
        chain = self.behind_web1(jenkins)
        self.assertEqual(len(jenkins.builds), 1)
        jenkins.trigger_answer = "201"
        jenkins.lose_answers = 1
        jenkins.refuse_triggers = [503]
        jenkins.forget_items = True
        jenkins.hold()
        commit = chain.commit("Through thick and thin")
        self.trigger(chain)
        wait_until(jenkins.building, 60, "old1 builds")
        jenkins.stop()
        jenkins.release()
        wait_until(lambda: "answer" in chain.node_row("old1")["waits_for"], 60, "web1 sees that it is away")
        jenkins.start()
        chain.wait_for(commit, "succeeded")
        self.assertEqual(len(jenkins.builds), 2)

    def test_a_jenkins_out_of_reach_is_passed_over_and_a_wrong_token_stops_the_rollout(self):
        jenkins = self.jenkins(seconds=0.1)
        chain = self.behind_web1(jenkins, handoff_timeout="3s")
        jenkins.stop()
        commit = chain.commit("Without old1")
        self.trigger(chain)
        chain.wait_for(commit, "succeeded", seen_by="web2")
        row = wait_until(lambda: self.passed_over(chain, "web2"), 60, lambda: chain.node_row("old1", "web2"))
        self.assertFalse(row["reachable"])
        jenkins.start()
        write_secret(chain.directory / "secrets" / "jenkins.token", "not-the-token\n")
        commit = chain.commit("With a wrong token")
        self.trigger(chain)
        reason = chain.wait_for(commit, "halted", seen_by="web3")["reason"]
        self.assertIn("old1 (Jenkins)", reason)
        self.assertNotIn("not-the-token", reason + chain["web1"].log_tail(200))
        self.assertEqual(chain.running_commit("web2"), chain.commits[-2])

    def test_a_jenkins_that_was_passed_over_gets_the_rollout_when_it_answers_under_a_permit_of_its_own(self):
        jenkins = self.jenkins()
        chain = self.behind_web1(jenkins, handoff_timeout="2s")
        began = time.time()
        jenkins.stop()
        gate = chain.close_gate("restart", "web3")
        commit = chain.commit("Late for old1")
        self.trigger(chain)
        wait_until(lambda: chain.reached(gate), 60, "web3 is in its switch")
        row = wait_until(lambda: self.passed_over(chain, "web3"), 60, lambda: chain.node_row("old1", "web3"))
        self.assertEqual(row["state"], "cancelled")
        self.assertRegex(row["message"], "passed over: .*; it gets this rollout as soon as it answers")
        # It is back while another node is out: it has to wait.
        jenkins.start()
        wait_until(lambda: "permit: web3 is out of service" in chain["web1"].app("mini")["waits_for"], 60,
                   lambda: chain["web1"].app("mini")["waits_for"])
        self.assertEqual(len(jenkins.triggers()), 1)
        jenkins.hold()
        chain.open_gate(gate)
        wait_until(jenkins.building, 60, "old1 builds")
        # Again it has to wait for nobody, and others for it: nothing newer gets out of service meanwhile.
        wait_until(lambda: self.row_in_stage(chain, "old1", "switch", "web3"), 60,
                   lambda: chain.node_row("old1", "web3"))
        self.assertEqual(ask(chain.hosts["web1"], AGENT_PORT, "GET", "/health/mini")[0], 200)
        jenkins.release()
        wait_until(lambda: chain.node_row("old1", "web3")["state"] == "succeeded", 60,
                   lambda: chain.node_row("old1", "web3"))
        chain.wait_for(commit, "succeeded", seen_by="web3")
        wait_until(lambda: not chain["web1"].app("mini")["waits_for"], 60, "nothing is owed any more")
        self.assertEqual([build.parameters["COMMIT"] for build in jenkins.builds], [chain.first, commit])
        self.assertEqual(len(jenkins.triggers()), 2)
        self.assertEqual(len([e for e in chain.events("web1", began) if e["event"] == "up"]), 1)
        self.assert_one_at_a_time(chain, jenkins, began)

    def test_what_a_jenkins_is_owed_outlives_the_agent_that_owes_it_and_is_triggered_once(self):
        jenkins = self.jenkins()
        chain = self.behind_web1(jenkins, handoff_timeout="2s")
        began = time.time()
        jenkins.stop()
        commit = chain.commit("Owed across two deaths")
        self.trigger(chain)
        chain.wait_for(commit, "succeeded", seen_by="web2")
        chain["web1"].kill()
        jenkins.hold()
        jenkins.start()
        chain["web1"].start()
        wait_until(jenkins.building, 60, "old1 builds")
        chain["web1"].kill()
        chain["web1"].start()
        wait_until(lambda: "build #2 to end" in chain.node_row("old1")["waits_for"], 60, "web1 follows again")
        jenkins.release()
        wait_until(lambda: chain.node_row("old1", "web2")["state"] == "succeeded", 60,
                   lambda: chain.node_row("old1", "web2"))
        self.assertEqual([build.parameters["COMMIT"] for build in jenkins.builds], [chain.first, commit])
        self.assertEqual(len(jenkins.triggers()), 2)
        self.assertEqual(len([e for e in chain.events("web1", began) if e["event"] == "up"]), 1)
        self.assert_one_at_a_time(chain, jenkins, began)

    def test_a_newer_push_serves_a_jenkins_that_is_owed_the_one_before_and_everybody_sees_who_is_owed_what(self):
        jenkins = self.jenkins(seconds=0.1)
        chain = self.behind_web1(jenkins, handoff_timeout="2s")
        jenkins.stop()
        first = chain.commit("Never for old1")
        self.trigger(chain)
        rollout = chain.wait_for(first, "succeeded", seen_by="web2")["id"]
        owed = f"old1 (Jenkins), which was passed over and is owed rollout {rollout}, to answer: "
        wait_until(lambda: owed in chain["web1"].app("mini")["waits_for"], 60,
                   lambda: chain["web1"].app("mini")["waits_for"])
        wait_until(lambda: owed in chain.node_row("web1", "web3")["waits_for"], 60,
                   lambda: chain.node_row("web1", "web3"))
        wait_until(lambda: self.passed_over(chain, "web3"), 60, lambda: chain.node_row("old1", "web3"))
        shown = chain.fleet.command("status", agent=chain["web3"]).stdout
        self.assertRegex(shown, r"old1 .* cancelled .*passed over: .*it gets this rollout as soon as it answers")
        gate = chain.close_gate("test", "web1")
        second = chain.commit("For everybody")
        self.trigger(chain)
        wait_until(lambda: chain.reached(gate), 60, "web1 tests what is newer")
        jenkins.start()
        chain.open_gate(gate)
        chain.wait_for(second, "succeeded", seen_by="web3")
        wait_until(lambda: not chain.node_row("web1", "web3")["waits_for"], 60, "nothing is owed any more")
        self.assertEqual([build.parameters["COMMIT"] for build in jenkins.builds], [chain.first, second])
        self.assertEqual(len(jenkins.triggers()), 2)

    def test_a_steward_that_comes_back_to_a_halted_rollout_triggers_nothing(self):
        jenkins = self.jenkins()
        chain = self.behind_web1(jenkins, handoff_timeout="2m")
        jenkins.stop()
        commit = chain.commit("Halted while its carrier was away")
        self.trigger(chain)
        wait_until(lambda: self.waits(chain, "old1", "web2"), 60, "web1 waits for old1")
        chain["web1"].kill()
        chain.fleet.command("halt", "mini", "--reason", "prices wrong", agent=chain["web2"])
        jenkins.start()
        chain["web1"].start()
        # It lets go of its permit: a newer commit gets everywhere, this one never to old1.
        chain.wait_for(commit, "halted")
        newer = chain.commit("Prices right")
        self.trigger(chain)
        chain.wait_for(newer, "succeeded", seen_by="web3")
        self.assertEqual([build.parameters["COMMIT"] for build in jenkins.builds], [chain.first, newer])

    def test_an_agent_of_another_chain_is_a_jenkins_too_and_what_comes_round_is_refused(self):
        chain = self.chain(deployed=False, poll=False, neighbours=(
            '    - {{name: old1, jenkins: {{url: "http://{network}.10:7070", job: "${{APP}}", user: demo, '
            'token_file: {directory}/other/secrets/operator.token}}}}\n'))
        host = chain.hosts["web1"].rsplit(".", 1)[0] + ".10"
        directory = chain.directory / "other"
        other = Fleet(binary(), directory, ALONE.format(directory=directory, host=host, repository=chain.directory),
                      [("alone", host, AGENT_PORT)])
        self.addCleanup(lambda: end_app(directory / "alone" / "mini" / "run" / "pid"))
        self.addCleanup(other.stop)
        write_secret(directory / "secrets" / "mini.token", APP_TOKEN + "\n")
        other.start()
        self.trigger(chain)
        chain.wait_for(chain.first, "succeeded")
        self.assertEqual(health(host), chain.first)
        build = other["alone"].get("/job/mini/lastBuild/api/json?tree=number,actions[causes[userId]]")
        self.assertEqual(build["number"], 1)
        # A job that hands its cause on to the next agent, which is in the same chain: the rollout is there already.
        rollout = chain.rollout(chain.first)["id"]
        for hops, node in (("web3,old9", "web3"), ("web7,old9", "web2")):
            cause = f"baton+rollout={rollout}.1+app=mini+hops={hops}"
            status, _, body = ask(chain.hosts[node], AGENT_PORT, "POST",
                                  f"/job/mini/build?token={APP_TOKEN}&cause={cause}")
            self.assertEqual(status, 409, body)
        status, headers, _ = ask(chain.hosts["web2"], AGENT_PORT, "GET",
                                 f"/job/mini/build?token={APP_TOKEN}&cause=Started+by+upstream+old1")
        self.assertEqual(status, 201)
        self.assertRegex(headers["Location"], r"/queue/item/\d+/$")

    # --- help ---

    @staticmethod
    def waits(chain, node, seen_by):
        return chain.node_row(node, seen_by)["waits_for"]

    @staticmethod
    def passed_over(chain, seen_by):
        """The row of old1, once that node has heard from its steward that it was passed over."""
        row = chain.node_row("old1", seen_by)
        return row if "passed over" in row["message"] else None

    @staticmethod
    def row_in_stage(chain, node, stage, seen_by):
        row = chain.node_row(node, seen_by)
        return row if row["stage"] == stage and row["state"] == "running" else None

    def assert_one_at_a_time(self, chain, jenkins, since):
        """No machine's outage overlaps another's, the Jenkins among them, which is out while it builds."""
        spells = {"old1": [spell for spell in jenkins.spells() if spell[0] >= since]}
        for name in chain.NODES:
            events = chain.events(name, since)
            stops = [event["at"] for event in events if event["event"] == "stop"]
            ups = [event["at"] for event in events if event["event"] == "up"]
            self.assertEqual(len(stops), len(ups), events)
            spells[name] = list(zip(stops, ups))
        self.assert_disjoint(spells)


ALONE = """\
state_dir: {directory}/state
chain: {{nodes: [{{name: alone, address: "{host}:7070"}}]}}
security: {{cluster_key_file: {directory}/secrets/cluster.key, tokens_file: {directory}/secrets/tokens}}
apps:
  mini:
    repository: {repository}/mini.git
    deploy_to: {directory}/alone/mini
    triggers: {{token_file: {directory}/secrets/mini.token}}
"""


if __name__ == "__main__":
    unittest.main()
