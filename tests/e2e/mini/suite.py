# SPDX-License-Identifier: MIT
"""The app's own tests, with a JUnit report in reports/."""
import json
import pathlib
import sys
import unittest

import xmlrunner

HERE = pathlib.Path(__file__).resolve().parent
BEHAVIOUR = json.loads((HERE / "behaviour.json").read_text())


class Tax(unittest.TestCase):
    def test_a_hundred_is_taxed_by_nineteen(self):
        self.assertEqual(100 * BEHAVIOUR["tax_percent"] // 100, 19)

    def test_nothing_is_taxed_by_nothing(self):
        self.assertEqual(0 * BEHAVIOUR["tax_percent"], 0)


class Release(unittest.TestCase):
    def test_the_commit_is_known(self):
        self.assertRegex((HERE / "COMMIT").read_text(), r"^[0-9a-f]{40}\n$")


if __name__ == "__main__":
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = xmlrunner.XMLTestRunner(output="reports").run(suite)
    sys.exit(0 if result.wasSuccessful() else 1)
