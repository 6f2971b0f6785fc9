"""Programs that have an application mounted under /api, and a walk through all that it must answer there."""

from __future__ import annotations

from typing import Any

import django
import flask
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from lightapi import LightApi
from tests.support.endpoints import CLEAN_CODE

__all__ = ["in_bare_wsgi", "in_django", "in_fastapi", "in_flask", "in_starlette", "walk"]


def walk(client: Any, prefix: str = "") -> None:
    """Use every verb below the prefix, and meet what is not there."""
    made = client.post(f"{prefix}/books", json=CLEAN_CODE)
    location = made.headers["location"]
    assert (made.status_code, location) == (201, f"{prefix}/books/1")
    assert client.get(location).content == made.content
    assert client.get(f"{prefix}/books").json() == {"results": [made.json()]}
    assert client.patch(location, json={"pages": 7, "version": 1}).json()["version"] == 2
    assert client.put(location, json=CLEAN_CODE | {"version": 1}).status_code == 409
    assert client.delete(location).status_code == 204
    for path in ("/books/1", "/nowhere", "/"):
        missing = client.get(f"{prefix}{path}")
        assert (missing.status_code, missing.json()) == (404, {"detail": "not found"})
    wrong = client.delete(f"{prefix}/books")
    assert (wrong.status_code, wrong.json()) == (405, {"detail": "Method Not Allowed. Allowed: GET, POST"})
    assert client.get(f"{prefix}/healthz").json() == {"status": "ok"}
    assert client.get(f"{prefix}/readyz").status_code == 200


def hello_django(_request: Any) -> HttpResponse:
    return HttpResponse(b"django")


urlpatterns = [re_path("^hello$", hello_django)]


def in_starlette(app: LightApi) -> Any:
    async def hello(_request: Request) -> Response:
        return PlainTextResponse("site")

    return Starlette(routes=[Mount("/api", app=app.build_app()), Route("/hello", hello)])


def in_fastapi(app: LightApi) -> Any:
    outer = FastAPI()
    outer.mount("/api", app.build_app())
    outer.get("/hello")(lambda: PlainTextResponse("site"))
    return outer


def in_flask(app: LightApi) -> Any:
    outer = flask.Flask("outer")
    outer.add_url_rule("/hello", view_func=lambda: "site")
    served: Any = app.build_wsgi_app()
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, {"/api": served})  # type: ignore[method-assign]
    return outer


def in_django(app: LightApi) -> Any:
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="tests", MIDDLEWARE=[], DATABASES={})
        django.setup()
    return dispatcher(app.build_wsgi_app(), get_wsgi_application())


def in_bare_wsgi(app: LightApi) -> Any:
    def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"site"]

    return dispatcher(app, site)


def dispatcher(mounted: Any, rest: Any) -> Any:
    """Send what is below /api to one application and all else to another."""

    def dispatch(environ: dict[str, Any], start_response: Any) -> Any:
        head, slash, tail = environ["PATH_INFO"].removeprefix("/").partition("/")
        if head != "api":
            return rest(environ, start_response)
        inside = {**environ, "SCRIPT_NAME": environ["SCRIPT_NAME"] + "/api", "PATH_INFO": slash + tail}
        return mounted(inside, start_response)

    return dispatch
