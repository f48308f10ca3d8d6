# SPDX-License-Identifier: MIT
"""The lab: three nodes with real web servers behind a real load balancer, real agents, and users whose every request is
accounted for. `scripts/lab` runs the whole; test_*.py are its short form."""
import pathlib
import sys

E2E = pathlib.Path(__file__).resolve().parent.parent
ROOT = E2E.parent.parent
for folder in (E2E, ROOT / "examples" / "django-shop", ROOT / "examples" / "chain"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
