"""Build what serves: every endpoint's routes, the cache around them, the login routes, the audit."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import partial

from lightapi.access import VerbAccess
from lightapi.audit import point_out_public, point_out_scope
from lightapi.auth import BaseAuthentication, BasicAuthentication, JWTAuthentication
from lightapi.call import invoked
from lightapi.catalog import Catalog
from lightapi.db.entities import has_listeners
from lightapi.db.store import Store
from lightapi.exceptions import ConfigurationError
from lightapi.handlers import routes_of
from lightapi.http.pipeline import Pipeline
from lightapi.http.routing import Routes
from lightapi.limits import limiter_of
from lightapi.login import login_route
from lightapi.middleware import step_of
from lightapi.openapi.document import About, document_of
from lightapi.openapi.served import Document, document_route
from lightapi.options import Options
from lightapi.pages.routes import docs_routes
from lightapi.plan import Plan, Route
from lightapi.problems import Problems
from lightapi.redis_link import RedisLink, redis_url
from lightapi.registration import listening
from lightapi.service import Service, health_routes
from lightapi.shelves import Shelves

__all__ = ["build_service"]

logger = logging.getLogger("lightapi")

Built = dict[str, tuple[Plan, Route, Route]]
"""The plan of each path, and what answers there and below it."""


def build_service(plans: Mapping[str, Plan], store: Store, catalog: Catalog, options: Options) -> Service:
    """Compile the endpoints; raise ConfigurationError for what can't be served."""
    ready = {
        path: listening(plan, store.dialect, listened=has_listeners(plan.endpoint)) for path, plan in plans.items()
    }
    shelves = Shelves(ready.values(), metadata=catalog.metadata, engine=store.lanes.base, patience=store.timeout)
    routes, built = _endpoints(ready, store, shelves, options)
    backends = _login_backends(built)
    link = shelves.link or _link_of_limits(backends, options)
    login = _login_routes(backends, store, link, options)
    about = About(
        title=options.title,
        version=options.version,
        description=options.description,
        login_paths=tuple(login),
        login_backends=tuple(backends),
    )
    document = Document(lambda: document_of(built, about), options.site)
    pages, files = _pages(document, options, routes)
    own = _add_own(routes, _together(health_routes(store, shelves.link), login, pages), files)
    point_out_public(built)
    point_out_scope(built)
    invoke = partial(invoked, store)
    return Service(
        routes=routes,
        pipeline=Pipeline([step_of(middleware, invoke) for middleware in options.middlewares], store.translate),
        store=store,
        catalog=catalog,
        built=built,
        own=own,
        link=link,
        document=document,
        caches=shelves.link is not None,
        max_body_size=options.max_body_size,
    )


def _endpoints(ready: Mapping[str, Plan], store: Store, shelves: Shelves, options: Options) -> tuple[Routes, Built]:
    """Return the routes of all endpoints; raise ConfigurationError for every one that can't be served."""
    functions = [middleware.process for middleware in options.middlewares]
    routes, built, problems = Routes(), {}, Problems()
    for path, plan in ready.items():
        with problems.collected():
            collection, item = routes_of(plan, store, functions, options.login_validator, shelves.around(plan))
            routes.add(path, collection, item, deep=plan.deep)
            built[path] = (plan, collection, item)
    problems.raise_all()
    return routes, built


def _add_own(routes: Routes, own: dict[str, Route], files: dict[str, Route]) -> dict[str, Route]:
    """Add our own routes, but for pages whose path an endpoint has; return those that are served, without files."""
    served: dict[str, Route] = {}
    for path, route in _together(own, files).items():
        if path in routes and not route.internal:
            raise ConfigurationError(f"route {path!r} is the login's: give LightApi(auth_path=...) another path")
        if path in routes and path in own:
            _say_replaced(path)
        if path not in routes:
            routes.add(path, route)
            served[path] = route
    return {path: route for path, route in served.items() if path in own}


def _say_replaced(path: str) -> None:
    logger.warning("an endpoint has the route %s: LightAPI's own page of that path is not served", path)


def _pages(document: Document, options: Options, taken: Routes) -> tuple[dict[str, Route], dict[str, Route]]:
    """Return the routes of the document and the page, and those of the page's files.

    A page of whose paths an endpoint has one is left out whole.
    """
    if options.openapi_url is None:
        return {}, {}
    pages = {options.openapi_url: document_route(document)}
    if options.docs_url is None:
        return pages, {}
    files = docs_routes(document, options.docs_url, options.openapi_url, options.site)
    replaced = [path for path in files if path in taken]
    if replaced:
        _say_replaced(replaced[0])
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


def _link_of_limits(backends: list[BaseAuthentication], options: Options) -> RedisLink | None:
    """Return the link that failed logins are counted over, where Redis is named and somebody can log in."""
    wanted = backends and options.rate_limiter is not False and os.environ.get("LIGHTAPI_REDIS_URL")
    return RedisLink(redis_url()) if wanted else None


def _login_routes(
    backends: list[BaseAuthentication], store: Store, link: RedisLink | None, options: Options
) -> dict[str, Route]:
    """Return the login routes; none where nobody can log in for anything."""
    if not backends:
        return {}
    if any(isinstance(backend, BasicAuthentication) and backend.validator is None for backend in backends):
        logger.warning("BasicAuthentication refuses everybody: LightApi(login_validator=...) is not given")
    limiter = limiter_of(options.rate_limiter, link)
    invoke = partial(invoked, store)
    route = login_route(backends, options.login_validator, limiter, invoke=invoke, on_loop=store.is_async)
    return {f"{options.auth_path}/{name}": route for name in ("login", "token")}


def _login_backends(built: Built) -> list[BaseAuthentication]:
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
