# SPDX-License-Identifier: MIT
"""The packages of clients/package-lock.json, installed once beside the program under test, and scripts that use them."""
import fcntl
import os
import pathlib
import shutil
import subprocess

CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
FILES = ("package.json", "package-lock.json")
INSTALL_SECONDS = 240


def node_modules():
    """The folder `node_modules`; made by `npm ci` when it is missing or of another lock file."""
    folder = pathlib.Path(os.environ["BATON_BINARY"]).resolve().parent / "clients"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        wanted, done = (CLIENTS / "package-lock.json").read_bytes(), folder / "done"
        if not done.exists() or done.read_bytes() != wanted:
            for name in FILES:
                shutil.copy(CLIENTS / name, folder / name)
            _install(folder)
            done.write_bytes(wanted)
    return folder / "node_modules"


def _install(folder):
    try:
        run = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, text=True,
                             timeout=INSTALL_SECONDS, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        raise RuntimeError("npm is not installed: scripts/setup installs it") from None
    if run.returncode != 0:
        raise RuntimeError("npm cannot install what tests/e2e/clients/package-lock.json names; can its registry be "
                           f"reached from here (npm config get registry)?\n{run.stdout}{run.stderr}")


def run(script, *arguments, within=90):
    """Runs clients/SCRIPT; the lines that it printed, one for each call that went well. AssertionError if it failed."""
    modules = node_modules()
    done = subprocess.run(["node", str(CLIENTS / script), *arguments], env={**os.environ, "NODE_PATH": str(modules)},
                          capture_output=True, text=True, timeout=within, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{script} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout.splitlines()
