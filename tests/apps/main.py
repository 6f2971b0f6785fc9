"""An application that every server loads as ``main:app``; the environment names its database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from starlette.requests import Request

from lightapi import Field, LightApi, RestEndpoint


class BookEndpoint(RestEndpoint):
    """Answered in the server's own thread under WSGI."""

    title: str = Field(min_length=1)
    author: str = Field(min_length=1)


class AwaitedEndpoint(RestEndpoint):
    """Waits, and so takes the bridge under WSGI."""

    title: str = Field(min_length=1)

    async def post(self, request: Request) -> Any:
        return await self._create_async(json.loads(await request.body()))


class SlowEndpoint(RestEndpoint):
    """Takes its time, and is not done when the server is told to stop."""

    name: str

    async def list(self, request: Request) -> Any:
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        await asyncio.sleep(0.5)
        return {"slept": True}


class BlockingEndpoint(RestEndpoint):
    """The same in a thread of its own."""

    name: str

    def list(self, request: Request) -> Any:
        sys.stdout.write("begun\n")
        sys.stdout.flush()
        time.sleep(0.5)
        return {"slept": True}


class ProcessEndpoint(RestEndpoint):
    """Says which process answers and what it has used."""

    name: str

    def list(self, request: Request) -> Any:
        return {"pid": os.getpid(), "cpu": time.process_time(), "greeting": GREETING}


GREETING = "hello"
ENDPOINTS: dict[str, type[RestEndpoint]] = {
    "/books": BookEndpoint,
    "/awaited": AwaitedEndpoint,
    "/slow": SlowEndpoint,
    "/blocking": BlockingEndpoint,
    "/process": ProcessEndpoint,
}

app = LightApi()
app.register(ENDPOINTS)

if __name__ == "__main__":
    app.run(reload=os.environ.get("APP_RELOAD") == "1")
