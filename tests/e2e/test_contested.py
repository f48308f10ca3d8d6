# SPDX-License-Identifier: MIT
"""One name and two databases: what is a copy is known for one, and nobody deploys with it before a person says so."""
import shutil
import time
import unittest

from safety import Agent, SafetyCase, wait_until

IMPOSTOR_PORT = 7073


class ContestedTest(SafetyCase):
    def impostor(self, chain, state=None):
        """A second agent that says it is web2, with an empty state directory or with a copy of `state`."""
        home = chain.directory / "impostor"
        home.mkdir()
        if state:
            shutil.copytree(state, home / "state")
        text = chain.fleet.config.read_text()
        text = text.replace(f"{chain.directory}/${{NODE_NAME}}/", f"{home}/")
        config = home / "agent.yaml"
        config.write_text(f'listen: "${{NODE_ADDRESS}}:{IMPOSTOR_PORT}"\n' + text)
        agent = Agent(chain.fleet.binary, config, "web2", chain.hosts["web2"], IMPOSTOR_PORT, home / "agent.log",
                      chain.fleet.token)
        self.addCleanup(agent.stop)
        agent.start()
        return agent

    def waits_for_a_person(self, agent):
        wait_until(lambda: "baton accept web2" in agent.app("mini")["waits_for"], 60,
                   lambda: f"it says what it waits for: {agent.app('mini')}")

    @staticmethod
    def said_of_two(agent):
        text = agent.app("mini")["waits_for"]
        return text if "two agents say that they are web2" in text else None

    def both_refuse(self, chain, impostor):
        """Until web2 and the impostor know of each other, and say how a person tells them apart."""
        for agent in (impostor, chain["web2"]):
            said = wait_until(lambda agent=agent: self.said_of_two(agent), 60,
                              lambda agent=agent: f"it knows of the other one: {agent.app('mini')}")
            self.assertEqual(said.count("heard from "), 2, said)
            self.waits_for_a_person(agent)
        for name in ("web1", "web3"):
            wait_until(lambda name=name: "agents say that they are web2" in chain[name].log_tail(400), 60,
                       "the log of the others names both")
        # What the known one says of itself is on every node's status.
        wait_until(lambda: "two agents" in chain.node_row("web2", "web3")["waits_for"], 60,
                   lambda: f"web3 shows it: {chain.node_row('web3', 'web2')}")

    def test_two_live_agents_of_one_name_both_refuse_until_one_is_silent(self):
        chain = self.safe_chain(handoff_timeout="2s")
        with self.one_at_a_time(chain):
            impostor = self.impostor(chain)
            self.both_refuse(chain, impostor)
            self.assertTrue(chain["web2"].app("mini")["in_service"], "what runs goes on running")
            began = time.time()
            commit = chain.commit("While two say that they are web2")
            self.trigger(chain)
            self.settled(chain, commit, nodes=("web1", "web3"), state="running")
            self.assertEqual(chain.events("web2", began), [], "the known one has deployed nothing")
            self.assertEqual(chain.running_commit("web2"), chain.first)
            self.assertEqual(impostor.app("mini")["current"], "", "nor has the impostor")
            self.assertFalse(impostor.app("mini")["in_service"])
            impostor.stop()
            silent = time.time()
            self.settled(chain, commit)
            print(f"two agents of one name: whole {time.time() - silent:.1f} s after one of them had ended")
            commit = chain.commit("And when it is gone")
            self.trigger(chain, "web2")
            self.settled(chain, commit)

    def test_accept_picks_one_of_two_live_agents_of_one_name(self):
        chain = self.safe_chain(handoff_timeout="2s")
        with self.one_at_a_time(chain):
            impostor = self.impostor(chain)
            self.both_refuse(chain, impostor)
            chain.fleet.command("accept", "web2", agent=chain["web3"])
            commit = chain.commit("Once one of the two is accepted")
            self.trigger(chain, "web2")
            self.settled(chain, commit)
            wait_until(lambda: "another database was accepted" in impostor.app("mini")["waits_for"], 60,
                       lambda: f"the other one is barred: {impostor.app('mini')}")
            self.assertEqual(impostor.app("mini")["current"], "")

    def test_two_new_databases_of_one_name_both_wait_until_one_is_accepted(self):
        chain = self.chain(poll=False, deployed=False, start=False, handoff_timeout="2s")
        impostor = self.impostor(chain)
        for name in ("web2", "web1", "web3"):
            chain[name].start()
        self.trigger(chain)
        # Whoever was met first: no two of the same name are ever both taken for it.
        wait_until(lambda: "baton accept web2" in impostor.app("mini")["waits_for"]
                   or "baton accept web2" in chain["web2"].app("mini")["waits_for"], 60,
                   lambda: f"one of them is refused: {impostor.app('mini')} {chain['web2'].app('mini')}")
        impostor.stop()
        wait_until(lambda: self.accepted(chain), 60, lambda: f"it is accepted: {chain['web2'].app('mini')}", every=0.5)
        self.trigger(chain)
        wait_until(lambda: [chain.running_commit(name) for name in chain.NODES] == [chain.first] * 3, 60,
                   lambda: f"all three run it: {chain['web2'].app('mini')}")

    @staticmethod
    def accepted(chain):
        if "baton accept web2" not in chain["web2"].app("mini")["waits_for"]:
            return True
        chain.fleet.command("accept", "web2", agent=chain["web1"], check=False)
        return False

    def test_a_database_put_back_from_a_backup_counts_for_nothing_until_it_is_accepted(self):
        chain = self.safe_chain(handoff_timeout="1s")
        backup = chain.directory / "backup"
        chain["web2"].stop()
        shutil.copytree(chain.directory / "web2" / "state", backup)
        chain["web2"].start()
        # Its memory of what it has granted and taken since then is not in the backup.
        self.settled(chain, chain.first)
        chain["web2"].stop()
        shutil.rmtree(chain.directory / "web2" / "state")
        backup.rename(chain.directory / "web2" / "state")
        with self.one_at_a_time(chain):
            chain["web2"].start()
            self.assertIn("was copied or put back from a backup", chain["web2"].log_file.read_text())
            self.waits_for_a_person(chain["web2"])
            self.assertEqual(self.service(chain, "web2"), 503)
            began = time.time()
            commit = chain.commit("Meanwhile")
            self.trigger(chain)
            wait_until(lambda: [chain.running_commit(name) for name in ("web1", "web3")] == [commit] * 2, 60,
                       "the others go on without it")
            self.assertEqual(chain.events("web2", began), [])
            chain.fleet.command("accept", "web2", agent=chain["web3"])
            self.settled(chain, commit)
        # A second start is not a second copy.
        chain["web2"].stop()
        chain["web2"].start()
        self.assertEqual(chain["web2"].log_file.read_text().count("was copied or put back from a backup"), 1)
        self.settled(chain, commit)

    def test_a_copy_of_the_state_directory_gets_nothing_beside_its_original(self):
        chain = self.safe_chain(handoff_timeout="2s")
        chain["web2"].stop()
        copy = shutil.copytree(chain.directory / "web2" / "state", chain.directory / "copy")
        chain["web2"].start()
        with self.one_at_a_time(chain):
            impostor = self.impostor(chain, copy)
            self.both_refuse(chain, impostor)
            commit = chain.commit("While there is a copy")
            self.trigger(chain)
            self.settled(chain, commit, nodes=("web1", "web3"), state="running")
            self.assertFalse(impostor.app("mini")["in_service"])
            self.assertEqual([event for event in chain.events("impostor") if event["event"] == "up"], [])


if __name__ == "__main__":
    unittest.main()
