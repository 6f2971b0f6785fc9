"""``dev.py``: what it says on a machine that lacks something, and that it sets up no more than it must."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import dev

SCRIPT = Path(dev.__file__)


def test_old_interpreters_can_read_it_as_far_as_the_version_check() -> None:
    assert ast.parse(SCRIPT.read_text(), feature_version=(3, 6)).body


@pytest.mark.parametrize("name", ["constraints.txt", "tests/floors.txt", "tests/py310.txt"])
def test_every_list_of_versions_belongs_to_a_leg(name: str) -> None:
    assert name in dev.LOCKS.values()


def test_an_unknown_argument_is_refused() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "check", "--fast"], check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert "--fast" in done.stderr


@pytest.mark.parametrize(
    ("code", "status"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", 128 + 15)]
)
def test_the_status_of_a_program_is_kept(code: str, status: int) -> None:
    with pytest.raises(dev.Failure) as failure:
        dev.run([sys.executable, "-c", code])

    assert failure.value.status == status


def test_being_told_to_terminate_is_passed_on() -> None:
    sleeper = "import time; print('asleep', flush=True); time.sleep(60)"
    code = f"import dev, sys; sys.exit(dev.status_of([sys.executable, '-c', {sleeper!r}]))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=SCRIPT.parent) as outer:
        assert outer.stdout is not None
        outer.stdout.readline()

        outer.terminate()

        # The pipe ends when both are gone.
        assert outer.stdout.read() == b""
        assert outer.wait(20) == 128 + signal.SIGTERM


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(dev.Failure, match="no-such-program"):
        dev.run(["no-such-program"])


def test_an_interpreter_that_does_not_run_answers_nothing() -> None:
    assert not dev.asked("no-such-python", "print(1)")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dev.Environment:
    """Give an environment that counts as made, in a project of its own."""
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "WORK", tmp_path / ".dev")
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name)
    environment = dev.Environment(tmp_path / ".venv")
    environment.create(None)
    return environment


@pytest.mark.slow
def test_an_environment_is_set_up_again_only_when_something_changed(
    environment: dev.Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    monkeypatch.setattr(dev, "run", lambda command: installed.append(command[-1]))

    environment.prepare("dev", "constraints.txt", pip=True)
    environment.prepare("dev", "constraints.txt", pip=True)
    environment.prepare("", "constraints.txt", pip=True)
    assert installed == [f"{dev.ROOT}[dev]"]

    (dev.ROOT / "constraints.txt").write_text("changed")
    environment.prepare("", "constraints.txt", pip=True)
    environment.prepare("dev", "constraints.txt", pip=True)
    assert installed == [f"{dev.ROOT}[dev]", f"{dev.ROOT}", f"{dev.ROOT}[dev]"]
