"""Serve a database that is there already: an endpoint for each of its tables and views, with everything on."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, MetaData, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchTableError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lightapi.config import Authentication, Filtering, Pagination
from lightapi.db.catalog import Relation, catalog_of, relations
from lightapi.db.engine import is_memory, missing_file
from lightapi.db.outside import read_database
from lightapi.db.reflection import ADOPTED, Reflection, TableReader
from lightapi.db.store import Store
from lightapi.db.tolerant import read_tolerantly
from lightapi.declaration import FieldSpec
from lightapi.endpoint import RestEndpoint
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.methods import HttpMethod
from lightapi.naming import Names, class_name_of, route_of
from lightapi.operators import is_sortable, is_text, operators_of
from lightapi.pagination import page_parameters

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from lightapi.app import LightApi

__all__ = ["adopted"]

logger = logging.getLogger("lightapi")

PAGES = Pagination(page_size=20, max_page_size=100)
"""How lists are cut where nobody says."""

_BOOKKEEPING = (
    "alembic_version",
    *("spatial_ref_sys*", "geometry_columns*", "geography_columns", "raster_columns", "raster_overviews"),
    *("views_geometry_columns*", "virts_geometry_columns*", "spatialite_history"),
)
"""Tables and views of other programs' bookkeeping: Alembic's, PostGIS's, SpatiaLite's."""

App = TypeVar("App", bound="LightApi")


class Wish(NamedTuple):
    """Which tables are to be served."""

    schemas: tuple[str | None, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def names(self, relation: Relation) -> bool:
        """Tell whether ``include`` names a table itself, and not by a pattern."""
        return relation.name in self.include or relation.full_name in self.include


def adopted(
    make: type[App],
    url_or_engine: str | os.PathLike[str] | Engine | AsyncEngine | None,
    *,
    schema: str | Sequence[str] | None,
    include: str | Sequence[str] | None,
    exclude: str | Sequence[str] | None,
    read_only: bool,
    authentication: Authentication | None,
    arguments: Mapping[str, Any],
) -> App:
    """Return an app over every table and view of a database; see ``LightApi.from_database``."""
    _check_arguments(make, arguments)
    if authentication is not None and not isinstance(authentication, Authentication):
        raise ConfigurationError(
            f"from_database: authentication={authentication!r} given; allowed: Authentication(...) or None"
        )
    if include is not None and not include:
        raise ConfigurationError(
            f"from_database: include={include!r} given; allowed: at least one name, or None for all"
        )
    wish = Wish(
        _listed("schema", schema) or (None,), _listed("include", include) or ("*",), _listed("exclude", exclude)
    )
    pages = arguments.get("default_pagination", PAGES)
    app = make(**_source(url_or_engine, read_only=read_only), **{"create_tables": False, **arguments})
    try:
        _register(app, wish, pages, read_only=read_only, authentication=authentication)
    except ConfigurationError:
        if not app._store.is_async:
            app._store.dispose_sync()
        raise
    return app


def _register(
    app: LightApi, wish: Wish, pages: Pagination | None, *, read_only: bool, authentication: Authentication | None
) -> None:
    """Register an endpoint for each table that is wanted."""
    found = _read(app._store, app.metadata, wish)
    routes, classes = Names(), Names()
    several = len(wish.schemas) > 1
    for page in ("/healthz", "/readyz", app._options.openapi_url, app._options.docs_url):
        routes.free(page or "")  # a table of that name is beside it, not in its place
    meta: dict[str, Any] = {"reflect": True, "pagination": pages}
    if authentication is not None:
        meta["authentication"] = authentication
    for relation, reflection in sorted(found, key=lambda each: not _is_plain(each[0])):
        words = (relation.schema or "", relation.name) if several else (relation.name,)
        verbs = {"GET"} if read_only else relation.verbs
        try:
            endpoint = _endpoint(classes.free(class_name_of(words)), relation, reflection, verbs, meta)
            app.register({routes.free(route_of(words), "-"): endpoint})
        except ConfigurationError as error:
            _leave_out(relation, wish, error)
    if not app._plans:
        raise ConfigurationError("from_database: there is no table that can be served")


def _is_plain(relation: Relation) -> bool:
    """Tell whether a name can be a route as it is: those come first where two names would make one route."""
    return route_of((relation.name,)) == f"/{relation.name}"


def _endpoint(
    name: str, relation: Relation, reflection: Reflection, verbs: Iterable[str], meta: Mapping[str, Any]
) -> type[RestEndpoint]:
    """Make the endpoint of one table."""
    reflection.table.info[ADOPTED] = True
    filtering = _everything(reflection.shape.specs, meta["pagination"])
    options = {**meta, "table": relation.name, "filtering": filtering}
    if relation.schema is not None:
        options["schema"] = relation.schema
    bases = (RestEndpoint, *(getattr(HttpMethod, verb) for verb in verbs if reflection.writable or verb == "GET"))
    kind = f"{'Table' if reflection.writable else 'View'} {relation.full_name}."
    body = {"__doc__": kind, "__module__": __name__, "Meta": type("Meta", (), options)}
    return type(name, bases, body)


def _everything(specs: Mapping[str, FieldSpec], pages: Pagination | None) -> Filtering:
    """Return the filters, search and orderings of all columns; ``?page__in=`` where ``?page=`` is the page."""
    taken = ("search", "ordering", *page_parameters(pages))
    return Filtering(
        fields={
            name: [each for each in operators_of(spec) if not (each == "exact" and name in taken)]
            for name, spec in specs.items()
        },
        search=[name for name, spec in specs.items() if is_text(spec)],
        ordering=[name for name, spec in specs.items() if is_sortable(spec)],
    )


def _read(store: Store, metadata: MetaData, wish: Wish) -> list[tuple[Relation, Reflection]]:
    """Read all the tables that are wanted, on one connection, into the metadata."""

    def work(connection: Connection) -> list[tuple[Relation, Reflection]]:
        catalog = catalog_of(connection)
        _check_schemas(wish.schemas, catalog.get_schema_names)
        found = []
        for relation in _chosen(relations(connection, catalog, wish.schemas), wish):
            if not relation.name:
                _leave_out(relation, wish, ConfigurationError("it has no name"))
                continue
            reader = TableReader("from_database", relation.name, relation.schema, store.dialect, {})
            try:
                reflection = reader.read(connection, catalog, metadata, (), keyless_views=True)
            except (ConfigurationError, NoSuchTableError, ArgumentError, AssertionError, IndexError) as error:
                _leave_out(relation, wish, error)
            except DBAPIError as error:
                if store.dialect.name != "sqlite":  # there the transaction is lost as well
                    raise
                _leave_out(relation, wish, error)
            else:
                found.append((relation, reflection))
        return found

    read_tolerantly(store.lanes.base)
    try:
        return read_database(store, work)
    except (DBAPIError, PoolTimeout, OSError, TypeError, asyncio.TimeoutError) as error:
        told = " ".join(str(getattr(error, "orig", None) or error).split())
        password = store.lanes.base.url.password
        if not told or (password and str(password) in told):
            told = type(error).__name__
        raise ConfigurationError(f"from_database: the database can't be read: {told}") from error


def _leave_out(relation: Relation, wish: Wish, error: Exception) -> None:
    """Log why a table is not served; raise ConfigurationError when it was asked for by name."""
    reason = f"it can't be read ({type(error).__name__})"
    if isinstance(error, ConfigurationError):
        reason = str(error).removeprefix("from_database: ")
    if wish.names(relation):
        raise ConfigurationError(f"from_database: include names {relation.full_name!r}: {reason}") from error
    logger.warning("from_database: %r is not served: %s", relation.full_name, reason)


def _chosen(found: Sequence[Relation], wish: Wish) -> list[Relation]:
    """Return the tables that are wanted; raise ConfigurationError for names that no table has."""
    names = [name for each in found for name in dict.fromkeys((each.name, each.full_name))]
    for option in ("include", "exclude"):
        for pattern in getattr(wish, option):
            is_pattern = any(character in pattern for character in "*?[")
            matches = any(_matches(each, pattern) for each in found)
            if not matches and not (is_pattern and (option == "exclude" or pattern == "*")):
                hint = "" if is_pattern else nearest(pattern, names)
                raise ConfigurationError(
                    f"from_database: {option}: no table is called {pattern!r}{hint or f'; there are: {_some(names)}'}"
                )
    for pattern in wish.exclude:
        if not any(_matches(each, pattern) for each in found):
            logger.warning("from_database: exclude: no table is like %r", pattern)
    chosen = []
    for each in found:
        hidden = each.internal or any(fnmatchcase(each.name, pattern) for pattern in _BOOKKEEPING)
        wanted = any(_matches(each, pattern) for pattern in wish.include) and (not hidden or wish.names(each))
        if not wanted or any(_matches(each, pattern) for pattern in wish.exclude):
            continue
        if each.verbs:
            chosen.append(each)
        else:
            _leave_out(each, wish, ConfigurationError("the database's user has no right to read it"))
    return chosen


def _matches(relation: Relation, pattern: str) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for name in (relation.name, relation.full_name))


_SHOWN = 20


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") if names else "none"


def _check_schemas(schemas: Iterable[str | None], names: Any) -> None:
    for schema in schemas:
        if schema is not None and schema not in (known := names()):
            raise ConfigurationError(
                f"from_database: the database has no schema {schema!r}; "
                f"allowed: {', '.join(known)}{nearest(schema, known)}"
            )


def _check_arguments(make: Any, arguments: Mapping[str, Any]) -> None:
    own = ("schema", "include", "exclude", "read_only", "authentication")
    constructor = [*inspect.signature(make.__init__).parameters][1:]
    known = [*own, *(name for name in constructor if name not in ("engine", "database_url"))]
    for name in arguments:
        if name not in known:
            raise ConfigurationError(
                f"from_database: unknown option {name!r}; allowed: {', '.join(known)}{nearest(name, known)}"
            )


def _listed(option: str, given: Any) -> tuple[str, ...]:
    listed = (given,) if isinstance(given, str) else () if given is None else given
    if not isinstance(listed, (list, tuple)) or not all(isinstance(each, str) and each for each in listed):
        raise ConfigurationError(f"from_database: {option}={given!r} given; allowed: a name, or a list of names")
    return tuple(dict.fromkeys(listed))


def _source(given: Any, *, read_only: bool) -> dict[str, Any]:
    """Return the constructor's argument for a URL, the path of a SQLite file, or an engine."""
    if given is None or given == "":
        given = os.environ.get("LIGHTAPI_DATABASE_URL")
        if not given:
            raise ConfigurationError(
                "from_database: no database given: give a URL, an engine or a SQLite file, or set LIGHTAPI_DATABASE_URL"
            )
    if not isinstance(given, (str, os.PathLike)):
        if hasattr(given, "url"):
            _check_file(given.url)
        return {"engine": given}
    text = os.fspath(given)
    if isinstance(given, str) and "://" in text:
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            return {"database_url": text}  # which the constructor refuses
    elif _LIKE_A_URL.match(text):  # not shown: it may hold a password
        raise ConfigurationError("from_database: a URL without '://' given; allowed: as in postgresql://user@host/name")
    else:
        url = URL.create("sqlite", database=text)
    _check_file(url)
    if read_only and url.get_backend_name() == "sqlite" and not is_memory(url):
        # SQLite itself refuses to write, and leaves the file's journal as it is.
        path = url.database or ""
        url = url.set(database=path if path.startswith("file:") else f"file:{quote(path)}")
        url = url.update_query_dict({"mode": "ro", "uri": "true"})
    return {"database_url": url.render_as_string(hide_password=False)}


def _check_file(url: URL) -> None:
    """Raise ConfigurationError for a SQLite file that does not exist: SQLite would make an empty one."""
    path = missing_file(url)
    if path is not None:
        if path.exists():
            raise ConfigurationError(f"from_database: {str(path)!r} is no file; allowed: a SQLite database")
        folder = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigurationError(f"from_database: there is no file {str(path)!r}{nearest(path.name, folder)}")


_LIKE_A_URL = re.compile(
    r"[^/\\]*@|(postgres|postgresql|mysql|sqlite|oracle|mssql)(\+\w+)?:?/?/?[^.]*[:@]", re.IGNORECASE
)
