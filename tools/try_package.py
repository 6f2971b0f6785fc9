"""Serve one request on ASGI and one on WSGI from an installed package, in an environment with nothing else."""

from __future__ import annotations

import asyncio
import io
import json
from importlib.resources import files
from typing import Any
from wsgiref.util import setup_testing_defaults

import httpx
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from lightapi import Field, LightApi, RestEndpoint


class BookEndpoint(RestEndpoint):
    """The book of the first example."""

    title: str = Field(min_length=1)


def made() -> LightApi:
    """Build the application on an empty database."""
    engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
    app = LightApi(engine=engine)
    app.register({"/books": BookEndpoint})
    return app


async def on_asgi(app: Any) -> None:
    """Create a book and list it."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver") as client:
        created = await client.post("/books", json={"title": "Emma"})
        assert created.status_code == 201, created.text
        listed = (await client.get("/books")).json()
    assert [book["title"] for book in listed["results"]] == ["Emma"], listed


def on_wsgi(app: Any) -> None:
    """Create a book through the same object as a WSGI server would."""
    body = json.dumps({"title": "Persuasion"}).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/books",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    statuses: list[str] = []
    answer = b"".join(app(environ, lambda status, *_: statuses.append(status)))
    assert statuses[0].startswith("201"), (statuses, answer)
    assert json.loads(answer)["title"] == "Persuasion"


if __name__ == "__main__":
    assert (files("lightapi") / "py.typed").is_file()
    asyncio.run(on_asgi(made()))
    on_wsgi(made())
    print("the installed package serves requests on ASGI and on WSGI")
