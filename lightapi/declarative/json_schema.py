"""The JSON Schema of a file, for editors: made of the shape that files are checked against."""

from __future__ import annotations

from functools import cache
from typing import Any

from lightapi.declarative.shape import FileShape

__all__ = ["json_schema", "keys_at"]

_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a LightAPI file."""
    schema = FileShape.model_json_schema(by_alias=True)
    schema["$defs"] = {name: _plain(part) for name, part in sorted(schema["$defs"].items())}
    schema["$defs"]["Variable"] = {"description": "Filled in from the environment.", **_VARIABLE}
    schema["properties"] = {name: _plain(part) for name, part in schema["properties"].items()}
    schema["patternProperties"] = {"^x-": {"description": "Anything, for anchors."}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "LightAPI"}


def _plain(schema: Any) -> Any:
    """Leave out what tells an editor nothing, and allow a variable wherever a value is limited."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    about = {"description": schema["description"]} if "description" in schema else {}
    rest = {name: value for name, value in schema.items() if name not in ("title", "default", "description")}
    if "oneOf" in rest:
        rest["anyOf"] = rest.pop("oneOf")
    for name in ("items", "additionalProperties", "anyOf"):
        if name in rest:
            rest[name] = _plain(rest[name])
    if "patternProperties" in rest:
        rest["additionalProperties"] = False
    if "properties" in rest:
        rest["properties"] = {name: _plain(each) for name, each in rest["properties"].items()}
    limited = rest.get("type") in ("integer", "number", "boolean") or {"enum", "const", "pattern"} & rest.keys()
    return {**about, "anyOf": [rest, {"$ref": "#/$defs/Variable"}]} if limited else {**about, **rest}


@cache
def _schema() -> dict[str, Any]:
    return FileShape.model_json_schema(by_alias=True)


def keys_at(path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a mapping at this path may have; none where any may stand."""
    found = _variants(_schema())
    for part in path:
        inner = [each["items"] for each in found if "items" in each] if isinstance(part, int) else _below(found, part)
        found = [variant for each in inner for variant in _variants(each)]
    return [name for each in found for name in each.get("properties", ())]


def _below(found: list[dict[str, Any]], key: str) -> list[Any]:
    own = [each["properties"][key] for each in found if key in each.get("properties", ())]
    return own or [
        inner
        for each in found
        for inner in (each.get("additionalProperties"), *each.get("patternProperties", {}).values())
        if isinstance(inner, dict)
    ]


def _variants(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the forms of a schema, references followed."""
    if "$ref" in schema:
        return _variants(_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    forms = schema.get("anyOf") or schema.get("oneOf")
    return [each for form in forms for each in _variants(form)] if forms else [schema]
