"""The bodies of requests and answers: the models of an endpoint, and what its overrides are annotated with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter
from sqlalchemy import Select
from starlette.responses import Response
from typing_extensions import is_typeddict

from lightapi.handlers import Answering
from lightapi.openapi.json_schema import Wanted
from lightapi.plan import Plan
from lightapi.schema import answer_model

__all__ = ["SENT", "page_schema", "settle_defaults", "wanted_bodies"]


SENT = {"POST": "create", "PUT": "replace", "PATCH": "patch"}
"""The schema of what a verb sends."""


def wanted_bodies(plan: Plan, answering: Mapping[str, Answering]) -> dict[str, Wanted]:
    """Return what the operations of an endpoint send and get.

    The keys are ``create``, ``replace``, ``patch``, ``read``, ``written``, and ``sent GET item`` or
    ``answered POST collection`` for what an override's annotations say.
    """
    endpoint: Any = plan.endpoint
    verbs = {where.partition(" ")[0] for where in answering}
    wanted: dict[str, Wanted] = {
        use: ("validation", TypeAdapter(getattr(endpoint._schemas, use))) for verb, use in SENT.items() if verb in verbs
    }
    config: ConfigDict = getattr(endpoint, "model_config", ConfigDict())
    same = plan.written.names == plan.read.names
    if "GET" in verbs or (same and verbs & SENT.keys()):
        read = answer_model(f"{endpoint.__name__}Read", endpoint._shape, plan.read.names, config)
        wanted["read"] = wanted["written"] = ("serialization", TypeAdapter(read))
    if not same and verbs & SENT.keys():
        written = answer_model(f"{endpoint.__name__}Written", endpoint._shape, plan.written.names, config)
        wanted["written"] = ("serialization", TypeAdapter(written))
    for where, each in answering.items():
        if each.override is not None:
            answered, sent = annotations_of(each.override)
            wanted |= {f"answered {where}": ("serialization", answered)} if answered else {}
            wanted |= {f"sent {where}": ("validation", sent)} if sent else {}
    return wanted


def annotations_of(override: Callable[..., Any]) -> tuple[TypeAdapter[Any] | None, TypeAdapter[Any] | None]:
    """Return what an override answers, and what its ``data`` is; None for what its annotations don't tell."""
    try:
        signature = inspect.signature(override, eval_str=True)
    except Exception:  # noqa: BLE001  names that only a type checker sees
        return None, None
    data = signature.parameters.get("data")
    return _adapter(signature.return_annotation), _model(data.annotation if data is not None else None)


def _model(annotation: Any) -> TypeAdapter[Any] | None:
    is_model = inspect.isclass(annotation) and issubclass(annotation, BaseModel)
    return _adapter(annotation) if is_model or is_typeddict(annotation) else None


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    if annotation in (inspect.Signature.empty, Any, None, object, dict, list):
        return None
    if inspect.isclass(annotation) and issubclass(annotation, (Response, Select)):
        return None
    try:
        return TypeAdapter(annotation)
    except Exception:  # noqa: BLE001  a Response in a union, a type of the user's: nothing that is JSON
        return None


def settle_defaults(schema: dict[str, Any]) -> None:
    """Remove defaults of null from properties that may not be null: they say that a key may be left out."""
    for value in schema.get("properties", {}).values():
        if "default" in value and value["default"] is None and not _nullable(value):
            del value["default"]


def _nullable(schema: Mapping[str, Any]) -> bool:
    if not schema.keys() & {"type", "anyOf", "enum", "const", "$ref", "allOf", "oneOf"}:
        return True
    kinds = schema.get("type", ())
    alternatives = schema.get("anyOf", ())
    return "null" in ([kinds] if isinstance(kinds, str) else kinds) or any(map(_nullable, alternatives))


def page_schema(plan: Plan, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a list answers: its rows, and the keys of its pagination around them."""
    results = {"results": {"type": "array", "items": dict(row)}}
    pagination = plan.pagination
    if pagination is None:
        return {"type": "object", "properties": results, "required": ["results"]}
    link = {"type": ["string", "null"]}
    counts: dict[str, Any] = {}
    if pagination.style != "cursor" and pagination.count is not False:
        counts["count"] = {"type": "integer", "minimum": 0, "description": _COUNTS[pagination.count]}
        if pagination.style == "page_number":
            counts["pages"] = {"type": "integer", "minimum": 0}
    properties = {**counts, "next": {**link, "description": _NEXT[pagination.style]}, "previous": link, **results}
    return {"type": "object", "properties": properties, "required": list(properties)}


_COUNTS: dict[Any, str] = {
    True: "rows of all pages together",
    "capped": "rows of all pages together, as far as they are counted",
    "estimate": "rows of all pages together, roughly where nothing is filtered",
}
_NEXT = {
    "page_number": "reference of the next page",
    "limit_offset": "reference of the next page",
    "cursor": "`cursor` of the next page",
}
