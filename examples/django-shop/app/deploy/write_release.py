# SPDX-License-Identifier: MIT
"""Writes release.json: what /health and every answer name. The tree that is released has no .git to ask."""
import json
import os
import pathlib
import sys

commit = os.environ.get("GIT_COMMIT", "")
if not commit:
    sys.exit("write_release.py: GIT_COMMIT is not set")
release = {"commit": commit, "branch": os.environ.get("GIT_BRANCH", ""), "build": os.environ.get("BUILD_NUMBER", "")}
path = pathlib.Path(__file__).resolve().parent.parent / "release.json"
path.write_text(json.dumps(release, sort_keys=True) + "\n", encoding="utf-8")
