"""JSON Web Tokens (RFC 7519): what an app accepts and issues, decided when it is built."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json, to_jsonable_python

from lightapi.config import ALGORITHMS, names_in, one_of
from lightapi.exceptions import ConfigurationError, ServiceUnavailable
from lightapi.keysets import KeySet

__all__ = ["TokenRules", "Tokens"]

logger = logging.getLogger("lightapi")


@dataclass(frozen=True, kw_only=True)
class TokenRules:
    """What was declared about tokens; ``Tokens`` fills in the environment and checks it."""

    secret: str | bytes | None = field(repr=False)
    algorithms: Sequence[str]
    public_key: Any
    private_key: Any = field(repr=False)
    jwks_url: str | None
    audience: str | Sequence[str] | None
    issuer: str | Sequence[str] | None
    leeway: float
    require_exp: bool | None
    lifetime: int
    claims: Sequence[str] | None


class Tokens:
    """Verifies tokens, and issues them where it has a key to sign with.

    Raises ConfigurationError, which names ``where``, for rules that can't work.
    """

    def __init__(self, where: str, rules: TokenRules) -> None:
        import jwt  # as late as the first backend that needs it
        from jwt.utils import base64url_decode

        self._rules = rules
        self._algorithms = _checked_algorithms(where, rules)
        _check_numbers(where, rules)
        symmetric = self._algorithms[0].startswith("HS")
        self.keys = KeySet(where, rules.jwks_url) if rules.jwks_url else None
        self._signing_key = _secret(where, rules) if symmetric else rules.private_key
        self._key = self._signing_key if symmetric else rules.public_key
        required = ["exp"] if _requires_exp(where, rules.require_exp) else []
        # Secrets are padded to any length it asks for, so what it enforces are the sizes of asymmetric keys.
        self._codec: Any = jwt.PyJWT({"require": required, "enforce_minimum_key_length": True})
        self._header_of = jwt.get_unverified_header
        self._decode_part = base64url_decode
        self._check_keys(where)

    @property
    def issues(self) -> tuple[Any, ...]:
        """What issued tokens are like: algorithm, seconds of life, claims."""
        return (self._algorithms[0], self._rules.lifetime, tuple(self._rules.claims or ()))

    @property
    def can_issue(self) -> bool:
        """True when there is a key to sign with."""
        return self._signing_key is not None

    def verify(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token that holds in every respect, else None.

        Raises ServiceUnavailable while no key set can be fetched. May fetch one: see ``fetches_for``.
        """
        try:
            decoded: dict[str, Any] = self._codec.decode_complete(
                token,
                key=self._key if self.keys is None else self.keys.key_of(*self._key_id(token)),
                algorithms=self._algorithms,
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                leeway=self._rules.leeway,
            )
            claims: dict[str, Any] = decoded["payload"]
            if "crit" in decoded["header"]:
                return None  # we know no extensions (RFC 7515 section 4.1.11)
            # PyJWT reads what is no JSON: NaN, and text that no encoding has.
            from_json(self._decode_part(token.split(".")[1]), allow_inf_nan=False)
            return claims if all(_is_date(claims.get(name)) for name in ("exp", "nbf", "iat")) else None
        except ServiceUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  whatever the client's bytes cause, the token is not valid
            logger.debug("a token was refused: %s", type(error).__name__)
            return None

    def fetches_for(self, token: str) -> bool:
        """Tell whether ``verify`` would fetch the key set for this token, which takes its time."""
        if self.keys is None:
            return False
        try:
            return self.keys.would_fetch(self._key_id(token)[0])
        except Exception:  # noqa: BLE001  no token: nothing is fetched for it
            return False

    def _key_id(self, token: str) -> tuple[str | None, str]:
        """Return the ``kid`` and the ``alg`` of a token."""
        header = self._header_of(token)
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise ValueError("alg")
        key_id = header.get("kid")
        if key_id is not None and not isinstance(key_id, str):
            raise ValueError("kid")
        return key_id, algorithm

    def issue(self, user: Mapping[str, Any]) -> str:
        """Return a signed token of the user's claims, ``iat`` and ``exp``; ``sub`` and ``jti`` become strings.

        ``aud``, ``iss`` and ``nbf`` are not the user's to give: they are those configured.

        Values that JSON does not know are given as pydantic writes them.
        """
        given = to_jsonable_python(dict(user), fallback=str, inf_nan_mode="null")
        claims = self._rules.claims
        carried = {name: value for name, value in given.items() if not claims or name in claims or name == "sub"}
        for name in ("aud", "iss", "nbf"):
            carried.pop(name, None)
        for name in ("sub", "jti"):
            value = carried.pop(name, None)
            if value is not None:
                carried[name] = str(value)
        now = int(time.time())
        carried |= {"iat": now, "exp": now + self._rules.lifetime}
        if self._rules.audience is not None:
            audience = self._rules.audience
            carried["aud"] = audience if isinstance(audience, str) else list(audience)
        if self._rules.issuer is not None:
            issuer = self._rules.issuer
            carried["iss"] = issuer if isinstance(issuer, str) else next(iter(issuer))
        return self._codec.encode(carried, self._signing_key, algorithm=self._algorithms[0])  # type: ignore[no-any-return]

    def _check_keys(self, where: str) -> None:
        """Use every key once, so that a wrong one is found now."""
        try:
            if self._signing_key is not None:
                token = self.issue({"sub": "probe"})
                if self.keys is None:
                    self._codec.decode(
                        token,
                        key=self._key,
                        algorithms=self._algorithms,
                        audience=self._rules.audience,
                        issuer=self._rules.issuer,
                    )
            elif self.keys is None:
                _check_public_key(self._key, self._algorithms)
        except Exception as error:  # noqa: BLE001  whatever a wrong key causes
            raise ConfigurationError(f"{where}: the key does not fit {self._algorithms[0]}: {error}") from None


def _checked_algorithms(where: str, rules: TokenRules) -> list[str]:
    given: Any = rules.algorithms
    if not (isinstance(given, (str, list, tuple)) and given):
        raise ConfigurationError(f"{where}: algorithms={given!r} given; allowed: a list of names, at least one")
    algorithms = [given] if isinstance(given, str) else list(given)
    for algorithm in algorithms:
        one_of(f"{where}: algorithms", algorithm, ALGORITHMS)
    symmetric = {algorithm.startswith("HS") for algorithm in algorithms}
    if len(symmetric) > 1:
        raise ConfigurationError(f"{where}: algorithms={algorithms!r} mixes secrets with public keys; give one kind")
    asymmetric_given = [name for name in ("public_key", "private_key", "jwks_url") if getattr(rules, name) is not None]
    if symmetric == {True} and asymmetric_given:
        raise ConfigurationError(
            f"{where}: {asymmetric_given[0]} is for RS*, PS*, ES* and EdDSA; algorithms={algorithms!r} given"
        )
    if symmetric == {False}:
        if importlib.util.find_spec("cryptography") is None:
            raise ConfigurationError(
                f'{where}: {algorithms[0]} needs the extra "crypto": pip install "lightapi[crypto]"'
            )
        if (rules.public_key is None) == (rules.jwks_url is None):
            raise ConfigurationError(f"{where}: {algorithms[0]} needs either public_key or jwks_url")
    return algorithms


_LONGEST = 100 * 365 * 24 * 3600
"""Seconds; times beyond what a clock can show are refused."""


def _check_numbers(where: str, rules: TokenRules) -> None:
    leeway: Any = rules.leeway
    lifetime: Any = rules.lifetime
    if isinstance(leeway, bool) or not isinstance(leeway, (int, float)) or not 0 <= leeway <= _LONGEST:
        raise ConfigurationError(f"{where}: leeway={leeway!r} given; allowed: seconds, 0 to {_LONGEST}")
    if type(lifetime) is not int or not 1 <= lifetime <= _LONGEST:
        raise ConfigurationError(f"{where}: lifetime={lifetime!r} given; allowed: seconds, 1 to {_LONGEST}")
    names_in(f"{where}: extra_claims", rules.claims or None, "claim names")
    for name in ("audience", "issuer"):
        value = getattr(rules, name)
        several = isinstance(value, (list, tuple)) and value and all(isinstance(each, str) for each in value)
        if value is not None and not isinstance(value, str) and not several:
            raise ConfigurationError(f"{where}: {name}={value!r} given; allowed: a string, or a list of them")


_SECURE = 32
"""Bytes of a secret for HS256 (RFC 7518 section 3.2)."""
_BLOCK = 64


def _secret(where: str, rules: TokenRules) -> bytes:
    given = rules.secret if rules.secret is not None else os.environ.get("LIGHTAPI_JWT_SECRET")
    secret = given.encode() if isinstance(given, str) else given
    if not isinstance(secret, bytes) or not secret.strip():
        raise ConfigurationError(f"{where}: no secret: set LIGHTAPI_JWT_SECRET or pass secret=...")
    if len(secret) < _SECURE:
        warnings.warn(
            f"{where}: the secret has {len(secret)} bytes, a guessable length; use {_SECURE} or more "
            "(python -c 'import secrets; print(secrets.token_urlsafe(48))')",
            RuntimeWarning,
            stacklevel=2,
        )
    # HMAC itself fills a short key up with zeros (RFC 2104 section 2): the same signatures, and no warning per token.
    return secret.ljust(_BLOCK, b"\0")


def _requires_exp(where: str, given: Any) -> bool:
    if isinstance(given, bool):
        return given
    if given is not None:
        raise ConfigurationError(f"{where}: require_exp={given!r} given; allowed: True, False or None")
    return os.environ.get("LIGHTAPI_JWT_REQUIRE_EXP", "true").lower() not in ("0", "false", "no")


def _check_public_key(key: Any, algorithms: Sequence[str]) -> None:
    from jwt.algorithms import get_default_algorithms

    available = get_default_algorithms()
    for algorithm in algorithms:
        prepared = available[algorithm].prepare_key(key)
        problem = available[algorithm].check_key_length(prepared)
        if problem:
            raise ValueError(problem)


def _is_date(value: Any) -> bool:
    """Return True for a NumericDate, or nothing (RFC 7519 section 2): no string, no boolean, no infinity."""
    if value is None:
        return True
    return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
