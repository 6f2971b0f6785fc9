"""Compare a cursor page at depth 1,000,000 with the first page of the same list, on SQLite and on PostgreSQL.

``python3 dev.py bench depth [--depth N] [--pages N] [--engine NAME]``; README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults

from sqlalchemy import Engine, text

from lightapi import Filtering, HttpMethod, LightApi, Pagination, RestEndpoint
from lightapi.cursors import Cursor, write_cursor
from lightapi.db.listing import Wanted
from tests.support import servers

DEPTH = 1_000_000
BEYOND = 100
"""Rows behind the place, so that the deep page is as full as the first."""
PAGE = 20
WARMING = 20
"""Pages of each kind before those that count."""
MOST = 1.5
"""The largest ratio that passes."""
ENGINES = ("sqlite", "postgresql")
Served = Callable[..., Any]

NUMBERS = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows})",
    "postgresql": "WITH s(n) AS (SELECT generate_series(1::bigint, {rows}))",
}
FILL = """
INSERT INTO items (score, rank, kind, version)
{numbers} SELECT n * 7919 % 100003, CASE WHEN n % 10 > 0 THEN n * 31337 % 100003 END, n % 2, 1 FROM s
"""


class Order(NamedTuple):
    """An ordering and the index that serves it."""

    ordering: tuple[tuple[str, bool], ...]
    indexed: str = ""

    @property
    def asked(self) -> str:
        """Return the value of ``?ordering=``."""
        return ",".join(f"-{name}" if descending else name for name, descending in self.ordering)


ORDERS = (
    Order((("id", False),)),
    Order((("id", True),)),
    Order((("kind", False),), "kind, id"),
    Order((("score", False),), "score, id"),
    Order((("score", True),), "score DESC, id"),
    Order((("rank", False),), "rank, id"),
    Order((("rank", True),), "rank DESC, id"),
    Order((("score", False), ("kind", True)), "score, kind DESC, id"),
    Order((("score", True), ("kind", False)), "score DESC, kind, id"),
)
"""Ten rows share a score or a rank, half of all a kind, and a tenth of the ranks are NULL."""


class Item(RestEndpoint, HttpMethod.GET):
    """What is listed."""

    score: int
    rank: int | None = None
    kind: int

    class Meta:
        filtering = Filtering(ordering=["id", "score", "rank", "kind"])
        pagination = Pagination(style="cursor", page_size=PAGE)


class Result(NamedTuple):
    """Medians: milliseconds, and what the deep page costs in first pages."""

    engine: str
    order: Order
    first: float
    second: float
    deep: float
    ratio: float


@contextlib.contextmanager
def database(kind: str) -> Iterator[str]:
    """Give the URL of an empty database."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'depth.db'}"
        return
    with contextlib.ExitStack() as stack:
        if os.environ.get(servers.VARIABLES["postgres"]):
            server = stack.enter_context(servers.join("postgres"))
        else:
            server = stack.enter_context(servers.private("postgres", "log_statement=none", "autovacuum=off"))
        yield stack.enter_context(servers.database(server, f"lightapi_depth_{os.getpid()}"))


def fill(engine: Engine, rows: int) -> None:
    """Fill the table and index it for every order."""
    dialect = engine.dialect.name
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(FILL.format(numbers=NUMBERS[dialect].format(rows=rows))))
        for number, order in enumerate(ORDERS):
            if order.indexed:
                connection.execute(text(f"CREATE INDEX items_{number} ON items ({order.indexed})"))
        connection.execute(text("ANALYZE" if dialect == "sqlite" else "VACUUM ANALYZE"))


def cursor_at(app: LightApi, order: Order, depth: int) -> str:
    """Return the cursor of the row at a depth, without walking there."""
    plan = app._plans["/items"]
    listing = plan.lists.listing(Wanted(ordering=order.ordering, style="seek"))
    with app.engine.connect() as connection:
        row = connection.execute(listing.statement.limit(1).offset(depth - 1)).one()
    place = row[len(listing.names) :][: listing.places]
    return write_cursor(plan.cursor_scope, Cursor(order.ordering, tuple(place)))


def timed(served: Served, query: str) -> float:
    """Ask for a page and return the milliseconds that it took; stop unless it is a full one."""
    environ: dict[str, Any] = {"PATH_INFO": "/items", "QUERY_STRING": query}
    setup_testing_defaults(environ)
    statuses: list[str] = []
    begun = time.perf_counter()
    body = b"".join(served(environ, lambda status, *_: statuses.append(status)))
    taken = time.perf_counter() - begun
    if statuses != ["200 OK"] or body.count(b'"id":') != PAGE:
        raise SystemExit(f"/items?{query}: {statuses} {body[:500]!r}")
    return taken * 1000


def measured(app: LightApi, order: Order, depth: int, pages: int) -> Result:
    """Ask for the first page, the second and the deep one in turns, and return the medians."""
    served: Any = app.build_wsgi_app()
    asked = {"ordering": order.asked}
    queries = [urlencode(asked), *(urlencode({**asked, "cursor": cursor_at(app, order, n)}) for n in (PAGE, depth))]
    turns = [[timed(served, query) for query in queries] for _ in range(WARMING + pages)][WARMING:]
    first, second, deep = (median(times) for times in zip(*turns, strict=True))
    return Result(app.engine.dialect.name, order, first, second, deep, median(turn[2] / turn[0] for turn in turns))


def compare(kind: str, depth: int, pages: int) -> list[Result]:
    """Return the medians of every order on one database."""
    with database(kind) as url:
        app = LightApi(database_url=url)
        app.register({"/items": Item})
        app.metadata.create_all(app.engine)
        fill(app.engine, depth + BEYOND)
        results = [measured(app, order, depth, pages) for order in ORDERS]
        app.engine.dispose()
    return results


def table(results: list[Result]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| database | ordering | index | first page ms | second page ms | deep page ms | ratio |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {each.engine} | {each.order.asked} | {each.order.indexed or 'primary key'} "
        f"| {each.first:.2f} | {each.second:.2f} | {each.deep:.2f} | {each.ratio:.2f} |"
        for each in results
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure and print; leave with 1 if a deep page is too slow."""
    parser = argparse.ArgumentParser(prog="dev.py bench depth", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--depth", type=int, default=DEPTH, help="rows before the deep page")
    parser.add_argument("--pages", type=int, default=200, help="of each kind and order")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="may be repeated; all by default")
    options = parser.parse_args(arguments)
    results = [each for kind in options.engine or ENGINES for each in compare(kind, options.depth, options.pages)]
    print(table(results))
    if any(each.ratio > MOST for each in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
