"""What a built app serves with: routes, pipeline and store, made ready once."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.exc import NoSuchTableError
from starlette.requests import Request
from starlette.responses import Response

from lightapi.db.mapping import check_foreign_keys
from lightapi.db.readiness import check_schema, complete, point_out_orderings
from lightapi.db.reflection import REFLECTED
from lightapi.db.store import Store
from lightapi.exceptions import ConfigurationError, ServiceUnavailable, nearest
from lightapi.http.message import json_response
from lightapi.http.pipeline import Pipeline
from lightapi.http.routing import Routes
from lightapi.plan import Plan, Route, make_route

__all__ = ["Service"]

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
        plans: Sequence[Plan],
        create_tables: bool,
        max_body_size: int,
    ) -> None:
        self.routes = routes
        self.pipeline = pipeline
        self.store = store
        self.max_body_size = max_body_size
        self._metadata = metadata
        self._plans = plans
        self._owners = {plan.table.key: plan.endpoint.__name__ for plan in plans}
        self._create_tables = create_tables
        for path, route in health_routes(store).items():
            if path not in routes:
                routes.add(path, route)

    @property
    def is_ready(self) -> bool:
        """True when the tables exist, as far as this process knows."""
        return self.store.is_ready(_KEY)

    def prepare(self, connection: Connection) -> None:
        """Create the tables that are missing."""
        tables = [table for table in self._metadata.tables.values() if table.key in self._owners]
        for table in tables:
            for target in check_foreign_keys(table, self._owners):
                self._adopt(connection, table, target)
        for table in tables:
            check_schema(connection, table, self._owners)
        if self._create_tables:
            self._metadata.create_all(connection, [table for table in tables if REFLECTED not in table.info])
        for table in tables:
            complete(connection, table, self._owners[table.key], create=self._create_tables)
        for plan in self._plans:
            point_out_orderings(connection, plan)

    def _adopt(self, connection: Connection, table: Table, target: str) -> None:
        """Take a referenced table of the database into the metadata; it is never created by us."""
        schema, _, name = target.rpartition(".")
        try:
            Table(
                name,
                self._metadata,
                schema=schema or None,
                autoload_with=connection,
                resolve_fks=False,
            )
        except NoSuchTableError:
            known = {*self._metadata.tables, *inspect(connection).get_table_names(schema or None)}
            key = next(k for k in table.foreign_keys if k.target_fullname.startswith(f"{target}."))
            raise ConfigurationError(
                f"{self._owners[table.key]}.{key.parent.name}: foreign_key="
                f"{key.target_fullname!r}: there is no table {target!r}, neither registered nor in "
                f"the database{nearest(target, known)}"
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

    def start_now(self) -> None:
        """Do the same in a thread that may block."""
        try:
            self.ensure_ready_now()
        except ServiceUnavailable:
            warn_unreachable()

    async def stop(self) -> None:
        """Give the database connections back when a server stops."""
        await self.store.dispose()


_KEY = "tables"


def warn_unreachable() -> None:
    """Say that the database does not answer yet."""
    message = "the database cannot be reached; tables are created by the first request that can"
    logger.warning(message)
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def health_routes(store: Store) -> dict[str, Route]:
    """Return ``/healthz`` (the process lives) and ``/readyz`` (its database answers)."""

    async def healthz(request: Request) -> Response:
        return json_response({"status": "ok"})

    async def readyz(request: Request) -> Response:
        try:
            await store.ping()
        except ServiceUnavailable as error:
            response = json_response({"status": "unavailable", "database": "unavailable"}, 503)
            response.headers["Retry-After"] = error.headers["Retry-After"]
            return response
        return json_response({"status": "ok", "database": "ok"})

    return {
        "/healthz": make_route({"GET": healthz}, internal=True),
        "/readyz": make_route({"GET": readyz}, internal=True, is_async=store.is_async),
    }
