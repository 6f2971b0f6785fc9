"""Run an application under gunicorn 26 or later: `gunicorn -c deploy/gunicorn.conf.py main:app`.

The environment decides what differs between machines; what is read is named in deploy/README.md.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from lightapi import ConfigurationError


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise SystemExit(f"{name}={text!r} given; allowed: a whole number")
    return int(text)


def _yes(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")


def _address() -> str:
    host = os.environ.get("LIGHTAPI_HOST") or "127.0.0.1"
    port = _number("LIGHTAPI_PORT", 8000)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


bind = _address()

# A thread holds at most one connection, and an engine made from a URL has ten. In a container the CPUs counted are the
# host's: without a bound, a large host would open more connections than the database allows.
workers = _number("WEB_CONCURRENCY", min(4, os.cpu_count() or 1))
worker_class = os.environ.get("GUNICORN_WORKER_CLASS") or "gthread"
threads = _number("GUNICORN_THREADS", 8) if worker_class == "gthread" else 1

# Longer than the ten seconds that the database work of a request may take; a process manager has to wait longer than
# graceful_timeout before it kills.
timeout = 60
graceful_timeout = 30
keepalive = 5

# A worker is replaced now and then, in case something in it grows; the jitter keeps them from leaving together.
max_requests = _number("GUNICORN_MAX_REQUESTS", 10_000)
max_requests_jitter = _number("GUNICORN_MAX_REQUESTS_JITTER", 1_000)

# The worker's heartbeat is a file: on a disk that blocks, healthy workers are killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK) else None  # noqa: S108

# Loading the application before the fork saves memory and is safe: each worker opens connections of its own.
preload_app = _yes("GUNICORN_PRELOAD")
# Nothing here uses it, and its thread was seen to deadlock workers that are forked from a preloaded program.
control_socket_disable = True

# Whose X-Forwarded-Proto is believed. "*" is right only where nobody but the proxy can connect.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS") or "127.0.0.1,::1"

# No client has a say in where the application is mounted: from this machine, gunicorn would believe its SCRIPT_NAME.
forwarder_headers = ""

# Room for a long query with a cursor in it; bodies are limited by the application (max_body_size).
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190

# The lifespan creates the tables and closes the pools: if it fails the worker must not serve.
asgi_lifespan = "on"


def post_worker_init(worker: Any) -> None:
    """Build the application before the first request: under WSGI nothing else tells gunicorn that it can't serve."""
    build = getattr(getattr(worker, "wsgi", None), "build_wsgi_app", None)
    if build is None or "uvicorn" in worker_class:
        return  # under ASGI the lifespan tells it
    try:
        build()
    except ConfigurationError as error:
        worker.log.critical("ConfigurationError: %s", error)
        sys.exit(_BOOT_ERROR)


_BOOT_ERROR = 3
"""The status of a worker after which gunicorn ends, too, instead of starting the next one."""
