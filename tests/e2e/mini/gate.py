# SPDX-License-Identifier: MIT
"""Holds a step until the test that pushed this commit lets it go: `gate.py STAGE`.

A gate is a directory named in behaviour.json. `STAGE.NODE.reached` appears in it, then `STAGE.NODE.open` is waited
for; a gate without the file `STAGE.NODE` lets everyone pass. With `STAGE.NODE.fail` the step then
fails, once.
"""
import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
MOST_SECONDS = 180


def main():
    directory = json.loads((HERE / "behaviour.json").read_text())["gates"]
    name = f"{sys.argv[1]}.{os.environ['NODE_NAME']}"
    if not directory or not (pathlib.Path(directory) / name).exists():
        return 0
    directory = pathlib.Path(directory)
    (directory / f"{name}.reached").touch()
    print(f"held at gate {name}", flush=True)
    deadline = time.monotonic() + MOST_SECONDS
    while not (directory / f"{name}.open").exists():
        if time.monotonic() > deadline:
            print(f"gate {name} was never opened")
            return 1
        time.sleep(0.02)
    try:
        (directory / f"{name}.fail").unlink()
    except FileNotFoundError:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
