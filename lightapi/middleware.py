"""Middleware: functions that see every request of an endpoint before and after it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lightapi.config import check_call
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.http.cors import Cors

__all__ = ["CORSMiddleware", "Middleware", "cors_of", "instances", "step_of"]


class Middleware:
    """Override ``process``, as ``def`` or ``async def``; one instance serves all requests."""

    def process(self, request: Request, response: Response | None) -> Any:
        """Look at a request (``response`` is None) or at its answer.

        Before the endpoint: return a Response to answer at once, None to go on. After it: return
        the response to send, or None for the one given. Errors and early answers are seen too.
        """


class CORSMiddleware(Middleware):
    """Stands in a list of middlewares for the app's CORS, which ``cors_origins`` configures; without it none."""


def cors_of(origins: Any, middlewares: Iterable[Middleware], *, credentials: Any) -> Cors | None:
    """Return an app's CORS, None where nobody asked for it; raise ConfigurationError for wrong arguments."""
    wanted = origins is not None or any(isinstance(middleware, CORSMiddleware) for middleware in middlewares)
    if not wanted and credentials is False:
        return None
    return Cors([] if origins is None else origins, credentials=credentials)


def instances(given: Iterable[Any]) -> list[Middleware]:
    """Make the middlewares of an app; raise ConfigurationError for what is none."""
    made: list[Middleware] = []
    if not isinstance(given, (list, tuple)):
        raise ConfigurationError(f"middlewares={given!r} given; allowed: a list of Middleware classes")
    for middleware in given:
        try:
            instance: Any = middleware() if inspect.isclass(middleware) else middleware
        except TypeError as error:
            raise ConfigurationError(
                f"middlewares: {middleware.__name__} can't be made without arguments ({error}); give an instance"
            ) from error
        _check_process(middleware, instance)
        made.append(instance)
    return made


def _check_process(given: Any, instance: Any) -> None:
    """Raise ConfigurationError for a middleware that would do nothing."""
    if not callable(getattr(instance, "process", None)):
        raise ConfigurationError(
            f"middlewares: {given!r} given; allowed: subclasses of lightapi.Middleware "
            "with process(request, response); Starlette's belong into asgi_middleware=[...]"
        )
    kind = type(instance)
    if isinstance(instance, CORSMiddleware) or kind is Middleware:
        return
    if getattr(kind, "process", None) is Middleware.process:
        near = nearest("process", [name for name in vars(kind) if not name.startswith("__")])
        raise ConfigurationError(f"middlewares: {kind.__name__} has no process(request, response) of its own{near}")
    check_call(f"middlewares: {kind.__name__}", instance, "process", "request", "response")


def step_of(
    middleware: Middleware, invoke: Callable[..., Awaitable[Any]]
) -> Callable[[Request, Response | None], Awaitable[Response | None]]:
    """Return the pipeline's step of one middleware."""
    process = middleware.process

    async def step(request: Request, response: Response | None) -> Response | None:
        result = await invoke(process, request, response)
        if result is None or isinstance(result, Response):
            return result
        raise TypeError(
            f"{type(middleware).__name__}.process returned {type(result).__name__}; allowed: a Response or None"
        )

    return step
