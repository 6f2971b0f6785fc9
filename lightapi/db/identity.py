"""What tells databases apart in a place that several programs share."""

from __future__ import annotations

import secrets
import weakref
from pathlib import Path

from sqlalchemy import Engine

from lightapi.exceptions import ConfigurationError

__all__ = ["database_name"]

_in_memory: weakref.WeakKeyDictionary[Engine, str] = weakref.WeakKeyDictionary()
"""Databases in memory are an engine's own."""


def database_name(engine: Engine) -> str:
    """Return what tells databases apart, without credentials; raise ConfigurationError where the URL does not say it.

    However the URL is spelt and whatever the driver, one database has one name.
    """
    url = engine.url
    dialect = url.get_backend_name()
    tenants = repr(sorted((engine.get_execution_options().get("schema_translate_map") or {}).items(), key=repr))
    if dialect == "sqlite":
        return f"sqlite:{_file_of(engine)}:{tenants}"
    host = (url.host or _text(url.query.get("host"))).lower()
    database = url.database or _text(url.query.get("dbname")) or url.username
    if not host and not url.database:
        raise ConfigurationError(
            f"Meta.cache: the engine's URL ({url.render_as_string()}) names no database, so its answers could be "
            "taken for another one's; give the URL host and database, also beside creator=..."
        )
    port = url.port or _text(url.query.get("port")) or {"postgresql": 5432}.get(dialect, "")
    rest = [_text(url.query.get(name)) for name in ("options", "service")]
    return repr((dialect, host, str(port), database, rest, tenants))


def _text(value: str | tuple[str, ...] | None) -> str:
    return ",".join(value) if isinstance(value, tuple) else value or ""


def _file_of(engine: Engine) -> str:
    name = engine.url.database or ""
    if (
        name in ("", ":memory:")
        or "mode=memory" in name
        or ":memory:" in name
        or engine.url.query.get("mode") == "memory"
    ):
        return _in_memory.setdefault(engine, secrets.token_hex(16))
    return str(Path(name.removeprefix("file:").partition("?")[0]).resolve())
