"""Who may call an operation, as security schemes (OpenAPI 3.1.1 section 4.8.27)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lightapi.auth import BaseAuthentication, JWTAuthentication

__all__ = ["Schemes"]


class Schemes:
    """The security schemes of one document, each by a name of its own."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def required(self, access: Any) -> list[dict[str, list[str]]]:
        """Return the ``security`` of an operation: its backends as alternatives, and nobody where it is public."""
        names = list(dict.fromkeys(self._name(backend) for backend in access.backends))
        requirements: list[dict[str, list[str]]] = [{name: []} for name in names]
        return [*requirements, {}] if requirements and access.is_public else requirements

    def _name(self, backend: Any) -> str:
        name, scheme = re.sub(r"[^A-Za-z0-9._-]", "_", type(backend).__name__), scheme_of(backend)
        names = (name, *(f"{name}{number}" for number in range(2, len(self.found) + 3)))
        return next(each for each in names if self.found.setdefault(each, scheme) == scheme)


def scheme_of(backend: Any) -> dict[str, Any]:
    """Return what a backend's class says in ``openapi_scheme``, else what its ``challenge`` tells.

    A challenge begins with the name of an HTTP authentication scheme (RFC 9110 section 11.6.1).
    """
    declared = getattr(backend, "openapi_scheme", None)
    if isinstance(declared, Mapping):
        return dict(declared)
    if isinstance(backend, JWTAuthentication):
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    challenge = str(getattr(backend, "challenge", BaseAuthentication.challenge))
    first = _TOKEN.match(challenge)
    return {"type": "http", "scheme": first[0].lower() if first else "bearer"}


_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
