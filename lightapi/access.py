"""Who may call each verb of an endpoint: decided when the app is built, asked per request."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lightapi.auth import BaseAuthentication, BasicAuthentication, JWTAuthentication, Validator
from lightapi.config import Authentication, backends_in
from lightapi.exceptions import AuthenticationFailed, ConfigurationError, PermissionDenied
from lightapi.http.message import add_missing, add_vary, owned
from lightapi.permissions import (
    AllowAny,
    Combined,
    DenyAll,
    IsAdminUser,
    IsAuthenticated,
    allows_all,
    decided,
    leaves,
    made,
    named,
)

__all__ = ["VerbAccess", "access_for"]

Invoke = Callable[..., Awaitable[Any]]
"""Calls a user's function, sync or async, where it may block."""


class VerbAccess:
    """Authentication, then permission, of one verb of one endpoint."""

    def __init__(self, backends: Sequence[Any], permission: Any, invoke: Invoke) -> None:
        self.backends = tuple(backends)
        self.permission = permission
        self.is_public = not isinstance(permission, Combined) and allows_all(permission)
        self._invoke = invoke
        self.challenge = ", ".join(dict.fromkeys(map(_challenge_of, backends))) or BaseAuthentication.challenge

    async def __call__(self, request: Request) -> None:
        """Set ``request.state.user``; raise AuthenticationFailed or PermissionDenied."""
        if self.backends and not await self._authenticated(request):
            request.state.user = None
            if not self.is_public:
                raise AuthenticationFailed(headers={"WWW-Authenticate": self.challenge})
        if not (self.is_public or await self._allowed(self.permission, request)):
            raise PermissionDenied

    def seal(self, request: Request, response: Response) -> Response:
        """Say to caches whose answer it is, unless the endpoint said so (RFC 9111 section 5.2.2.5)."""
        response = owned(response)
        if not self.is_public or request.state.user is not None:
            add_missing(response, b"cache-control", b"no-store")
        add_vary(response, b"Authorization, Cookie")
        return response

    async def _authenticated(self, request: Request) -> bool:
        """Ask the backends in their order; the first one that knows the caller counts."""
        for backend in self.backends:
            try:
                if await self._ask(backend.authenticate, request):
                    return True
            except AuthenticationFailed:
                pass
            request.state.user = None
        return False

    async def _allowed(self, permission: Any, request: Request) -> bool:
        if isinstance(permission, Combined):
            return await permission.decide(lambda part: self._allowed(part, request))
        return await self._ask(permission.has_permission, request)

    async def _ask(self, function: Callable[..., Any], request: Request) -> bool:
        if is_quick(function):
            answer = function(request)
            answer = await answer if inspect.isawaitable(answer) else answer
        else:
            answer = await self._invoke(function, request)
        return decided(function, answer)


_QUICK = frozenset(
    (
        JWTAuthentication.authenticate,
        BasicAuthentication.authenticate,
        BaseAuthentication.authenticate,
        AllowAny.has_permission,
        IsAuthenticated.has_permission,
        IsAdminUser.has_permission,
        DenyAll.has_permission,
    )
)


def is_quick(function: Any) -> bool:
    """Return True for a function of our own that may run on an event loop: it never blocks."""
    return getattr(function, "__func__", None) in _QUICK


def access_for(
    owner: str,
    authentication: Mapping[str, Authentication],
    *,
    invoke: Invoke,
    validator: Validator | None,
) -> tuple[dict[str, VerbAccess], list[Callable[..., Any]]]:
    """Return the access of each verb that is given, and the user's functions it calls.

    A verb that everybody may call without a backend has none: it costs nothing.
    Raises ConfigurationError for a backend that lacks what it needs.
    """
    ready: dict[int, list[Any]] = {}
    access: dict[str, VerbAccess] = {}
    functions: list[Callable[..., Any]] = []
    for verb, declared in authentication.items():
        try:
            if id(declared) not in ready:
                ready[id(declared)] = [_prepared(each, declared, validator) for each in backends_in(declared.backend)]
            backends = ready[id(declared)]
            permission = _permission_of(declared, verb, has_backend=bool(backends))
            verb_access = VerbAccess(backends, permission, invoke)
        except ConfigurationError as error:
            raise ConfigurationError(f"{owner}.Meta.authentication: {error}") from None
        if verb_access.is_public and not backends:
            continue
        access[verb] = verb_access
        functions += [leaf.has_permission for leaf in leaves(permission)]
        functions += [function for backend in backends for function in _functions_of(backend)]
    return access, [function for function in functions if not is_quick(function)]


def _prepared(given: Any, authentication: Authentication, validator: Validator | None) -> Any:
    backend = made(given, "backend")
    return backend.prepared(authentication, validator) if isinstance(backend, BaseAuthentication) else backend


def _challenge_of(backend: Any) -> str:
    """Return what a 401 says of a backend; raise ConfigurationError for what no header can hold."""
    challenge = getattr(backend, "challenge", BaseAuthentication.challenge)
    if not (isinstance(challenge, str) and challenge and challenge.isascii() and challenge.isprintable()):
        name = type(backend).__name__
        raise ConfigurationError(f"{name}.challenge={challenge!r} given; allowed: text, as in 'Bearer', in ASCII")
    return challenge


def _functions_of(backend: Any) -> list[Callable[..., Any]]:
    validator = backend.validator if isinstance(backend, BasicAuthentication) else None
    return [backend.authenticate, *([validator] if validator is not None else [])]


def _permission_of(authentication: Authentication, verb: str, *, has_backend: bool) -> Any:
    permission = authentication.permission
    if isinstance(permission, Mapping):
        permission = permission.get(verb, DenyAll)
    elif permission is None:
        permission = IsAuthenticated if has_backend else AllowAny
    return made(permission, "permission")


def called(access: VerbAccess | None) -> tuple[str, str]:
    """Return the names of the backends and of the permission, as ``LightApi.describe`` shows them."""
    if access is None:
        return "", "AllowAny"
    backends = ", ".join(type(backend).__name__ for backend in access.backends)
    return backends, named(access.permission)
