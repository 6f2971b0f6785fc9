"""Whether a caller may: permissions, and how they are combined."""

from __future__ import annotations

import inspect
from abc import ABCMeta
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from starlette.requests import Request

from lightapi.config import check_call
from lightapi.exceptions import ConfigurationError
from lightapi.http.drive import Decision, drive, is_async

__all__ = [
    "AllowAny",
    "BasePermission",
    "Combined",
    "DenyAll",
    "IsAdminUser",
    "IsAuthenticated",
    "allows_all",
    "allows_anonymous",
    "decided",
    "leaves",
    "made",
    "named",
]


class _Combining(ABCMeta):
    """Let classes of permissions combine like their instances: ``IsAuthenticated & IsOwner``."""

    def __and__(cls, other: Any) -> All:
        return All(cls, other)

    def __rand__(cls, other: Any) -> All:
        return All(other, cls)

    def __or__(cls, other: Any) -> Any_:  # type: ignore[override]
        return Any_(cls, other)

    def __ror__(cls, other: Any) -> Any_:  # type: ignore[override]
        return Any_(other, cls)

    def __invert__(cls) -> Not:
        return Not(cls)

    def __bool__(cls) -> bool:
        raise TypeError("combine permissions with &, | and ~, not with 'and', 'or' and 'not'")


class BasePermission(metaclass=_Combining):
    """Override ``has_permission`` to decide about a request; it may be ``async def``.

    Permissions combine, as classes and as instances: ``A & B``, ``A | B``, ``~A``.
    """

    def has_permission(self, request: Request) -> Any:
        """Return True to let the request pass, False for a 403."""
        return True

    def __and__(self, other: Any) -> All:
        return All(self, other)

    def __rand__(self, other: Any) -> All:
        return All(other, self)

    def __or__(self, other: Any) -> Any_:
        return Any_(self, other)

    def __ror__(self, other: Any) -> Any_:
        return Any_(other, self)

    def __invert__(self) -> Not:
        return Not(self)

    def __bool__(self) -> bool:
        raise TypeError("combine permissions with &, | and ~, not with 'and', 'or' and 'not'")


class AllowAny(BasePermission):
    """Everybody may call."""

    def has_permission(self, request: Request) -> bool:
        """Return True."""
        return True


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


Ask = Callable[[Any], Awaitable[bool]]
"""Decides one part of a combined permission."""


class Combined(BasePermission):
    """A permission made of others."""

    symbol = ""
    settles = False
    """The answer of one part that decides for all."""

    def __init__(self, *parts: Any) -> None:
        self.parts = tuple(_made(part) for part in parts)

    async def decide(self, ask: Ask) -> bool:
        """Return the decision; parts that can't change it any more are not asked."""
        for part in self.parts:
            if await ask(part) is self.settles:
                return self.settles
        return not self.settles

    def has_permission(self, request: Request) -> Any:
        """Return the decision, an awaitable of it where a part waits; each part is asked where it stands."""

        async def ask(part: Any) -> bool:
            answer = part.has_permission(request)
            return decided(part.has_permission, await answer if inspect.isawaitable(answer) else answer)

        decision = self.decide(ask)
        waits = any(is_async(part.has_permission) for part in leaves(self))
        return Decision(decision) if waits else drive(decision)

    def __str__(self) -> str:
        return f"({f' {self.symbol} '.join(map(named, self.parts))})"


class All(Combined):
    """``A & B``."""

    symbol = "&"


class Any_(Combined):  # noqa: N801  Any is a type
    """``A | B``."""

    symbol = "|"
    settles = True


class Not(Combined):
    """``~A``."""

    async def decide(self, ask: Ask) -> bool:
        """Return True when the part does not."""
        return not await ask(self.parts[0])

    def __str__(self) -> str:
        return f"~{named(self.parts[0])}"


def named(permission: Any) -> str:
    """Return how a permission is called: its class's name, or the formula it is made of."""
    return str(permission) if isinstance(permission, Combined) else type(permission).__name__


def allows_all(permission: Any) -> bool:
    """Return True for a permission that lets everybody pass: ``AllowAny`` and its subclasses."""
    return getattr(permission.has_permission, "__func__", None) is AllowAny.has_permission


def allows_anonymous(permission: Any) -> bool:
    """Return True where a permission made of ours lets a caller pass whom nobody named."""
    answer = _for_anonymous(permission)
    return answer is True


def _for_anonymous(permission: Any) -> bool | None:
    """Return what is decided about an anonymous caller, None where that is up to code of the user's."""
    if isinstance(permission, Combined):
        answers = [_for_anonymous(part) for part in permission.parts]
        if isinstance(permission, Not):
            return None if answers[0] is None else not answers[0]
        decisive = isinstance(permission, Any_)
        if decisive in answers:
            return decisive
        return None if None in answers else not decisive
    known = {
        AllowAny.has_permission: True,
        IsAuthenticated.has_permission: False,
        IsAdminUser.has_permission: False,
        DenyAll.has_permission: False,
    }
    return known.get(getattr(permission.has_permission, "__func__", None))  # type: ignore[arg-type]


def leaves(permission: Any) -> Iterator[Any]:
    """Yield the plain permissions that a permission is made of."""
    if isinstance(permission, Combined):
        for part in permission.parts:
            yield from leaves(part)
    else:
        yield permission


def decided(function: Callable[..., Any], answer: Any) -> bool:
    """Return a decision; anything but True, False or None is a TypeError: a truthy object must not let anybody in."""
    if answer is None or isinstance(answer, bool):
        return bool(answer)
    name = getattr(function, "__qualname__", repr(function))
    raise TypeError(f"{name} returned {type(answer).__name__}; allowed: True or False")


def made(given: Any, what: str) -> Any:
    """Return an instance of what was given as a class, an instance as it is; raise ConfigurationError."""
    try:
        return given() if inspect.isclass(given) else given
    except TypeError as error:
        raise ConfigurationError(
            f"{what}: {given.__name__} can't be made without arguments ({error}); give an instance"
        ) from error


def _made(part: Any) -> Any:
    if not callable(getattr(part, "has_permission", None)):
        raise ConfigurationError(f"a permission combined with {part!r}, which has no method has_permission(request)")
    check_call(f"a permission combined with {part!r}", part, "has_permission", "request")
    return made(part, "a permission")
