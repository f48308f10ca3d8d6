# SPDX-License-Identifier: MIT
"""Ends the node's running FastCGI server gracefully and starts the one of the current release.

It does not wait for the new one: whether that works is for the health check to say. What belongs to the node and not
to a release lies in `shared/` beside the releases: `shared/node.env` (NAME=value lines) with its settings, and
`shared/run/` with the pid file, the log and the FIFO of the server.
"""
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 40
KILL_SECONDS = 5
UWSGI = "/usr/bin/uwsgi"


def settings(shared):
    """The node's settings; an app server inherits them and nothing of the deployment's own environment."""
    found = {
        "SHOP_FASTCGI": f"{os.environ.get('NODE_ADDRESS', '127.0.0.1')}:9000",
        "SHOP_REDIS_URL": "redis://127.0.0.1:6379/0",
    }
    file = shared / "node.env"
    if file.exists():
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals or not name.isidentifier():
                sys.exit(f"{file}:{number}: expected NAME=value, found {line!r}")
            found[name] = value
    return found


def birth(pid):
    """When a process started, in the kernel's ticks; empty when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def running(pid_file):
    """A pidfd and the pid of the server of the pid file; None when there is none. A pid that was given to another
    process since is told by its time of birth."""
    try:
        pid, born = pid_file.read_text().split()
        handle = os.pidfd_open(int(pid))
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    if birth(int(pid)) != born:
        os.close(handle)
        return None
    return handle, int(pid)


def children(pid):
    """The pidfds of a process's children: collected before it ends, since nobody could name them afterwards."""
    handles = []
    try:
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            handles.append(os.pidfd_open(int(child)))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return handles


def ended(handle, seconds):
    """Waits for the end of a process: a pidfd is ready then, also for one that its parent has not yet reaped."""
    return bool(select.select([handle], [], [], seconds)[0])


def order_graceful_stop(fifo):
    """Tells uwsgi to finish its requests and end. False when nobody reads the FIFO (opening it would block for ever)."""
    try:
        descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.write(descriptor, b"q") == 1
    except OSError:
        return False
    finally:
        os.close(descriptor)


def stop(run):
    found = running(run / "uwsgi.pid")
    if found is None:
        return
    handle, pid = found
    workers = children(pid)
    began = time.monotonic()
    try:
        if not (order_graceful_stop(run / "uwsgi.fifo") and ended(handle, GRACE_SECONDS)):
            print(f"the server {pid} did not end by itself and is killed", flush=True)
            # The master first, or it would start its workers again.
            for victim in [handle, *workers]:
                try:
                    signal.pidfd_send_signal(victim, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for victim in [handle, *workers]:
            if not ended(victim, KILL_SECONDS):
                sys.exit(f"the server {pid} cannot be ended")
    finally:
        for victim in [handle, *workers]:
            os.close(victim)
    print(f"server {pid} ended after {time.monotonic() - began:.2f} s", flush=True)


def start(current, run, node):
    # Resolved: a server whose directory is `current` itself would serve a mixture after the next switch.
    release = current.resolve(strict=True)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(run), "SHOP_RUN": str(run),
        "NODE_NAME": os.environ.get("NODE_NAME", ""), **node,
    }
    command = [UWSGI, "--ini", str(release / "deploy" / "uwsgi.ini"), "--chdir", str(release)]
    if os.environ.get("VIRTUAL_ENV"):
        command += ["--virtualenv", os.environ["VIRTUAL_ENV"]]
    with open(run / "uwsgi.log", "ab") as log:
        server = subprocess.Popen(command, cwd=release, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, start_new_session=True)
    temporary = run / "uwsgi.pid.new"
    temporary.write_text(f"{server.pid} {birth(server.pid)}\n")
    temporary.rename(run / "uwsgi.pid")
    print(f"server {server.pid} started in {release}", flush=True)


def main():
    # Not resolved: `shared` lies beside `current`, not beside what it points to.
    current = pathlib.Path(os.environ["BATON_CURRENT_DIR"])
    shared = current.parent / "shared"
    run = shared / "run"
    run.mkdir(parents=True, exist_ok=True)
    node = settings(shared)
    stop(run)
    if sys.argv[1:] != ["stop"]:
        start(current, run, node)


if __name__ == "__main__":
    main()
