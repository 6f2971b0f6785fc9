"""The constructor's arguments, each checked alone, and what the process around the app allows."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from starlette.middleware import Middleware as StarletteMiddleware
from starlette.routing import BaseRoute

from lightapi.adapters.asgi import Lifespan
from lightapi.adapters.loop import gevent_patched
from lightapi.auth import Validator, check_validator
from lightapi.config import Authentication, Pagination
from lightapi.db.store import Store
from lightapi.exceptions import ConfigurationError
from lightapi.http.cors import Cors
from lightapi.http.routing import checked_path
from lightapi.limits import limiter_of
from lightapi.middleware import Middleware

__all__ = ["Options", "checked_auth", "checked_page", "refuse_gevent", "warn_async_under_wsgi"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What an app was told apart from its engine and its endpoints; a value of the wrong kind or size is refused."""

    middlewares: Sequence[Middleware]
    cors: Cors | None
    auth_path: str
    login_validator: Validator | None
    rate_limiter: Any
    routes: Sequence[BaseRoute]
    asgi_middleware: Sequence[StarletteMiddleware]
    lifespan: Lifespan | None
    base_url: str
    default_pagination: Pagination | None
    default_authentication: Authentication | None
    title: str
    version: str
    description: str
    openapi_url: str | None
    docs_url: str | None
    max_body_size: int
    database_timeout: float
    create_tables: bool | None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a value that can't be used."""
        for name in ("title", "version", "description"):
            text = getattr(self, name)
            self._check(name, "text", isinstance(text, str) and text == text.encode("utf-8", "replace").decode())
        size, seconds = self.max_body_size, self.database_timeout
        url: Any = self.base_url
        self._check("max_body_size", "a number of bytes, 1 or more", type(size) is int and size > 0)
        self._check("database_timeout", "seconds, more than 0", type(seconds) in (int, float) and 0 < seconds < inf)
        self._check("create_tables", "True, False or None", self.create_tables in (True, False, None))
        absolute = isinstance(url, str) and _BASE_URL.fullmatch(url) is not None
        self._check("base_url", "a URL such as 'https://api.example.com'", absolute)
        for name, kind in (("default_pagination", Pagination), ("default_authentication", Authentication)):
            self._check(name, f"{kind.__name__}(...) or None", isinstance(getattr(self, name), kind | None))
        _check_list("routes", self.routes, BaseRoute, "Starlette's Route, Mount and so on")
        _check_list(
            "asgi_middleware", self.asgi_middleware, StarletteMiddleware, "starlette.middleware.Middleware(...)"
        )
        function = self.lifespan is None or callable(self.lifespan)
        self._check("lifespan", "an async context manager function of the app", function)

    def _check(self, name: str, allowed: str, right: bool) -> None:  # noqa: FBT001  the outcome, not a switch
        if not right:
            raise ConfigurationError(f"{name}={getattr(self, name)!r} given; allowed: {allowed}")

    @property
    def site(self) -> str:
        """What is put before paths in links: ``base_url`` without the slash at its end."""
        return self.base_url.rstrip("/")

    def creates_tables(self) -> bool:
        """Return whether missing tables are made: what is given, else what LIGHTAPI_CREATE_TABLES says."""
        if self.create_tables is not None:
            return self.create_tables
        return os.environ.get("LIGHTAPI_CREATE_TABLES", "true").lower() not in ("0", "false", "no")


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


def checked_auth(auth_path: Any, login_validator: Any, rate_limiter: Any) -> str:
    """Return where the login routes are; raise ConfigurationError for wrong arguments of theirs."""
    if not isinstance(auth_path, str):
        raise ConfigurationError(f"auth_path={auth_path!r} given; allowed: a path, as in '/auth'")
    check_validator("login_validator", login_validator)
    limiter_of(rate_limiter, None)
    return checked_path(auth_path, "auth_path=")


def checked_page(option: str, path: Any) -> str | None:
    """Return where one of our pages is, None for nowhere; raise ConfigurationError for no path."""
    if path is None:
        return None
    if not (isinstance(path, str) and path.strip("/")):
        raise ConfigurationError(f"{option}={path!r} given; allowed: a path, as in '/docs', or None for none")
    return checked_path(path, f"{option}=")
