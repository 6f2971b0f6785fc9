"""Answers: what stands around a body, and every refusal that an operation may answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["COMPONENTS", "HEADERS", "REFUSALS", "answer", "refusals"]

_TEXT = {"type": "string"}
HEADERS: dict[str, dict[str, Any]] = {
    "location": {"Location": {"description": "reference of the new row", "schema": _TEXT}},
    "link": {"Link": {"description": "the pages around this one (RFC 8288)", "schema": _TEXT}},
}

COMPONENTS: dict[str, Any] = {
    "LightAPI.Refusal": {
        "type": "object",
        "description": "why a request was refused",
        "properties": {"detail": {"type": "string"}},
        "required": ["detail"],
    },
    "LightAPI.InvalidInput": {
        "type": "object",
        "description": "every value that is wrong",
        "properties": {"detail": {"type": "array", "items": {"$ref": "#/components/schemas/LightAPI.Problem"}}},
        "required": ["detail"],
    },
    "LightAPI.Problem": {
        "type": "object",
        "properties": {
            "type": {"type": "string", "description": "kind of the problem"},
            "loc": {
                "type": "array",
                "description": "where the value stands: its path in the body, or `query` and the parameter",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            },
            "msg": {"type": "string"},
        },
        "required": ["type", "loc", "msg"],
    },
}
"""The schemas of all refusals; no class has a dot in its name."""


def answer(description: str, schema: Any = None, headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return one answer; without a schema it has no body."""
    found: dict[str, Any] = {"description": description}
    if headers:
        found["headers"] = dict(headers)
    if schema is not None:
        found["content"] = {"application/json": {"schema": schema}}
    return found


def _refusal(description: str, schema: str = "Refusal", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): {"description": text, "schema": _TEXT} for name, text in headers.items()}
    return answer(description, {"$ref": f"#/components/schemas/LightAPI.{schema}"}, named)


REFUSALS: dict[str, dict[str, Any]] = {
    "400": _refusal("the request is broken"),
    "401": _refusal("credentials are missing or wrong", WWW_Authenticate="what to authenticate with"),
    "403": _refusal("not permitted"),
    "404": _refusal("there is no such row"),
    "409": _refusal("another row is in the way, or the version is not the current one"),
    "413": _refusal("the body is too large"),
    "415": _refusal("the body is not plain JSON in UTF-8"),
    "422": _refusal("a value is wrong", "InvalidInput"),
    "429": _refusal("too many failed logins", Retry_After="seconds to wait"),
    "503": _refusal("the database can't answer now", Retry_After="seconds to wait"),
}


def refused(statuses: Iterable[str]) -> dict[str, Any]:
    """Return references to the refusals with these statuses."""
    return {status: {"$ref": f"#/components/responses/{NAMES[status]}"} for status in sorted(statuses)}


NAMES = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "409": "Conflict",
    "413": "TooLarge",
    "415": "UnsupportedMediaType",
    "422": "InvalidInput",
    "429": "TooManyRequests",
    "503": "Unavailable",
}
"""The components of the refusals, by status."""


def refusals(verb: str, *, item: bool, access: Any, asked: bool) -> dict[str, Any]:
    """Return what an operation may answer instead of what it was asked for.

    ``asked``: its query string is read.
    """
    statuses = {"503"}
    if access is not None:
        statuses |= {"403"} if not access.is_public else set()
        statuses |= {"401"} if access.backends and not access.is_public else set()
    if item:
        statuses.add("404")
    if asked:
        statuses.add("422")
    if verb in ("POST", "PUT", "PATCH"):
        statuses |= {"400", "409", "413", "415", "422"}
    if verb == "DELETE":
        statuses.add("409")
    return refused(statuses)
