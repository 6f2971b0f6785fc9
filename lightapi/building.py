"""Build what serves: every endpoint's routes, the cache around them, the login routes, the audit."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import MetaData

from lightapi.access import VerbAccess
from lightapi.audit import point_out_public, point_out_scope
from lightapi.auth import BaseAuthentication, BasicAuthentication, JWTAuthentication, Validator, check_validator
from lightapi.db.entities import has_listeners
from lightapi.db.store import Store
from lightapi.exceptions import ConfigurationError
from lightapi.handlers import invoker, routes_of
from lightapi.http.pipeline import Pipeline
from lightapi.http.routing import Routes, checked_path
from lightapi.limits import limiter_of
from lightapi.login import login_route
from lightapi.middleware import Middleware, step_of
from lightapi.openapi.document import About, document_of
from lightapi.openapi.served import Document, document_route
from lightapi.pages.routes import docs_routes
from lightapi.plan import Plan, Route
from lightapi.problems import Problems
from lightapi.redis_link import RedisLink, redis_url
from lightapi.registration import listening
from lightapi.service import Service, health_routes
from lightapi.shelves import Shelves

__all__ = ["Options", "build_service", "checked_auth"]

logger = logging.getLogger("lightapi")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the app was told, apart from its endpoints."""

    middlewares: Sequence[Middleware]
    auth_path: str
    login_validator: Validator | None
    rate_limiter: Any
    create_tables: bool
    max_body_size: int
    title: str
    version: str
    description: str
    openapi_url: str | None
    docs_url: str | None
    base_url: str


def checked_auth(auth_path: Any, login_validator: Any, rate_limiter: Any) -> str:
    """Return where the login routes are; raise ConfigurationError for wrong arguments of theirs."""
    if not isinstance(auth_path, str):
        raise ConfigurationError(f"auth_path={auth_path!r} given; allowed: a path, as in '/auth'")
    check_validator("login_validator", login_validator)
    limiter_of(rate_limiter, None)
    return checked_path(auth_path)


def checked_page(option: str, path: Any) -> str | None:
    """Return where one of our pages is, None for nowhere; raise ConfigurationError for no path."""
    if path is None:
        return None
    if not (isinstance(path, str) and path.strip("/")):
        raise ConfigurationError(f"{option}={path!r} given; allowed: a path, as in '/docs', or None for none")
    return checked_path(path)


def build_service(plans: Mapping[str, Plan], store: Store, metadata: MetaData, options: Options) -> Service:
    """Compile the endpoints; raise ConfigurationError for what can't be served."""
    invoke = invoker(store)
    ready = {
        path: listening(plan, store.dialect, listened=has_listeners(plan.endpoint)) for path, plan in plans.items()
    }
    shelves = Shelves(ready.values(), metadata=metadata, engine=store.lanes.base, patience=store.timeout)
    functions = [middleware.process for middleware in options.middlewares]
    routes = Routes()
    built: dict[str, tuple[Plan, Route, Route]] = {}
    problems = Problems()
    for path, plan in ready.items():
        with problems.collected():
            collection, item = routes_of(plan, store, functions, options.login_validator, shelves.around(plan))
            routes.add(path, collection, item, deep=plan.deep)
            built[path] = (plan, collection, item)
    problems.raise_all()
    backends = _login_backends(built)
    link = shelves.link
    if link is None and backends and os.environ.get("LIGHTAPI_REDIS_URL") and options.rate_limiter is not False:
        link = RedisLink(redis_url())
    login = _login_routes(backends, store, link, options)
    about = About(
        title=options.title,
        version=options.version,
        description=options.description,
        login_paths=tuple(login),
        login_backends=tuple(backends),
    )
    document = Document(lambda: document_of(built, about), options.base_url)
    pages, files = _pages(document, options, routes)
    own = _together(health_routes(store, shelves.link), login, pages)
    for path, route in _together(own, files).items():
        if not route.internal or path not in routes:
            routes.add(path, route)
        else:
            del own[path]
    point_out_public(built)
    point_out_scope(built)
    return Service(
        routes=routes,
        pipeline=Pipeline([step_of(middleware, invoke) for middleware in options.middlewares], store.translate),
        store=store,
        metadata=metadata,
        built=built,
        own=own,
        link=link,
        document=document,
        caches=shelves.link is not None,
        create_tables=options.create_tables,
        max_body_size=options.max_body_size,
    )


def _pages(document: Document, options: Options, taken: Routes) -> tuple[dict[str, Route], dict[str, Route]]:
    """Return the routes of the document and the page, and those of the page's files.

    A page of whose paths an endpoint has one is left out whole.
    """
    if options.openapi_url is None:
        return {}, {}
    pages = {options.openapi_url: document_route(document)}
    if options.docs_url is None:
        return pages, {}
    files = docs_routes(document, options.docs_url, options.openapi_url, options.base_url)
    if any(path in taken for path in files):
        return pages, {}
    return _together(pages, {options.docs_url: files.pop(options.docs_url)}), files


def _together(*parts: dict[str, Route]) -> dict[str, Route]:
    """Return all of our own routes; raise ConfigurationError where two have the same path."""
    found: dict[str, Route] = {}
    for path, route in (pair for part in parts for pair in part.items()):
        if path in found:
            raise ConfigurationError(
                f"{path!r} would be two pages of the app at once; change auth_path, openapi_url or docs_url"
            )
        found[path] = route
    return found


def _login_routes(
    backends: list[BaseAuthentication], store: Store, link: RedisLink | None, options: Options
) -> dict[str, Route]:
    """Return the login routes; none where nobody can log in for anything."""
    if not backends:
        return {}
    if any(isinstance(backend, BasicAuthentication) and backend.validator is None for backend in backends):
        logger.warning("BasicAuthentication refuses everybody: LightApi(login_validator=...) is not given")
    limiter = limiter_of(options.rate_limiter, link)
    invoke = invoker(store)
    route = login_route(backends, options.login_validator, limiter, invoke=invoke, on_loop=store.is_async)
    return {f"{options.auth_path}/{name}": route for name in ("login", "token")}


def _login_backends(built: Mapping[str, tuple[Plan, Route, Route]]) -> list[BaseAuthentication]:
    """Return the backends, ready to serve, that users may log in for."""
    found: dict[int, BaseAuthentication] = {}
    for _, *pair in built.values():
        for route in pair:
            for access in route.access.values():
                assert isinstance(access, VerbAccess)
                for backend in access.backends:
                    if isinstance(backend, (JWTAuthentication, BasicAuthentication)):
                        found[id(backend)] = backend
    return list(found.values())
