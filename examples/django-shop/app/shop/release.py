# SPDX-License-Identifier: MIT
"""Which commit this is: release.json, written when the release was built. A checkout has none."""
import json

from django.conf import settings


def _read():
    try:
        return json.loads((settings.BASE_DIR / "release.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"commit": "unreleased"}


# Once, when the process starts: it goes on running this release whatever `current` points to later.
RELEASE = _read()
COMMIT = RELEASE["commit"]
