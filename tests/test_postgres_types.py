"""PostgreSQL's own types in tables that somebody else made: what is read can be written back, and nothing is a 5xx."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from starlette.testclient import TestClient

from lightapi import Filtering, LightApi, Pagination, RestEndpoint
from tests.support.foreign import execute
from tests.support.hosts import Client, Database

pytestmark = [pytest.mark.hosts("asgi"), pytest.mark.engines("postgres-sync", "postgres-async")]
MADE = (
    "CREATE EXTENSION IF NOT EXISTS citext",
    "CREATE TYPE mood AS ENUM ('sad', 'ok')",
    "CREATE DOMAIN feeling AS mood",
    "CREATE DOMAIN email AS text",
    "CREATE DOMAIN size AS int",
)
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.note = 'own' THEN RAISE EXCEPTION 'no' USING ERRCODE = 'AB123'; END IF;
  IF NEW.note = 'none' THEN RAISE no_data_found; END IF;
  IF NEW.note = 'false' THEN ASSERT false; END IF;
  IF NEW.note = 'many' THEN PERFORM (SELECT g FROM generate_series(1, 2) g); END IF;
  RETURN NEW;
END $$
"""
Adopt = Callable[..., Client]


@pytest.fixture
def adopt(database: Database, serve: Callable[..., Client]) -> Iterator[Adopt]:
    """Give a function that makes a table ``held``, runs more statements, and serves it."""
    admin = database.admin_engine()
    execute(admin, *MADE)

    def start(columns: str, *statements: str, **options: Any) -> Client:
        execute(admin, f"CREATE TABLE held ({columns})", *statements)
        engine = database.make_engine()
        return serve(LightApi.from_database(engine, **options), engine)

    yield start
    execute(
        admin,
        "DROP TABLE IF EXISTS held",
        "DROP FUNCTION IF EXISTS refuse",
        "DROP DOMAIN feeling, email, size",
        "DROP TYPE mood",
    )


def stored(database: Database, expression: str) -> Any:
    with database.admin_engine().connect() as connection:
        return connection.scalar(text(f"SELECT {expression} FROM held"))


class TestRefusals:
    """What triggers and functions of the schema say no to."""

    @pytest.mark.parametrize("note", ["own", "none", "false", "many"])
    def test_any_code_that_a_trigger_raises_is_a_conflict(self, note: str, adopt: Adopt) -> None:
        client = adopt(
            "id serial PRIMARY KEY, note text",
            REFUSE,
            "CREATE TRIGGER watch BEFORE INSERT OR UPDATE ON held FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        row = client.post("/held", json={"note": "good"}).json()

        assert client.post("/held", json={"note": note}).status_code == 409
        assert client.patch(f"/held/{row['id']}", json={"note": note}).status_code == 409
        assert client.get("/held").json()["results"] == [row]

    def test_a_trigger_that_changes_the_row_itself_is_a_conflict(self, adopt: Adopt) -> None:
        client = adopt(
            "id serial PRIMARY KEY, note text",
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN UPDATE held SET note = 'x' WHERE id = OLD.id; RETURN OLD; END $$",
            "CREATE TRIGGER watch BEFORE DELETE ON held FOR EACH ROW EXECUTE FUNCTION refuse()",
            "INSERT INTO held (note) VALUES ('a')",
        )

        assert client.delete("/held/1").status_code == 409


class TestEnums:
    """Enums, domains over them, and labels that were added later."""

    @pytest.mark.parametrize("kind", ["mood", "feeling"])
    def test_they_are_filtered_ordered_and_changed(self, kind: str, adopt: Adopt) -> None:
        client = adopt(f"id serial PRIMARY KEY, mood {kind}", "INSERT INTO held (mood) VALUES ('ok'), ('sad'), (NULL)")

        def found(query: str) -> list[int]:
            return [row["id"] for row in client.get(f"/held?{query}").json()["results"]]

        assert [found(f"mood{each}") for each in ("=ok", "__ne=ok", "__in=ok,sad", "__isnull=true")] == [
            [1],
            [2, 3],
            [1, 2],
            [3],
        ]
        assert found("ordering=mood")[:2] == [2, 1]
        assert client.patch("/held/1", json={"mood": "sad"}).json() == {"id": 1, "mood": "sad"}
        assert client.patch("/held/1", json={"mood": "glad"}).status_code == 422
        assert client.get("/held?mood=glad").status_code == 422

    @pytest.mark.parametrize("kind", ["mood", "feeling"])
    def test_they_are_keys_and_places_of_cursors(self, kind: str, adopt: Adopt) -> None:
        client = adopt(
            f"mood {kind} PRIMARY KEY, note text",
            "INSERT INTO held VALUES ('ok', 'b'), ('sad', 'a')",
            default_pagination=Pagination(style="cursor", page_size=1),
        )
        first = client.get("/held").json()

        assert client.get("/held/ok").json() == {"mood": "ok", "note": "b"}
        assert first["results"] + client.get(f"/held?cursor={first['next']}").json()["results"] == [
            {"mood": "sad", "note": "a"},
            {"mood": "ok", "note": "b"},
        ]

    def test_a_label_that_was_added_since_is_read(self, database: Database, adopt: Adopt) -> None:
        client = adopt("id serial PRIMARY KEY, mood mood, moods mood[]")
        with database.admin_engine().execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("ALTER TYPE mood ADD VALUE 'glad'"))
            connection.execute(text("INSERT INTO held (mood, moods) VALUES ('glad', '{glad}')"))

        assert client.get("/held").json()["results"] == [{"id": 1, "mood": "glad", "moods": ["glad"]}]
        assert client.get("/held/1").json() == {"id": 1, "mood": "glad", "moods": ["glad"]}


class TestArrays:
    """Arrays of whatever there is, on every driver."""

    @pytest.mark.parametrize(
        ("kind", "value", "wrong"),
        [
            ("citext[]", ["Red", "Blue"], [1]),
            ("email[]", ["a@b", "c,d"], "a@b"),
            ("size[]", [1, 2], ["x"]),
            ("mood[]", ["ok", "sad"], ["glad"]),
            ("feeling[]", ["ok"], ["glad"]),
            ("int4range[]", ["[1,5)"], ["[5,1)"]),
            ("int4multirange[]", ["{[1,5)}"], ["x"]),
            ("varbit[]", ["101"], ["xyz"]),
            ("oid[]", ["5"], ["x"]),
            ("tsvector[]", ["'a' 'b'"], ["'"]),
            ("int[]", [1, None], ["x"]),
            ("int[]", [[1, 2], [3, None]], [[1], [2, 3]]),
            ("mood[]", [["ok", "sad"], ["sad", "ok"]], [[1]]),
            ("numeric[]", ["1.50", None], ["x"]),
            ("uuid[]", ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"], ["x"]),
        ],
    )
    def test_what_is_written_is_read_and_written_again(
        self, kind: str, value: Any, wrong: Any, database: Database, adopt: Adopt
    ) -> None:
        client = adopt(f"id serial PRIMARY KEY, items {kind}")
        row = client.post("/held", json={"items": value}).json()
        before = stored(database, "items::text")

        assert row == {"id": 1, "items": value}
        assert client.put("/held/1", json=row).json() == row
        assert client.get("/held").json()["results"] == [row]
        assert client.patch("/held/1", json={"items": wrong}).status_code == 422
        assert stored(database, "items::text") == before


def test_a_search_looks_into_enums_and_filters_know_all_that_is_declared(adopt: Adopt) -> None:
    columns = (
        "mood mood",
        "feeling feeling",
        "name text",
        "code char(3)",
        "address inet",
        "place regclass",
        '"one" "char"',
    )
    client = adopt(
        f"id serial PRIMARY KEY, {', '.join(columns)}",
        "INSERT INTO held VALUES (1, 'sad', 'ok', 'x', 'abc', '10.0.0.1', 'pg_class', 'S')",
    )
    parameters = client.app.openapi()["paths"]["/held"]["get"]["parameters"]
    names = {each.get("name", "") for each in parameters} - {"page", "page_size", "ordering", ""}

    found = {each: len(client.get(f"/held?search={each}").json()["results"]) for each in ("SA", "ok", "AB", "zz")}
    assert found == {"SA": 1, "ok": 1, "AB": 1, "zz": 0}
    for place in ("1.5", "a.b.c", "a.b.c.d", "nowhere"):
        assert client.post("/held", json={"place": place}).status_code == 422
    for name in sorted(names):
        for value in ("sad", "1", "", "%", "10.0.0.1", "1.5", "a.b.c", "true", "x'y"):
            assert client.get("/held", params={name: value}).status_code in (200, 422), (name, value)


def test_a_single_byte_is_text(adopt: Adopt) -> None:
    client = adopt('id serial PRIMARY KEY, "one" "char"')

    row = client.post("/held", json={"one": "S"}).json()

    assert row == {"id": 1, "one": "S"}
    assert client.put("/held/1", json=row).json() == row
    assert client.get("/held").json()["results"] == [row]


class TestPlaces:
    """A filter compares with what the client wrote, not with that rounded to the column's places."""

    @pytest.mark.parametrize(
        ("kind", "stored", "between"),
        [
            ("numeric(6,2)", "1.5", ("1.499", "1.501", "99999.9")),
            ("time(0)", "12:00:00", ("11:59:59.9", "12:00:00.1", "23:00:00")),
            (
                "timestamp(0)",
                "2024-01-01T12:00:00Z",
                ("2024-01-01T11:59:59.9Z", "2024-01-01T12:00:00.1Z", "2025-01-01"),
            ),
            ("interval(0)", "PT10S", ("PT9.9S", "PT10.1S", "P9D")),
        ],
        ids=["numeric", "time", "timestamp", "interval"],
    )
    def test_values_between_two_that_are_stored(
        self, kind: str, stored: str, between: tuple[str, str, str], adopt: Adopt
    ) -> None:
        client = adopt(f"id serial PRIMARY KEY, v {kind}")
        client.post("/held", json={"v": stored})
        below, above, far = between

        def count(query: str) -> int:
            answer = client.get(f"/held?{query}")
            assert answer.status_code == 200, answer.text
            return len(answer.json()["results"])

        assert [count(f"v={below}"), count(f"v={above}"), count(f"v={stored}")] == [0, 0, 1]
        assert [count(f"v__in={below},{above}"), count(f"v__range={below},{above}")] == [0, 1]
        assert [count(f"v__gt={below}"), count(f"v__lt={above}"), count(f"v__gte={above}"), count(f"v__lte={far}")] == [
            1,
            1,
            0,
            1,
        ]

    @pytest.mark.parametrize(
        ("kind", "stored", "other"),
        [("numeric(6,2)", "1.50", "1.501"), ("time(0)", "12:00:00", "12:00:00.1"), ("interval(0)", "PT10S", "PT10.1S")],
        ids=["numeric", "time", "interval"],
    )
    def test_an_id_between_two_that_are_stored_names_no_row(
        self, kind: str, stored: str, other: str, adopt: Adopt
    ) -> None:
        client = adopt(f"v {kind}, note text, PRIMARY KEY (v)")
        assert client.post("/held", json={"v": stored}).headers["location"] == f"/held/{stored.replace(':', '%3A')}"

        assert [client.request(verb, f"/held/{other}").status_code for verb in ("GET", "DELETE")] == [404, 404]
        assert client.patch(f"/held/{other}", json={"note": "x"}).status_code == 404
        assert client.get("/held/-P999999999DT1S").status_code == 404
        assert client.patch(f"/held/{stored}", json={"note": "x"}).json() == {"v": stored, "note": "x"}
        assert client.delete(f"/held/{stored}").status_code == 204


@pytest.mark.parametrize(
    ("kind", "taken", "refused"),
    [
        ("numeric(8,2)", "999999.99", "9999999.99"),
        ("numeric(5)", "12345", "123456"),
        ("numeric(3,-2)", "12300", None),
        ("numeric(2,4)", "0.0012", None),
        ("numeric", "1" + "0" * 50, None),
    ],
)
def test_the_digits_of_a_number_are_counted(kind: str, taken: str, refused: str | None, adopt: Adopt) -> None:
    client = adopt(f"id serial PRIMARY KEY, v {kind}")

    assert client.post("/held", json={"v": taken}).json() == {"id": 1, "v": taken}
    if refused:
        detail = client.post("/held", json={"v": refused}).json()["detail"]
        assert [(each["type"], each["loc"]) for each in detail] == [("decimal_max_digits", ["v"])]


class TestDocuments:
    """JSON's null is a value, where the column has no NULL."""

    def test_null_in_a_column_without_null(self, database: Database, adopt: Adopt) -> None:
        client = adopt("id serial PRIMARY KEY, document jsonb NOT NULL, note text")
        row = client.post("/held", json={"document": None, "note": "a"}).json()

        assert client.put("/held/1", json={**row, "note": "b"}).json() == {**row, "note": "b"}
        assert stored(database, "document::text") == "null"


class TestDays:
    """The first and the last day that Python knows are days, not infinity."""

    @pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
    def test_they_are_stored_as_they_are(self, day: str, database: Database, adopt: Adopt) -> None:
        client = adopt("id serial PRIMARY KEY, day date, days date[]")
        row = client.post("/held", json={"day": day, "days": [day]}).json()

        assert stored(database, "day::text || days::text") == f"{day}{{{day}}}"
        assert client.get(f"/held?day={day}").json()["results"] == [row]

    @pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
    def test_pages_end_there(self, kind: str, adopt: Adopt) -> None:
        client = adopt(
            f"id serial PRIMARY KEY, moment {kind}",
            "INSERT INTO held (moment) VALUES ('0001-01-01'), ('2020-01-01'), ('9999-12-31 23:59:59.999999')",
            default_pagination=Pagination(style="cursor", page_size=1),
        )
        for ordering, ids in (("moment", [1, 2, 3]), ("-moment", [3, 2, 1])):
            assert walked(client, ordering) == ids

    def test_a_declared_class_keeps_them_too(self, database: Database, serve: Callable[..., Client]) -> None:
        class Held(RestEndpoint):
            day: date

            class Meta:
                table = "held"
                filtering = Filtering(fields=["day"])

        engine = database.make_engine()
        app = LightApi(engine=engine)
        app.register({"/held": Held})
        client = serve(app, engine)

        assert client.post("/held", json={"day": "9999-12-31"}).status_code == 201
        assert stored(database, "day::text") == "9999-12-31"
        assert [row["day"] for row in client.get("/held?day=9999-12-31").json()["results"]] == ["9999-12-31"]


KINDS = ("date", "timestamp", "timestamptz", "time", "date[]", "timestamp[]", "timestamptz[]")
BEYOND = {
    "date": ("infinity", "-infinity", "0044-03-15 BC", "20000-01-01"),
    "timestamp": ("infinity", "-infinity", "0044-03-15 12:00 BC", "20000-01-01 12:00"),
    "timestamptz": ("infinity", "-infinity", "0044-03-15 12:00 BC", "20000-01-01 12:00"),
    "time": ("24:00",),
}
LAST = {"date": "9999-12-31", "timestamp": "9999-12-31T23:59:59.999999Z", "time": "23:59:59.999999"}
FIRST = {"date": "0001-01-01", "timestamp": "0001-01-01T00:00:00Z"}


class TestDaysBeyondPython:
    """What others stored and Python has not is read as the nearest that it has, alike with every driver."""

    @pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_they_are_read_as_the_nearest(self, kind: str, driver: str, postgres_url: str) -> None:
        name = kind.removesuffix("[]")
        values = BEYOND[name]
        url = make_url(postgres_url).set(drivername=f"postgresql+{driver}")
        admin = create_engine(url.set(drivername="postgresql+psycopg"))
        items = [f"'{{{value}}}'" if kind != name else f"'{value}'" for value in values]
        execute(admin, f"CREATE TABLE held (id serial PRIMARY KEY, value {kind})")
        execute(
            admin, *(f"INSERT INTO held (value) VALUES ({item})" for item in items), "INSERT INTO held DEFAULT VALUES"
        )
        app = LightApi.from_database(url.render_as_string(hide_password=False))

        with TestClient(app.asgi) as client:
            rows = client.get("/held").json()["results"]
            read = [row["value"][0] if kind != name else row["value"] for row in rows[:-1]]
            single = [client.get(f"/held/{row['id']}").json() for row in rows]
        execute(admin, "DROP TABLE held")
        admin.dispose()

        plain = name.removesuffix("tz")
        ends = [FIRST[plain] if "BC" in value or value.startswith("-") else LAST[plain] for value in values]
        assert [value.rstrip("Z") for value in read] == [end.rstrip("Z") for end in ends]
        assert rows[-1]["value"] is None
        assert single == rows

    @pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
    def test_pages_end_there(self, kind: str, adopt: Adopt) -> None:
        values = ["2020-01-01", *BEYOND[kind]] * 2
        client = adopt(
            f"id serial PRIMARY KEY, moment {kind}",
            *(f"INSERT INTO held (moment) VALUES ('{value}')" for value in values),
            default_pagination=Pagination(style="cursor", page_size=1),
        )
        for ordering, ids in (
            ("moment", [3, 8, 4, 9, 1, 6, 5, 10, 2, 7]),
            ("-moment", [2, 7, 5, 10, 1, 6, 4, 9, 3, 8]),
        ):
            assert walked(client, ordering) == ids

    def test_pages_end_at_midnight(self, adopt: Adopt) -> None:
        client = adopt(
            "id serial PRIMARY KEY, moment time",
            "INSERT INTO held (moment) VALUES ('24:00'), ('23:59:59.999999'), ('00:00'), ('24:00')",
            default_pagination=Pagination(style="cursor", page_size=1),
        )

        assert walked(client, "moment") == [3, 2, 1, 4]

    @pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "time"])
    def test_others_are_what_they_were(self, kind: str, database: Database, adopt: Adopt) -> None:
        client = adopt(f"id serial PRIMARY KEY, moment {kind}, more {kind}[]")
        moments = ["1969-12-31T23:59:59.999999Z", "2000-01-01T00:00:00Z", "2026-11-23T12:34:56.000001Z"]
        moments += ["0001-01-03T00:00:00Z", "1999-12-31T23:59:59.5Z", "9999-12-29T23:59:59.999999Z"]
        if kind == "time":
            moments = ["00:00:00", "23:59:59.999999", "12:34:56.000001", "00:00:00.5"]

        for moment in moments:
            row = client.post("/held", json={"moment": moment, "more": [moment, None]}).json()

            assert row["moment"].rstrip("0Z") == moment.rstrip("0Z")
            assert client.get(f"/held?moment={moment}").json()["results"] == [row]
            written = "moment AT TIME ZONE 'UTC'" if kind == "timestamptz" else "moment"
            assert stored(database, f"string_agg(({written})::text, '')").replace(" ", "T") in moment
            assert stored(database, "bool_and(more[1] = moment AND more[2] IS NULL)")
            client.delete(f"/held/{row['id']}")


def walked(client: Client, ordering: str) -> list[int]:
    """Return the ids on all pages."""
    page = client.get(f"/held?ordering={ordering}").json()
    seen = [row["id"] for row in page["results"]]
    while page["next"] and len(seen) < 20:
        page = client.get(f"/held?ordering={ordering}&cursor={page['next']}").json()
        seen += [row["id"] for row in page["results"]]
    return seen


def test_a_table_that_was_altered_is_read_on(database: Database, adopt: Adopt) -> None:
    client = adopt("id serial PRIMARY KEY, number int", "INSERT INTO held (number) VALUES (1)")
    for _ in range(12):
        assert client.get("/held/1").status_code == 200
    execute(database.admin_engine(), "ALTER TABLE held ALTER number TYPE bigint")

    assert [client.get("/held/1").status_code for _ in range(3)][1:] == [200, 200]
