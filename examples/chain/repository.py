# SPDX-License-Identifier: MIT
"""A bare git repository, and commits pushed to it: what the demo and the e2e tests deploy from."""
import os
import pathlib
import shutil
import subprocess

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ann Author", "GIT_AUTHOR_EMAIL": "ann@example.com",
    "GIT_COMMITTER_NAME": "Ann Author", "GIT_COMMITTER_EMAIL": "ann@example.com",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
}


class Repository:
    """`bare` is what agents fetch; `work` is a clone in which commits are made."""

    def __init__(self, bare, work, branch="main"):
        self.bare = pathlib.Path(bare)
        self.work = pathlib.Path(work)
        self.branch = branch

    @classmethod
    def create(cls, directory, name, source, branch="main"):
        """A repository DIRECTORY/NAME.git whose first commit holds the files of `source`."""
        directory = pathlib.Path(directory)
        made = cls(directory / f"{name}.git", directory / f"{name}-work", branch)
        made.bare.parent.mkdir(parents=True, exist_ok=True)
        made._git("init", "-q", "--bare", f"--initial-branch={branch}", str(made.bare), cwd=directory)
        shutil.copytree(source, made.work, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "reports", "venv"))
        made.git("init", "-q", f"--initial-branch={branch}")
        made.git("remote", "add", "origin", str(made.bare))
        return made

    def git(self, *arguments):
        """Runs git in the clone; its standard output. RuntimeError with git's own words when it fails."""
        return self._git(*arguments, cwd=self.work)

    @staticmethod
    def _git(*arguments, cwd):
        environment = {**os.environ, **IDENTITY}
        done = subprocess.run(["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True,
                              timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"git {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def write(self, name, text):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self, message):
        """Everything in the clone becomes a commit; its id."""
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def head(self):
        return self.git("rev-parse", "HEAD").strip()

    def push(self):
        """Pushes the branch; the pushed commit's id."""
        self.git("push", "-q", "origin", f"HEAD:refs/heads/{self.branch}")
        return self.head()
