"""How servers load an app: as ASGI, as WSGI, or called as either."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from lightapi.adapters.asgi import build_starlette
from lightapi.adapters.bridge import Bridge, refuse
from lightapi.adapters.environ import Environ, StartResponse
from lightapi.adapters.wsgi import WSGIApp
from lightapi.db.store import Store
from lightapi.exceptions import ApiError, ConfigurationError
from lightapi.http.message import error_response
from lightapi.options import Options, refuse_gevent, warn_async_under_wsgi
from lightapi.problems import told
from lightapi.service import Service

__all__ = ["Hosted"]

logger = logging.getLogger("lightapi")


class Hosted(ABC):
    """What a server loads; a subclass says what to serve, in ``_build_service``."""

    def __init__(self, options: Options, store: Store) -> None:
        self._options = options
        self._store = store
        self._lock = threading.RLock()
        self._service: Service | None = None
        self._started = False
        self._starlette: Starlette | None = None
        self._wsgi: dict[bool, WSGIApp] = {}
        self._bridge: Bridge | None = None

    @abstractmethod
    def _build_service(self, *, asking: bool) -> Service:
        """Return what serves; raise ConfigurationError for what can't be served.

        With ``asking`` the error names, too, what the database lacks.
        """

    @property
    def engine(self) -> Any:
        """The engine in use, sync or async."""
        return self._store.engine

    @told
    def build_app(self) -> Starlette:
        """Create the tables (on an async engine: when serving starts) and return the ASGI app."""
        with self._lock:
            if self._starlette is None:
                self._starlette = build_starlette(
                    self._built(),
                    routes=self._options.routes,
                    middleware=self._options.asgi_middleware,
                    lifespan=self._options.lifespan,
                    cors=self._options.cors,
                )
            return self._starlette

    @told
    def build_wsgi_app(self, direct: bool = True) -> WSGIApp:  # noqa: FBT001, FBT002
        """Create the tables and return the WSGI app.

        Routes that never wait are answered in the server's thread, all others through a2wsgi;
        ``direct=False`` sends everything through a2wsgi.
        """
        with self._lock:
            if direct not in self._wsgi:
                if self._store.is_async:
                    warn_async_under_wsgi()
                asgi = self.build_app()
                if self._bridge is None:
                    self._bridge = Bridge(asgi, max_body_size=self._options.max_body_size)
                self._wsgi[direct] = WSGIApp(
                    self._built(),
                    routes=self._options.routes,
                    direct=direct and not self._options.asgi_middleware,
                    has_lifespan=self._options.lifespan is not None,
                    bridge=self._bridge,
                    cors=self._options.cors,
                )
            return self._wsgi[direct]

    @property
    def asgi(self) -> Starlette:
        """The ASGI application."""
        return self._starlette or self.build_app()

    @property
    def wsgi(self) -> WSGIApp:
        """The WSGI application."""
        return self._wsgi.get(True) or self.build_wsgi_app()

    def __call__(self, *arguments: Any) -> Any:
        """Serve one request: ``(scope, receive, send)`` or ``(environ, start_response)``."""
        if len(arguments) == _ASGI_ARGUMENTS:
            if self._starlette is None:
                return self._first_asgi(*arguments)
            return self._starlette(*arguments)
        if len(arguments) == _WSGI_ARGUMENTS:
            return self._first_wsgi(*arguments) if True not in self._wsgi else self._wsgi[True](*arguments)
        # uvicorn tries every application as a factory first, and goes on when that is a TypeError.
        raise TypeError("a LightApi is called with (scope, receive, send) or (environ, start_response)")

    async def _first_asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Build the app; a server whose lifespan call finds a wrong declaration is told not to start."""
        try:
            app = self.asgi
        except ConfigurationError as error:
            if scope["type"] == "lifespan":  # the server logs it
                await receive()
                await send({"type": "lifespan.startup.failed", "message": f"ConfigurationError: {error}"})
            else:
                logger.critical("ConfigurationError: %s", error)
                await error_response(ApiError())(scope, receive, send)
            return
        await app(scope, receive, send)

    def _first_wsgi(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Build the app; WSGI can't refuse to start, so a wrong declaration is a logged 500."""
        try:
            app = self.wsgi
        except ConfigurationError as error:
            logger.critical("ConfigurationError: %s", error)
            return refuse(ApiError(), environ, start_response)
        return app(environ, start_response)

    def _built(self, *, started: bool = True) -> Service:
        """Return what serves; ``started`` on a sync engine: with its tables."""
        with self._lock:
            if self._service is None:
                refuse_gevent(self._store)
            service = self._service or self._build_service(asking=started)
            if started and not self._started:
                if not self._store.is_async:
                    service.start_now()
                self._started = True
            self._service = service
            return service


_ASGI_ARGUMENTS = 3
_WSGI_ARGUMENTS = 2

if sys.version_info >= (3, 12):
    inspect.markcoroutinefunction(Hosted.__call__)
else:
    Hosted.__call__._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportFunctionMemberAccess]
