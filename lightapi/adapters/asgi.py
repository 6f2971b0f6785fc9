"""LightAPI's paths as an ASGI application, inside a real Starlette application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from lightapi.exceptions import ApiError, NotFound
from lightapi.http.cors import Cors, CorsApp
from lightapi.http.drive import drive
from lightapi.http.message import Request, challenged, error_response
from lightapi.http.pipeline import finish, from_http_exception
from lightapi.plan import Route

if TYPE_CHECKING:
    from starlette.requests import Request as StarletteRequest

    from lightapi.service import Service

__all__ = ["Endpoints", "build_starlette", "ends_in_slash", "relative_path"]

logger = logging.getLogger("lightapi")

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


class Endpoints:
    """The ASGI application of the registered paths; anything else is 404."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; a WebSocket is refused."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        response = finish(scope["method"], await self._respond(scope, receive, send))
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> Response:
        service = self._service
        path = relative_path(scope)
        found = service.routes.find(path, written=not path.endswith("/") or ends_in_slash(scope))
        if found is None:
            return error_response(NotFound())
        route, key = found
        scope["path_params"] = {} if key is None else {"id": key}
        request = Request(scope, receive, send)
        request.max_body_size = service.max_body_size
        try:
            if not (service.is_ready or route.internal):
                await service.ensure_ready()
            if route.is_blocking and not route.is_async:
                return await self._in_thread(request, route)
        except ApiError as error:
            return error_response(error)
        return await service.pipeline.run(request, route)

    async def _in_thread(self, request: Request, route: Route) -> Response:
        """Run a route of plain functions in one thread, its body read before."""
        if request.method in ("POST", "PUT", "PATCH"):
            await request.prefetch()
        service = self._service
        return await service.store.enter(drive, service.pipeline.run(request, route), nested=route.nests)  # pyright: ignore[reportReturnType]


def relative_path(scope: Scope) -> str:
    """Return the path below the mount point (ASGI's ``root_path`` is a prefix of ``path``)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("/", ""):
        return path[len(root) :]
    return path


def ends_in_slash(scope: Scope) -> bool:
    """Tell whether the client wrote a slash at the end of the path; a server that does not say is not believed."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        environ = scope.get("wsgi_environ", {})
        uri: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        raw = uri.encode("latin-1", "replace")
    return raw.partition(b"?")[0].endswith(b"/")


def build_starlette(
    service: Service,
    *,
    routes: Sequence[BaseRoute],
    middleware: Sequence[Middleware],
    lifespan: Lifespan | None,
    cors: Cors | None,
) -> Starlette:
    """Return the application: the user's routes first, LightAPI's paths for all the rest, CORS around both."""

    @asynccontextmanager
    async def lived(outer: Any) -> AsyncIterator[Any]:
        app.awaits_lifespan = False
        try:
            await service.start()
            if lifespan is None:
                yield
            else:
                async with lifespan(outer) as state:
                    yield state
        finally:
            await service.stop()

    app = _Application(
        routes=list(routes),
        middleware=list(middleware),
        lifespan=lived,
        exception_handlers={Exception: _server_error, HTTPException: _http_error},
    )
    app.router.default = Endpoints(service)
    app.cors = cors
    app.awaits_lifespan = lifespan is not None
    return app


class _Application(Starlette):
    """A Starlette application whose errors carry CORS headers, too, and that misses its user's lifespan."""

    cors: Cors | None = None
    awaits_lifespan = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.awaits_lifespan and scope["type"] == "http":
            self.awaits_lifespan = False
            logger.warning(
                "lifespan= has not begun: whoever mounts this app has to run it, for example "
                "Starlette(lifespan=app.asgi.router.lifespan_context)"
            )
        await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()
        return stack if self.cors is None else CorsApp(stack, self.cors)


async def _server_error(request: StarletteRequest, error: Exception) -> Response:
    """Answer what the user's own routes or middleware let escape."""
    return error_response(ApiError())


async def _http_error(request: StarletteRequest, error: Any) -> Response:
    return challenged(error_response(from_http_exception(error)))
