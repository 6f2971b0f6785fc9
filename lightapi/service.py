"""What a built app serves with: routes, pipeline and store, made ready once."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from lightapi.audit import Verb, described
from lightapi.catalog import Catalog
from lightapi.db.store import Store
from lightapi.exceptions import ServiceUnavailable
from lightapi.http.drive import drive
from lightapi.http.message import json_response
from lightapi.http.pipeline import Pipeline
from lightapi.http.routing import Routes
from lightapi.openapi.served import Document
from lightapi.plan import Plan, Route, make_route
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
        catalog: Catalog,
        built: Mapping[str, tuple[Plan, Route, Route]],
        own: Mapping[str, Route],
        link: RedisLink | None,
        document: Document,
        caches: bool,
        max_body_size: int,
    ) -> None:
        self.routes = routes
        self.pipeline = pipeline
        self.store = store
        self.max_body_size = max_body_size
        self._catalog = catalog
        self.link = link
        self.document = document
        self._caches = caches
        self._checked = False
        self._verbs = described(built, own)

    def describe(self) -> list[Verb]:
        """Return every verb of every path, and who may call it."""
        return list(self._verbs)

    @property
    def is_ready(self) -> bool:
        """True when the tables exist, as far as this process knows."""
        return self.store.is_ready(_KEY)

    async def ensure_ready(self) -> None:
        """Create the tables once per process; raise ServiceUnavailable while that fails."""
        await self.store.ready(self._catalog.prepare, _KEY)

    def ensure_ready_now(self) -> None:
        """Do the same in a thread that may block."""
        self.store.ready_sync(self._catalog.prepare, _KEY)

    async def start(self) -> None:
        """Get ready when a server starts; an unreachable database is a warning."""
        try:
            await self.ensure_ready()
        except ServiceUnavailable:
            warn_unreachable()
        await self._check_cache()

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
        drive(self._check_cache())

    async def _check_cache(self) -> None:
        if self._caches and self.link is not None and not self._checked:
            self._checked = True
            if not await self.link.check():
                warn_without_cache()


_KEY = "tables"


def warn_unreachable() -> None:
    """Say that the database does not answer yet."""
    message = "the database cannot be reached; tables are created by the first request that can"
    logger.warning(message)
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def warn_without_cache() -> None:
    """Say that Redis does not answer yet; the log has the reason."""
    hint = "" if os.environ.get("LIGHTAPI_REDIS_URL") else "; set LIGHTAPI_REDIS_URL"
    message = f"Redis cannot be reached: nothing is cached until it can{hint}"
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
