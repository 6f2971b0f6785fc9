"""LightAPI as a WSGI application: in the server's own thread where nothing waits, else bridged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from lightapi.adapters.asgi import ends_in_slash, relative_path
from lightapi.adapters.bridge import Bridge
from lightapi.adapters.environ import Environ, StartResponse, build_scope, read_body
from lightapi.call import Tasks
from lightapi.exceptions import ApiError, NotFound
from lightapi.http.cors import Cors
from lightapi.http.drive import drive
from lightapi.http.message import Request, error_response
from lightapi.http.pipeline import finish
from lightapi.plan import Route

if TYPE_CHECKING:
    from lightapi.service import Service

__all__ = ["WSGIApp"]


class WSGIApp:
    """Serve an app to WSGI servers; with ``direct=False`` every request takes the bridge."""

    def __init__(
        self,
        service: Service,
        *,
        routes: Sequence[BaseRoute],
        direct: bool,
        has_lifespan: bool,
        bridge: Bridge,
        cors: Cors | None,
    ) -> None:
        self._service = service
        self._routes = tuple(routes)
        self._direct = direct
        self._has_lifespan = has_lifespan
        self._bridge = bridge
        self._cors = cors

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        cors = self._cors
        if cors is None:
            return self._answer(environ, start_response)
        preflight = cors.preflight(environ["REQUEST_METHOD"], lambda name: environ.get(variable_of(name)))
        if preflight is not None:
            start_response(_status_line(preflight.status_code), _as_text(preflight.raw_headers))
            return []
        return self._answer(environ, partial(_start_with_cors, cors, environ, start_response))

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not self._direct:
            return self._bridge(environ, start_response)
        try:
            scope = build_scope(environ)
            if self._has_lifespan:
                scope["state"] = dict(self._bridge.state())
        except ApiError as error:
            return self._send(error_response(error), environ, start_response)
        path = relative_path(scope)
        found = self._service.routes.find(path, written=not path.endswith("/") or ends_in_slash(scope))
        if self._is_users(scope) or (found is not None and found[0].is_async):
            return self._bridge(environ, start_response)
        if found is None:
            response: Response = error_response(NotFound())
        else:
            response = self._respond(scope, environ, *found)
        return self._send(response, environ, start_response)

    def _is_users(self, scope: dict[str, Any]) -> bool:
        """Return True when one of the user's own routes comes first, or Starlette redirects to one."""
        if not self._routes:
            return False
        path = scope["path"]
        twin = {**scope, "path": path.rstrip("/") if path.endswith("/") else f"{path}/"}
        return any(route.matches(each)[0] is not Match.NONE for each in (scope, twin) for route in self._routes)

    def _respond(self, scope: dict[str, Any], environ: Environ, route: Route, key: str | None) -> Response:
        service = self._service

        async def receive() -> dict[str, Any]:
            body = read_body(environ, service.max_body_size)
            return {"type": "http.request", "body": body, "more_body": False}

        scope["path_params"] = {} if key is None else {"id": key}
        request = Request(scope, receive)
        request.max_body_size = service.max_body_size
        try:
            if not (service.is_ready or route.internal):
                service.ensure_ready_now()
        except ApiError as error:
            return error_response(error)
        return drive(service.pipeline.run(request, route))

    def _send(self, response: Response, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        response = finish(environ["REQUEST_METHOD"], response)
        body = getattr(response, "body", None)
        if not isinstance(body, bytes):
            return self._bridge.respond(response, environ, start_response)
        start_response(_status_line(response.status_code), _as_text(response.raw_headers))
        pieces = [body] if body else []
        if response.background is None:
            return pieces
        return _Closing(pieces, response.background, self._bridge)


def _as_text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def variable_of(header: str) -> str:
    """Return the name under which WSGI gives a header."""
    return f"HTTP_{header.upper().replace('-', '_')}"


def _start_with_cors(cors: Cors, environ: Environ, start_response: StartResponse, *answer: Any) -> Any:
    """Begin an answer, whoever gives it: the endpoints, the bridge's application, or the bridge itself."""
    status, headers, *rest = answer
    given = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if (b"vary", b"Origin") not in given:
        added: list[tuple[bytes, bytes]] = [*given]
        cors.add(environ.get("HTTP_ORIGIN"), added)
        headers = [*headers, *_as_text(added[len(given) :])]
    return start_response(status, headers, *rest)


class _Closing:
    """A response with background tasks: the server closes it when the client has everything."""

    def __init__(self, pieces: list[bytes], background: Any, bridge: Bridge) -> None:
        self._pieces = pieces
        self._background = background
        self._bridge = bridge

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        """Run the background tasks."""
        tasks = self._background
        if not isinstance(tasks, Tasks):
            tasks = Tasks(tasks)
        tasks.run_here(self._bridge.run)


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Status"
