# SPDX-License-Identifier: MIT
"""Clients of Jenkins drive an agent as they are: python-jenkins for what it has, plain requests for what scripts do."""
import ast
import json
import unittest
import urllib.parse
import xml.etree.ElementTree

import jenkins

from harness import AGENT_PORT, APP_TOKEN, ChainCase, ask, wait_until


class JenkinsTest(ChainCase):
    def connect(self, **options):
        """A chain whose first version runs, and a client of python-jenkins at its first agent."""
        chain = self.chain(poll=False, **options)
        return chain, jenkins.Jenkins(chain["web1"].url, "demo", chain.fleet.token)

    def get(self, chain, path, expect=200, method="GET"):
        """A request with the operator's token; headers and the text of the body."""
        status, headers, body = ask(chain.hosts["web1"], AGENT_PORT, method, path, chain.fleet.token)
        self.assertEqual(status, expect, f"{method} {path}: {body[:300]!r}")
        return headers, body.decode()

    @staticmethod
    def executable(client, item):
        """The build of a queue item, once it has one."""
        return wait_until(lambda: client.get_queue_item(item).get("executable"), 60, f"queue item {item} has a build")

    @staticmethod
    def ended(client, number):
        def result():
            build = client.get_build_info("mini", number)
            return build if build["result"] else None
        return wait_until(result, 60, f"build {number} has ended")

    def test_python_jenkins_triggers_a_build_and_follows_it_to_its_end(self):
        chain, client = self.connect()
        self.assertRegex(client.get_version(), r"^\d+\.\d+")
        self.assertTrue(client.wait_for_normal_op(10))
        self.assertEqual(client.get_whoami()["fullName"], "demo")
        self.assertEqual([job["name"] for job in client.get_all_jobs()], ["mini"])
        self.assertTrue(client.job_exists("mini"))
        self.assertFalse(client.job_exists("nothing"))
        self.assertFalse(client.is_folder("mini"))

        commit = chain.commit("Triggered by a client")
        number = client.get_job_info("mini")["nextBuildNumber"]
        executable = self.executable(client, client.build_job("mini"))
        self.assertEqual(executable["number"], number)
        self.assertEqual(executable["url"], f"{chain['web1'].url}/job/mini/{number}/")
        build = self.ended(client, number)
        self.assertEqual((build["result"], build["building"], build["id"]), ("SUCCESS", False, str(number)))
        self.assertGreater(build["duration"], 0)
        revisions = [action["lastBuiltRevision"]["SHA1"] for action in build["actions"] if "lastBuiltRevision" in action]
        self.assertEqual(revisions, [commit])
        causes = [cause["shortDescription"] for action in build["actions"] for cause in action.get("causes", [])]
        self.assertEqual(causes, ["Started by user demo"])
        self.assertEqual([change["msg"] for change in build["changeSet"]["items"]], ["Triggered by a client"])
        self.assertIn("Running tests", client.get_build_console_output("mini", number))
        self.assertEqual(client.get_build_test_report("mini", number)["passCount"], 3)
        self.assertIsNone(client.get_build_env_vars("mini", number))
        everything = client.get_job_info("mini", fetch_all_builds=True)
        self.assertEqual([one["number"] for one in everything["builds"]], list(range(number, 0, -1)))
        self.assertEqual(client.get_job_info("mini", depth=1)["builds"][0]["result"], "SUCCESS")
        chain.wait_for(commit, "succeeded")

    def test_a_running_build_is_seen_its_log_grows_by_whole_lines_and_it_can_be_stopped(self):
        chain, client = self.connect()
        gate = chain.close_gate("test", "web1")
        chain.commit("Held in its tests")
        number = self.executable(client, client.build_job("mini"))["number"]
        wait_until(lambda: chain.reached(gate), 60, "the gate is reached")
        self.assertEqual(client.get_job_info("mini")["color"], "blue_anime")
        running = client.get_running_builds()
        self.assertEqual([(one["name"], one["number"]) for one in running], [("mini", number)])
        self.assertEqual(client.get_build_info("mini", number)["result"], None)

        headers, text = self.get(chain, f"/job/mini/{number}/logText/progressiveText?start=0")
        self.assertEqual(headers.get("X-More-Data"), "true")
        self.assertEqual(int(headers["X-Text-Size"]), len(text.encode()))
        self.assertTrue(text.endswith("\n"))
        self.get(chain, f"/job/mini/{number}/stop", 405)
        client.stop_build("mini", number)
        build = self.ended(client, number)
        self.assertEqual(build["result"], "ABORTED")
        causes = [action["causes"] for action in build["actions"] if "causes" in action]
        self.assertEqual(causes, [[{"_class": "hudson.model.Cause$UserIdCause", "userId": "demo", "userName": "demo",
                                    "shortDescription": "Started by user demo"}],
                                  [{"_class": "jenkins.model.CauseOfInterruption$UserInterruption",
                                    "shortDescription": "Aborted by demo"}]])
        headers, rest = self.get(chain, f"/job/mini/{number}/logText/progressiveText?start={len(text.encode())}")
        self.assertIsNone(headers.get("X-More-Data"))
        self.assertEqual(text + rest, self.get(chain, f"/job/mini/{number}/consoleText")[1])
        self.assertRegex(text + rest, r"\nBuild was aborted\nAborted by demo\nFinished: ABORTED\n$")
        self.assertIsNone(client.get_job_info("mini")["lastFailedBuild"])
        chain.open_gate(gate)

    def test_while_quieting_down_triggers_wait_coalesce_and_can_be_cancelled(self):
        _, client = self.connect()
        client.quiet_down()
        self.assertTrue(client.get_info()["quietingDown"])
        item = client.build_job("mini")
        self.assertEqual(client.build_job("mini"), item)
        waiting = client.get_queue_info()
        self.assertEqual([one["id"] for one in waiting], [item])
        self.assertEqual(waiting[0]["why"], "Jenkins is about to shut down")
        self.assertNotIn("executable", client.get_queue_item(item))
        client.cancel_queue(item)
        self.assertTrue(client.get_queue_item(item)["cancelled"])
        self.assertEqual(client.get_queue_info(), [])
        client.jenkins_open(jenkins.requests.Request("POST", client.server + "cancelQuietDown"))
        self.assertFalse(client.get_info()["quietingDown"])

    def test_a_disabled_job_builds_nothing_until_it_is_enabled(self):
        _, client = self.connect()
        client.disable_job("mini")
        self.assertEqual(client.get_job_info("mini")["color"], "disabled")
        with self.assertRaises(jenkins.requests.HTTPError) as refused:
            client.build_job("mini")
        self.assertEqual(refused.exception.response.status_code, 409)
        client.enable_job("mini")
        self.assertTrue(client.get_job_info("mini")["buildable"])

    def test_what_jenkins_would_create_or_delete_is_refused_and_nothing_happens(self):
        _, client = self.connect()
        for attempt in (lambda: client.create_job("other", "<project/>"), lambda: client.delete_job("mini"),
                        lambda: client.run_script("println 1"), lambda: client.create_view("v", "<view/>")):
            with self.assertRaises((jenkins.requests.HTTPError, jenkins.JenkinsException)):
                attempt()
        self.assertEqual([job["name"] for job in client.get_all_jobs()], ["mini"])

    def test_the_recipes_of_shell_scripts_work(self):
        chain, _ = self.connect()
        self.assertEqual(self.get(chain, "/job/mini/lastBuild/buildNumber")[1], "1")
        self.assertIn('"result":"SUCCESS"', self.get(chain, "/job/mini/lastBuild/api/json")[1])
        self.assertEqual(self.get(chain, "/job/mini/api/xml?xpath=//lastBuild/number/text()")[1], "1")
        crumb = self.get(chain, '/crumbIssuer/api/xml?xpath=concat(//crumbRequestField,%22:%22,//crumb)')[1]
        self.assertRegex(crumb, "^Jenkins-Crumb:[0-9a-f]{64}$")
        root = ast.literal_eval(self.get(chain, "/api/python?tree=jobs[name,color,url]")[1])
        self.assertEqual([job["name"] for job in root["jobs"]], ["mini"])
        self.assertEqual(json.loads(self.get(chain, "//job//mini//api/json/?tree=name,builds[number]{0,1}")[1]),
                         {"_class": "hudson.model.FreeStyleProject", "name": "mini",
                          "builds": [{"_class": "hudson.model.FreeStyleBuild", "number": 1}]})
        self.get(chain, "/job/mini/lastFailedBuild/api/json", 404)
        self.get(chain, "/job/mini/api/json?tree=a[", 400)
        self.get(chain, "/job/mini/api/json?depth=x", 400)
        self.get(chain, "/job/mini/1/artifact/..%2f..%2fbaton.db", 400)
        for path in ("/rssAll", "/job/mini/rssFailed?flavor=rss20", "/cc.xml", "/job/mini/config.xml", "/api/xml"):
            xml.etree.ElementTree.fromstring(self.get(chain, path)[1])

    def test_without_a_login_nobody_learns_which_jobs_there_are(self):
        chain, _ = self.connect()
        host = chain.hosts["web1"]
        for path in ("/job/mini/api/json", "/job/nothing/api/json", "/api/json?tree=jobs[name]", "/queue/api/json",
                     "/computer/api/json", "/rssAll", "/cc.xml", "/me/api/json", "/script"):
            status, headers, _ = ask(host, AGENT_PORT, "GET", path)
            self.assertEqual(status, 403, path)
            self.assertIn("X-Jenkins", headers)
        for path in ("/", "/whoAmI/api/json", "/crumbIssuer/api/json"):
            status, _, body = ask(host, AGENT_PORT, "GET", path)
            self.assertEqual(status, 200, path)
            self.assertNotIn("mini", body.decode())
        status, _, _ = ask(host, AGENT_PORT, "POST", "/job/mini/disable")
        self.assertEqual(status, 403)
        status, _, _ = ask(host, AGENT_PORT, "GET", f"/job/mini/polling?token={urllib.parse.quote(APP_TOKEN)}")
        self.assertEqual(status, 302)
        status, _, _ = ask(host, AGENT_PORT, "GET", "/job/mini/polling?token=wrong")
        self.assertEqual(status, 403)


if __name__ == "__main__":
    unittest.main()
