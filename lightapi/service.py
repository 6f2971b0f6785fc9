"""What a built app serves with: routes, pipeline and store, made ready once."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping

from sqlalchemy import Column, Connection, Inspector, MetaData, Table, inspect
from sqlalchemy.exc import NoSuchTableError
from starlette.requests import Request
from starlette.responses import Response

from lightapi.audit import Verb, described
from lightapi.db.mapping import check_foreign_keys
from lightapi.db.readiness import check_schema, complete, point_out_missing, point_out_orderings
from lightapi.db.reflection import REFLECTED
from lightapi.db.store import Store
from lightapi.exceptions import ConfigurationError, ServiceUnavailable, nearest
from lightapi.http.drive import drive
from lightapi.http.message import json_response
from lightapi.http.pipeline import Pipeline
from lightapi.http.routing import Routes
from lightapi.openapi.served import Document
from lightapi.plan import Plan, Route, make_route
from lightapi.problems import Problems
from lightapi.redis_link import RedisLink

__all__ = ["Service", "health_routes"]

logger = logging.getLogger("lightapi")


class Service:
    """The running half of an app: hosts hand it requests, servers start and stop it."""

    def __init__(
        self,
        *,
        routes: Routes,
        pipeline: Pipeline,
        store: Store,
        metadata: MetaData,
        built: Mapping[str, tuple[Plan, Route, Route]],
        own: Mapping[str, Route],
        link: RedisLink | None,
        document: Document,
        caches: bool,
        create_tables: bool,
        max_body_size: int,
    ) -> None:
        self.routes = routes
        self.pipeline = pipeline
        self.store = store
        self.max_body_size = max_body_size
        self._metadata = metadata
        self._plans = [plan for plan, _, _ in built.values()]
        self._owners = {plan.table.key: plan.endpoint.__name__ for plan in self._plans}
        self._create_tables = create_tables
        self.link = link
        self.document = document
        self._caches = caches
        self._verbs = described(built, own)

    def describe(self) -> list[Verb]:
        """Return every verb of every path, and who may call it."""
        return list(self._verbs)

    @property
    def is_ready(self) -> bool:
        """True when the tables exist, as far as this process knows."""
        return self.store.is_ready(_KEY)

    def prepare(self, connection: Connection) -> None:
        """Create the tables that are missing."""
        tables = self._checked_tables(connection)
        if self._create_tables:
            self._metadata.create_all(connection, [table for table in tables if REFLECTED not in table.info])
        for table in tables:
            complete(connection, table, self._owners[table.key], create=self._create_tables)
        self._point_out(inspect(connection))

    def outside(self) -> list[str]:
        """Return what refers to tables that no endpoint makes: only the database can tell whether they are there."""
        return [
            f"{owner} refers to the table {target!r}, which no endpoint makes: --database looks for it"
            for name, owner in self._owners.items()
            for target in check_foreign_keys(self._metadata.tables[name], self._owners)
        ]

    def compare(self, connection: Connection) -> None:
        """Look for what ``prepare`` would refuse or point out, without making or changing anything."""
        self._checked_tables(connection)
        self._point_out(inspect(connection))

    def _point_out(self, inspector: Inspector) -> None:
        """Log warnings for what the tables that are there lack, and for those that nobody makes."""
        for plan in self._plans:
            try:
                if REFLECTED not in plan.table.info:
                    point_out_missing(inspector, plan)
                point_out_orderings(inspector, plan)
            except NoSuchTableError:
                if not self._create_tables:
                    name = plan.endpoint.__name__
                    logger.warning("%s: there is no table %r, and create_tables is False", name, plan.table.key)

    def _checked_tables(self, connection: Connection) -> list[Table]:
        """Return the tables of the endpoints; raise ConfigurationError for what they refer to in vain."""
        tables = [table for table in self._metadata.tables.values() if table.key in self._owners]
        inspector = inspect(connection)
        problems = Problems()
        for table in tables:
            with problems.collected():
                for target in check_foreign_keys(table, self._owners):
                    self._adopt(connection, table, target)
        for table in tables:
            with problems.collected():
                check_schema(inspector, table, self._owners)
        problems.raise_all()
        return tables

    def _adopt(self, connection: Connection, table: Table, target: str) -> None:
        """Take a referenced table of the database into the metadata; it is never created by us."""
        schema, _, name = target.rpartition(".")
        inspector = inspect(connection)
        try:
            # No more than a reference needs: names that our naming convention asks for may be missing from the rest.
            key = inspector.get_pk_constraint(name, schema or None)["constrained_columns"]
            columns = [
                Column(each["name"], each["type"], primary_key=each["name"] in key)
                for each in inspector.get_columns(name, schema or None)
            ]
            Table(name, self._metadata, *columns, schema=schema or None)
        except NoSuchTableError:
            known = {*self._metadata.tables, *inspector.get_table_names(schema or None)}
            reference = next(k for k in table.foreign_keys if k.target_fullname.startswith(f"{target}."))
            raise ConfigurationError(
                f"{self._owners[table.key]}.{reference.parent.name}: foreign_key="
                f"{reference.target_fullname!r}: there is no table {target!r}, neither registered nor in "
                f"the database{nearest(target, known)}; there are: {', '.join(sorted(known)[:_FEW]) or 'none'}"
            ) from None
        check_foreign_keys(table, self._owners)

    async def ensure_ready(self) -> None:
        """Create the tables once per process; raise ServiceUnavailable while that fails."""
        await self.store.ready(self.prepare, _KEY)

    def ensure_ready_now(self) -> None:
        """Do the same in a thread that may block."""
        self.store.ready_sync(self.prepare, _KEY)

    async def start(self) -> None:
        """Get ready when a server starts; an unreachable database is a warning."""
        try:
            await self.ensure_ready()
        except ServiceUnavailable:
            warn_unreachable()
        if self._caches and self.link is not None and not await self.link.check():
            warn_without_cache()

    def start_now(self) -> None:
        """Do the same in a thread that may block."""
        try:
            self.ensure_ready_now()
        except ServiceUnavailable:
            warn_unreachable()

    async def stop(self) -> None:
        """Give the database connections back when a server stops."""
        await self.store.dispose()
        if self.link is not None:
            await self.link.close()

    def check_cache(self) -> None:
        """Warn when Redis does not answer although answers are to be kept there; in a thread that may block."""
        if self._caches and self.link is not None and not drive(self.link.check()):
            warn_without_cache()


_KEY = "tables"
_FEW = 20


def warn_unreachable() -> None:
    """Say that the database does not answer yet."""
    message = "the database cannot be reached; tables are created by the first request that can"
    logger.warning(message)
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def warn_without_cache() -> None:
    """Say that Redis does not answer yet."""
    message = "Redis cannot be reached: nothing is cached until it can; set LIGHTAPI_REDIS_URL"
    logger.warning(message)
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def health_routes(store: Store, link: RedisLink | None) -> dict[str, Route]:
    """Return ``/healthz`` (the process lives) and ``/readyz`` (its database answers, and its Redis if it caches)."""

    async def healthz(request: Request) -> Response:
        return json_response({"status": "ok"})

    async def readyz(request: Request) -> Response:
        states = {"database": "ok"}
        retry_after = "1"
        try:
            await store.ping()
        except ServiceUnavailable as error:
            states["database"] = "unavailable"
            retry_after = error.headers["Retry-After"]
        if link is not None:
            states["redis"] = "ok" if await link.check() else "unavailable"
        if "unavailable" not in states.values():
            return json_response({"status": "ok", **states})
        response = json_response({"status": "unavailable", **states}, 503)
        response.headers["Retry-After"] = retry_after
        return response

    return {
        "/healthz": make_route({"GET": healthz}, internal=True),
        "/readyz": make_route({"GET": readyz}, internal=True, is_async=store.is_async),
    }
