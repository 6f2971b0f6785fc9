"""The ``lightapi`` command: what each prints, where it prints it, and the status it ends with."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import tomli
import yaml

from lightapi.cli.arguments import parser
from lightapi.cli.main import main
from lightapi.cli.reload import sources
from tests.support.processes import ROOT, eventually, started

SECRET = "0123456789abcdef0123456789abcdef"
BOOKS = """
from lightapi import Authentication, Cache, Field, Filtering, JWTAuthentication, LightApi, Pagination, RestEndpoint

class Book(RestEndpoint):
    title: str = Field(min_length=1)
    pages: int

    class Meta:
        filtering = Filtering(fields=["pages", "pages__gte"], search=["title"], ordering=["title"])
        pagination = Pagination(page_size=5)

class Note(RestEndpoint):
    text: str

    class Meta:
        authentication = Authentication(backend=JWTAuthentication)

{name} = LightApi(database_url="sqlite:///books.db")
{name}.register({{"/books": Book, "/notes": Note}})
"""
COMMANDS = ("run", "serve", "routes", "openapi", "check", "config check", "config schema", "token")


class Outcome:
    """What a command ended with and what it printed."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


Command = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty folder that is the current one, and forget the modules that are imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", SECRET)
    for name in ("LIGHTAPI_CONFIG", "LIGHTAPI_DATABASE_URL", "LIGHTAPI_HOST", "LIGHTAPI_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Give a function that runs a command in this process."""

    def run(*arguments: str) -> Outcome:
        status = main(arguments)
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return run


@pytest.fixture
def shop(folder: Path) -> Path:
    """Give the example's database as a file."""
    file = folder / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.executescript((ROOT / "examples" / "shop.sql").read_text(encoding="utf-8"))
    connection.close()
    return file


def books(file: str = "main.py", name: str = "app") -> None:
    """Write an app into the current folder."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(BOOKS.format(name=name), encoding="utf-8")


class TestUsage:
    """``--help``, ``--version`` and wrong arguments."""

    @pytest.mark.parametrize("name", COMMANDS)
    def test_help_shows_examples_and_statuses(self, name: str, command: Command) -> None:
        shown = command(*name.split(), "--help")

        assert (shown.status, shown.err) == (0, "")
        assert "examples:\n  " in shown.out
        assert f"lightapi {name}" in shown.out
        assert "exit status:" in shown.out

    @pytest.mark.parametrize("name", ["", "config"])
    def test_help_of_a_group_shows_examples_and_statuses_too(self, name: str, command: Command) -> None:
        shown = command(*name.split(), "--help")

        assert f"examples:\n  lightapi {name}" in shown.out
        assert "exit status:" in shown.out

    def test_every_example_is_a_command_line_that_parses(self) -> None:
        examples = []
        for name in COMMANDS:
            inner: Any = parser()
            for word in name.split():
                inner = inner._subparsers._group_actions[0].choices[word]
            listed = inner.epilog.split("examples:\n")[1].split("\nexit status")[0]
            examples += [line.strip() for line in listed.strip().splitlines()]

        for example in examples:
            if not example.startswith(("curl", "LIGHTAPI")):
                parser().parse_args(shlex.split(example.partition(" >")[0])[1:])

    def test_the_version_is_told(self, command: Command) -> None:
        shown = command("--version")

        assert shown.status == 0
        assert shown.out.startswith("lightapi ")

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("rum",),
            ("run", "--port", "70000"),
            ("run", "--workers", "0"),
            ("config",),
            ("token", "--sub", "1", "--claims", "{}"),
        ],
        ids=["none", "unknown", "port", "workers", "group", "exclusive"],
    )
    def test_a_wrong_usage_is_2(self, arguments: tuple[str, ...], command: Command) -> None:
        ended = command(*arguments)

        assert (ended.status, ended.out) == (2, "")
        assert "usage: lightapi" in ended.err

    @pytest.mark.parametrize(
        ("line", "asked", "near"),
        [
            ("rnu", "lightapi", "run"),
            ("config chek x", "lightapi config", "check"),
            ("run --relod", "lightapi run", "--reload"),
            ("serve --read-onyl=1 x.db", "lightapi serve", "--read-only"),
            ("openapi --format yam", "lightapi openapi", "yaml"),
        ],
    )
    def test_what_was_meant_is_told_by_the_command_that_was_asked(
        self, line: str, asked: str, near: str, command: Command
    ) -> None:
        outcome = command(*line.split())

        assert outcome.status == 2
        assert f"\n{asked}: error: " in outcome.err
        assert outcome.err.endswith(f"; did you mean {near!r}?\n")

    def test_the_script_is_the_module(self) -> None:
        project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        module, name = project["scripts"]["lightapi"].split(":")

        assert getattr(importlib.import_module(module), name) is main
        assert "from lightapi.cli.main import main" in (ROOT / "lightapi" / "__main__.py").read_text(encoding="utf-8")

    def test_an_unexpected_failure_is_one_line(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        books()
        monkeypatch.setattr("lightapi.app.LightApi.openapi", lambda self: 1 / 0)

        ended = command("openapi")
        assert (ended.status, ended.out) == (1, "")
        assert "lightapi: ZeroDivisionError: division by zero" in ended.err
        assert "Traceback" not in ended.err


class TestTargets:
    """Which app a command is about."""

    @pytest.mark.parametrize(
        ("file", "name", "target"),
        [
            ("main.py", "app", None),
            ("app.py", "api", None),
            ("shop.py", "app", "shop"),
            ("shop.py", "api", "shop:api"),
            ("shop.py", "api", "shop.py"),
            ("sub/shop.py", "api", "sub/shop.py:api"),
            ("sub/my-shop.py", "app", "sub/my-shop.py"),
            ("pack/inner/shop.py", "app", "pack.inner.shop:app"),
        ],
    )
    def test_it_is_found(self, file: str, name: str, target: str | None, command: Command) -> None:
        books(file, name)

        shown = command("routes", *([target] if target else []))
        assert shown.status == 0
        assert "/books" in shown.out

    def test_a_file_of_a_package_imports_as_the_packages(self, folder: Path, command: Command) -> None:
        books("box/main.py")
        (folder / "box" / "__init__.py").touch()
        (folder / "box" / "other.py").write_text("from .main import app as mine\n")

        assert command("routes", "box/other.py").status == 0

    def test_of_several_it_says_which_it_takes(self, command: Command) -> None:
        books("app.py")
        books("main.py")

        assert command("routes").err.startswith("lightapi: takes app.py; name main.py to take that\n")

    def test_a_file_without_an_app_is_passed_over(self, folder: Path, command: Command) -> None:
        (folder / "app.py").write_text("nothing = 1\n")
        books("main.py")

        assert "/books" in command("routes").out

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (None, "lightapi: no app in "),
            ("mian", "nor installed; did you mean 'main'?"),
            ("mian.py", "there is no file 'mian.py'; did you mean 'main.py'?"),
            ("main:ap", "main has no 'ap'; did you mean 'app'?"),
            ("main:zzz", "main has no 'zzz'; LightApi objects there: app, other"),
            ("main:Book", "main:Book is a class, not a LightApi object"),
            ("main:make", "main:make is of type 'function', not a LightApi object; call it"),
            ("several", "several holds several LightApi objects; name one: several:one, several:two"),
            ("empty", "empty holds no LightApi object"),
            ("leaves", "leaves ends the program when it is imported"),
            ("wrong", "lightapi: wrong.py:3: Wrong.x: <class 'object'> can't be stored"),
        ],
        ids=["none", "module", "file", "near", "far", "class", "factory", "several", "empty", "exit", "configuration"],
    )
    def test_what_cannot_be_taken_says_why(
        self, target: str | None, message: str, folder: Path, command: Command
    ) -> None:
        if target is not None:
            books()
            more = "other = LightApi(database_url='sqlite://')\ndef make():\n    return app\n"
            (folder / "main.py").write_text((folder / "main.py").read_text() + more)
        two = "one, two = LightApi(database_url='sqlite://'), LightApi(database_url='sqlite://')\n"
        (folder / "several.py").write_text(f"from lightapi import LightApi\n{two}")
        (folder / "empty.py").touch()
        (folder / "leaves.py").write_text("import sys\nsys.exit(0)\n")
        (folder / "wrong.py").write_text(
            "from lightapi import RestEndpoint\n\nclass Wrong(RestEndpoint):\n    x: object\n"
        )

        ended = command("routes", *([target] if target else []))
        assert (ended.status, ended.out) == (2, "")
        assert message in ended.err
        assert "Traceback" not in ended.err

    def test_of_a_broken_module_the_users_own_frames_are_shown(self, folder: Path, command: Command) -> None:
        (folder / "main.py").write_text("def f():\n    return nothing\n\nf()\n")

        ended = command("routes")
        assert ended.status == 2
        assert ended.err.startswith("main.py can't be imported:\nTraceback")
        assert "NameError: name 'nothing' is not defined" in ended.err
        assert "importlib" not in ended.err
        assert str(ROOT) not in ended.err

    def test_the_configuration_of_the_environment_comes_first(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        books("main.py")
        Path("some.yaml").write_text("database: { url: 'sqlite://' }\nendpoints: [{ route: /declared, fields: {} }]\n")
        monkeypatch.setenv("LIGHTAPI_CONFIG", "some.yaml")

        assert "/declared" in command("routes").out
        assert "/books" in command("routes", "main").out


class TestRoutes:
    """``lightapi routes``."""

    def test_the_table_tells_callers_and_lists(self, command: Command) -> None:
        books()

        lines = [line.split() for line in command("routes").out.splitlines()]
        assert lines[0] == ["PATH", "VERBS", "CALLERS", "CACHE", "LIST"]
        assert lines[1][:4] == ["/books", "GET,", "POST", "public"]
        assert " ".join(lines[1][4:]) == "filters pages; search title; ordering title; page_number 5"
        assert lines[3] == ["/notes", "GET,", "POST", "JWTAuthentication", "IsAuthenticated"]
        assert not Path("books.db").exists()

    def test_json_holds_everything(self, command: Command) -> None:
        books()

        rows = {row["path"]: row for row in json.loads(command("routes", "--json").out)}
        assert rows["/books"]["filters"] == ["pages__exact", "pages", "pages__gte"]
        assert rows["/books"]["pagination"] == {"style": "page_number", "page_size": 5, "max_page_size": None}
        assert rows["/notes/{id}"]["verbs"] == ["GET", "PUT", "PATCH", "DELETE"]
        assert (rows["/notes"]["public"], rows["/notes"]["authentication"]) == (False, "JWTAuthentication")


class TestOpenapi:
    """``lightapi openapi``."""

    def test_it_is_the_document_in_either_format(self, folder: Path, command: Command) -> None:
        books()

        printed = json.loads(command("openapi").out)
        assert printed["openapi"].startswith("3.1")
        assert yaml.safe_load(command("openapi", "--format", "yaml").out) == printed
        assert command("openapi", "-o", "api.yml").out == ""
        assert yaml.safe_load((folder / "api.yml").read_text()) == printed
        command("openapi", "-o", "api.txt", "--format", "json")
        assert json.loads((folder / "api.txt").read_text()) == printed
        assert not Path("books.db").exists()

    @pytest.mark.parametrize(
        ("file", "status", "message"),
        [
            ("api.txt", 2, "lightapi: -o 'api.txt' given; allowed: a name in .json, .yaml or .yml, or --format"),
            ("none/api.json", 1, "lightapi: No such file or directory: none/api.json"),
        ],
    )
    def test_what_cannot_be_written_is_told(self, file: str, status: int, message: str, command: Command) -> None:
        books()

        ended = command("openapi", "-o", file)
        assert ended.status == status
        assert message in ended.err


class TestCheck:
    """``lightapi check``."""

    def test_warnings_are_shown_and_no_table_is_made(self, command: Command) -> None:
        books()

        shown = command("check")
        assert (shown.status, shown.err) == (0, "")
        assert shown.out.startswith("warning: Book: /books is public")
        assert shown.out.endswith("no problems, 1 warning\n")
        assert not Path("books.db").exists()

    def test_a_problem_is_2(self, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LIGHTAPI_JWT_SECRET")
        books()

        shown = command("check")
        assert shown.status == 2
        assert "problem: Note.Meta.authentication: JWTAuthentication: no secret" in shown.out
        assert "1 problem" in shown.out

    def test_a_table_that_only_the_database_may_have_is_pointed_out(self, folder: Path, command: Command) -> None:
        (folder / "main.py").write_text(
            "from lightapi import Field, LightApi, RestEndpoint\n"
            "class Loan(RestEndpoint):\n    book_id: int = Field(foreign_key='books.id')\n"
            "app = LightApi(database_url='sqlite:///x.db')\napp.register({'/loans': Loan})\n"
        )

        shown = command("check")
        assert "warning: Loan refers to the table 'books', which no endpoint makes" in shown.out
        sqlite3.connect("x.db").execute("CREATE TABLE members (id integer PRIMARY KEY)").connection.close()
        asked = command("check", "--database")
        assert asked.status == 2
        assert (
            "there is no table 'books', neither registered nor in the database; there are: loans, members" in asked.out
        )

    def test_each_problem_counts(self, folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LIGHTAPI_JWT_SECRET")
        (folder / "main.py").write_text(
            "from lightapi import Authentication, Field, JWTAuthentication, LightApi, RestEndpoint\n"
            "class Loan(RestEndpoint):\n    book_id: int = Field(foreign_key='books.id')\n"
            "class Note(RestEndpoint):\n    x: int\n"
            "    class Meta:\n        authentication = Authentication(backend=JWTAuthentication)\n"
            "app = LightApi(database_url='sqlite:///x.db')\napp.register({'/loans': Loan, '/notes': Note})\n"
        )
        sqlite3.connect("x.db").execute("CREATE TABLE members (id integer PRIMARY KEY)").connection.close()

        asked = command("check", "--database")
        assert asked.status == 2
        assert "problem: Note.Meta.authentication: JWTAuthentication: no secret" in asked.out
        assert "problem: Loan.book_id: foreign_key='books.id': there is no table 'books'" in asked.out
        assert asked.out.endswith("2 problems, no warnings\n")

    def test_each_problem_of_a_registration_counts(self, folder: Path, command: Command) -> None:
        (folder / "main.py").write_text(
            "from lightapi import Filtering, LightApi, RestEndpoint, Serializer\n"
            "class A(RestEndpoint):\n    x: int\n    class Meta:\n        filtering = Filtering(fields=['nope'])\n"
            "class B(RestEndpoint):\n    y: int\n    class Meta:\n        filtering = Filtering(search=['q'])\n"
            "app = LightApi(database_url='sqlite://')\napp.register({'/a': A, '/b': B})\n"
        )

        shown = command("check")
        assert shown.out.count("problem: main.py:11: ") == 2
        assert shown.out.endswith("2 problems, no warnings\n")

    def test_the_database_is_asked_when_that_is_wanted(self, command: Command) -> None:
        books()

        assert "warning: there is no file books.db yet" in command("check", "--database").out
        with sqlite3.connect("books.db") as connection:
            connection.execute("CREATE TABLE books (id integer PRIMARY KEY, title text)")
        connection.close()
        shown = command("check", "--database")
        assert "warning: Book: no index of table 'books' begins with 'title'" in shown.out
        assert "warning: Book: table 'books' has no column 'pages', 'version', 'created_at', 'updated_at'" in shown.out
        with sqlite3.connect("books.db") as connection:
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("books",)]
        connection.close()

    def test_a_database_that_does_not_answer_is_1(self, folder: Path, command: Command) -> None:
        books()
        source = (
            (folder / "main.py")
            .read_text()
            .replace("sqlite:///books.db", "postgresql+psycopg://u:geheim@127.0.0.1:9/x")
        )
        (folder / "main.py").write_text(source)

        assert command("check").status == 0
        shown = command("check", "--database")
        assert shown.status == 1
        assert "warning: the database can't be asked (OperationalError)" in shown.out
        assert "geheim" not in shown.out


class TestToken:
    """``lightapi token``."""

    def test_it_prints_a_token_and_nothing_else(self, command: Command) -> None:
        shown = command("token", "--claims", '{"sub": 7, "is_admin": true}', "--expires", "60")

        claims = jwt.decode(shown.out.strip(), SECRET, algorithms=["HS256"])
        assert (claims["sub"], claims["is_admin"], claims["exp"] - claims["iat"]) == ("7", True, 60)
        assert (shown.status, shown.err, shown.out.count("\n")) == (0, "", 1)

    def test_the_secret_may_have_another_name(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTHER_SECRET", SECRET[::-1])

        shown = command("token", "--sub", "7", "--secret-from-env", "OTHER_SECRET")
        assert jwt.decode(shown.out.strip(), SECRET[::-1], algorithms=["HS256"])["sub"] == "7"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--claims", "[1]"), "--claims '[1]' given; allowed: a JSON object"),
            (("--claims", "{"), "--claims is no JSON"),
            (("--secret-from-env", "NOT_SET"), "no secret: set NOT_SET"),
        ],
        ids=["list", "garbled", "secret"],
    )
    def test_what_is_no_payload_is_told(self, arguments: tuple[str, ...], message: str, command: Command) -> None:
        ended = command("token", *arguments)

        assert (ended.status, ended.out) == (2, "")
        assert message in ended.err

    def test_a_short_secret_is_a_line_of_its_own(self, folder: Path) -> None:
        arguments = [sys.executable, "-m", "lightapi", "token", "--sub", "1"]
        own = {**os.environ, "PYTHONPATH": str(ROOT), "LIGHTAPI_JWT_SECRET": "short"}
        done = subprocess.run(arguments, env=own, capture_output=True, text=True, check=True)

        assert done.stderr.startswith("lightapi: token: the secret has 5 bytes")
        assert (done.stderr.count("\n"), done.stdout.count("\n")) == (1, 1)


class TestRun:
    """``lightapi run``, started as users start it."""

    def test_it_serves_says_where_and_ends_in_peace(self, folder: Path) -> None:
        books()
        with started(["-m", "lightapi", "run"], folder / "log", cwd=folder, environment={}) as program:
            assert program.client.get("/books").json()["results"] == []
            assert f"LightAPI: http://127.0.0.1:{program.port}\n" in program.log
            assert f"  document  http://127.0.0.1:{program.port}/openapi.json\n" in program.log
            assert "  database  sqlite, books.db\n  endpoints /books, /notes\n" in program.log
            program.process.send_signal(signal.SIGINT)
            assert program.process.wait(20) == 0
            assert "Traceback" not in program.log

    @pytest.mark.slow
    def test_it_starts_again_when_a_file_changes(self, folder: Path) -> None:
        books()
        (folder / "extra.yaml").write_text("a: 1\n")
        arguments = ["-m", "lightapi", "run", "--reload"]
        with started(arguments, folder / "log", cwd=folder, environment={}) as program:
            (folder / "main.py").write_text((folder / "main.py").read_text().replace('"/books"', '"/volumes"'))
            eventually(lambda: program.answers("/volumes"))
            (folder / "main.py").write_text("nothing = 1\n")
            eventually(lambda: "lightapi: main.py has no 'app'" in program.log)
            books()
            (folder / "extra.yaml").write_text("a: 22\n")
            eventually(lambda: program.log.count("Application startup complete") > 2)
            program.process.send_signal(signal.SIGTERM)
            assert program.process.wait(20) == 0

    @pytest.mark.slow
    def test_several_processes_serve(self, folder: Path) -> None:
        books()
        arguments = ["-m", "lightapi", "run", "main:app", "--workers", "2"]
        with started(arguments, folder / "log", cwd=folder, environment={}) as program:
            eventually(lambda: program.log.count("Application startup complete") == 2)
            assert program.client.get("/books").status_code == 200
            assert program.stop() == 0

    def test_what_is_watched_is_ours(self, folder: Path) -> None:
        for name in ("a.py", "sub/b.yml", ".git/c.py", "venv/pyvenv.cfg", "venv/lib/d.py", "__pycache__/e.py", "f.txt"):
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            (folder / name).touch()

        assert {path.name for path in sources(folder, [folder / "g.yaml"])} == {"a.py", "b.yml", "g.yaml"}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("main:app", "--config", "x.yaml"), "TARGET 'main:app' and --config 'x.yaml' given; allowed: one"),
            (("--config", "x.toml"), "--config 'x.toml' given; allowed: a .yaml file"),
            (("--reload", "--workers", "2"), "--reload and --workers given; allowed: one"),
        ],
        ids=["two", "kind", "reload"],
    )
    def test_a_contradiction_is_told(self, arguments: tuple[str, ...], message: str, command: Command) -> None:
        books()

        ended = command("run", *arguments)
        assert ended.status == 2
        assert message in ended.err


class TestServe:
    """``lightapi serve``."""

    def test_it_prints_the_routes_and_who_may_write(self, shop: Path) -> None:
        arguments = ["-m", "lightapi", "serve", "shop.db", "--exclude", "reg*"]
        with started(
            arguments, shop.parent / "log", cwd=shop.parent, environment={"LIGHTAPI_HOST": "0.0.0.0"}
        ) as program:
            assert program.client.get("/orders?page_size=1").json()["count"] == 40
            assert program.client.post("/shippers", json={"company": "Mail"}).status_code == 201
            assert "/orders                GET, POST, PUT, PATCH, DELETE\n" in program.log
            assert "/regions" not in program.log
            assert "everybody who reaches 127.0.0.1 may read and write every row" in program.log
            assert f"Uvicorn running on http://127.0.0.1:{program.port}" in program.log
            assert program.stop() == 0

    def test_read_only_and_include_reach_the_app(
        self, shop: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        monkeypatch.setattr("uvicorn.run", lambda app, **options: seen.append(options))

        shown = command("serve", "shop.db", "--read-only", "--include", "orders", "--include", "reg*", "--port", "81")
        assert (shown.status, seen[0]["host"], seen[0]["port"]) == (0, "127.0.0.1", 81)
        assert shown.out.splitlines()[1:3] == ["/orders   GET", "/regions  GET"]
        assert "may read every row\n" in shown.err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("shoop.db",), "there is no file 'shoop.db'; did you mean 'shop.db'?"),
            ((), "no database given: give a URL"),
            (("shop.db", "--include", "order"), "no table is called 'order'; did you mean 'orders'?"),
        ],
        ids=["file", "none", "table"],
    )
    def test_what_cannot_be_served_says_why(
        self, arguments: tuple[str, ...], message: str, shop: Path, command: Command
    ) -> None:
        ended = command("serve", *arguments)

        assert (ended.status, ended.out) == (2, "")
        assert message in ended.err
        assert {each.name for each in shop.parent.iterdir()} == {"shop.db"}

    @pytest.mark.slow
    def test_a_port_in_use_is_1(self, shop: Path) -> None:
        arguments = ["-m", "lightapi", "serve", "shop.db"]
        with started(arguments, shop.parent / "log", cwd=shop.parent, environment={}) as program:
            again = subprocess.run(
                [sys.executable, *arguments, "--port", str(program.port)],
                cwd=shop.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
        assert again.returncode == 1
        assert "address already in use" in again.stderr
        assert "Traceback" not in again.stderr
