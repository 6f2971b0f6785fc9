"""Serve an app with uvicorn: where it listens, what it prints, how it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightapi.exceptions import ConfigurationError

__all__ = ["serve"]


def serve(
    app: Any,
    *,
    host: str | None,
    port: int | None,
    debug: bool,
    reload: bool,
    paths: Iterable[str],
    options: Mapping[str, Any],
) -> None:
    """Serve ``app`` until it is told to stop; see ``LightApi.run``."""
    import uvicorn  # a server imports it itself

    chosen_host = host or os.environ.get("LIGHTAPI_HOST") or "127.0.0.1"
    chosen_port = port if port is not None else _environment_port()
    target: Any = _import_string(app) if reload else app.asgi
    print(f"LightAPI: http://{chosen_host}:{chosen_port}", *sorted(paths), flush=True)  # noqa: T201
    if threading.current_thread() is threading.main_thread():
        # uvicorn finishes what it has begun, then raises the signal again: that is a clean end.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        target,
        host=chosen_host,
        port=chosen_port,
        reload=reload,
        # Else WEB_CONCURRENCY decides, and several processes need an import string.
        **{"workers": 1, "log_level": "debug" if debug else "info", **options},
    )


def _environment_port() -> int:
    text = os.environ.get("LIGHTAPI_PORT") or "8000"
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"LIGHTAPI_PORT={text!r} given; allowed: a port number")
    return int(text)


def _import_string(app: Any) -> str:
    """Return ``module:name`` of an app in the program's main module, for the reloader."""
    main = sys.modules["__main__"]
    source = getattr(main, "__file__", None)
    name = next((name for name, value in vars(main).items() if value is app), None)
    if source is None or name is None:
        raise ConfigurationError("run(reload=True): the app must be a global name of the script that is run")
    return f"{Path(source).stem}:{name}"
