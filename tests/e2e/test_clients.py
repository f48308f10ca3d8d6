# SPDX-License-Identifier: MIT
"""Clients of Jenkins as they are against an agent that is a plain CI server: python-jenkins, jenkins-job-builder, npm's
`jenkins` and `jenkins-api`, curl and wget, and the requests of those that Debian and npm do not have.
"""
import ast
import contextlib
import io
import json
import subprocess
import unittest
import urllib.parse
import xml.etree.ElementTree

import jenkins

import npm
from harness import APP_TOKEN, ask, wait_until
from job import JobCase


class PythonJenkinsTest(JobCase):
    def test_python_jenkins_gets_an_answer_to_every_call_that_it_has(self):
        job = self.job()
        client = jenkins.Jenkins(job.url, "demo", job.token)
        number = client.get_job_info("mini")["nextBuildNumber"]
        item = client.build_job("mini", {"TARGET": "naïve & sons", "LEVEL": "high", "DRY": "TRUE", "SECRET": "hush",
                                         "LD_PRELOAD": "/tmp/evil.so"}, token=APP_TOKEN)
        executable = wait_until(lambda: client.get_queue_item(item).get("executable"), 60, "it has a build")
        self.assertEqual(executable["number"], number)
        self.assertEqual(job.ended(number=number)["result"], "SUCCESS")
        self.looks_around(client)
        self.reads_a_build(client, number)
        self.reads_what_a_server_has(client)
        self.changes_what_may_be_changed(job, client)
        self.is_refused_what_may_not(client)
        environment = job.environment(number)
        self.assertEqual([environment[name] for name in ("TARGET", "LEVEL", "DRY")], ["naïve & sons", "high", "true"])
        self.assertNotIn("LD_PRELOAD", environment)
        self.assertNotIn("hush", client.get_build_console_output("mini", number))

    def looks_around(self, client):
        self.assertRegex(client.get_version(), r"^\d+\.\d+")
        self.assertTrue(client.wait_for_normal_op(10))
        self.assertEqual(client.get_whoami()["id"], "demo")
        self.assertEqual(client.get_info(query="?tree=mode")["mode"], "NORMAL")
        self.assertEqual(client.get_info("job/mini", "?tree=name")["name"], "mini")
        self.assertEqual([job["name"] for job in client.get_jobs()], ["mini", "plain.job"])
        self.assertEqual([job["fullname"] for job in client.get_all_jobs()], ["mini", "plain.job"])
        self.assertEqual([job["name"] for job in client.get_jobs(view_name="all")], ["mini", "plain.job"])
        self.assertEqual(client.jobs_count(), 2)
        self.assertTrue(client.job_exists("plain.job"))
        self.assertFalse(client.job_exists("folder/mini"))
        client.assert_job_exists("mini")
        self.assertEqual(client.get_job_name("mini"), "mini")
        self.assertIsNone(client.get_job_name("nothing"))
        self.assertFalse(client.is_folder("mini"))
        self.assertEqual([job["name"] for job in client.get_job_info_regex("^pl.*")], ["plain.job"])
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            client.debug_job_info("mini")
        self.assertIn("nextBuildNumber", printed.getvalue())

    def reads_a_build(self, client, number):
        self.assertEqual(client.get_job_info("mini", depth=1)["builds"][0]["result"], "SUCCESS")
        self.assertEqual(len(client.get_job_info("mini", fetch_all_builds=True)["builds"]), number)
        build = client.get_build_info("mini", number, depth=2)
        self.assertEqual((build["fullDisplayName"], build["id"]), (f"mini #{number}", str(number)))
        given = {one["name"]: one.get("value") for action in build["actions"] for one in action.get("parameters", [])}
        self.assertEqual(given, {"TARGET": "naïve & sons", "LEVEL": "high", "DRY": True, "NOTES": "", "SECRET": None})
        self.assertTrue(client.get_build_console_output("mini", number).endswith("Finished: SUCCESS\n"))
        self.assertEqual(client.get_build_test_report("mini", number)["failCount"], 0)
        self.assertIsNone(client.get_build_env_vars("mini", number))
        for missing in (client.get_build_info, client.get_build_console_output):
            with self.assertRaisesRegex(jenkins.JenkinsException, "does not exist"):
                missing("mini", 99)

    def reads_what_a_server_has(self, client):
        nodes = client.get_nodes()
        self.assertEqual([node["offline"] for node in nodes], [False])
        self.assertEqual(client.get_node_info(nodes[0]["name"])["numExecutors"], 2)
        self.assertTrue(client.node_exists("(master)"))
        self.assertFalse(client.node_exists("elsewhere"))
        self.assertEqual(client.get_running_builds(), [])
        self.assertEqual([view["name"] for view in client.get_views()], ["all"])
        self.assertTrue(client.view_exists("all"))
        self.assertIsNone(client.get_view_name("elsewhere"))
        self.assertEqual(dict(client.get_plugins()), {})
        self.assertIsNone(client.get_plugin_info("git"))
        self.assertEqual(xml.etree.ElementTree.fromstring(client.get_job_config("mini")).tag, "project")

    def changes_what_may_be_changed(self, job, client):
        client.disable_job("plain.job")
        self.assertFalse(client.get_job_info("plain.job")["buildable"])
        client.enable_job("plain.job")
        client.quiet_down()
        item = client.build_job("plain.job")
        self.assertEqual([one["id"] for one in client.get_queue_info()], [item])
        client.cancel_queue(item)
        client.cancel_queue(item)  # it left before: python-jenkins takes that for done
        self.assertTrue(client.get_queue_item(item)["cancelled"])
        client.jenkins_open(jenkins.requests.Request("POST", client.server + "cancelQuietDown"))
        job.close_gate()
        client.build_job("plain.job")
        wait_until(job.held, 60, "it is held in its tests")
        running = client.get_running_builds()
        self.assertEqual([(build["name"], build["number"]) for build in running], [("plain.job", 1)])
        client.stop_build("plain.job", 1)
        self.assertEqual(job.ended("plain.job", 1)["result"], "ABORTED")
        job.open_gate()

    def is_refused_what_may_not(self, client):
        # Not wipeout_job_workspace and delete_build: this version of the client cannot add a crumb to either.
        empty = "<project/>"
        for refused in (lambda: client.create_job("new", empty), lambda: client.copy_job("mini", "new"),
                        lambda: client.rename_job("mini", "new"), lambda: client.delete_job("mini"),
                        lambda: client.reconfig_job("mini", empty), lambda: client.set_next_build_number("mini", 99),
                        lambda: client.create_view("new", empty), lambda: client.delete_view("all"),
                        lambda: client.reconfig_view("all", empty), lambda: client.create_node("new"),
                        lambda: client.delete_node("(master)"), lambda: client.disable_node("(master)"),
                        lambda: client.run_script("println 1"), lambda: client.install_plugin("git")):
            with self.assertRaises((jenkins.JenkinsException, jenkins.requests.HTTPError)):
                refused()
        self.assertEqual(client.jobs_count(), 2)
        self.assertEqual(client.get_job_info("mini")["nextBuildNumber"], 2)

    def test_wrong_credentials_and_jobs_that_are_off_are_told_apart_by_python_jenkins(self):
        job = self.job()
        with self.assertRaisesRegex(jenkins.JenkinsException, r"\[401\]"):
            jenkins.Jenkins(job.url, "demo", "wrong").get_whoami()
        with self.assertRaisesRegex(jenkins.JenkinsException, r"\[403\]"):
            jenkins.Jenkins(job.url).get_info()
        # A token alone triggers, and reads nothing.
        self.assertGreater(jenkins.Jenkins(job.url).build_job("plain.job", token=APP_TOKEN), 0)

    def test_jenkins_job_builder_lists_the_jobs(self):
        job = self.job()
        config = job.directory / "jenkins_jobs.ini"
        config.write_text(f"[jenkins]\nuser=demo\npassword={job.token}\nurl={job.url}\nquery_plugins_info=False\n")
        for command, expected in ((("list",), "mini\nplain.job\n"), (("list", "pl*"), "plain.job\n")):
            done = subprocess.run(["jenkins-jobs", "--conf", str(config), *command], capture_output=True, text=True,
                                  timeout=60, check=True)
            self.assertEqual(done.stdout, expected, done.stderr)
        plugins = job.directory / "plugins.yaml"
        subprocess.run(["jenkins-jobs", "--conf", str(config), "get-plugins-info", "-o", str(plugins)], check=True,
                       capture_output=True, timeout=60)
        self.assertEqual(plugins.read_text().strip(), "[]")
        done = subprocess.run(["jenkins-jobs", "--conf", str(config), "delete", "mini"], capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertNotEqual(done.returncode, 0)


class NpmTest(JobCase):
    def with_user(self, job):
        return job.url.replace("http://", f"http://demo:{job.token}@")

    def test_the_client_jenkins_of_npm_gets_an_answer_to_every_call_that_it_has(self):
        job = self.job()
        calls = npm.run("jenkins.js", self.with_user(job), "ci1")
        self.assertEqual(len(calls), len(set(calls)), calls)
        self.assertGreaterEqual(len(calls), 42, calls)

    def test_the_client_jenkins_api_of_npm_gets_an_answer_to_every_call_that_it_has(self):
        job = self.job()
        calls = npm.run("jenkins_api.js", self.with_user(job))
        self.assertGreaterEqual(len(calls), 23, calls)


class ShellTest(JobCase):
    def sh(self, job, script, expect=0):
        """What operators have in their scripts; $URL, $USER, $TOKEN and $SECRET are set."""
        environment = {"URL": job.url, "USER": "demo", "TOKEN": job.token, "SECRET": APP_TOKEN, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["sh", "-eu", "-c", script], env=environment, capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, expect, f"{script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def test_the_recipes_for_curl_and_wget_that_operators_have_work(self):
        job = self.job()
        self.assertIn("X-Jenkins: 2.", self.sh(job, 'curl -sI "$URL/"'))
        # Trigger with a crumb, as in Jenkins' own page about it; the queue item's address comes back.
        self.assertRegex(self.sh(job, '''
            crumb=$(curl -fsS -u "$USER:$TOKEN" "$URL/crumbIssuer/api/xml?xpath=concat(//crumbRequestField,\\":\\",//crumb)")
            curl -fsS -D - -o /dev/null -X POST -u "$USER:$TOKEN" -H "$crumb" "$URL/job/mini/buildWithParameters" \\
                --data-urlencode "TARGET=a b&c=d" --data LEVEL=high | grep -i '^location:' '''),
            rf"^Location: {job.url}/queue/item/\d+/\r?\n$")
        job.ended()
        self.assertEqual(job.environment(1)["TARGET"], "a b&c=d")
        # The form of the page, as --form sends it, and as `json`.
        self.sh(job, '''curl -fsS -X POST -u "$USER:$TOKEN" "$URL/job/mini/buildWithParameters" -F TARGET=multi''')
        job.ended(number=2)
        self.assertEqual(job.environment(2)["TARGET"], "multi")
        self.sh(job, '''curl -fsS -X POST -u "$USER:$TOKEN" "$URL/job/mini/build" \\
            --form json='{"parameter": [{"name":"TARGET", "value":"json"}, {"name":"DRY", "value":true}]}' ''')
        job.ended(number=3)
        self.assertEqual([job.environment(3)[name] for name in ("TARGET", "DRY")], ["json", "true"])
        # A link is enough where the job has a token.
        self.sh(job, 'wget -q -O /dev/null "$URL/job/plain.job/build?token=$SECRET&cause=the+night"')
        causes = job.ended("plain.job", 1)["actions"][0]["causes"]
        self.assertRegex(causes[0]["shortDescription"], r"^Started by remote host [0-9.]+ with note: the night$")
        self.sh(job, 'curl -fsS -X POST "$URL/buildByToken/build?job=plain.job&token=$SECRET"')
        job.ended("plain.job", 2)
        self.assertEqual(self.sh(job, 'curl -fsS "$URL/buildByToken/polling?job=plain.job&token=$SECRET"'), "Scheduled.\n")
        self.assertEqual(self.sh(job, 'wget -q -O - "$URL/job/plain.job/build?token=wrong"', expect=8), "")
        # Reading.
        auth = 'curl -fsS -u "$USER:$TOKEN" '
        self.assertEqual(self.sh(job, auth + '"$URL/job/mini/lastBuild/buildNumber"'), "3")
        self.assertEqual(self.sh(job, auth + '"$URL/job/mini/lastSuccessfulBuild/api/json" | grep -o \'"result":"[A-Z]*"\''),
                         '"result":"SUCCESS"\n')
        self.assertEqual(self.sh(job, auth + '"$URL/job/mini/api/xml?xpath=//lastBuild/number/text()"'), "3")
        self.assertEqual(self.sh(job, auth + '-g "$URL/job/mini/api/json?tree=builds[number]{0,1}"'),
                         '{"_class":"hudson.model.FreeStyleProject","builds":[{"_class":"hudson.model.FreeStyleBuild",'
                         '"number":3}]}')
        self.assertEqual(self.sh(job, auth + '"$URL/job/mini/3/consoleText" | tail -n 1'), "Finished: SUCCESS\n")
        self.assertIn("TARGET=json", self.sh(job, auth + '"$URL/job/mini/3/artifact/environment.txt"'))
        self.assertEqual(self.sh(job, 'wget -q --auth-no-challenge --user "$USER" --password "$TOKEN" -O - '
                                      '"$URL/job/mini/1/api/xml?wrapper=all&xpath=//parameter[name=\'LEVEL\']/value"'),
                         "<all><value>high</value></all>")
        self.assertIn('name="mini"', self.sh(job, auth + '"$URL/cc.xml"'))
        self.sh(job, 'curl -fsS -X DELETE -u "$USER:$TOKEN" "$URL/job/mini/"', expect=22)
        self.sh(job, auth + '"$URL/job/mini/api/json"')

    def test_a_job_is_followed_with_progressive_text_until_there_is_no_more(self):
        job = self.job()
        job.close_gate()
        self.sh(job, 'curl -fsS -X POST -u "$USER:$TOKEN" "$URL/job/mini/build"')
        wait_until(job.held, 60, "it is held")
        self.assertEqual(job.ask("GET", "/job/mini/1/testReport/api/json")[0], 404)
        text, start, more = "", 0, True
        while more:
            status, headers, piece = job.ask("POST", "/job/mini/1/logText/progressiveText", f"start={start}",
                                             {"Content-Type": "application/x-www-form-urlencoded"})
            self.assertEqual(status, 200)
            self.assertEqual(int(headers["X-Text-Size"]), start + len(piece.encode()))
            text, start, more = text + piece, int(headers["X-Text-Size"]), headers.get("X-More-Data") == "true"
            self.assertTrue(not more or not piece or piece.endswith("\n"))
            if "held at gate" in text:
                job.open_gate()
        self.assertTrue(text.endswith("Finished: SUCCESS\n"))
        self.assertEqual(text, job.ask("GET", "/job/mini/1/consoleText")[2])
        self.assertEqual(job.ask("GET", "/job/mini/1/logText/progressiveText?start=99999999")[2], text)
        self.assertEqual(job.ask("GET", "/job/mini/1/logText/progressiveHtml?start=x")[0], 400)


class QueueTest(JobCase):
    def trigger(self, job, query="", expect=201, body=None, headers=None, verb="buildWithParameters"):
        status, answer, text = job.ask("POST", f"/job/mini/{verb}?{query}", body, headers)
        self.assertEqual(status, expect, text)
        return int(answer["Location"].rstrip("/").rsplit("/", 1)[1]) if status == 201 else text

    def test_in_the_quiet_period_the_same_request_is_one_item_and_other_parameters_are_another(self):
        job = self.job(quiet="600s")
        item = self.trigger(job, "TARGET=a")
        self.assertEqual(self.trigger(job, "TARGET=a&undeclared=x"), item)
        other = self.trigger(job, "TARGET=b")
        self.assertNotEqual(other, item)
        shown = json.loads(job.ask("GET", f"/queue/item/{item}/api/json/")[2])
        self.assertEqual(shown["_class"], "hudson.model.Queue$WaitingItem")
        self.assertRegex(shown["why"], r"^In the quiet period\. Expires in \d")
        self.assertNotIn("executable", shown)
        self.assertEqual((shown["blocked"], shown["buildable"]), (False, False))
        self.assertIn("\nTARGET=a", shown["params"])
        # The one for which an explicit delay ends the quiet period becomes a build, with its old id.
        self.assertEqual(self.trigger(job, "TARGET=a&delay=0"), item)
        left = wait_until(lambda: self.left(job, item), 60, "it has left the queue")
        self.assertEqual(left["executable"]["number"], 1)
        self.assertEqual(job.ended(number=1)["queueId"], item)
        self.assertEqual([one["id"] for one in json.loads(job.ask("GET", "/queue/api/json")[2])["items"]], [other])
        job.ask("POST", "/job/mini/disable")
        self.assertTrue(self.left(job, other)["cancelled"])
        self.assertEqual(job.ask("GET", "/queue/item/1/api/json")[0], 404)

    def test_what_a_job_does_not_take_is_refused_and_nothing_is_queued(self):
        job = self.job(quiet="600s")
        for query in ("LEVEL=middle", "TARGET=a&TARGET=b", "delay=soon", "delay=-1"):
            self.trigger(job, query, expect=400)
        self.trigger(job, verb="build", expect=400, body="json=" + urllib.parse.quote('{"parameter": '),
                     headers={"Content-Type": "application/x-www-form-urlencoded"})
        # A file, as a form of Jenkins uploads it.
        boundary = "------------------------d74496d66958873e"
        form = (f'--{boundary}\r\nContent-Disposition: form-data; name="json"\r\n\r\n'
                '{"parameter": [{"name": "TARGET", "file": "file0"}]}\r\n'
                f'--{boundary}\r\nContent-Disposition: form-data; name="file0"; filename="x.bin"\r\n'
                f'Content-Type: application/octet-stream\r\n\r\nabc\r\n--{boundary}--\r\n')
        self.assertIn("is a file", self.trigger(job, verb="build", expect=400, body=form, headers={
            "Content-Type": f"multipart/form-data; boundary={boundary}"}))
        self.assertEqual(job.ask("POST", "/job/plain.job/buildWithParameters?x=y")[0], 400)
        self.assertEqual(job.ask("GET", "/job/mini/build")[0], 405)
        self.assertEqual(job.ask("HEAD", f"/job/mini/build?token={APP_TOKEN}")[0], 405)
        self.assertEqual(job.ask("POST", "/job/mini/build?token=wrong")[0], 403)  # an administrator's, too
        for path in ("/job/mini/job/plain.job/api/json", "/job/MINI/api/json", "/job/mini%2Fx/api/json", "/job/mini/7/"):
            self.assertEqual(job.ask("GET", path)[0], 404, path)
        self.assertEqual(json.loads(job.ask("GET", "/queue/api/json")[2])["items"], [])

    @staticmethod
    def left(job, item):
        shown = json.loads(job.ask("GET", f"/queue/item/{item}/api/json")[2])
        return shown if shown["_class"].endswith("LeftItem") else None

    def test_every_answer_says_that_it_is_a_jenkins_refusals_before_a_handler_too(self):
        job = self.job()
        seen = set()
        for method, path, headers in (("GET", "/", {}), ("GET", "/nothing", {}), ("GET", "/job/mini/build", {}),
                                      ("POST", "/job/nothing/build", {}), ("GET", "/job/mini/../x", {}),
                                      ("GET", "/" + "a" * 9000, {}), ("BREW", "/", {}),
                                      ("GET", "/", {"X-Large": "y" * 20000}), ("PUT", "/job/mini/", {}),
                                      ("GET", "/api/xml?xpath=//name", {}),
                                      ("POST", "/job/mini/build", {"Content-Length": "99999999"}),
                                      ("GET", "/api/json", {"Authorization": "Basic bm9ib2R5"})):
            token = None if "Authorization" in headers else job.token
            status, answer, _ = ask(job.host, 7070, method, path, token, headers=headers)
            seen.add(status)
            self.assertRegex(answer.get("X-Jenkins", ""), r"^\d+\.\d+", f"{method} {path[:40]} {status}")
            self.assertRegex(answer.get("X-Jenkins-Session", ""), r"^[0-9a-f]{8}$")
            if status < 400:
                self.assertIsNone(answer.get("X-Error"))
        self.assertTrue({200, 400, 401, 404, 405, 413, 414, 431, 500} <= seen, seen)


class RequestShapesTest(JobCase):
    """What clients send that neither Debian nor npm has, taken from their sources."""

    def test_the_requests_of_the_parameterized_remote_trigger_plugin(self):
        job = self.job()
        tree = ("actions[parameterDefinitions],property[parameterDefinitions],name,fullName,displayName,"
                "fullDisplayName,url")
        facts = json.loads(job.ask("GET", f"/job/mini/api/json?tree={tree}")[2])
        self.assertEqual(len(facts["property"]), 1)
        self.assertEqual(facts["fullName"], "mini")
        plain = json.loads(job.ask("GET", f"/job/plain.job/api/json?tree={tree}")[2])
        self.assertEqual((plain["property"], plain["actions"]), ([], []))
        crumb = job.ask("GET", '/crumbIssuer/api/xml?xpath=concat(//crumbRequestField,":",//crumb)'.replace('"', "%22"))[2]
        status, headers, _ = job.ask("POST", "/job/mini/buildWithParameters?delay=0", "TARGET=remote", {
            "Content-Type": "application/x-www-form-urlencoded", **dict([crumb.split(":")])})
        self.assertEqual(status, 201)
        # It looks headers up by their very letters.
        location = dict(headers.items())["Location"]
        item = location.split("/")[-2]
        self.assertTrue(item.isdigit() and location.endswith("/"))

        def executable():
            value = json.loads(job.ask("GET", f"/queue/item/{item}/api/json/")[2])
            self.assertIsInstance(value["blocked"], bool)
            self.assertIsInstance(value["buildable"], bool)
            return value.get("executable")
        address = urllib.parse.urlsplit(wait_until(executable, 60, "it has a build")["url"]).path

        def result():
            value = json.loads(job.ask("GET", f"{address}api/json/?tree=result,building&seed=12345")[2])
            return value["result"] if not value["building"] else None
        self.assertEqual(wait_until(result, 60, "it has ended"), "SUCCESS")
        headers = dict(job.ask("GET", f"{address}logText/progressiveText?start=0")[1].items())
        self.assertIn("X-Text-Size", headers)
        self.assertNotIn("X-More-Data", headers)
        self.assertEqual(job.ask("POST", f"{address}stop")[0], 302)
        self.assertEqual(job.ask("POST", f"/queue/cancelItem?id={item}")[0], 404)

    def test_the_requests_of_jenkinsapi(self):
        job = self.job()

        def python(path):
            status, headers, text = job.ask("GET", path)
            self.assertEqual((status, headers["Content-Type"]), (200, "text/x-python;charset=UTF-8"), path)
            return ast.literal_eval(text)
        self.assertEqual([one["color"] for one in python("/api/python?tree=jobs[name,color,url]")["jobs"]],
                         ["notbuilt", "notbuilt"])
        form = urllib.parse.urlencode({"TARGET": "x", "json": json.dumps(
            {"parameter": [{"name": "TARGET", "value": "x"}], "statusCode": "303", "redirectTo": "."})})
        status, headers, _ = job.ask("POST", "/job/mini/buildWithParameters", form, {
            "Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(status, 201)
        self.assertTrue(headers["Location"].startswith(job.url + "/queue/item/"))
        item = headers["Location"][len(job.url):]
        number = wait_until(lambda: python(f"{item}api/python").get("executable", {}).get("number"), 60,
                            "it has a build")
        wait_until(lambda: not python(f"/job/mini/{number}/api/python")["building"], 60, "it has ended")
        build = python(f"/job/mini/{number}/api/python?depth=1")
        self.assertEqual((build["builtOn"], build["fullDisplayName"]), ("", f"mini #{number}"))
        values = [one for one in build["actions"] if one.get("_class") == "hudson.model.ParametersAction"]
        self.assertEqual(values[0]["parameters"][0]["_class"], "hudson.model.StringParameterValue")
        shown = python("/job/mini/api/python")
        self.assertIn("queueItem", shown)
        self.assertEqual(shown["builds"][0]["url"], f"{job.url}/job/mini/{number}/")
        self.assertEqual(python(f"/job/mini/{number}/testReport/api/python")["failCount"], 0)
        self.assertIn("charset", job.ask("GET", f"/job/mini/{number}/logText/progressiveText?start=0")[1]["Content-Type"])
        self.assertIs(python("/computer/api/python?depth=2")["computer"][0]["offline"], False)

    def test_the_requests_of_gojenkins_and_of_ansible_jenkins_build(self):
        job = self.job()
        # gojenkins: a slash after everything, only strings in a crumb, X-Error on nothing that is good.
        status, headers, text = job.ask("GET", "/crumbIssuer/api/json/")
        self.assertTrue(all(isinstance(value, str) for value in json.loads(text).values()))
        self.assertIsNone(headers.get("X-Error"))
        boundary = "0b5e"
        form = (f'--{boundary}\r\nContent-Disposition: form-data; name="json"\r\n\r\n'
                '{"parameter":[{"name":"TARGET","value":"go"}]}\r\n' f"--{boundary}--\r\n")
        status, headers, _ = job.ask("POST", "/job/mini/build/", form, {
            "Content-Type": f"multipart/form-data; boundary={boundary}"})
        self.assertEqual(status, 201)
        self.assertEqual(job.ended(number=1)["result"], "SUCCESS")
        self.assertEqual(job.environment(1)["TARGET"], "go")
        self.assertTrue(job.ask("GET", "/job/mini/1/consoleText/")[2].endswith("Finished: SUCCESS\n"))
        self.assertIn("X-Text-Size", job.ask("GET", "/job/mini/1/logText/progressiveText/?start=0")[1])
        revisions = json.loads(job.ask("GET", "/job/mini/1/api/json/?tree=actions[lastBuiltRevision[SHA1]]")[2])
        self.assertIn({"SHA1": job.head}, [one.get("lastBuiltRevision") for one in revisions["actions"]])
        self.assertEqual(job.ask("GET", "/job/nothing/api/json/")[0], 404)
        # Ansible's jenkins_build, as it drives python-jenkins.
        client = jenkins.Jenkins(job.url, "demo", job.token, 10)
        number = client.get_job_info("plain.job")["nextBuildNumber"]
        client.build_job("plain.job")
        wait_until(lambda: client.get_job_info("plain.job")["lastBuild"], 10, "within its first sleep")
        result = wait_until(lambda: client.get_build_info("plain.job", number)["result"], 60, "it has ended")
        self.assertEqual(result, "SUCCESS")
        client.stop_build("plain.job", number)

    def test_a_client_that_encodes_everything_and_one_that_encodes_nothing_are_both_understood(self):
        job = self.job()
        raw = job.ask("GET", "/job/mini/api/json?tree=name,property[parameterDefinitions[name]]")[2]
        encoded = job.ask("GET", "//job//mini/api/json/?tree=name%2Cproperty%5BparameterDefinitions%5Bname%5D%5D")[2]
        self.assertEqual(raw, encoded)
        names = [one["name"] for one in json.loads(raw)["property"][0]["parameterDefinitions"]]
        self.assertEqual(names, ["TARGET", "LEVEL", "DRY", "NOTES", "SECRET"])
        self.assertEqual(job.ask("GET", "/job/plain%2Ejob/api/json")[0], 200)
        self.assertEqual(job.ask("GET", "/api/json?jsonp=evil")[0], 403)


if __name__ == "__main__":
    unittest.main()
