"""Databases, URLs and wishes that are not as one thinks: nothing leaks, nothing is written, nothing is a 5xx."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from starlette.testclient import TestClient

from lightapi import Authentication, BaseAuthentication, ConfigurationError, LightApi
from lightapi.cli.main import main


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Give a database with two tables."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, name TEXT)")
    return path


@pytest.mark.parametrize(
    "url",
    ["postgresql//me:s3cret@h/x", "postgresql:me:s3cret@h/x", "me:s3cret@h/x", "postgresql://me:a@s3cret@127.0.0.1/x"],
    ids=["slashes", "colon", "bare", "at"],
)
def test_a_mistyped_url_shows_no_password(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", url]) == 2

    shown = capsys.readouterr()
    assert "s3cret" not in shown.err + shown.out


def test_nothing_included_is_not_everything(shop: Path) -> None:
    with pytest.raises(ConfigurationError, match="include=\\[\\]"):
        LightApi.from_database(shop, include=[])


def test_an_exclusion_that_meets_nothing_is_pointed_out(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lightapi"):
        LightApi.from_database(shop, exclude="THING*")

    assert "exclude: no table is like 'THING*'" in caplog.text


class Nobody(BaseAuthentication):
    """Knows nobody."""

    def authenticate(self, request: Any) -> bool:
        """Refuse."""
        return False


def test_the_default_authentication_holds_for_adopted_tables(shop: Path) -> None:
    app = LightApi.from_database(shop, default_authentication=Authentication(backend=Nobody))

    assert TestClient(app.build_app()).get("/things").status_code == 401


def test_our_pages_stay_where_they_are(shop: Path) -> None:
    client = TestClient(LightApi.from_database(shop).build_app())

    assert client.get("/docs").headers["content-type"].startswith("text/html")
    assert client.get("/docs-2").json()["count"] == 0


@pytest.mark.parametrize("form", ["{}", "file:{}?uri=true", "file:{}?mode=rwc&uri=true"])
def test_read_only_is_so_for_every_form_of_a_url(shop: Path, form: str) -> None:
    app = LightApi.from_database(f"sqlite:///{form.format(shop)}", read_only=True)

    with pytest.raises(Exception, match="readonly"), app.engine.connect() as connection:
        connection.execute(text("INSERT INTO things (name) VALUES ('x')"))


def test_a_strange_table_does_not_keep_the_others_away(shop: Path) -> None:
    with sqlite3.connect(shop) as connection:
        connection.execute('CREATE TABLE "" (id INTEGER PRIMARY KEY)')
        connection.execute('CREATE TABLE odd (id INTEGER PRIMARY KEY, "" TEXT)')

    assert TestClient(LightApi.from_database(shop).build_app()).get("/things").status_code == 200


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no file"):
        LightApi.from_database(tmp_path)


def test_an_option_that_a_driver_does_not_take_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        LightApi(database_url="sqlite:///x.db?timeout=x")


@pytest.fixture
def strange(postgres_url: str) -> Iterator[TestClient]:
    """Give an API over tables with collations, triggers, large values and odd numbers."""
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    refuse = "BEGIN IF NEW.a = 'no' THEN RAISE EXCEPTION 'no'; END IF; RETURN NULL; END"
    statements = (
        'CREATE TABLE sorted (a text COLLATE "C" PRIMARY KEY)',
        "CREATE TABLE large (id serial PRIMARY KEY, a text UNIQUE)",
        "CREATE TABLE rounded (id serial PRIMARY KEY, a numeric(3, -2))",
        "CREATE TABLE watched (id serial PRIMARY KEY, a text)",
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {refuse} $$",
        "CREATE TRIGGER watch BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    names = ("sorted", "large", "rounded", "watched")
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    app = LightApi.from_database(postgres_url, include=list(names))
    yield TestClient(app.build_app(), raise_server_exceptions=False)
    app.engine.dispose()
    with engine.begin() as connection:
        for name in names:
            connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.exec_driver_sql("DROP FUNCTION refuse()")
    engine.dispose()


def test_what_a_database_refuses_is_no_fault_of_ours(strange: TestClient) -> None:
    strange.post("/sorted", json={"a": "b"})

    assert strange.get("/sorted?a__range=a,c").json()["count"] == 1
    assert strange.post("/large", json={"a": secrets.token_hex(20000)}).status_code == 422
    assert strange.post("/rounded", json={"a": 1234}).status_code == 201
    assert [strange.post("/watched", json={"a": a}).status_code for a in ("no", "yes")] == [409, 409]


def test_commands_run_without_a_place_to_print(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from lightapi import LightApi\napp = LightApi(database_url='sqlite://', title='Größe')\n"
    )
    root = str(Path(__file__).parent.parent)
    command = [sys.executable, "-m", "lightapi", "openapi"]
    environment = {"PYTHONPATH": root, "PYTHONIOENCODING": "ascii"}

    plain = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60)
    closed = subprocess.run(
        ["sh", "-c", f"exec {' '.join(command)} >&-"], cwd=tmp_path, env=environment, check=False, timeout=60
    )

    assert (plain.returncode, closed.returncode) == (0, 0), plain.stderr


def test_a_port_that_there_is_not_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTAPI_PORT", "99999")

    with pytest.raises(ConfigurationError, match="LIGHTAPI_PORT='99999'"):
        LightApi(database_url="sqlite://").run()
    with pytest.raises(ConfigurationError, match="port=70000"):
        LightApi(database_url="sqlite://").run(port=70000)
