"""``LightApi.from_database``: every table and view of a database that is there already, with everything on."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import event, make_url, text

from lightapi import (
    Authentication,
    BaseAuthentication,
    ConfigurationError,
    IsAuthenticated,
    LightApi,
    Pagination,
    RestEndpoint,
)
from tests.support.foreign import execute
from tests.support.hosts import Client, Database

SHOP = Path(__file__).parent.parent / "examples" / "shop.sql"
TABLES = {
    "categories": 5,
    "customers": 10,
    "employee_territories": 7,
    "employees": 7,
    "order_details": 98,
    "orders": 40,
    "payments": 30,
    "products": 18,
    "regions": 3,
    "reviews": 24,
    "shippers": 3,
    "suppliers": 5,
    "territories": 6,
}
FOUND = {
    "/products?price__gte=10&price__lt=15": 3,
    "/products?price__range=3,4": 4,
    "/products?search=SMOKED": 2,
    "/products?name__istartswith=s": 4,
    "/employees?reports_to__isnull=true": 1,
    "/employees?search=MØLLER": 1,
    "/orders?ordered_on__gte=2025-04-01&shipped_at__isnull=true": 6,
    "/customers?country__in=Norland,Eirin&is_active=true": 5,
    "/order_details?product_id=4": 6,
}
ROUTES = {
    "class": "/class",
    "None": "/None",
    "list": "/list",
    "Tbl Kunden": "/Tbl-Kunden",
    "a/b": "/a-b",
    "50% off?": "/50-off",
    "Größe": "/Größe",
    "数": "/数",
    "..": "/table-2",
    "#!": "/table",
    "1st": "/1st",
    "x.y": "/x.y",
    "{id}": "/id",
    'qu"ote': "/qu-ote",
    "metadata": "/metadata",
}
ONE_HOST = pytest.mark.hosts("asgi")
Serve = Callable[[LightApi, Any], Client]


def statements(file: Path) -> list[str]:
    """Return the statements of an SQL file whose texts hold no semicolon."""
    return [each for each in re.split(r";\s*\n", file.read_text(encoding="utf-8")) if each.strip()]


@pytest.fixture
def shop(database: Database) -> Database:
    execute(database.admin_engine(), *statements(SHOP))
    return database


def make(database: Database, *tables: str) -> None:
    """Run statements on the test's database."""
    execute(database.admin_engine(), *tables)


@pytest.fixture
def adopt(database: Database, serve: Serve) -> Callable[..., Client]:
    """Give a function that serves the test's database."""

    def start(**options: Any) -> Client:
        engine = database.make_engine()
        return serve(LightApi.from_database(engine, **options), engine)

    return start


def paths(client: Client) -> set[str]:
    """Return the collections that a client's app serves."""
    return set(client.app._plans)


def item(path: str, row: dict[str, Any], *key: str) -> str:
    """Return the path of a row."""
    return f"{path}/{','.join(str(row[name]) for name in key)}"


class TestShop:
    """The example's schema: what a user does first with each table."""

    @ONE_HOST
    def test_every_table_is_listed_in_pages_and_every_row_found(
        self, shop: Database, adopt: Callable[..., Client]
    ) -> None:
        client = adopt()

        assert paths(client) == {f"/{name}" for name in (*TABLES, "order_totals")}
        for name, count in TABLES.items():
            first = client.get(f"/{name}", params={"page_size": 2}).json()
            assert (first["count"], len(first["results"])) == (count, 2), name
            rows = client.get(f"/{name}", params={"page_size": 100}).json()["results"]
            assert client.get(first["next"]).json()["results"] == rows[2:4]
            for row in (rows[0], rows[-1]):
                assert client.get(item(f"/{name}", row, *client.app._plans[f"/{name}"].key)).json() == row

    @ONE_HOST
    def test_every_column_is_filtered_and_ordered_by(self, shop: Database, adopt: Callable[..., Client]) -> None:
        client = adopt()

        for name in (*TABLES, "order_totals"):
            row = client.get(f"/{name}").json()["results"][0]
            for column, value in row.items():
                query = {f"{column}__isnull": "true"} if value is None else {column: value}
                found = client.get(f"/{name}", params={**query, "ordering": f"-{column}", "page_size": 100})
                assert row in found.json()["results"], (name, column, found.text)
        counts = {query: client.get(query).json()["count"] for query in FOUND}
        assert counts == FOUND
        prices = [
            float(row["price"]) for row in client.get("/products?ordering=-price&page_size=100").json()["results"]
        ]
        assert prices == sorted(prices, reverse=True)

    def test_a_row_is_made_changed_and_deleted(self, shop: Database, adopt: Callable[..., Client]) -> None:
        client = adopt()

        made = client.post("/reviews", json={"product_id": 1, "customer_code": "ALDER", "stars": 4})
        assert (made.status_code, made.headers["location"]) == (201, "/reviews/1,ALDER")
        changed = client.patch("/reviews/1,ALDER", json={"stars": 5, "version": 1})
        assert (changed.status_code, changed.json()["version"]) == (200, 2)
        assert client.patch("/reviews/1,ALDER", json={"stars": 3, "version": 1}).status_code == 409
        assert client.delete("/reviews/1,ALDER").status_code == 204
        assert client.delete("/orders/2").status_code == 409
        assert (
            client.post("/products", json={"id": 99, "name": "x", "price": "1", "category_id": 77}).status_code == 409
        )

    @ONE_HOST
    def test_a_view_is_a_list_that_can_only_be_read(self, shop: Database, adopt: Callable[..., Client]) -> None:
        client = adopt()

        everything = client.get("/order_totals?page_size=100").json()
        assert everything["count"] == len(everything["results"]) == 40
        pages = [client.get(f"/order_totals?page_size=15&page={page}").json()["results"] for page in (1, 2, 3)]
        assert [row for page in pages for row in page] == everything["results"]
        assert client.get("/order_totals?order_id=3").json()["count"] == 1
        assert client.post("/order_totals", json={}).status_code == 405
        assert client.get("/order_totals/1").status_code == 404
        documented = client.app.openapi()["paths"]
        assert [*documented["/order_totals"]] == ["get"]
        assert "/order_totals/{id}" not in documented


class TestStatements:
    """How much is asked of the database."""

    @pytest.mark.engines("postgres-sync")
    def test_more_tables_are_neither_more_statements_nor_warnings(
        self, shop: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        engine = shop.make_engine()
        sent: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))

        LightApi.from_database(engine, include="regions").build_app()
        one = len(sent)
        LightApi.from_database(engine).build_app()
        assert len(sent) - one <= one
        assert caplog.records == []

    @pytest.mark.engines("sqlite-sync", "postgres-async")
    def test_nothing_is_made_or_changed(self, shop: Database) -> None:
        engine = shop.make_engine()
        sent: list[str] = []
        event.listen(
            getattr(engine, "sync_engine", engine), "before_cursor_execute", lambda *given: sent.append(given[2])
        )

        LightApi.from_database(engine).build_app()
        assert {each.split()[0].upper() for each in sent} <= {"SELECT", "PRAGMA", "BEGIN", "COMMIT"}


class TestWhatIsServed:
    """``include``, ``exclude``, ``schema``, and what is left out by itself."""

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync", "postgres-sync")
    def test_names_and_patterns_choose(self, shop: Database, adopt: Callable[..., Client]) -> None:
        assert paths(adopt(include="orders")) == {"/orders"}
        assert paths(adopt(include="r*", exclude="reviews")) == {"/regions"}
        assert paths(adopt(include="order*", exclude=["*_totals", "nothing_*"])) == {"/orders", "/order_details"}
        client = adopt(include=["order*", "regions"])
        assert paths(client) == {"/orders", "/order_details", "/order_totals", "/regions"}
        assert all(client.get(path).status_code == 200 for path in paths(client))

    @pytest.mark.engines("sqlite-sync")
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"include": "produkts"}, "include: no table is called 'produkts'; did you mean 'products'?"),
            ({"exclude": ["orders", "regios"]}, "exclude: no table is called 'regios'; did you mean 'regions'?"),
            ({"include": "zz*"}, "include: no table is called 'zz*'; there are: categories, customers"),
            ({"include": 3}, "include=3 given; allowed: a name, or a list of names"),
            ({"schema": "mian"}, "no schema 'mian'; allowed: main; did you mean 'main'?"),
            ({"exclude": "*"}, "there is no table that can be served"),
            ({"inclde": "x"}, "unknown option 'inclde'; allowed: schema, include"),
            ({"engine": None}, "unknown option 'engine'"),
            ({"authentication": "jwt"}, "authentication='jwt' given; allowed: Authentication(...) or None"),
        ],
        ids=["near", "near-exclude", "pattern", "kind", "schema", "nothing", "option", "engine", "authentication"],
    )
    def test_a_wrong_wish_says_what_is_allowed(self, shop: Database, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            LightApi.from_database(shop.make_engine(), **options)

    @pytest.mark.engines("sqlite-sync", "postgres-async")
    def test_a_table_without_a_key_is_left_out_with_one_warning(
        self, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        make(database, "CREATE TABLE log (line text)", "CREATE TABLE kept (id integer PRIMARY KEY)")

        app = LightApi.from_database(database.make_engine())
        assert set(app._plans) == {"/kept"}
        told = "from_database: 'log' is not served: table 'log' has no primary key; name one with Meta.primary_key"
        assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == [told]
        with pytest.raises(ConfigurationError, match="include names 'log': table 'log' has no primary key"):
            LightApi.from_database(database.make_engine(), include=["log", "kept"])

    @pytest.mark.engines("sqlite-sync", "postgres-sync")
    def test_bookkeeping_is_left_out_unless_it_is_named(self, database: Database) -> None:
        make(
            database,
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
            "CREATE TABLE a (id int PRIMARY KEY)",
        )

        assert set(LightApi.from_database(database.make_engine())._plans) == {"/a"}
        assert set(LightApi.from_database(database.make_engine(), include="*")._plans) == {"/a"}
        named = LightApi.from_database(database.make_engine(), include=["alembic_version"])
        assert set(named._plans) == {"/alembic_version"}

    @pytest.mark.engines("sqlite-sync")
    def test_the_tables_behind_a_search_index_are_left_out(self, database: Database) -> None:
        make(database, "CREATE VIRTUAL TABLE words USING fts5(word)", "CREATE TABLE a (id integer PRIMARY KEY)")

        assert set(LightApi.from_database(database.make_engine())._plans) == {"/a"}

    @pytest.mark.engines("sqlite-sync")
    def test_a_view_of_a_table_that_is_gone_is_left_out(
        self, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        make(database, "CREATE TABLE a (id integer PRIMARY KEY)", "CREATE TABLE b (id integer)")
        make(database, "CREATE VIEW v AS SELECT id FROM b", "DROP TABLE b")

        assert set(LightApi.from_database(database.make_engine())._plans) == {"/a"}
        assert "'v' is not served: it can't be read (OperationalError)" in caplog.text

    @pytest.mark.engines("postgres-sync")
    def test_the_partitions_of_a_table_are_left_out(self, database: Database) -> None:
        make(database, "CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)")
        make(database, "CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')")

        assert set(LightApi.from_database(database.make_engine())._plans) == {"/events"}

    @ONE_HOST
    @pytest.mark.engines("postgres-sync")
    def test_a_user_is_served_what_it_may_do(
        self, database: Database, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        make(database, "CREATE TABLE hidden (id int PRIMARY KEY)", "CREATE TABLE seen (id int PRIMARY KEY)")
        make(database, "CREATE TABLE grown (id int PRIMARY KEY, a int)")
        make(database, "CREATE ROLE adopting LOGIN PASSWORD 'x'", "GRANT SELECT ON seen TO adopting")
        make(database, "GRANT SELECT, INSERT ON grown TO adopting")
        url = database.url.set(username="adopting", password="x").render_as_string(hide_password=False)
        app = LightApi.from_database(url)
        try:
            client = serve(app, None)

            assert client.options("/seen").headers["allow"] == "GET, HEAD, OPTIONS"
            assert client.options("/grown").headers["allow"] == "GET, POST, HEAD, OPTIONS"
            assert client.options("/grown/1").headers["allow"] == "GET, HEAD, OPTIONS"
            assert client.post("/grown", json={"id": 1}).status_code == 201
            assert client.get("/hidden").status_code == 404
            assert "'hidden' is not served: the database's user has no right to read it" in caplog.text
        finally:
            app.engine.dispose()
            make(database, "DROP OWNED BY adopting", "DROP ROLE adopting")

    @ONE_HOST
    @pytest.mark.engines("postgres-sync", "postgres-async")
    def test_several_schemas_have_a_folder_each(self, database: Database, adopt: Callable[..., Client]) -> None:
        make(database, "CREATE SCHEMA sales", "CREATE TABLE items (id int PRIMARY KEY)")
        make(database, "CREATE TABLE sales.items (id int PRIMARY KEY, of int REFERENCES items (id))")
        try:
            client = adopt(schema=["public", "sales"])

            assert paths(client) == {"/public/items", "/sales/items"}
            assert client.post("/public/items", json={"id": 1}).status_code == 201
            assert client.post("/sales/items", json={"id": 5, "of": 1}).status_code == 201
            assert client.get("/sales/items/5").json() == {"id": 5, "of": 1}
            assert paths(adopt(schema="sales")) == {"/items"}
            assert paths(adopt(schema=["public", "sales"], include="sales.items")) == {"/sales/items"}
        finally:
            make(database, "DROP SCHEMA sales CASCADE")


class TestNames:
    """Names that no Python class, no path and no query string would choose."""

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync", "postgres-async")
    def test_any_table_has_a_path(self, database: Database, adopt: Callable[..., Client]) -> None:
        for name in ROUTES:
            quoted = name.replace('"', '""')
            make(database, f'CREATE TABLE "{quoted}" (id integer PRIMARY KEY, "{quoted}" text)')

        client = adopt()
        assert {plan.table.name: path for path, plan in client.app._plans.items()} == ROUTES
        for name, route in ROUTES.items():
            made = client.post(route, json={"id": 1, name: "x"})
            assert made.status_code == 201, made.text
            assert client.get(made.headers["location"]).json() == {"id": 1, name: "x"}
            assert client.get(route, params={name: "x", "ordering": f"-{name}", "search": "x"}).json()["count"] == 1

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync")
    def test_names_that_make_one_route_are_numbered(self, database: Database, adopt: Callable[..., Client]) -> None:
        make(
            database,
            *(f'CREATE TABLE "{name}" (id integer PRIMARY KEY, "{name}" text)' for name in ("a b", "a-b", "a+b")),
        )

        client = adopt()
        assert {path: plan.table.name for path, plan in client.app._plans.items()} == {
            "/a-b": "a-b",
            "/a-b-2": "a b",
            "/a-b-3": "a+b",
        }
        assert len({plan.endpoint.__name__ for plan in client.app._plans.values()}) == 3

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync", "postgres-async")
    def test_columns_called_like_parameters_leave_the_parameters_be(
        self, database: Database, adopt: Callable[..., Client]
    ) -> None:
        make(
            database,
            "CREATE TABLE t (id integer PRIMARY KEY, page integer, search text, ordering text, page_size integer)",
        )

        client = adopt()
        for number in (1, 2, 3):
            client.post(
                "/t", json={"id": number, "page": number, "search": f"s{number}", "ordering": "o", "page_size": 9}
            )
        assert [row["id"] for row in client.get("/t?page_size=2&page=2").json()["results"]] == [3]
        assert client.get("/t?page__in=3").json()["count"] == 1
        assert client.get("/t?search=s2").json()["count"] == 1
        assert [row["id"] for row in client.get("/t?ordering=-page").json()["results"]] == [3, 2, 1]

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync")
    def test_a_column_without_a_type_is_served(self, database: Database, adopt: Callable[..., Client]) -> None:
        make(database, "CREATE TABLE t (id integer PRIMARY KEY, anything, raw blob, doc json)")

        client = adopt()
        assert client.post("/t", json={"anything": 2.5, "raw": "_wA=", "doc": [1]}).status_code == 201
        assert client.get("/t?anything=2.5&raw=_wA=&ordering=anything").json()["count"] == 1


@ONE_HOST
@pytest.mark.engines("postgres-sync", "postgres-async")
class TestTypesThatOnlyTheDatabaseKnows:
    """Their values are text that the database reads, or refuses."""

    @pytest.mark.parametrize(
        ("kind", "good", "wrong"),
        [
            ("tsvector", "'fat' 'rat'", "24:00:00"),
            ("regclass", "pg_class", "nothing_of_that_name"),
            ("inet", "10.0.0.1/8", "10.0.0.300"),
        ],
    )
    def test_a_value_that_it_cannot_read_is_refused(
        self, kind: str, good: str, wrong: str, database: Database, adopt: Callable[..., Client]
    ) -> None:
        make(database, f"CREATE TABLE held (id serial PRIMARY KEY, value {kind})")
        client = adopt()
        row = client.post("/held", json={"value": good}).json()

        refused = [
            client.post("/held", json={"value": wrong}),
            client.patch(f"/held/{row['id']}", json={"value": wrong}),
        ]
        assert [answer.status_code for answer in refused] == [422, 422]
        assert client.get("/held").json()["results"] == [row]
        assert row["value"] == good

    @pytest.mark.parametrize(
        ("kind", "good", "wrong"),
        [("pg_lsn", "16/B374D848", "soon"), ("tsvector", "'fat'", "24:00:00"), ("xid8", "42", "soon")],
    )
    def test_a_key_is_found_by_its_text(
        self, kind: str, good: str, wrong: str, database: Database, adopt: Callable[..., Client]
    ) -> None:
        make(
            database,
            f"CREATE TABLE held (value {kind} PRIMARY KEY, note text)",
            f"INSERT INTO held VALUES ($${good}$$, 'here')",
        )
        client = adopt()

        assert client.get(f"/held/{quote(good, safe='')}").json() == {"value": good, "note": "here"}
        assert client.get(f"/held/{quote(wrong, safe='')}").status_code in (404, 422)


class TestOptions:
    """``read_only``, ``authentication``, and the constructor's own arguments."""

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync", "postgres-async")
    def test_read_only_answers_nothing_but_get(self, shop: Database, adopt: Callable[..., Client]) -> None:
        client = adopt(read_only=True)

        assert client.get("/orders/1").status_code == 200
        for verb in ("POST", "PUT", "PATCH", "DELETE"):
            path = "/orders" if verb == "POST" else "/orders/1"
            assert client.request(verb, path, json={}).status_code == 405

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync")
    def test_authentication_is_that_of_every_table(self, shop: Database, adopt: Callable[..., Client]) -> None:
        class Header(BaseAuthentication):
            def authenticate(self, request: Any) -> bool:
                request.state.user = {"sub": "1"}
                return bool(request.headers.get("x-key") == "right")

        client = adopt(authentication=Authentication(backend=Header, permission=IsAuthenticated))
        for path in paths(client):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"x-key": "right"}).status_code == 200

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync")
    def test_the_constructors_arguments_pass_through(self, shop: Database, adopt: Callable[..., Client]) -> None:
        client = adopt(title="Shop", default_pagination=Pagination(style="limit_offset", page_size=3))

        assert client.app.openapi()["info"]["title"] == "Shop"
        assert len(client.get("/orders?offset=2").json()["results"]) == 3

    @ONE_HOST
    @pytest.mark.engines("sqlite-sync", "postgres-async")
    def test_endpoints_of_ones_own_may_join(self, shop: Database, serve: Serve) -> None:
        class Total(RestEndpoint):
            class Meta:
                reflect = True
                table = "order_totals"
                primary_key = "order_id"

        engine = shop.make_engine()
        app = LightApi.from_database(engine, exclude="order_totals")
        app.register({"/totals": Total})
        client = serve(app, engine)
        assert client.get("/totals/3").json()["order_id"] == 3


class TestSources:
    """URLs, files, engines, and those that can't be read."""

    @pytest.mark.engines("sqlite-sync")
    def test_a_file_is_named_by_path_or_url(
        self, shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("LIGHTAPI_DATABASE_URL", "sqlite:///test.db")

        for source in ("test.db", tmp_path / "test.db", "sqlite:///test.db", "sqlite+aiosqlite:///test.db", None):
            app = LightApi.from_database(source)
            assert len(app._plans) == len(TABLES) + 1
            if not app._store.is_async:
                app.engine.dispose()

    @pytest.mark.engines("sqlite-sync")
    def test_read_only_opens_the_file_so(self, shop: Database, tmp_path: Path) -> None:
        file = tmp_path / "test.db"
        before = file.read_bytes()
        app = LightApi.from_database(file, read_only=True)
        app.build_app()

        with app.engine.connect() as connection, pytest.raises(Exception, match="readonly"):
            connection.execute(text("DELETE FROM reviews"))
        app.engine.dispose()
        assert file.read_bytes() == before

    @pytest.mark.parametrize("source", ["shoop.db", "sqlite:///shoop.db", "sqlite+aiosqlite:///shoop.db"])
    def test_a_file_that_is_not_there_is_not_made(
        self, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "shop.db").touch()

        with pytest.raises(ConfigurationError, match=re.escape("there is no file 'shoop.db'; did you mean 'shop.db'?")):
            LightApi.from_database(source)
        assert [each.name for each in tmp_path.iterdir()] == ["shop.db"]

    def test_a_file_of_something_else_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no database, but longer than one hundred bytes " * 9)

        with pytest.raises(ConfigurationError, match="the database can't be read: file is not a database"):
            LightApi.from_database(tmp_path / "notes.txt")

    def test_an_empty_database_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "empty.db").touch()

        with pytest.raises(ConfigurationError, match="there is no table that can be served"):
            LightApi.from_database(tmp_path / "empty.db")

    def test_a_password_is_not_in_the_message(self) -> None:
        url = make_url("postgresql+psycopg://me:geheim@127.0.0.1:9/none")

        with pytest.raises(ConfigurationError, match="the database can't be read") as raised:
            LightApi.from_database(url.render_as_string(hide_password=False))
        assert "geheim" not in str(raised.value)
