"""The entry files in adapters/ and what is in deploy/ run as they are; what only Docker can run is read closely."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from gunicorn.config import Config  # type: ignore[import-untyped]

from tests.support.processes import ROOT, Program, started

BOOK = {"title": "Clean Code", "author": "Robert Martin"}
DEPLOY = ROOT / "deploy"
CONFIGURATION = DEPLOY / "gunicorn.conf.py"
UNDER_GUNICORN = ["-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "--pythonpath", "adapters"]


def assert_serves(program: Program, prefix: str = "") -> None:
    """Create a row and read it back over HTTP."""
    made = program.client.post(f"{prefix}/books", json=BOOK)
    assert (made.status_code, made.headers["location"]) == (201, f"{prefix}/books/1")
    assert program.client.get(made.headers["location"]).json()["title"] == "Clean Code"
    assert program.client.get(f"{prefix}/readyz").status_code == 200


def database_in(folder: Path) -> str:
    """Return the URL of a new SQLite file."""
    return f"sqlite:///{folder / 'test.db'}"


@pytest.mark.slow
class TestEntryFiles:
    """Each file in adapters/ is started as its first line says."""

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_uvicorn(self, tmp_path: Path, workers: str) -> None:
        arguments = ["adapters/uvicorn_asgi.py"]
        own = {"LIGHTAPI_DATABASE_URL": database_in(tmp_path), "WEB_CONCURRENCY": workers}
        with started(arguments, tmp_path / "log", cwd=ROOT, environment=own) as program:
            assert_serves(program)
            assert program.stop() == 0, program.log

    @pytest.mark.parametrize("worker", ["gthread", "gthread preloaded", "asgi", "asgi preloaded", "sync"])
    def test_gunicorn(self, tmp_path: Path, worker: str) -> None:
        kind, _, preloaded = worker.partition(" ")
        own = {"LIGHTAPI_DATABASE_URL": database_in(tmp_path), "GUNICORN_WORKER_CLASS": kind, "WEB_CONCURRENCY": "1"}
        own["GUNICORN_PRELOAD"] = "1" if preloaded else ""
        with started([*UNDER_GUNICORN, "gunicorn_wsgi:app"], tmp_path / "log", cwd=ROOT, environment=own) as program:
            assert_serves(program)
            assert program.client.get("/books", headers={"SCRIPT_NAME": "/zzz"}).status_code == 200
            assert program.stop() == 0
            assert f"Using worker: {kind}" in program.log
            assert not re.search("Control|Traceback|ERROR|WARNING|Warning", program.log), program.log

    @pytest.mark.parametrize("worker", ["gthread", "gthread preloaded", "sync", "asgi"])
    def test_gunicorn_ends_where_the_declaration_is_wrong(self, tmp_path: Path, worker: str) -> None:
        kind, _, preloaded = worker.partition(" ")
        (tmp_path / "wrong.py").write_text(
            "from lightapi import Field, LightApi, RestEndpoint\n"
            "class Loan(RestEndpoint):\n    book_id: int = Field(foreign_key='books.id')\n"
            "app = LightApi(database_url='sqlite://')\napp.register({'/loans': Loan})\n"
        )
        own = {"GUNICORN_WORKER_CLASS": kind, "WEB_CONCURRENCY": "1", "GUNICORN_PRELOAD": "1" if preloaded else ""}
        arguments = ["-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "--pythonpath", str(tmp_path), "wrong:app"]
        with started(arguments, tmp_path / "log", cwd=ROOT, environment=own, wait=False) as program:
            assert program.process.wait(60) != 0
            assert "ConfigurationError: Loan.book_id: foreign_key='books.id': there is no table" in program.log
            assert "Traceback" not in program.log

    def test_embedded_under_gunicorn(self, tmp_path: Path) -> None:
        own = {"LIGHTAPI_DATABASE_URL": database_in(tmp_path)}
        arguments = [*UNDER_GUNICORN, "embedded_wsgi:application"]
        with started(arguments, tmp_path / "log", cwd=ROOT, health="/api/healthz", environment=own) as program:
            assert_serves(program, "/api")
            assert program.client.get("/").text == "the site itself\n"
            assert program.client.get("/apiary").text == "the site itself\n"

    def test_embedded_with_the_standard_library(self, tmp_path: Path) -> None:
        own = {"LIGHTAPI_DATABASE_URL": database_in(tmp_path)}
        arguments = ["adapters/embedded_wsgi.py"]
        with started(arguments, tmp_path / "log", cwd=ROOT, health="/api/healthz", environment=own) as program:
            assert_serves(program, "/api")
            assert program.client.get("/elsewhere").text == "the site itself\n"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give an environment that says nothing about gunicorn."""
    for name in [*os.environ]:
        if name.startswith(("GUNICORN_", "LIGHTAPI_", "WEB_CONC", "FORWARDED")):
            monkeypatch.delenv(name)
    return monkeypatch


def settings() -> Config:
    """Load the configuration file as gunicorn does, each value checked by gunicorn; unknown names are an error."""
    loaded = Config()
    for name, value in runpy.run_path(str(CONFIGURATION)).items():
        if not name.startswith("_") and name not in ("annotations", "os", "sys", "Any", "ConfigurationError", "Path"):
            loaded.set(name, value)
    return loaded


class TestConfiguration:
    """deploy/gunicorn.conf.py."""

    def test_defaults_are_safe(self, environment: pytest.MonkeyPatch) -> None:
        loaded = settings()

        assert loaded.bind == ["127.0.0.1:8000"]
        assert "*" not in loaded.settings["forwarded_allow_ips"].get()
        assert loaded.control_socket_disable
        assert not loaded.preload_app
        assert (loaded.timeout, loaded.graceful_timeout, loaded.keepalive) == (60, 30, 5)
        assert (loaded.max_requests, loaded.max_requests_jitter) == (10_000, 1_000)
        assert (loaded.worker_class_str, loaded.threads) == ("gthread", 8)

    def test_the_environment_decides(self, environment: pytest.MonkeyPatch) -> None:
        wanted = {
            "LIGHTAPI_HOST": "::1",
            "LIGHTAPI_PORT": "81",
            "WEB_CONCURRENCY": "3",
            "GUNICORN_WORKER_CLASS": "asgi",
            "GUNICORN_MAX_REQUESTS": "0",
            "GUNICORN_PRELOAD": "true",
            "FORWARDED_ALLOW_IPS": "10.0.0.1",
        }
        for name, value in wanted.items():
            environment.setenv(name, value)
        loaded = settings()

        assert (loaded.bind, loaded.workers) == (["[::1]:81"], 3)
        assert (loaded.worker_class_str, loaded.max_requests, loaded.preload_app) == ("asgi", 0, True)
        assert loaded.forwarded_allow_ips == ["10.0.0.1"]

    @pytest.mark.parametrize("name", ["WEB_CONCURRENCY", "GUNICORN_THREADS", "LIGHTAPI_PORT"])
    def test_what_is_no_number_is_named(self, environment: pytest.MonkeyPatch, name: str) -> None:
        environment.setenv(name, "many")

        with pytest.raises(SystemExit, match=f"{name}='many' given"):
            settings()

    def test_every_variable_is_in_the_readme_and_back(self) -> None:
        read = set(re.findall(r'"((?:LIGHTAPI|GUNICORN|WEB|FORWARDED)_[A-Z_]+)"', CONFIGURATION.read_text()))
        rows = [line for line in (DEPLOY / "README.md").read_text().splitlines() if line.startswith("| `")]

        assert read == {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])}


class Instruction:
    """One line of a Dockerfile, with its flags apart."""

    def __init__(self, line: str) -> None:
        self.name, _, rest = line.partition(" ")
        words = rest.split()
        self.flags = [word for word in words if word.startswith("--")] if self.name != "RUN" else []
        self.rest = rest[sum(len(flag) + 1 for flag in self.flags) :].strip() if self.flags else rest.strip()

    @property
    def words(self) -> list[str]:
        """The words after the flags, as a shell would split them."""
        return shlex.split(self.rest)


def dockerfile() -> list[list[Instruction]]:
    """Return the stages of the Dockerfile, each a list of instructions."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    stages: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.startswith("FROM "):
            stages.append([])
        if line:
            stages[-1].append(Instruction(line))
    return stages


def only(stage: list[Instruction], name: str) -> Instruction:
    """Return the one instruction of that name."""
    (found,) = [instruction for instruction in stage if instruction.name == name]
    return found


def copied(stages: list[list[Instruction]]) -> list[str]:
    """Return every path that is copied from the repository."""
    plain = [i for stage in stages for i in stage if i.name == "COPY" and not i.flags]
    return [source for instruction in plain for source in instruction.words[:-1]]


class TestDockerfile:
    """deploy/Dockerfile, as far as it can be tried without Docker."""

    def test_it_has_two_stages_of_one_interpreter(self) -> None:
        first, last = dockerfile()

        assert first[0].rest == "python:3.12-slim AS build"
        assert last[0].rest == "python:3.12-slim"

    def test_what_it_copies_exists_and_nothing_else_reaches_the_builder(self) -> None:
        sources = copied(dockerfile())
        ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        let_in = [line[1:] for line in ignored if line.startswith("!")]

        assert all((ROOT / source).exists() for source in sources)
        assert "*" in ignored
        assert sorted(let_in) == sorted(sources)
        assert not [source for source in sources if fnmatch.fnmatch(Path(source).name, "*.env")]

    def test_it_does_not_run_as_root(self) -> None:
        user = only(dockerfile()[-1], "USER").rest

        assert user == "10001:10001"

    def test_it_starts_by_exec_so_that_signals_arrive(self) -> None:
        last = dockerfile()[-1]

        assert json.loads(only(last, "CMD").rest) == ["gunicorn", "--config", "gunicorn.conf.py", "main:app"]
        assert not [instruction for instruction in last if instruction.name == "ENTRYPOINT"]

    def test_it_holds_no_secret(self) -> None:
        assert not re.search("secret|password|token", (DEPLOY / "Dockerfile").read_text(), re.IGNORECASE)

    def test_hadolint_has_nothing_to_say(self) -> None:
        if shutil.which("hadolint") is None:
            pytest.skip("needs hadolint")
        done = subprocess.run(["hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)

        assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("ensurepip") is None, reason="needs ensurepip")
def test_the_image_builds_serves_and_is_healthy(tmp_path: Path) -> None:
    """Every instruction is followed in a folder; only what the packages need from outside is there already."""
    build, final = dockerfile()
    virtual = tmp_path / "opt" / "venv"
    follow(build, tmp_path / "src", virtual)
    follow(final, tmp_path / "app", virtual)
    clean = {"PYTHONPATH": "", "LIGHTAPI_DATABASE_URL": database_in(tmp_path)}
    program, *arguments = json.loads(only(final, "CMD").rest)

    command = ["-m", program, *arguments]
    python = str(virtual / "bin" / "python")
    with started(command, tmp_path / "log", cwd=tmp_path / "app", python=python, environment=clean) as running:
        assert_serves(running)
        health = only(final, "HEALTHCHECK").rest.partition("CMD ")[2]
        check = [python, *json.loads(health)[1:]]
        own = {**os.environ, "LIGHTAPI_PORT": str(running.port)}
        assert subprocess.run(check, env=own, check=False).returncode == 0
        assert running.stop() == 0
        assert subprocess.run(check, env=own, check=False, stderr=subprocess.DEVNULL).returncode == 1
    where = [python, "-I", "-c", "import lightapi; print(lightapi.__file__)"]
    printed = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.startswith(str(virtual / "lib")), "the installed package, not a link to the sources"


def follow(stage: list[Instruction], folder: Path, virtual: Path) -> None:
    """Do what a stage says with its working directory and its virtual environment moved below a folder."""
    folder.mkdir()
    for instruction in stage:
        if instruction.name == "COPY" and not instruction.flags:
            *sources, target = instruction.words
            for source in sources:
                copy(ROOT / source, folder / target)
        elif instruction.name == "RUN" and "/opt/venv" in instruction.rest:
            command = instruction.rest.replace("/opt/venv", str(virtual)).replace(
                "python -m", f"{sys.executable} -m", 1
            )
            subprocess.run(command, shell=True, cwd=folder, env=outside(), check=True)
            lend_packages(virtual)


def copy(source: Path, target: Path) -> None:
    """Copy as Docker does: a file into a folder, a folder's content into the folder named."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def outside() -> dict[str, str]:
    """Return an environment in which only the image's own package is found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "VIRTUAL"))}
    indexes = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and "INDEX" in name}
    return {**kept, **indexes, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "2"}


def lend_packages(virtual: Path) -> None:
    """Let the virtual environment see the packages of this one, after its own."""
    (own,) = (virtual / "lib").glob("python*/site-packages")
    (own / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")


@pytest.fixture
def compose() -> Iterator[dict[str, Any]]:
    """Give deploy/compose.yaml."""
    with (DEPLOY / "compose.yaml").open() as file:
        yield yaml.safe_load(file)


class TestCompose:
    """deploy/compose.yaml."""

    def test_it_has_an_application_a_database_and_a_cache(self, compose: dict[str, Any]) -> None:
        services = compose["services"]

        assert set(services) == {"api", "db", "redis"}
        assert services["db"]["image"] == "postgres:16-alpine"
        assert services["redis"]["image"] == "redis:7-alpine"
        assert services["api"]["ports"] == ["8000:8000"]

    def test_the_application_waits_for_healthy_neighbours(self, compose: dict[str, Any]) -> None:
        services = compose["services"]

        assert services["api"]["depends_on"] == {name: {"condition": "service_healthy"} for name in ("db", "redis")}
        for name in ("db", "redis"):
            assert services[name]["healthcheck"]["test"][0] == "CMD"

    def test_the_files_it_names_exist(self, compose: dict[str, Any]) -> None:
        build = compose["services"]["api"]["build"]
        context = (DEPLOY / build["context"]).resolve()

        assert context == ROOT
        assert (context / build["dockerfile"]).is_file()

    def test_the_environment_names_the_services(self, compose: dict[str, Any]) -> None:
        services = compose["services"]
        own = services["api"]["environment"]

        assert own["LIGHTAPI_DATABASE_URL"].endswith(f"@db:5432/{services['db']['environment']['POSTGRES_DB']}")
        assert own["LIGHTAPI_DATABASE_URL"].startswith("postgresql://postgres:${POSTGRES_PASSWORD:?")
        assert own["LIGHTAPI_REDIS_URL"] == "redis://redis:6379/0"
        assert own["LIGHTAPI_JWT_SECRET"].startswith("${LIGHTAPI_JWT_SECRET:?")

    def test_it_holds_no_secret(self, compose: dict[str, Any]) -> None:
        environments = [service.get("environment", {}) for service in compose["services"].values()]
        secrets = [v for own in environments for name, v in own.items() if re.search("SECRET|PASSWORD", name)]

        assert len(secrets) == 2
        assert all(value.startswith("${") and ":?" in value for value in secrets)

    def test_what_is_stored_outlives_the_container(self, compose: dict[str, Any]) -> None:
        volumes = [volume.split(":")[0] for volume in compose["services"]["db"]["volumes"]]

        assert set(volumes) == set(compose["volumes"])

    def test_docker_waits_longer_than_gunicorn(self, compose: dict[str, Any], environment: pytest.MonkeyPatch) -> None:
        assert int(compose["services"]["api"]["stop_grace_period"].removesuffix("s")) > settings().graceful_timeout
