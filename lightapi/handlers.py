"""Compile an endpoint into routes: for every verb one function that answers it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from lightapi import actions
from lightapi.access import access_for
from lightapi.actions import Operation
from lightapi.auth import Validator
from lightapi.call import Call, invoked
from lightapi.db.errors import translate
from lightapi.endpoint import RestEndpoint
from lightapi.exceptions import InvalidInput, NotFound
from lightapi.http.body import parse_object, read_body
from lightapi.http.drive import drive, has_running_loop, is_async
from lightapi.http.message import Request
from lightapi.plan import Handler, Plan, Route, make_route

__all__ = ["Answering", "answering", "routes_of"]


class Verb(NamedTuple):
    """One verb on a collection or an item: the methods that answer it, the first one wins."""

    hook: str
    """Overridden: gets the request."""
    action: str
    """Overridden: gets what its signature says."""


_COLLECTION = {"GET": Verb("get", "list"), "POST": Verb("post", "create")}
_ITEM = {
    "GET": Verb("get", "retrieve"),
    "PUT": Verb("put", "update"),
    "PATCH": Verb("patch", "update"),
    "DELETE": Verb("delete", "destroy"),
}
_WITH_BODY = ("POST", "PUT", "PATCH")


def routes_of(
    plan: Plan,
    store: Any,
    middlewares: list[Callable[..., Any]],
    validator: Validator | None,
    around: Callable[[str, Handler], Handler] | None,
) -> tuple[Route, Route]:
    """Return the routes of an endpoint's collection and of its items; ``around`` puts the cache around a verb."""
    cls: Any = plan.endpoint
    invoke = partial(invoked, store)
    routes = []
    for verbs in (_COLLECTION, _ITEM):
        chosen = _served(plan, verbs)
        access, functions = access_for(
            cls.__name__, {verb: plan.authentication[verb] for verb in chosen}, invoke=invoke, validator=validator
        )
        hooks = [hook for verb in chosen.values() for hook in _hooks(cls, verb)]
        if plan.has_queryset and (hooks or plan.scoped or "POST" in verbs):
            hooks.append(cls.queryset)
        if "POST" in verbs:
            hooks += [backend.filter_queryset for backend in plan.filters.custom]
        functions = [*middlewares, *functions, *hooks]
        handlers = {name: _handler(plan, store, name, verb) for name, verb in chosen.items()}
        routes.append(
            make_route(
                handlers if around is None else {name: around(name, handlers[name]) for name in handlers},
                access=access,
                is_async=store.is_async or any(map(is_async, functions)),
                is_blocking=bool(functions),
                nests=bool(hooks),
            )
        )
    return routes[0], routes[1]


class Answering(NamedTuple):
    """What answers one verb of a collection or an item."""

    action: str
    """``list``, ``retrieve``, ``create``, ``update`` or ``destroy``."""
    override: Callable[..., Any] | None
    """The method of the class that answers instead of ours."""


def answering(plan: Plan, *, item: bool) -> dict[str, Answering]:
    """Return what answers each verb on the collection, or on an item."""
    return {
        name: Answering(verb.action, next(iter(_hooks(plan.endpoint, verb)), None))
        for name, verb in _served(plan, _ITEM if item else _COLLECTION).items()
    }


def _served(plan: Plan, verbs: Mapping[str, Verb]) -> dict[str, Verb]:
    """Return those verbs of the collection, or of items, that the endpoint answers."""
    cls: Any = plan.endpoint
    allowed = cls._allowed_methods if plan.retrievable or verbs is _COLLECTION else ()
    return {name: verb for name, verb in verbs.items() if name in allowed}


def _overridden(cls: Any, name: str) -> bool:
    return getattr(cls, name) is not getattr(RestEndpoint, name)


def _hooks(cls: Any, verb: Verb) -> list[Callable[..., Any]]:
    return [getattr(cls, name) for name in verb if _overridden(cls, name)]


def _handler(plan: Plan, store: Any, name: str, verb: Verb) -> Handler:
    cls: Any = plan.endpoint
    needs_queryset = plan.has_queryset and (plan.scoped or verb.action == "list")
    needs_filters = plan.filters.custom and verb.action == "list"
    if _hooks(cls, verb) or needs_filters or (needs_queryset and verb.action != "create"):
        return _hooked(plan, store, name, verb)
    return _DEFAULTS[verb.action](plan, store, name)


async def _perform(store: Any, plan: Plan, operation: Operation) -> Response:
    """Do the database work of a default verb, as one unit."""
    try:
        response: Response = await store.aonce(operation.work, write=operation.write, transaction=operation.transaction)
    except SQLAlchemyError as error:
        known = translate(error, table=plan.table, deleting=operation.deleting)
        if known is None:
            raise
        if operation.keyed and isinstance(known, InvalidInput):
            raise NotFound from error
        raise known from error
    return response


def _list(plan: Plan, store: Any, verb: str) -> Handler:
    async def handle(request: StarletteRequest) -> Response:
        return await _perform(store, plan, actions.listing(plan, request))

    return handle


def _retrieve(plan: Plan, store: Any, verb: str) -> Handler:
    async def handle(request: StarletteRequest) -> Response:
        return await _perform(store, plan, actions.retrieving(plan, request.path_params["id"]))

    return handle


def _create(plan: Plan, store: Any, verb: str) -> Handler:
    async def handle(request: StarletteRequest) -> Response:
        body = await _body(request)
        return await _perform(store, plan, actions.creating(plan, body, request))

    return handle


def _update(plan: Plan, store: Any, verb: str) -> Handler:
    partial = verb == "PATCH"

    async def handle(request: StarletteRequest) -> Response:
        body = await _body(request)
        key = request.path_params["id"]
        return await _perform(store, plan, actions.updating(plan, body, key, partial=partial))

    return handle


def _destroy(plan: Plan, store: Any, verb: str) -> Handler:
    async def handle(request: StarletteRequest) -> Response:
        return await _perform(store, plan, actions.destroying(plan, request.path_params["id"]))

    return handle


async def _body(request: StarletteRequest) -> bytes:
    assert isinstance(request, Request)
    return await read_body(request)


_DEFAULTS: dict[str, Callable[[Plan, Any, str], Handler]] = {
    "list": _list,
    "retrieve": _retrieve,
    "create": _create,
    "update": _update,
    "destroy": _destroy,
}


def _hooked(plan: Plan, store: Any, name: str, verb: Verb) -> Handler:
    """Return the handler of a verb that the class overrides, wholly or by its queryset."""
    cls: Any = plan.endpoint
    method = verb.hook if _overridden(cls, verb.hook) else _async_twin(plan, verb.action)
    start = _starter(method, verb, name)
    waits = is_async(getattr(cls, method))
    hands_over = plan.has_async_queryset or plan.filters.is_async

    async def work(request: StarletteRequest, data: dict[str, Any] | None) -> Response:
        call = Call(plan, store, request)
        endpoint = cls.__new__(cls)
        endpoint._call = call
        committed = False
        try:
            result = start(endpoint, request, data)
            if inspect.isawaitable(result):
                # In a worker thread, what a plain function returns may have to wait for its async queryset.
                in_thread = hands_over and not (store.is_async or has_running_loop())
                result = call.wait(result) if in_thread else await result
            response = actions.as_response(plan, result, name)
            committed = response.status_code < 400  # noqa: PLR2004  a refusal changes nothing
        finally:
            await call.unit.aclose(commit=committed)
        return call.finish(response, committed=committed)

    async def handle(request: StarletteRequest) -> Response:
        data = parse_object(await _body(request)) if name in _WITH_BODY else None
        coroutine = work(request, data)
        if store.is_async or waits:
            answer: Response = await store.enter_async(coroutine)
        elif has_running_loop():
            answer = await store.enter(drive, coroutine, nested=True)
        else:
            answer = await coroutine
        return answer

    return handle


Starter = Callable[[Any, StarletteRequest, dict[str, Any] | None], Any]


def _starter(method: str, verb: Verb, name: str) -> Starter:
    """Return what calls the method that answers, with the arguments of its signature."""
    if verb.action == "create" and method != verb.hook:
        return lambda endpoint, request, data: endpoint.create(data)
    if verb.action == "update" and method != verb.hook:
        partial = name == "PATCH"
        return lambda endpoint, request, data: getattr(endpoint, method)(data, request.path_params["id"], partial)
    if verb.action == "list" or method == verb.hook:
        return lambda endpoint, request, data: getattr(endpoint, method)(request)
    return lambda endpoint, request, data: getattr(endpoint, method)(request, request.path_params["id"])


def _async_twin(plan: Plan, action: str) -> str:
    """Return the method of a default action: the async helper where the queryset is async."""
    waits = (plan.has_async_queryset and action != "create") or (action == "list" and plan.filters.is_async)
    if waits and not _overridden(plan.endpoint, action):
        return f"_{action}_async"
    return action
