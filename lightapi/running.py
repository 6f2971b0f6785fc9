"""Serve an app with uvicorn: where it listens, what it prints, how it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lightapi.db.engine import is_memory
from lightapi.exceptions import ConfigurationError

if TYPE_CHECKING:
    from lightapi.app import LightApi

__all__ = ["address", "end_quietly", "log_level", "serve", "summary"]


def serve(
    app: LightApi,
    *,
    host: str | None,
    port: int | None,
    debug: bool,
    reload: bool,
    options: Mapping[str, Any],
) -> None:
    """Serve ``app`` until it is told to stop; see ``LightApi.run``."""
    import uvicorn  # a server imports it itself

    chosen_host, chosen_port = address(host, port)
    target: Any = _import_string(app) if reload else app.asgi
    where = f"unix:{options['uds']}" if options.get("uds") else None
    print(summary(app, chosen_host, chosen_port, where=where, debug=debug, reload=reload), flush=True)  # noqa: T201
    end_quietly()
    uvicorn.run(
        target,
        host=chosen_host,
        port=chosen_port,
        reload=reload,
        # Else WEB_CONCURRENCY decides, and several processes need an import string.
        **{"workers": 1, "log_level": log_level(debug=debug), **options},
    )


def address(host: str | None, port: int | None) -> tuple[str, int]:
    """Return where to listen: what is given, else LIGHTAPI_HOST and LIGHTAPI_PORT, else 127.0.0.1 and 8000."""
    if port is not None and (type(port) is not int or not 0 <= port < _PORTS):
        raise ConfigurationError(f"port={port!r} given; allowed: 0 to {_PORTS - 1}")
    return (
        host or os.environ.get("LIGHTAPI_HOST") or "127.0.0.1",
        port if port is not None else _environment_port(),
    )


def _environment_port() -> int:
    text = os.environ.get("LIGHTAPI_PORT") or "8000"
    if not (text.isascii() and text.isdigit() and int(text) < _PORTS):
        raise ConfigurationError(f"LIGHTAPI_PORT={text!r} given; allowed: a port number")
    return int(text)


_PORTS = 2**16


def log_level(*, debug: bool) -> str:
    """Return uvicorn's log level."""
    return "debug" if debug else "info"


def end_quietly() -> None:
    """Make SIGTERM a clean end: uvicorn finishes what it has begun, then raises the signal again."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


_FEW = 6
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared, not listened on


def summary(
    app: LightApi, host: str, port: int, *, where: str | None = None, debug: bool = False, reload: bool = False
) -> str:
    """Return what a start says: where the app listens, where its pages are, and what it serves from where.

    ``where`` stands in for the address of an app that listens on something else.
    """
    named = "127.0.0.1" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    site = where or f"http://{named}:{port}"
    pages = {row.path for row in app.describe() if not row.endpoint}
    paths = sorted(path or "/" for path in app._plans)
    lines = [f"LightAPI: {site}" + (" (and every other address of this machine)" if host in _EVERYWHERE else "")]
    for name, page in (("docs", app._options.docs_url), ("document", app._options.openapi_url)):
        if page in pages:
            lines.append(f"  {name:<10}{'' if where else site}{page}")
    lines.append(f"  {'database':<10}{_database(app)}")
    lines.append(f"  {'endpoints':<10}{', '.join(paths) if len(paths) <= _FEW else len(paths)}")
    if debug:
        lines.append("  debug is on: the log says more than production should")
    if reload:
        lines.append("  reload is on: for development, not for production")
    return "\n".join(lines)


def _database(app: LightApi) -> str:
    """Return what the database is called, without anything that its URL may keep secret."""
    url = app._store.lanes.base.url
    kind, name = url.get_backend_name(), url.database or ""
    if kind == "sqlite" and is_memory(url):
        return "sqlite, in memory"
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:").partition("?")[0])
    return f"{kind}, {name}" if name else str(kind)


def _import_string(app: LightApi) -> str:
    """Return ``module:name`` of an app in the program's main module, for the reloader."""
    main = sys.modules["__main__"]
    source = getattr(main, "__file__", None)
    name = next((name for name, value in vars(main).items() if value is app), None)
    if source is None or name is None:
        raise ConfigurationError("run(reload=True): the app must be a global name of the script that is run")
    return f"{Path(source).stem}:{name}"
