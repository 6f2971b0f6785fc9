"""The login routes: a user name and a password for a token, or for the user's payload."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import to_json, to_jsonable_python
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from lightapi.auth import (
    BaseAuthentication,
    BasicAuthentication,
    JWTAuthentication,
    Validator,
    basic_credentials,
    validated,
)
from lightapi.exceptions import ApiError, AuthenticationFailed, ConfigurationError
from lightapi.http.body import read_body
from lightapi.http.drive import is_async
from lightapi.http.message import Request, error_response, json_response
from lightapi.limits import FailureLimiter, check_turn, key_of
from lightapi.plan import Route, make_route
from lightapi.schema import invalid_input
from lightapi.tokens import Tokens

__all__ = ["login_route", "login_tokens"]

logger = logging.getLogger("lightapi")

_MOST = 16 * 1024
"""Bytes of a login's body."""


class _Login(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    username: Annotated[str, StringConstraints(min_length=1)]
    password: Annotated[str, StringConstraints(min_length=1)]


def login_tokens(backends: list[BaseAuthentication], validator: Validator | None) -> Tokens | None:
    """Return what issues the tokens of the login routes; None where only Basic is used.

    An endpoint that says how tokens are to be goes before those that do not.
    Raises ConfigurationError when users can log in and no backend has a key to sign with.
    """
    every = [backend.tokens for backend in backends if isinstance(backend, JWTAuthentication)]
    able = [tokens for tokens in every if tokens.can_issue]
    if every and not able and validator is not None:
        raise ConfigurationError(
            "login_validator: no JWTAuthentication can issue tokens: public keys only verify; give private_key"
        )
    usual = [tokens for tokens in able if tokens.issues == _USUAL]
    special = [tokens for tokens in able if tokens not in usual]
    if len({tokens.issues for tokens in special}) > 1:
        others = {tokens.issues for tokens in special} - {special[0].issues}
        logger.warning(
            "the login routes issue one kind of token, that of the first endpoint that says how: %s; other endpoints "
            "say %s",
            _shown(special[0].issues),
            " and ".join(sorted(map(_shown, others))),
        )
    return next(iter([*special, *usual, *every]), None)


_USUAL = ("HS256", 3600, ())


def _shown(issues: tuple[Any, ...]) -> str:
    algorithm, seconds, claims = issues
    return f"{algorithm}, {seconds} s, claims {', '.join(claims) or 'all'}"


@dataclass(frozen=True, kw_only=True)
class _Door:
    """Answers the login routes: whom the validator knows gets in."""

    validator: Validator | None
    limiter: Any
    tokens: Tokens | None
    challenge: str
    call: Callable[..., Awaitable[Any]]
    """Calls a method of the limiter."""

    async def answer(self, request: StarletteRequest) -> Response:
        """Answer a login; what it answers is for nobody to keep."""
        try:
            username, password = await _given(request, self.challenge)
            answer: dict[str, Any] = {"user": await self._let_in(request, username, password)}
            if self.tokens is not None:
                answer = {"token": self.tokens.issue(answer["user"]), **answer}
            response = json_response(answer)
        except ApiError as error:
            response = error_response(error)
        response.raw_headers.append((b"cache-control", b"no-store"))
        return response

    async def _let_in(self, request: StarletteRequest, username: str, password: str) -> dict[str, Any]:
        refused = AuthenticationFailed(_WRONG, {"WWW-Authenticate": self.challenge})
        if self.validator is None:
            raise refused
        key = key_of(request, username)
        if self.limiter is not None:
            check_turn(await self.call(self.limiter.begin, key))
        user = None
        try:
            user = await _payload(self.validator, username, password)
        finally:
            if self.limiter is not None:
                await self.call(self.limiter.failed if user is None else self.limiter.succeeded, key)
        if user is None:
            raise refused
        return user


def login_route(
    backends: list[BaseAuthentication],
    validator: Validator | None,
    limiter: Any,
    *,
    invoke: Callable[..., Awaitable[Any]],
    on_loop: bool,
) -> Route:
    """Return the route of ``/auth/login`` and ``/auth/token``; ``on_loop`` where database work needs a loop."""
    tokens = login_tokens(backends, validator)
    kind = JWTAuthentication if tokens is not None else BasicAuthentication
    own = _functions_of(limiter)
    door = _Door(
        validator=validator,
        limiter=limiter,
        tokens=tokens,
        challenge=next(backend.challenge for backend in backends if isinstance(backend, kind)),
        call=invoke if own else _itself,
    )
    waits = on_loop or any(map(is_async, [*own, *([validator] if validator is not None else [])]))
    # Not "blocking": the validator gets a thread of its own, not a place among those for database work.
    return make_route({"POST": door.answer}, is_async=waits)


def _functions_of(limiter: Any) -> list[Callable[..., Any]]:
    """Return the functions of a limiter that is not ours."""
    if limiter is None or isinstance(limiter, FailureLimiter):
        return []
    return [limiter.begin, limiter.succeeded, limiter.failed]


async def _itself(function: Callable[..., Awaitable[Any]], key: str) -> Any:
    return await function(key)


async def _payload(validator: Validator, username: str, password: str) -> dict[str, Any] | None:
    """Return a user's payload as JSON has it; one that can't be JSON refuses, like a validator that raises."""
    user = await validated(validator, username, password)
    try:
        payload: dict[str, Any] | None = (
            None if user is None else to_jsonable_python(dict(user), fallback=str, inf_nan_mode="null")
        )
        to_json(payload)  # text that no encoding has
    except (ValueError, TypeError, RecursionError):
        logger.exception("what the login_validator returned is no JSON: the credentials are refused")
        return None
    return payload


_WRONG = "Invalid credentials"


async def _given(request: StarletteRequest, challenge: str) -> tuple[str, str]:
    """Return user name and password of a Basic header, else of the body.

    Raises AuthenticationFailed for a broken header, InvalidInput for what is missing or empty.
    """
    assert isinstance(request, Request)
    header = request.headers.get("authorization", "")
    if header.strip().partition(" ")[0].lower() == "basic":
        credentials = basic_credentials(request)
        if credentials is None:
            raise AuthenticationFailed(_WRONG, {"WWW-Authenticate": challenge})
        return _checked(lambda: _Login(username=credentials[0], password=credentials[1]))
    request.max_body_size = min(request.max_body_size, _MOST)
    body = await read_body(request)
    return _checked(lambda: _Login.model_validate_json(body))


def _checked(make: Callable[[], _Login]) -> tuple[str, str]:
    try:
        login = make()
    except ValidationError as error:
        raise invalid_input(error) from None
    return login.username, login.password
