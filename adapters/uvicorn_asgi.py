"""Serve an application under uvicorn: `python adapters/uvicorn_asgi.py`.

Put your own classes in place of the example. WEB_CONCURRENCY starts several processes; uvloop and httptools are used
when they are installed (`pip install "lightapi[fast]"`). `uvicorn --app-dir adapters uvicorn_asgi:app` does the same.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import uvicorn

from lightapi import Field, LightApi, RestEndpoint


class BookEndpoint(RestEndpoint):
    title: str = Field(min_length=1)
    author: str = Field(min_length=1)


app = LightApi(database_url=os.environ.get("LIGHTAPI_DATABASE_URL", "sqlite:///books.db"))
app.register({"/books": BookEndpoint})


if __name__ == "__main__":
    here = Path(__file__)
    # After its graceful shutdown uvicorn sends the signal once more; what ended in peace exits with status 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        # A name and not the object: only then can uvicorn start more than one process.
        f"{here.stem}:app",
        app_dir=str(here.parent),
        host=os.environ.get("LIGHTAPI_HOST", "127.0.0.1"),
        port=int(os.environ.get("LIGHTAPI_PORT", "8000")),
        loop="auto",
        http="auto",
        lifespan="on",
        timeout_keep_alive=5,
        timeout_graceful_shutdown=30,
        server_header=False,
    )
