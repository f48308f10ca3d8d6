# SPDX-License-Identifier: MIT
"""Runs the tests against a Redis of their own, on a socket in a directory of its own, and writes JUnit XML."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import redis
from django.conf import settings
from xmlrunner.extra.djangotestrunner import XMLTestRunner

START_SECONDS = 10


class Runner(XMLTestRunner):
    def setup_test_environment(self, **options):
        super().setup_test_environment(**options)
        # Not below the workspace: the path of a socket has room for 107 characters only.
        self.directory = tempfile.mkdtemp(prefix="shop-tests-")
        socket = pathlib.Path(self.directory) / "redis.sock"
        self.redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", self.directory,
             "--appendonly", "no"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        settings.REDIS_URL = os.environ["SHOP_REDIS_URL"] = f"unix://{socket}"
        self._wait(socket)

    def _wait(self, socket):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                redis.Redis(unix_socket_path=str(socket)).ping()
                return
            except redis.RedisError:
                if self.redis.poll() is not None or time.monotonic() > deadline:
                    self._end_redis()
                    raise
                time.sleep(0.01)

    def teardown_test_environment(self, **options):
        self._end_redis()
        super().teardown_test_environment(**options)

    def _end_redis(self):
        self.redis.terminate()
        try:
            self.redis.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self.redis.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
