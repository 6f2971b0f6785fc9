"""One request's work as an override sees it: its database unit and its background tasks."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio
import anyio.from_thread
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.util import await_only
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from lightapi.actions import Operation
from lightapi.db.errors import hide_parameters, translate
from lightapi.exceptions import ApiError, InvalidInput, NotFound
from lightapi.http.drive import drive, has_running_loop, is_async
from lightapi.http.message import JSONBytes, detached, error_response
from lightapi.plan import Plan

__all__ = ["Call", "Tasks", "invoked"]

logger = logging.getLogger("lightapi")

T = TypeVar("T")


class Tasks(BackgroundTask):
    """The background tasks of one request: run in order, after the response; failures are logged."""

    def __init__(self, earlier: BackgroundTask | None = None) -> None:
        self._waiting: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._earlier = earlier

    def add(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        """Put a sync or async callable at the end."""
        self._waiting.append((function, args, kwargs))

    def after(self, earlier: BackgroundTask | None) -> Tasks:
        """Run what a response brought along before these."""
        self._earlier = earlier
        return self

    def __bool__(self) -> bool:
        return bool(self._waiting)

    async def __call__(self) -> None:
        """Run everything; plain functions leave the event loop, if there is one, free."""
        if self._earlier is not None:
            await self._run(self._earlier, (), {})
        for function, args, kwargs in self._waiting:
            await self._run(function, args, kwargs)

    async def _run(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            if _runs_on_loop(function):
                await function(*args, **kwargs)
            else:
                result = await anyio.to_thread.run_sync(lambda: function(*args, **kwargs))
                if inspect.isawaitable(result):
                    await result
        except Exception as error:
            hide_parameters(error)
            logger.exception("background task %r failed", function)

    def run_here(self, run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        """Run everything in this thread; what is asynchronous is handed to ``run_coroutine``."""
        if self._earlier is not None:
            self._run_here(run_coroutine, self._earlier, (), {})
        for function, args, kwargs in self._waiting:
            self._run_here(run_coroutine, function, args, kwargs)

    def _run_here(self, run_coroutine: Any, function: Any, args: Any, kwargs: Any) -> None:
        try:
            result = function(*args, **kwargs)
            if inspect.isawaitable(result):
                run_coroutine(_itself(result))
        except Exception as error:
            hide_parameters(error)
            logger.exception("background task %r failed", function)


def _runs_on_loop(function: Any) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004  the method itself is asked
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def invoked(store: Any, function: Callable[..., Any], *args: Any) -> Any:
    """Call a user's function, sync or async, so that the event loop stays free; return what it gives.

    On an async engine plain functions run on the loop; that is documented.
    """
    if store.is_async or is_async(function) or not has_running_loop():
        result = function(*args)
    else:
        result = await store.enter(function, *args)
    return await result if inspect.isawaitable(result) else result


class Call:
    """What an endpoint instance does its work with while one request runs."""

    __slots__ = ("active", "plan", "request", "store", "tasks", "unit")

    def __init__(self, plan: Plan, store: Any, request: Request) -> None:
        self.plan = plan
        self.store = store
        self.request = request
        self.unit = store.unit(nested=True)
        self.tasks = Tasks()
        self.active = True

    def run(self, plan_operation: Callable[[], Operation]) -> JSONBytes:
        """Do database work in sync code: a worker thread, or an async engine's greenlet."""
        try:
            operation = plan_operation()
        except ApiError as error:
            return error_response(error)
        try:
            response: JSONBytes = self.unit.run(operation.work, write=operation.write)
        except (ApiError, SQLAlchemyError) as error:
            return self._refused(error, operation)
        return response

    async def arun(self, plan_operation: Callable[[], Operation]) -> JSONBytes:
        """Do database work in async code."""
        try:
            operation = plan_operation()
        except ApiError as error:
            return error_response(error)
        try:
            response: JSONBytes = await self.unit.arun(operation.work, write=operation.write)
        except (ApiError, SQLAlchemyError) as error:
            return self._refused(error, operation)
        return response

    def _refused(self, error: Exception, operation: Operation) -> JSONBytes:
        known = translate(error, table=self.plan.table, deleting=operation.deleting)
        if known is None:
            raise error
        if operation.keyed and isinstance(known, InvalidInput):
            known = NotFound()
        return error_response(known)

    def wait(self, value: Awaitable[T]) -> T:
        """Wait for an awaitable in sync code."""
        if self.store.is_async:
            return await_only(value)
        try:
            anyio.from_thread.check_cancelled()
        except RuntimeError:  # no event loop sent this thread
            return drive(_itself(value))
        return anyio.from_thread.run(_itself, value)

    def finish(self, response: Response, *, committed: bool) -> Response:
        """Attach the background tasks of work that was committed; from now on the call takes no more."""
        self.active = False
        if self.tasks and committed:
            response = detached(response)
            response.background = self.tasks.after(response.background)
        return response


async def _itself(value: Awaitable[T]) -> T:
    return await value
