#!/usr/bin/env python3
"""Set up and run everything a contributor needs: demo, test, check, bench, package, lock.

Needs Python 3.10 or newer and nothing else. Uses uv when it is there and venv with pip otherwise; what it installs goes
into .venv and .dev, never into the system's Python. `python3 dev.py --help` lists the commands.
"""

import sys

# Before anything that an older interpreter would stumble over; the file itself stays readable to Python 3.6.
if sys.version_info < (3, 10):
    sys.exit("dev.py needs Python 3.10 or newer, and this is Python {}.{}".format(*sys.version_info))
if sys.platform == "win32":
    sys.exit("dev.py runs on Linux and macOS; on Windows use WSL")

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
WORK = ROOT / ".dev"
SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")
LOCKS = {"newest": "constraints.txt", "floors": "tests/floors.txt", "py310": "tests/py310.txt"}
TYPED = ("lightapi", "tests", "tools", "dev.py", "examples", "adapters", "benchmarks")
# On interpreters other than the one at hand: what an interpreter can change, without the long tests and PostgreSQL.
SHORT = ("crud", "async_crud", "fields", "declarations", "inheritance", "overrides", "bridge", "optional", "dev")
SHORT_ENGINES = "sqlite-sync,sqlite-async"
PARALLEL = ["-n", "2"] if (os.cpu_count() or 1) > 1 else []
OTHERS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
WHICH = "import sys; print('%d.%d' % sys.version_info[:2])"


class Failure(Exception):
    """Something that a person has to know, in one sentence, and the exit status to leave with."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


class Environment:
    """A virtual environment and what was last installed into it."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.base = python
        self.python = folder / "bin" / "python"
        self.stamp = folder / ".lightapi-stamp"

    def prepare(self, extras: str, constraints: str, *, pip: bool) -> "Environment":
        """Install the project with its extras, unless exactly that was done before."""
        files = (ROOT / "pyproject.toml", ROOT / constraints)
        wanted = hashlib.sha256(b"\0".join([*(file.read_bytes() for file in files), str(ROOT).encode()])).hexdigest()
        with _alone(self.folder):
            if self._has(extras, wanted):
                return self
            say(f"setting up {self.folder.relative_to(ROOT)} (the first time takes a while)")
            target = f"{ROOT}[{extras}]" if extras else str(ROOT)
            uv = None if pip else uv_command()
            if not self._runs():
                self.create(uv)
            installer = self.installer(uv)
            run([*installer, "--quiet", "--constraint", str(ROOT / constraints), "--editable", target])
            self.stamp.write_text(json.dumps({"extras": extras, "hash": wanted}), encoding="utf-8")
        return self

    def _has(self, extras: str, wanted: str) -> bool:
        """Tell whether the stamp says so; an environment with `dev` holds everything that one without it does."""
        try:
            stamp = json.loads(self.stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return stamp.get("hash") == wanted and stamp.get("extras") in (extras, "dev") and self._runs()

    def _runs(self) -> bool:
        return self.python.exists() and asked(self.python, "print(1)") == "1"

    def create(self, uv: list[str] | None) -> None:
        """Make the environment, empty."""
        self.folder.parent.mkdir(exist_ok=True)
        if uv:
            run([*uv, "venv", "--quiet", "--clear", "--python", self.base, str(self.folder)])
            return
        if asked(self.base, "import venv, ensurepip; print(1)") != "1":
            version = asked(self.base, WHICH) or "3"
            raise Failure(
                f"this Python cannot make virtual environments: install uv, or `apt-get install python{version}-venv`"
            )
        run([self.base, "-m", "venv", "--clear", str(self.folder)])

    def installer(self, uv: list[str] | None) -> list[str]:
        """Tell the command that installs into the environment."""
        if uv:
            return [*uv, "pip", "install", "--python", str(self.python)]
        if asked(self.python, "import pip; print(1)") != "1":
            run([str(self.python), "-m", "ensurepip", "--default-pip"])
        return [str(self.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]


def say(text: str) -> None:
    """Print at once, so that our lines stand in order among those of the programs we start."""
    print(text, flush=True)


def run(command: Sequence[str], *, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> None:
    """Run a program to its end and stop with its status if it fails."""
    status = status_of(command, cwd=cwd, environment=environment)
    if status:
        raise Failure(f"failed with status {status}: {' '.join(command)}", status)


def status_of(command: Sequence[str], *, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> int:
    """Run a program to its end; a signal that ended it becomes 128 + its number.

    Ctrl-C reaches the program by itself, and is its own affair; being told to terminate is passed on to it.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        process = subprocess.Popen(command, cwd=cwd, env=_clean(environment))
    except OSError as error:
        raise Failure(f"cannot start {command[0]}: {error.strerror}", 127) from None
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            continue
        except SystemExit:
            process.terminate()
            continue
        return 128 - status if status < 0 else status


def _clean(more: dict[str, str] | None) -> dict[str, str]:
    """Give an environment in which an active venv, or a PYTHONPATH, does not reach into ours."""
    kept = {name: value for name, value in os.environ.items() if name not in OTHERS}
    return {**kept, **(more or {})}


def asked(python: str | Path, code: str) -> str:
    """Ask an interpreter; the empty text when it does not run or does not know."""
    try:
        done = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, timeout=60, env=_clean(None), check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def uv_command() -> list[str] | None:
    """Find uv: a program that runs (a version manager's shim may not), or a module of this Python."""
    if shutil.which("uv") and subprocess.run(["uv", "--version"], capture_output=True, check=False).returncode == 0:
        return ["uv"]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let a second dev.py wait while the first one sets up the same environment."""
    WORK.mkdir(exist_ok=True)
    with (WORK / f"{folder.name.lstrip('.')}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def interpreters() -> dict[str, str]:
    """Find the supported interpreters on this machine, each asked for its version rather than believed."""
    found: dict[str, str] = {}
    uv = uv_command()
    for version in SUPPORTED:
        installed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
        candidates = [shutil.which(f"python{version}") or "", *map(str, installed)]
        if uv:
            find = [*uv, "python", "find", "--no-python-downloads", version]
            candidates.append(subprocess.run(find, capture_output=True, text=True, check=False).stdout.strip())
        usable = [python for python in candidates if python and asked(python, WHICH) == version]
        if usable:
            found[version] = usable[0]
    return found


def demo(options: argparse.Namespace) -> None:
    """Serve the example API, with its docs page, on an empty SQLite database."""
    environment = Environment(ROOT / ".venv").prepare("standard", LOCKS["newest"], pip=options.pip)
    folder = WORK / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site, json_body = f"http://localhost:{options.port}", '-H "Content-Type: application/json" -d'
    say(f"""
The books of examples/demo.py are at {site}/books. Try them on
{site}/docs, or from another terminal:

  curl -X POST {site}/books {json_body} '{{"title": "Clean Code", "author": "Robert Martin"}}'
  curl {site}/books
  curl -X PATCH {site}/books/1 {json_body} '{{"title": "Cleaner Code", "version": 1}}'

Ctrl-C ends it.
""")
    script = str(ROOT / "examples" / "demo.py")
    status = status_of([str(environment.python), script], cwd=folder, environment={"LIGHTAPI_PORT": str(options.port)})
    if status not in (0, 128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise Failure(f"the demo ended with status {status}; if port {options.port} is taken, try --port", status)


def test(options: argparse.Namespace) -> None:
    """Run the tests in the environment of the leg."""
    if options.leg == "interpreters":
        _test_interpreters(options)
        return
    folder = ROOT / ".venv" if options.leg == "newest" else WORK / options.leg
    environment = Environment(folder).prepare("dev", LOCKS[options.leg], pip=options.pip)
    arguments = options.arguments or PARALLEL
    status = status_of([str(environment.python), "-m", "pytest", *arguments])
    if status:
        raise Failure(f"the tests failed (pytest's status is {status})", status)


def _test_interpreters(options: argparse.Namespace) -> None:
    failed = []
    here = "{}.{}".format(*sys.version_info)
    found = {version: python for version, python in interpreters().items() if version != here}
    say(f"interpreters beside Python {here}: {', '.join(found) or 'none on this machine'}")
    for version, python in found.items():
        environment = Environment(WORK / f"python{version}", python).prepare("dev", LOCKS["newest"], pip=options.pip)
        real = asked(environment.python, WHICH)
        if real != version:
            raise Failure(f"{environment.folder} runs Python {real}, not {version}: remove it")
        say(f"Python {version}")
        engines = os.environ.get("LIGHTAPI_TEST_ENGINES", SHORT_ENGINES)
        arguments = options.arguments or [
            *PARALLEL,
            "-q",
            "-m",
            "not slow",
            *(f"tests/test_{name}.py" for name in SHORT),
        ]
        command = [str(environment.python), "-m", "pytest", *arguments]
        if status_of(command, environment={"LIGHTAPI_TEST_ENGINES": engines}):
            failed.append(version)
    if failed:
        raise Failure(f"the tests failed on Python {', '.join(failed)}")


def check(options: argparse.Namespace) -> None:
    """Run every linter and type checker, all of them even if one fails."""
    python = str(Environment(ROOT / ".venv").prepare("dev", LOCKS["newest"], pip=options.pip).python)
    typed = [name for name in TYPED if (ROOT / name).exists()]
    failed = []
    for name, command in {
        "format": ["-m", "ruff", "format", "--check", "."],
        "lint": ["-m", "ruff", "check", "."],
        "types": ["-m", "mypy", "--strict", *typed],
        "types as Python 3.10": ["-m", "mypy", "--strict", "--python-version", "3.10", "lightapi"],
        "types as editors see them": ["-m", "basedpyright", *typed],
        "import rule": ["-m", "tools.check_layers"],
        "conformance": ["-m", "tools.check_conformance"],
    }.items():
        say(f"== {name}")
        if status_of([python, *command]):
            failed.append(name)
    if failed:
        raise Failure(f"check failed: {', '.join(failed)}")
    say("check passed")


def bench(options: argparse.Namespace) -> None:
    """Run the benchmarks with the arguments given."""
    script = ROOT / "benchmarks" / "run.py"
    if not script.exists():
        raise Failure("there is no benchmarks/run.py")
    environment = Environment(ROOT / ".venv").prepare("dev", LOCKS["newest"], pip=options.pip)
    run([str(environment.python), str(script), *options.arguments])


def package(options: argparse.Namespace) -> None:
    """Build the wheel and the sdist, and try each in an environment that holds nothing else."""
    environment = Environment(ROOT / ".venv").prepare("dev", LOCKS["newest"], pip=options.pip)
    uv = None if options.pip else uv_command()
    built = WORK / "dist"
    shutil.rmtree(built, ignore_errors=True)
    if uv:
        run([*uv, "build", "--quiet", "--python", str(environment.python), "--out-dir", str(built), str(ROOT)])
    else:
        environment.installer(None)
        run([str(environment.python), "-m", "build", "--outdir", str(built), str(ROOT)])
    run([str(environment.python), "-m", "tools.check_package", str(built)])
    for file in sorted([*built.glob("*.whl"), *built.glob("*.tar.gz")]):
        say(f"trying {file.name}")
        clean = Environment(WORK / "clean")
        shutil.rmtree(clean.folder, ignore_errors=True)
        clean.create(uv)
        run([*clean.installer(uv), "--quiet", "--constraint", str(ROOT / LOCKS["newest"]), str(file), "httpx"])
        run([str(clean.python), "-I", str(ROOT / "tools" / "try_package.py")], cwd=built)


def lock(_options: argparse.Namespace) -> None:
    """Resolve the three lists of versions again: the newest, the declared floors, and what Python 3.10 gets."""
    uv = uv_command()
    if uv is None:
        raise Failure("uv is needed to resolve the versions: install uv")
    base = [*uv, "pip", "compile", "pyproject.toml", "--quiet", "--upgrade", "--all-extras", "--python-version", "3.10"]
    base += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--output-file"]
    run([*base, LOCKS["newest"], "--universal"])
    run([*base, LOCKS["floors"], "--universal", "--resolution", "lowest-direct"])
    run([*base, LOCKS["py310"], "--constraint", LOCKS["newest"]])


def main(arguments: list[str]) -> int:
    """Parse, dispatch, and turn a failure into one sentence and an exit status."""
    parser = argparse.ArgumentParser(
        prog="dev.py", allow_abbrev=False, description="Set up and run LightAPI's demo, tests and checks."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (demo, test, check, bench, package, lock):
        sub = commands.add_parser(command.__name__, allow_abbrev=False, help=(command.__doc__ or "").splitlines()[0])
        sub.set_defaults(run=command)
        sub.add_argument("--pip", action="store_true", help="use venv and pip even when uv is there")
        if command is demo:
            sub.add_argument("--port", type=int, default=8000)
        if command is test:
            sub.add_argument(
                "--leg", choices=[*LOCKS, "interpreters"], default="newest", help="which versions to test with"
            )
    options, rest = parser.parse_known_args(arguments)
    options.arguments = rest
    if rest and options.command not in ("test", "bench"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        options.run(options)
    except Failure as failure:
        say(f"dev.py: {failure}")
        return failure.status
    except PermissionError as error:
        say(f"dev.py: {error.filename} belongs to somebody else: remove it, or work in a copy of your own")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
