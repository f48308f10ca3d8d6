# SPDX-License-Identifier: MIT
"""The files that a build has kept, as Jenkins shows them: one by one, as pages and lists of folders, and as an archive
that is made while it is sent.
"""
import http.client
import io
import pathlib
import re
import socket
import unittest
import zipfile

from harness import AGENT_PORT, wait_until
from job import PIPELINE, JobCase

BIG_BYTES = 40_000_000
STEPS = f"""\
test:
  - name: large and odd
    run: |
      mkdir -p big 'big/a & b'
      head -c {BIG_BYTES} /dev/urandom > big/random.bin
      echo '<b>' > 'big/a & b/<odd> ünd.txt'
"""
FOLDER = "/job/mini/1/artifact/"


class ArtifactsTest(JobCase):
    def built(self):
        job = self.job()
        job.repository.write("baton.yaml", PIPELINE.replace("test:\n", STEPS, 1).replace(
            "artifacts: [", 'artifacts: ["big/*", "big/*/*", '))
        job.commit("Keeps more")
        job.ask("POST", "/job/mini/build")
        self.assertEqual(job.ended(number=1)["result"], "SUCCESS")
        return job

    def read(self, job, path, expect=200, method="GET"):
        # Not by harness.ask, which reads 16 MiB at most.
        connection = http.client.HTTPConnection(job.host, AGENT_PORT, timeout=60)
        self.addCleanup(connection.close)
        connection.request(method, FOLDER + path, headers={"Authorization": f"Bearer {job.token}"})
        answer = connection.getresponse()
        body = answer.read()
        self.assertEqual(answer.status, expect, f"{path}: {body[:200]!r}")
        return answer.headers, body

    def peak(self, job):
        status = pathlib.Path(f"/proc/{job.agent.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def test_kept_files_are_listed_folder_by_folder_and_come_as_one_archive_of_any_size(self):
        job = self.built()
        headers, _ = self.read(job, "big", 302)
        self.assertEqual(headers["Location"], f"{job.url}{FOLDER}big/")
        headers, page = self.read(job, "big/")
        self.assertIn("text/html", headers["Content-Type"])
        self.assertIn(b'<a href="a%20%26%20b/">a &amp; b/</a>', page)
        self.assertIn(b'<a href="random.bin">random.bin</a>', page)
        odd = "big/a%20%26%20b/%3Codd%3E%20%C3%BCnd.txt"
        self.assertIn(b'href="' + odd.rsplit("/", 1)[1].encode() + b'"', self.read(job, "big/a%20%26%20b/")[1])
        self.assertEqual(self.read(job, odd)[1], b"<b>\n")
        self.assertEqual(self.read(job, "*plain*")[1].decode().split("\n")[:3],
                         ["big/", "environment.txt", "reports/"])
        self.assertEqual(self.read(job, "big/*plain*")[1], b"a & b/\nrandom.bin\n")
        for path, status in (("nothing/", 404), ("nothing/*zip*/nothing.zip", 404), ("environment.txt/*plain*", 404),
                             ("..%2f..%2f*zip*/x.zip", 400), ("big/%2e%2e/*zip*/x.zip", 400)):
            self.read(job, path, status)

        random = self.read(job, "big/random.bin")[1]
        before = self.peak(job)
        headers, body = self.read(job, "*zip*/archive.zip")
        self.assertEqual(headers["Content-Type"], "application/zip")
        grown = self.peak(job) - before
        archive = zipfile.ZipFile(io.BytesIO(body))
        self.assertIsNone(archive.testzip())
        names = [name for name in archive.namelist() if not name.endswith("/")]
        self.assertEqual(names[:2], ["archive/big/a & b/<odd> ünd.txt", "archive/big/random.bin"])
        self.assertIn("archive/environment.txt", names)
        self.assertTrue(any(name.startswith("archive/reports/") for name in names))
        self.assertTrue(archive.read("archive/big/random.bin") == random, "a large file comes whole")
        self.assertEqual(archive.read("archive/environment.txt"), self.read(job, "environment.txt")[1])
        print(f"\nartifacts: {len(body)} bytes of archive, {grown} bytes more of memory")
        self.assertLess(grown, BIG_BYTES / 4, "the archive was held in memory")

        part = zipfile.ZipFile(io.BytesIO(self.read(job, "reports/*zip*/reports.zip")[1]))
        self.assertEqual(self.read(job, "*zip*/archive.zip", method="HEAD")[1], b"")
        self.assertTrue(all(name.startswith("reports/") for name in part.namelist()), part.namelist())
        self.leaves_in_the_middle(job)

    def leaves_in_the_middle(self, job):
        """A client that hangs up costs nothing for long."""
        with socket.create_connection((job.host, AGENT_PORT), timeout=10) as client:
            client.sendall(f"GET {FOLDER}*zip*/archive.zip HTTP/1.1\r\nHost: h\r\n"
                           f"Authorization: Bearer {job.token}\r\n\r\n".encode())
            self.assertIn(b" 200 ", client.recv(1000))
        wait_until(lambda: re.search(r"^baton_http_followers 0$", job.ask("GET", "/metrics")[2], re.M), 60,
                   lambda: job.ask("GET", "/metrics")[2])


if __name__ == "__main__":
    unittest.main()
