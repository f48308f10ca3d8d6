# SPDX-License-Identifier: MIT
"""A password that is given with a trigger reaches the steps of every node, and is nowhere else to be read: not in the
state directories of agents that were killed while it waited, not in an answer, not in a log.
"""
import base64
import hashlib
import unittest

from harness import AGENT_PORT, ChainCase, ask, wait_until

SECRET = "open-sesame-77c1e0"
# What the steps saw is told by its digest; the log is given the password itself, as careless scripts do.
STEPS = """\
test:
  - name: careless
    run: echo "the password is $SECRET"; printf %s "$SECRET" | sha256sum > {directory}/seen.$NODE_NAME
"""
PARAMETERS = """\
    parameters:
      - {{name: SECRET, type: password}}
      - {{name: PLAIN}}
"""
PATHS = ("/api/v1/status", "/api/v1/queue", "/api/v1/apps/mini/rollouts", "/api/v1/apps/mini/builds", "/api/v1/audit",
         "/api/v1/apps/mini/builds/last/log", "/metrics", "/queue/api/json", "/api/json?depth=6",
         "/job/mini/api/json?depth=6", "/job/mini/api/xml?depth=6", "/job/mini/lastBuild/consoleText",
         "/job/mini/lastBuild/injectedEnvVars/api/json", "/job/mini/config.xml")


class PasswordsTest(ChainCase):
    def test_a_password_parameter_reaches_the_steps_of_every_node_and_nobody_else(self):
        chain = self.chain(poll=False, nodes=2, app=PARAMETERS, deployed=False, start=False)
        pipeline = (chain.repository.work / "baton.yaml").read_text()
        steps = STEPS.format(directory=chain.directory)
        chain.repository.write("baton.yaml", pipeline.replace("test:\n", steps, 1))
        commit = chain.commit("Tells its password")
        chain.start()
        web1 = chain["web1"]
        ask(web1.host, AGENT_PORT, "POST", "/quietDown", web1.token)
        locations = []
        for _ in range(2):  # who asks for the same twice has asked once
            status, headers, _ = ask(web1.host, AGENT_PORT, "POST", "/job/mini/buildWithParameters", web1.token,
                                     f"SECRET={SECRET}&PLAIN=to-be-seen",
                                     headers={"Content-Type": "application/x-www-form-urlencoded"})
            self.assertEqual(status, 201)
            locations.append(headers["Location"])
        self.assertEqual(len(set(locations)), 1)
        item = "/queue/item/" + locations[0].rstrip("/").rsplit("/", 1)[1] + "/api/json"
        answers = [self.read(web1, item), self.read(web1, "/queue/api/json")]
        self.assertIn(b"PLAIN=to-be-seen", answers[0])
        self.assertIn(b"SECRET=****", answers[0])

        web1.kill()
        self.search_files(chain)
        web1.start()
        ask(web1.host, AGENT_PORT, "POST", "/cancelQuietDown", web1.token)
        chain.wait_for(commit, "succeeded")
        for name in chain.NODES:
            seen = (chain.directory / f"seen.{name}").read_text().split()[0]
            self.assertEqual(seen, hashlib.sha256(SECRET.encode()).hexdigest(), name)
            answers += [self.read(chain[name], path) for path in PATHS]
            self.assertIn("the password is ****", chain[name].build_log("mini"))
        answers.append(self.read(web1, item))
        answers.append(chain.fleet.command("history", "mini", "--json", agent=web1).stdout.encode())
        for answer in answers:
            self.search(answer, "an answer")
        shown = web1.get("/api/v1/apps/mini/rollouts")["rollouts"][0]["parameters"]
        self.assertEqual(shown, {"PLAIN": "to-be-seen", "SECRET": "****"})
        self.assertEqual(web1.get("/api/v1/apps/mini/builds/last")["parameters"], shown)
        for name in chain.NODES:
            chain[name].kill()  # what the database has not tidied up yet is looked at, too
        self.search_files(chain)

    @staticmethod
    def read(agent, path):
        return ask(agent.host, AGENT_PORT, "GET", path, agent.token)[2]

    def search_files(self, chain):
        files = [file for name in chain.NODES for file in (chain.directory / name).rglob("*")
                 if file.is_file() and not file.is_symlink()]
        self.assertTrue(any(file.name == "baton.db" for file in files))
        self.assertTrue(any(file.name == "agent.log" for file in files))
        for file in files:
            self.search(file.read_bytes(), str(file))

    def search(self, text, where):
        for form in (SECRET.encode(), SECRET.encode().hex().encode(), base64.b64encode(SECRET.encode()).rstrip(b"=")):
            self.assertNotIn(form, text, f"the password is in {where}")


if __name__ == "__main__":
    unittest.main()
