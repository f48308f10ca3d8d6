# SPDX-License-Identifier: MIT
"""The packages of clients/package-lock.json, installed once beside the program under test."""
import fcntl
import os
import pathlib
import shutil
import subprocess

CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
FILES = ("package.json", "package-lock.json")


def node_modules():
    """The folder `node_modules`; made by `npm ci` when it is missing or of another lock file."""
    folder = pathlib.Path(os.environ["BATON_BINARY"]).resolve().parent / "clients"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, done = (CLIENTS / "package-lock.json").read_bytes(), folder / "done"
        if not done.exists() or done.read_bytes() != wanted:
            for name in FILES:
                shutil.copy(CLIENTS / name, folder / name)
            subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=folder, check=True, timeout=240,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            done.write_bytes(wanted)
    return folder / "node_modules"
