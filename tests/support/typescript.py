"""Programs of npm's registry at the versions that tests/typescript pins, installed once into .dev/node."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.processes import ROOT

__all__ = ["Failed", "installed", "run"]

SOURCE = ROOT / "tests" / "typescript"
FOLDER = ROOT / ".dev" / "node"
FILES = ("package.json", "package-lock.json")


class Failed(Exception):
    """A program that failed, and what it said."""


def installed() -> Path:
    """Install the packages unless that is done, and return their folder; raise Failed where they can't be had."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = b"\0".join((SOURCE / name).read_bytes() for name in FILES)
    stamp = FOLDER / "installed"
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_bytes() == wanted):
            for name in FILES:
                shutil.copy(SOURCE / name, FOLDER / name)
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", cwd=FOLDER)
            stamp.write_bytes(wanted)
    return FOLDER / "node_modules"


def run(*command: str, cwd: Path) -> str:
    """Run a program to its end and return what it says; raise Failed if it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "CI": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode:
        raise Failed(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout
