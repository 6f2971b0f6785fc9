"""Make an engine from a URL, or look at the one the user made; decide how each kind of work gets its connection.

Engines that we make autocommit by default, so that a read is one statement on the wire; a transaction asks for
the real level when it begins. A user's engine keeps its settings and gets an ``execution_options`` view.

PgBouncer in transaction mode stays possible: nothing is set on a session after it was opened. The limits that
we add (``statement_timeout`` and others) are startup parameters: list them in PgBouncer's
``ignore_startup_parameters`` (``options`` for psycopg), or hand over an engine of your own. asyncpg prepares its
statements, which needs ``max_prepared_statements`` in PgBouncer 1.21 or later.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool, Pool, QueuePool, SingletonThreadPool, StaticPool

from lightapi.exceptions import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Lanes", "capacity_of", "inspect_engine", "make_engine", "missing_file", "sync_engine_of"]

POOL_SIZE = 10
POOL_RECYCLE = 1800
CONNECT_TIMEOUT = 3
BUSY_TIMEOUT = 5
UNLIMITED = 40

_POSTGRES_LIMITS = {
    "statement_timeout": "15000",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "30000",
}
# What "a transaction" means per database when the engine itself autocommits.
_LEVELS = {"postgresql": "READ COMMITTED", "mysql": "REPEATABLE READ", "mariadb": "REPEATABLE READ"}
_EXTRAS = {"postgresql": "postgres", "sqlite": "async"}


@dataclass(frozen=True)
class Lanes:
    """The views of one engine that the store checks its connections out of."""

    engine: Engine | AsyncEngine
    """What users get to see: commits and rolls back like any engine."""
    base: Engine
    """The engine that owns the pool."""
    autocommit: Engine
    """One statement is one round trip."""
    transactional: Engine
    """Every statement belongs to a transaction (if ``begin`` is given: once that was sent)."""
    begin: str | None
    """What begins a transaction by hand, on connections that autocommit otherwise."""
    toggles: bool
    """Set the connection's ``autocommit`` for reads: what SQLAlchemy does to psycopg2 costs a round trip."""
    owned: bool
    """We made it, so we may set it up and dispose of it."""

    @property
    def sqlite(self) -> bool:
        """Tell whether transactions are begun by hand."""
        return self.base.dialect.name == "sqlite"

    @property
    def static(self) -> bool:
        """Tell whether everybody shares one connection."""
        return isinstance(self.base.pool, StaticPool)


def make_engine(database_url: str, *, timeout: float) -> tuple[Engine | AsyncEngine, Engine]:
    """Return the engine users see and the autocommitting one behind it; the URL decides sync or async."""
    url = _parse(database_url)
    dialect = _dialect_class(url)
    options = _options(url, dialect, timeout)
    try:
        if dialect.is_async:
            if importlib.util.find_spec("greenlet") is None:
                raise _missing("greenlet", "async")
            from sqlalchemy.ext.asyncio import create_async_engine  # heavy, and of no use to a sync engine

            hidden = create_async_engine(url, isolation_level="AUTOCOMMIT", **options)
            return hidden.execution_options(isolation_level=_level(url)), hidden.sync_engine
        base = create_engine(url, isolation_level="AUTOCOMMIT", **options)
    except ImportError as error:
        raise _missing(error.name or url.drivername, _extra(url, dialect)) from error
    except (ArgumentError, TypeError, ValueError) as error:
        raise ConfigurationError(f"invalid database URL {url.render_as_string()!r}") from error
    return base.execution_options(isolation_level=_level(url)), base


def _parse(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        # The cause would show the URL with its password.
        raise ConfigurationError(
            "database_url is no URL of the form dialect+driver://user:password@host/name"
        ) from None
    if "@" in (url.host or ""):  # not shown: it is a part of the password
        raise ConfigurationError(
            "database_url holds two '@'; one in the password is written %40 (RFC 3986 section 2.1)"
        )
    backend, _, driver = url.drivername.partition("+")
    if backend not in ("postgresql", "postgres"):
        return url
    return url.set(drivername=f"postgresql+{driver or _postgres_driver()}")


def _postgres_driver() -> str:
    for driver in ("psycopg", "psycopg2"):
        if importlib.util.find_spec(driver) is not None:
            return driver
    raise _missing("psycopg", "postgres")


def _dialect_class(url: URL) -> type[DefaultDialect]:
    try:
        dialect: type[DefaultDialect] = url.get_dialect()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    except NoSuchModuleError:
        raise ConfigurationError(f"unknown database dialect {url.drivername!r} in database_url") from None
    except ImportError as error:
        raise _missing(error.name or url.drivername, "async") from error
    return dialect


def _extra(url: URL, dialect: type[DefaultDialect]) -> str:
    return "async" if dialect.is_async else _EXTRAS.get(url.get_backend_name(), "")


_DISTRIBUTIONS = {"MySQLdb": "mysqlclient", "cx_Oracle": "oracledb, for oracle+oracledb:// URLs"}
"""What brings a package of another name."""


def _missing(package: str, extra: str) -> ConfigurationError:
    remedy = f"install lightapi[{extra}]" if extra else f"install {_DISTRIBUTIONS.get(package, package)}"
    return ConfigurationError(f"the database needs the package {package!r}, which is not installed: {remedy}")


def _level(url: URL) -> str:
    # SQLAlchemy knows no other name for SQLite's ordinary transactions.
    return _LEVELS.get(url.get_backend_name(), "SERIALIZABLE")


def _options(url: URL, dialect: type[DefaultDialect], timeout: float) -> dict[str, Any]:
    options: dict[str, Any] = {"pool_reset_on_return": None, "connect_args": {}}
    # A rollback in autocommit is a no-op that costs aiosqlite a thread switch (SQLAlchemy 2.0.43 and later).
    if "skip_autocommit_rollback" in inspect.signature(DefaultDialect.__init__).parameters:
        options["skip_autocommit_rollback"] = True
    arguments = options["connect_args"]
    if url.get_backend_name() == "sqlite":
        # SQLite sleeps in C, where nothing can wake it: it must give up before the deadline.
        arguments["timeout"] = min(BUSY_TIMEOUT, timeout / 2)
        if is_memory(url):
            arguments["check_same_thread"] = False
            return {**options, "poolclass": StaticPool}
    if url.get_backend_name() == "postgresql":
        arguments.update(_postgres_arguments(url))
    return {
        **options,
        "pool_size": POOL_SIZE,
        "max_overflow": 0,
        "pool_timeout": CONNECT_TIMEOUT,
        "pool_recycle": POOL_RECYCLE,
    }


def _postgres_arguments(url: URL) -> dict[str, Any]:
    if url.get_driver_name() == "asyncpg":
        return {"server_settings": dict(_POSTGRES_LIMITS)}
    arguments: dict[str, Any] = {}
    if "tcp_user_timeout" not in url.query:
        arguments["tcp_user_timeout"] = 10_000
    if "options" not in url.query and "PGOPTIONS" not in os.environ:
        arguments["options"] = " ".join(f"-c {name}={value}" for name, value in _POSTGRES_LIMITS.items())
    return arguments


def is_memory(url: URL) -> bool:
    """Tell whether a SQLite URL names a database that dies with its connection."""
    name = url.database or ""
    return name in ("", ":memory:") or ":memory:" in name or url.query.get("mode") == "memory"


def missing_file(url: URL) -> Path | None:
    """Return the file of a SQLite URL where it does not exist: connecting would make an empty one."""
    if url.get_backend_name() != "sqlite" or is_memory(url) or "uri" in url.query:
        return None
    path = Path(url.database or "")
    return None if path.is_file() else path


def sync_engine_of(engine: Engine | AsyncEngine) -> Engine:
    """Return the Engine inside, whatever the user gave; refuse anything else."""
    inner = getattr(engine, "sync_engine", engine)
    if not isinstance(inner, Engine):
        hint = "; a URL is database_url=" if isinstance(engine, str) else ""
        raise ConfigurationError(
            f"engine= must be a SQLAlchemy Engine or AsyncEngine, not {type(engine).__name__}{hint}"
        )
    return inner


def inspect_engine(engine: Engine | AsyncEngine) -> Lanes:
    """Look at a user's engine: which views of it the store uses, and whether it can be used at all."""
    base = sync_engine_of(engine)
    _refuse_separate_memories(base)
    own_level = base.get_execution_options().get("isolation_level") or getattr(
        base.dialect, "_on_connect_isolation_level", None
    )
    if own_level == "AUTOCOMMIT":
        return _over_autocommit(engine, base, owned=False)
    if base.dialect.name == "sqlite":
        autocommit = base.execution_options(isolation_level="AUTOCOMMIT")
        return Lanes(engine, base, autocommit, autocommit, begin="BEGIN IMMEDIATE", toggles=False, owned=False)
    if base.dialect.driver == "psycopg2":
        return Lanes(engine, base, base, base, begin=None, toggles=True, owned=False)
    autocommit = base.execution_options(isolation_level="AUTOCOMMIT")
    return Lanes(engine, base, autocommit, base, begin=None, toggles=False, owned=False)


def own_lanes(seen: Engine | AsyncEngine, base: Engine) -> Lanes:
    """Return the views of an engine that ``make_engine`` made."""
    return _over_autocommit(seen, base, owned=True)


def _over_autocommit(seen: Engine | AsyncEngine, base: Engine, *, owned: bool) -> Lanes:
    by_hand = {"sqlite": "BEGIN IMMEDIATE", "psycopg2": "BEGIN"}
    begin = by_hand.get(base.dialect.name) or by_hand.get(base.dialect.driver)
    level = _LEVELS.get(base.dialect.name, "SERIALIZABLE")
    transactional = base if begin else base.execution_options(isolation_level=level)
    return Lanes(seen, base, base, transactional, begin=begin, toggles=False, owned=owned)


_STATIC_ADVICE = (
    "use create_engine('sqlite://', poolclass=StaticPool, connect_args={'check_same_thread': False}) "
    "or database_url='sqlite://'"
)


def _refuse_separate_memories(base: Engine) -> None:
    if base.dialect.name != "sqlite" or not is_memory(base.url):
        return
    if isinstance(base.pool, SingletonThreadPool | NullPool):
        raise ConfigurationError(
            f"with {type(base.pool).__name__} every thread has an in-memory database of its own: {_STATIC_ADVICE}"
        )
    if isinstance(base.pool, StaticPool) and not base.dialect.is_async:
        _refuse_one_thread(base)


def _refuse_one_thread(base: Engine) -> None:
    """Use the shared connection from another thread: ``connect_args`` cannot be read from an engine."""
    refused: list[sqlite3.ProgrammingError] = []

    def use(driver: Any) -> None:
        try:
            driver.cursor().close()
        except sqlite3.ProgrammingError as error:
            refused.append(error)

    with base.connect() as connection:
        thread = threading.Thread(target=use, args=(connection.connection.driver_connection,))
        thread.start()
        thread.join()
    if refused:
        raise ConfigurationError(f"check_same_thread is on, so only one thread can use the database: {_STATIC_ADVICE}")


def capacity_of(pool: Pool) -> int:
    """Return how many connections the pool gives out at once."""
    if isinstance(pool, StaticPool):
        return 1
    if not isinstance(pool, QueuePool):
        return UNLIMITED
    overflow: int = getattr(pool, "_max_overflow", 0)  # has no public name
    return UNLIMITED if overflow < 0 else max(1, pool.size() + overflow)
