"""``LightApi``: the one object that a program makes. It wires the parts and holds no logic."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import registry
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.routing import BaseRoute
from typing_extensions import Self

from lightapi.adapters.asgi import Lifespan
from lightapi.adoption import adopted
from lightapi.audit import Verb
from lightapi.auth import Validator
from lightapi.building import build_service
from lightapi.catalog import Catalog
from lightapi.config import Authentication, Pagination, explained
from lightapi.db.mapping import NAMING
from lightapi.db.store import open_store
from lightapi.declarative.load import load
from lightapi.exceptions import ConfigurationError
from lightapi.hosting import Hosted
from lightapi.http.routing import checked_path
from lightapi.middleware import cors_of, instances
from lightapi.options import Options, checked_auth, checked_page, refuse_gevent
from lightapi.plan import Plan
from lightapi.problems import Problems, told
from lightapi.registration import plan_of
from lightapi.running import serve
from lightapi.service import Service

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["LightApi"]


@explained
class LightApi(Hosted):
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
        listed = instances(middlewares or ())
        options = Options(
            middlewares=listed,
            cors=cors_of(cors_origins, listed, credentials=cors_allow_credentials),
            auth_path=checked_auth(auth_path, login_validator, rate_limiter),
            login_validator=login_validator,
            rate_limiter=rate_limiter,
            routes=routes,
            asgi_middleware=asgi_middleware,
            lifespan=lifespan,
            base_url=base_url,
            default_pagination=default_pagination,
            default_authentication=default_authentication,
            title=title,
            version=version,
            description=description,
            openapi_url=checked_page("openapi_url", openapi_url),
            docs_url=checked_page("docs_url", docs_url),
            max_body_size=max_body_size,
            database_timeout=database_timeout,
            create_tables=create_tables,
        )
        store = open_store(
            engine=engine,
            database_url=database_url,
            timeout=database_timeout,
            sqlite_foreign_keys=sqlite_foreign_keys,
            mode=mode,
        )
        refuse_gevent(store)
        super().__init__(options, store)
        self._registry = registry(metadata=MetaData(naming_convention=NAMING))
        self._plans: dict[str, Plan] = {}
        self._explain: Callable[[ConfigurationError], ConfigurationError] = lambda error: error

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

    @told
    def register(self, mapping: Mapping[str, type], *unexpected: object) -> None:
        """Register ``{"/path": EndpointClass, ...}``; may be called several times before serving.

        Raises ConfigurationError for every path and class that can't be served, all of them at once, and after
        the app was built; then nothing of the mapping is registered.
        """
        if self._service is not None:
            raise ConfigurationError("register() after the app was built; register first")
        if unexpected or not isinstance(mapping, Mapping):
            given = ", ".join(map(repr, (mapping, *unexpected)))
            raise ConfigurationError(f'register({given}): allowed: {{"/path": EndpointClass, ...}}')
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
                    options=self._options,
                )
        if problems:
            for table in set(self.metadata.tables.values()) - tables:
                self.metadata.remove(table)
        problems.raise_all()
        self._plans.update(plans)

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

    def _build_service(self, *, asking: bool) -> Service:
        self._registry.configure()
        catalog = self._catalog()
        try:
            return build_service(self._plans, self._store, catalog, self._options)
        except ConfigurationError as error:
            problems = Problems([error])
        if asking:
            with problems.collected():
                catalog.check(self._store)
        raise self._explain(problems.as_one()) from None

    def _catalog(self) -> Catalog:
        """Return what the endpoints expect of the database."""
        create_tables = self._options.creates_tables()
        return Catalog(self._plans.values(), self.metadata, create_tables=create_tables, explain=self._explain)
