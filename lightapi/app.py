"""``LightApi``: the one object every server loads. It wires the parts and holds no logic."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import registry
from starlette.applications import Starlette
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send
from typing_extensions import Self

from lightapi.adapters.asgi import Lifespan, build_starlette
from lightapi.adapters.bridge import Bridge, refuse
from lightapi.adapters.environ import Environ, StartResponse
from lightapi.adapters.wsgi import WSGIApp
from lightapi.adoption import adopted
from lightapi.audit import Verb
from lightapi.auth import Validator
from lightapi.building import Options, build_service, checked_auth, checked_page
from lightapi.config import Authentication, Pagination, explained
from lightapi.db.mapping import NAMING
from lightapi.db.store import open_store
from lightapi.declarative.load import load
from lightapi.exceptions import ApiError, ConfigurationError
from lightapi.http.message import error_response
from lightapi.http.routing import checked_path
from lightapi.middleware import cors_of, instances
from lightapi.options import check_options, creates_tables, refuse_gevent, warn_async_under_wsgi
from lightapi.plan import Plan
from lightapi.problems import Problems, told
from lightapi.registration import plan_of
from lightapi.running import serve
from lightapi.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["LightApi"]

logger = logging.getLogger("lightapi")


@explained
class LightApi:
    """An API over one database.

    The object is an ASGI and a WSGI application at once: ``uvicorn main:app``,
    ``gunicorn main:app``. Arguments:

    - ``engine``: a SQLAlchemy ``Engine`` or ``AsyncEngine``; else ``database_url``, else the
      environment's ``LIGHTAPI_DATABASE_URL``.
    - ``cors_origins``: origins whose pages may read answers, ``["https://app.example.com"]``, or ``["*"]``;
      ``cors_allow_credentials``: whether with their cookies (default False).
    - ``middlewares``: ``Middleware`` classes, in the order they see a request.
    - ``login_validator``: ``(username, password)`` to the user's payload or None, sync or async; the login routes
      ``/auth/login`` and ``/auth/token`` ask it, and so does ``BasicAuthentication``. ``auth_path`` moves them.
    - ``rate_limiter``: failed logins per minute, client and user name: ``{"requests_per_minute": 10}`` is the
      default, False for none, or a limiter of your own (see ``lightapi.limits``).
    - ``routes``, ``asgi_middleware``, ``lifespan``: Starlette's, for your own pages.
    - ``base_url``: put before links, which are path-absolute without it.
    - ``default_pagination``: a ``Pagination`` for endpoints whose ``Meta`` has none.
    - ``default_authentication``: an ``Authentication`` for what an endpoint's own does not say.
    - ``title``, ``version``, ``description`` (CommonMark): of the API, in its OpenAPI document.
    - ``openapi_url``, ``docs_url``: where the document and the page for people are, ``/openapi.json`` and ``/docs``;
      None turns them off, and without the document there is no page.
    - ``max_body_size``: bytes of a request body (default 1 MiB), more is 413.
    - ``database_timeout``: seconds of database work per request (default 10), more is 503.
    - ``create_tables``: create missing tables (default: ``LIGHTAPI_CREATE_TABLES``, else True).
    - ``sqlite_foreign_keys``: enforce them on every SQLite connection (default True).
    - ``mode``: ``"sync"`` or ``"async"``, only asserts that the engine is so.

    Raises ConfigurationError for anything that can't work.
    """

    @told
    def __init__(
        self,
        engine: Engine | AsyncEngine | None = None,
        database_url: str | None = None,
        cors_origins: Sequence[str] | None = None,
        middlewares: Sequence[Any] | None = None,
        *,
        cors_allow_credentials: bool = False,
        auth_path: str = "/auth",
        login_validator: Validator | None = None,
        rate_limiter: Any = None,
        routes: Sequence[BaseRoute] = (),
        asgi_middleware: Sequence[StarletteMiddleware] = (),
        lifespan: Lifespan | None = None,
        base_url: str = "",
        default_pagination: Pagination | None = None,
        default_authentication: Authentication | None = None,
        title: str = "LightAPI",
        version: str = "1.0.0",
        description: str = "",
        openapi_url: str | None = "/openapi.json",
        docs_url: str | None = "/docs",
        max_body_size: int = 1024 * 1024,
        database_timeout: float = 10.0,
        create_tables: bool | None = None,
        sqlite_foreign_keys: bool = True,
        mode: str | None = None,
    ) -> None:
        check_options(
            max_body_size=max_body_size,
            database_timeout=database_timeout,
            base_url=base_url,
            default_pagination=default_pagination,
            default_authentication=default_authentication,
            routes=routes,
            asgi_middleware=asgi_middleware,
            lifespan=lifespan,
            title=title,
            version=version,
            description=description,
        )
        self._store = open_store(
            engine=engine,
            database_url=database_url,
            timeout=database_timeout,
            sqlite_foreign_keys=sqlite_foreign_keys,
            mode=mode,
        )
        refuse_gevent(self._store)
        self._middlewares = instances(middlewares or ())
        self._cors = cors_of(cors_origins, self._middlewares, credentials=cors_allow_credentials)
        self._auth_path = checked_auth(auth_path, login_validator, rate_limiter)
        self._login_validator = login_validator
        self._rate_limiter = rate_limiter
        self._routes = tuple(routes)
        self._asgi_middleware = tuple(asgi_middleware)
        self._lifespan = lifespan
        self._base_url = base_url.rstrip("/")
        self._default_pagination = default_pagination
        self._default_authentication = default_authentication
        self.title = title
        self.version = version
        self.description = description
        self._openapi_url = checked_page("openapi_url", openapi_url)
        self._docs_url = checked_page("docs_url", docs_url)
        self._max_body_size = max_body_size
        self._create_tables = create_tables
        self._registry = registry(metadata=MetaData(naming_convention=NAMING))
        self._plans: dict[str, Plan] = {}
        self._lock = threading.RLock()
        self._service: Service | None = None
        self._started = False
        self._starlette: Starlette | None = None
        self._wsgi: dict[bool, WSGIApp] = {}
        self._bridge: Bridge | None = None

    @classmethod
    @told
    def from_config(cls, path: str | os.PathLike[str] | None = None, **overrides: Any) -> Self:
        """Return the app that a YAML file describes; arguments of the constructor win over what it says.

        ``path`` defaults to LIGHTAPI_CONFIG, else ``lightapi.yaml``. Raises one ConfigurationError that names every
        problem of the file with its line.
        """
        return load(path, overrides, cls)

    @classmethod
    @told
    def from_database(
        cls,
        url_or_engine: str | os.PathLike[str] | Engine | AsyncEngine | None = None,
        *,
        schema: str | Sequence[str] | None = None,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        read_only: bool = False,
        authentication: Authentication | None = None,
        **arguments: Any,
    ) -> Self:
        """Serve every table and view of a database at ``/<table>``, with all filters, orderings and pages.

        - ``url_or_engine``: a URL, an engine, or the path of a SQLite file; else LIGHTAPI_DATABASE_URL.
        - ``schema``: the schema to serve, or several: then paths are ``/<schema>/<table>``.
        - ``include``, ``exclude``: names of tables, or shell patterns; ``exclude`` wins.
        - ``read_only``: only GET.
        - ``authentication``: who may call; default: everybody who reaches the port, for writing too.

        Other arguments are the constructor's. No table is made or changed. Raises ConfigurationError for a database
        that can't be read, a name that no table has, and a table of ``include`` that can't be served; others that
        can't be are left out with a logged warning.
        """
        return adopted(
            cls,
            url_or_engine,
            schema=schema,
            include=include,
            exclude=exclude,
            read_only=read_only,
            authentication=authentication,
            arguments=arguments,
        )

    @property
    def metadata(self) -> MetaData:
        """The SQLAlchemy MetaData of all registered tables."""
        return self._registry.metadata

    @property
    def engine(self) -> Any:
        """The engine in use, sync or async."""
        return self._store.engine

    @told
    def register(self, mapping: Mapping[str, type]) -> None:
        """Register ``{"/path": EndpointClass, ...}``; may be called several times before serving.

        Raises ConfigurationError for every path and class that can't be served, all of them at once, and after
        the app was built; then nothing of the mapping is registered.
        """
        if self._service is not None:
            raise ConfigurationError("register() after the app was built; register first")
        if not isinstance(mapping, Mapping):
            raise ConfigurationError(f'register({mapping!r}): allowed: {{"/path": EndpointClass, ...}}')
        problems = Problems()
        plans: dict[str, Plan] = {}
        tables = set(self.metadata.tables.values())
        for path, endpoint in mapping.items():
            with problems.collected():
                checked = checked_path(path)
                if checked in self._plans or checked in plans:
                    raise ConfigurationError(f"route {path!r} is registered twice")
                plans[checked] = plan_of(
                    endpoint,
                    checked,
                    mapper_registry=self._registry,
                    store=self._store,
                    base_url=self._base_url,
                    default_pagination=self._default_pagination,
                    default_authentication=self._default_authentication,
                )
        if problems:
            for table in set(self.metadata.tables.values()) - tables:
                self.metadata.remove(table)
        problems.raise_all()
        self._plans.update(plans)

    @told
    def build_app(self) -> Starlette:
        """Create the tables (on an async engine: when serving starts) and return the ASGI app."""
        with self._lock:
            if self._starlette is None:
                self._starlette = build_starlette(
                    self._built(),
                    routes=self._routes,
                    middleware=self._asgi_middleware,
                    lifespan=self._lifespan,
                    cors=self._cors,
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
                    self._bridge = Bridge(asgi, max_body_size=self._max_body_size)
                self._wsgi[direct] = WSGIApp(
                    self._built(),
                    routes=self._routes,
                    direct=direct and not self._asgi_middleware,
                    has_lifespan=self._lifespan is not None,
                    bridge=self._bridge,
                    cors=self._cors,
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

    @told
    def describe(self) -> list[Verb]:
        """Return every verb of every path and who may call it; this builds the app, without its tables.

        Each is a named tuple: ``path``, ``verb``, ``endpoint``, ``authentication``, ``permission``, ``is_public``,
        ``cache``.
        """
        return self._built(started=False).describe()

    @told
    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document as plain data, whether it is served or not.

        This builds the app, without its tables.
        """
        return dict(self._built(started=False).document.value)

    @told
    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        debug: bool = False,  # noqa: FBT001, FBT002
        reload: bool = False,  # noqa: FBT001, FBT002
        **options: Any,
    ) -> None:
        """Create the tables, check the cache and serve with uvicorn; other arguments are uvicorn's.

        ``host`` defaults to LIGHTAPI_HOST, else 127.0.0.1; ``port`` to LIGHTAPI_PORT, else 8000.
        ``debug`` logs at debug level; ``reload`` restarts when a source file changes.
        """
        self.build_app()
        self._built().check_cache()
        serve(self, host=host, port=port, debug=debug, reload=reload, options=options)

    def _built(self, *, started: bool = True) -> Service:
        """Return what serves; ``started`` on a sync engine: with its tables."""
        with self._lock:
            if self._service is None:
                refuse_gevent(self._store)
            service = self._service or self._build_service()
            if started and not self._started:
                if not self._store.is_async:
                    service.start_now()
                self._started = True
            self._service = service
            return service

    def _build_service(self) -> Service:
        self._registry.configure()
        options = Options(
            middlewares=self._middlewares,
            auth_path=self._auth_path,
            login_validator=self._login_validator,
            rate_limiter=self._rate_limiter,
            create_tables=creates_tables(self._create_tables),
            title=self.title,
            version=self.version,
            description=self.description,
            openapi_url=self._openapi_url,
            docs_url=self._docs_url,
            base_url=self._base_url,
            max_body_size=self._max_body_size,
        )
        return build_service(self._plans, self._store, self.metadata, options)


_ASGI_ARGUMENTS = 3
_WSGI_ARGUMENTS = 2

if sys.version_info >= (3, 12):
    inspect.markcoroutinefunction(LightApi.__call__)
else:
    LightApi.__call__._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportFunctionMemberAccess]
