"""Every error LightAPI raises, and what each one means to a client.

LightApiError
├── ConfigurationError           a declaration is wrong: raised while the app is built
└── ApiError                     an answer: a status and a JSON ``{"detail": ...}``
    ├── AuthenticationFailed     401
    ├── PermissionDenied         403
    ├── NotFound                 404
    ├── MethodNotAllowed         405
    ├── Conflict                 409
    │   └── VersionConflict      409 "version conflict"
    ├── PayloadTooLarge          413
    ├── UnsupportedMediaType     415
    ├── InvalidInput             422
    ├── BadRequest               400
    ├── TooManyRequests          429, with ``Retry-After``
    └── ServiceUnavailable       503, with ``Retry-After``
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "ApiError",
    "AuthenticationFailed",
    "BadRequest",
    "ConfigurationError",
    "Conflict",
    "InvalidInput",
    "LightApiError",
    "MethodNotAllowed",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "ServiceUnavailable",
    "TooManyRequests",
    "UnsupportedMediaType",
    "VersionConflict",
    "nearest",
]


class LightApiError(Exception):
    """Base of everything LightAPI raises on purpose."""


class ConfigurationError(LightApiError):
    """A class, option or environment is declared wrongly; raised before any request is served.

    ``problems`` (a tuple of str) are its messages: several where several things are wrong.
    """

    @classmethod
    def of(cls, problems: Sequence[str], text: str | None = None) -> ConfigurationError:
        """Return one error of all messages, one or more; ``text`` stands in for the list of several."""
        listed = f"{len(problems)} problems:\n" + "\n".join(f"- {problem}" for problem in problems)
        error = cls(text or (problems[0] if len(problems) == 1 else listed))
        error._problems = tuple(problems)
        return error

    _problems: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """The messages, one for each thing that is wrong."""
        return self._problems or (str(self),)


class ApiError(LightApiError):
    """An HTTP answer raised where it is known and turned into a response in one place.

    ``detail`` (str, or a list of error objects for 422) becomes the JSON body
    ``{"detail": detail}``; ``headers`` are added to the response.
    """

    status_code = 500
    detail: Any = "internal server error"

    def __init__(self, detail: Any = None, headers: Mapping[str, str] | None = None) -> None:
        if detail is not None:
            self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(self.detail)


class BadRequest(ApiError):
    """The message itself is broken, for example a body shorter than its Content-Length."""

    status_code = 400
    detail = "bad request"


class AuthenticationFailed(ApiError):
    """The credentials are missing or wrong (RFC 9110 section 15.5.2)."""

    status_code = 401
    detail = "Authentication credentials invalid."


class PermissionDenied(ApiError):
    """The caller is known, or anonymous, and may not do this."""

    status_code = 403
    detail = "You do not have permission to perform this action."


class NotFound(ApiError):
    """There is no such path or row."""

    status_code = 404
    detail = "not found"


class MethodNotAllowed(ApiError):
    """The path exists and has no such verb; carries ``Allow`` (RFC 9110 section 15.5.6)."""

    status_code = 405

    def __init__(self, verbs: Iterable[str], allow: str) -> None:
        super().__init__(f"Method Not Allowed. Allowed: {', '.join(verbs)}", {"Allow": allow})


class Conflict(ApiError):
    """The row clashes with another one."""

    status_code = 409
    detail = "conflict"


class VersionConflict(Conflict):
    """Somebody else wrote the row since the client read it."""

    detail = "version conflict"


class PayloadTooLarge(ApiError):
    """The body is larger than ``max_body_size``."""

    status_code = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"body too large (limit {limit} bytes)")


class UnsupportedMediaType(ApiError):
    """The body is not plain UTF-8 JSON (RFC 9110 section 15.5.16)."""

    status_code = 415

    def __init__(self, detail: str) -> None:
        super().__init__(detail, {"Accept": "application/json", "Accept-Encoding": "identity"})


class InvalidInput(ApiError):
    """A value the client sent is wrong; ``detail`` is a list of ``{"type", "loc", "msg"}``."""

    status_code = 422


class TooManyRequests(ApiError):
    """Too many failures; the client may try again after ``retry_after`` seconds (RFC 6585 section 4)."""

    status_code = 429
    detail = "Too many failed logins. Try again later."

    def __init__(self, retry_after: float) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(retry_after)))})


class ServiceUnavailable(ApiError):
    """The database cannot answer now; the client may try again."""

    status_code = 503
    detail = "service unavailable"

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(headers={"Retry-After": str(retry_after)})


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest allowed name, or an empty string."""
    names = {name.casefold(): name for name in allowed}
    close = difflib.get_close_matches(given.casefold(), names, n=1, cutoff=0.6)
    return f"; did you mean {names[close[0]]!r}?" if close else ""
