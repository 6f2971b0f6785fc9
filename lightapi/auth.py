"""Who is calling, and whether they may: backends and permissions."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from starlette.requests import Request

from lightapi.config import Authentication
from lightapi.exceptions import AuthenticationFailed, PermissionDenied

__all__ = [
    "AllowAny",
    "BaseAuthentication",
    "BasePermission",
    "IsAdminUser",
    "IsAuthenticated",
    "access_for",
]


class BaseAuthentication:
    """Override ``authenticate`` to name the user of a request; it may be ``async def``."""

    challenge: ClassVar[str] = "Bearer"
    """The ``WWW-Authenticate`` header of a 401 (RFC 9110 section 11.6.1)."""

    def authenticate(self, request: Request) -> Any:
        """Return True and set ``request.state.user``, or return False for a 401."""
        return False


class BasePermission:
    """Override ``has_permission`` to decide about a request; it may be ``async def``."""

    def has_permission(self, request: Request) -> Any:
        """Return True to let the request pass, False for a 403."""
        return True


class AllowAny(BasePermission):
    """Everybody may call."""


class IsAuthenticated(BasePermission):
    """Only a named user may call."""

    def has_permission(self, request: Request) -> bool:
        """Return True when ``request.state.user`` is not None."""
        return request.state.user is not None


class IsAdminUser(BasePermission):
    """Only a user whose ``is_admin`` is JSON ``true`` may call."""

    def has_permission(self, request: Request) -> bool:
        """Return True when ``request.state.user["is_admin"] is True``."""
        user = request.state.user
        return isinstance(user, Mapping) and user.get("is_admin") is True


class DenyAll(BasePermission):
    """Nobody may call: what a verb gets that a dict of permissions leaves out."""

    def has_permission(self, request: Request) -> bool:
        """Return False."""
        return False


Invoke = Callable[..., Awaitable[Any]]
"""Calls a user's function, sync or async, where it may block."""


class VerbAccess:
    """Authentication, then permission, of one verb of one endpoint."""

    def __init__(self, backend: Any, permission: Any, *, is_public: bool, invoke: Invoke) -> None:
        self._backend = backend
        self._permission = permission
        self._is_public = is_public
        self._invoke = invoke

    async def __call__(self, request: Request) -> None:
        """Set ``request.state.user``; raise AuthenticationFailed or PermissionDenied."""
        backend = self._backend
        if backend is not None and not await self._authenticated(backend, request):
            request.state.user = None
            if not self._is_public:
                challenge = getattr(backend, "challenge", BaseAuthentication.challenge)
                raise AuthenticationFailed(headers={"WWW-Authenticate": challenge})
        if not _decided(self._permission.has_permission, await self._invoke(self._permission.has_permission, request)):
            raise PermissionDenied

    async def _authenticated(self, backend: Any, request: Request) -> bool:
        try:
            return _decided(backend.authenticate, await self._invoke(backend.authenticate, request))
        except AuthenticationFailed:
            return False


def _decided(function: Callable[..., Any], answer: Any) -> bool:
    """Return a decision; anything but True, False or None is a TypeError: a truthy object must not let anybody in."""
    if answer is None or isinstance(answer, bool):
        return bool(answer)
    raise TypeError(f"{function.__qualname__} returned {type(answer).__name__}; allowed: True or False")


def access_for(
    authentication: Authentication, verbs: tuple[str, ...], invoke: Invoke
) -> tuple[dict[str, VerbAccess], list[Callable[..., Any]]]:
    """Return each verb's access, and the user's functions it calls.

    A verb that everybody may call without a backend has none: it costs nothing.
    """
    backend = _instance(authentication.backend)
    access: dict[str, VerbAccess] = {}
    functions: list[Callable[..., Any]] = []
    for verb in verbs:
        permission = _permission_of(authentication, verb)
        is_public = type(permission) is AllowAny
        if backend is None and is_public:
            continue
        access[verb] = VerbAccess(backend, permission, is_public=is_public, invoke=invoke)
        functions.append(permission.has_permission)
        if backend is not None:
            functions.append(backend.authenticate)
    return access, functions


def _instance(given: Any) -> Any:
    return given() if inspect.isclass(given) else given


def _permission_of(authentication: Authentication, verb: str) -> Any:
    permission = authentication.permission
    if isinstance(permission, Mapping):
        return _instance(permission.get(verb, DenyAll))
    if permission is None:
        return AllowAny() if authentication.backend is None else IsAuthenticated()
    return _instance(permission)
