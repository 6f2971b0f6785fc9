"""The constructor's arguments that are checked alone, and what the process around the app allows."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from lightapi.adapters.loop import gevent_patched
from lightapi.config import Authentication, Pagination
from lightapi.db.store import Store
from lightapi.exceptions import ConfigurationError

__all__ = ["check_options", "creates_tables", "refuse_gevent", "warn_async_under_wsgi"]


def check_options(
    *,
    max_body_size: Any,
    database_timeout: Any,
    base_url: Any,
    default_pagination: Any,
    default_authentication: Any,
    routes: Any,
    asgi_middleware: Any,
    lifespan: Any,
    **texts: Any,
) -> None:
    """Raise ConfigurationError for a constructor argument of the wrong kind or size; ``texts`` are shown to people."""
    for name, text in texts.items():
        if not isinstance(text, str) or text != text.encode("utf-8", "replace").decode():
            raise ConfigurationError(f"{name}={text!r} given; allowed: text")
    if isinstance(max_body_size, bool) or not isinstance(max_body_size, int) or max_body_size < 1:
        raise ConfigurationError(f"max_body_size={max_body_size!r} given; allowed: a number of bytes, 1 or more")
    if isinstance(database_timeout, bool) or not isinstance(database_timeout, (int, float)) or database_timeout <= 0:
        raise ConfigurationError(f"database_timeout={database_timeout!r} given; allowed: seconds, more than 0")
    if not isinstance(base_url, str) or not _BASE_URL.fullmatch(base_url):
        raise ConfigurationError(f"base_url={base_url!r} given; allowed: a URL such as 'https://api.example.com'")
    if not isinstance(default_pagination, Pagination | None):
        raise ConfigurationError(f"default_pagination={default_pagination!r} given; allowed: Pagination(...) or None")
    if not isinstance(default_authentication, Authentication | None):
        raise ConfigurationError(
            f"default_authentication={default_authentication!r} given; allowed: Authentication(...) or None"
        )
    _check_list("routes", routes, BaseRoute, "Starlette's Route, Mount and so on")
    _check_list("asgi_middleware", asgi_middleware, Middleware, "starlette.middleware.Middleware(...)")
    if lifespan is not None and not callable(lifespan):
        raise ConfigurationError(f"lifespan={lifespan!r} given; allowed: an async context manager function of the app")


def _check_list(name: str, given: Any, kind: type, allowed: str) -> None:
    if not isinstance(given, (list, tuple)):
        raise ConfigurationError(f"{name}={given!r} given; allowed: a list of {allowed}")
    for each in given:
        if not isinstance(each, kind):
            raise ConfigurationError(f"{name}: {each!r} given; allowed: {allowed}")


_BASE_URL = re.compile(r"|https?://[^\s?#\x00-\x20\x7f-\U0010ffff]+", re.ASCII)
"""Nothing, or an absolute URL (RFC 3986 section 4.3) in ASCII."""


def refuse_gevent(store: Store) -> None:
    """Raise ConfigurationError for an async engine in a process that gevent has patched."""
    if store.is_async and gevent_patched():
        raise ConfigurationError(
            "an async engine can't be used in a process patched by gevent; use a sync engine, for example "
            "postgresql+psycopg2://, or another worker class, for example gthread"
        )


def warn_async_under_wsgi() -> None:
    """Point out that a sync engine is faster under WSGI."""
    warnings.warn(
        "an async engine under WSGI runs on one event loop per process; a sync engine is faster",
        RuntimeWarning,
        stacklevel=3,
    )


def creates_tables(given: bool | None) -> bool:  # noqa: FBT001  as it was given
    """Return whether missing tables are made: what is given, else what LIGHTAPI_CREATE_TABLES says."""
    if given is not None:
        return given
    return os.environ.get("LIGHTAPI_CREATE_TABLES", "true").lower() not in ("0", "false", "no")
