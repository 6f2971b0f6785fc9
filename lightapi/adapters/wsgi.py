"""LightAPI as a WSGI application: in the server's own thread where nothing waits, else bridged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from lightapi.adapters.asgi import relative_path
from lightapi.adapters.bridge import Bridge
from lightapi.adapters.environ import Environ, StartResponse, build_scope, read_body
from lightapi.call import Tasks
from lightapi.exceptions import ApiError, NotFound
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
    ) -> None:
        self._service = service
        self._routes = tuple(routes)
        self._direct = direct
        self._has_lifespan = has_lifespan
        self._bridge = bridge

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if not self._direct:
            return self._bridge(environ, start_response)
        try:
            scope = build_scope(environ)
            if self._has_lifespan:
                scope["state"] = dict(self._bridge.state())
        except ApiError as error:
            return self._send(error_response(error), environ, start_response)
        found = self._service.routes.find(relative_path(scope))
        if self._is_users(scope) or (found is not None and found[0].is_async):
            return self._bridge(environ, start_response)
        if found is None:
            response: Response = error_response(NotFound())
        else:
            response = self._respond(scope, environ, *found)
        return self._send(response, environ, start_response)

    def _is_users(self, scope: dict[str, Any]) -> bool:
        """Return True when one of the user's own routes comes first."""
        return any(route.matches(scope)[0] is not Match.NONE for route in self._routes)

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
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.raw_headers]
        start_response(_status_line(response.status_code), headers)
        pieces = [body] if body else []
        if response.background is None:
            return pieces
        return _Closing(pieces, response.background, self._bridge)


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
