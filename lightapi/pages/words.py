"""JSON Schema in words: what a value may be, as short markup."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from lightapi.pages.html import Markup, element, joined
from lightapi.storage import NO_NUL

__all__ = ["followed", "in_json", "name_of", "text_of", "type_of"]

_BOUNDS: Final = {
    "format": "{}",
    "minimum": "≥\N{NO-BREAK SPACE}{}",
    "exclusiveMinimum": ">\N{NO-BREAK SPACE}{}",
    "maximum": "≤\N{NO-BREAK SPACE}{}",
    "exclusiveMaximum": "<\N{NO-BREAK SPACE}{}",
    "multipleOf": "a multiple of {}",
    "minLength": "length ≥\N{NO-BREAK SPACE}{}",
    "maxLength": "length ≤\N{NO-BREAK SPACE}{}",
    "pattern": "matches {}",
    "minItems": "items ≥\N{NO-BREAK SPACE}{}",
    "maxItems": "items ≤\N{NO-BREAK SPACE}{}",
    "uniqueItems": "no item twice",
    "minProperties": "keys ≥\N{NO-BREAK SPACE}{}",
    "maxProperties": "keys ≤\N{NO-BREAK SPACE}{}",
}

_UNSAID: Final = (None, False, NO_NUL, -(2**31), 2**31 - 1)
"""No bound, or one that holds for every text or every integer of an API."""


def type_of(schema: Any) -> Markup:
    """Say what a schema allows; a schema that has a name is a link to it."""
    if not isinstance(schema, Mapping):
        return joined(("nothing" if schema is False else "anything",))
    if "$ref" in schema:
        name = name_of(schema["$ref"])
        return element("a", name, href=f"#schema-{quote(name)}")
    for keyword, between in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if keyword in schema:
            return joined([type_of(member) for member in schema[keyword]], between)
    if "const" in schema:
        return element("code", in_json(schema["const"]))
    if "enum" in schema:
        return joined([element("code", in_json(value)) for value in schema["enum"]], " or ")
    given = schema.get("type", "anything")
    kinds = given if isinstance(given, list) else [given]
    return joined((joined([_kind(kind, schema) for kind in kinds], " or "), _bounds(schema)))


def name_of(reference: str) -> str:
    """Return the last part of ``#/components/schemas/Name``."""
    return _unescaped(reference.rpartition("/")[2])


def _unescaped(step: str) -> str:
    """Undo the escapes of a JSON pointer (RFC 6901 section 4)."""
    return step.replace("~1", "/").replace("~0", "~")


def followed(value: Any, document: Mapping[str, Any]) -> Any:
    """Return what a part of the document says, or the part that it refers to."""
    if not isinstance(value, Mapping) or "$ref" not in value:
        return value
    found: Any = document
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[_unescaped(step)]
    return found


def text_of(description: str) -> Markup:
    """Return a description as text; what stands in backquotes is code."""
    pieces = description.strip().split("`")
    if len(pieces) % 2 == 0:
        # One backquote is closed by nothing.
        return joined((description.strip(),))
    return joined([element("code", piece) if i % 2 else joined((piece,)) for i, piece in enumerate(pieces)])


def in_json(value: Any) -> str:
    """Write a value as a client would."""
    return json.dumps(value, ensure_ascii=False)


def _kind(kind: str, schema: Mapping[str, Any]) -> Markup:
    if kind == "array":
        return joined(("array of ", type_of(schema.get("items", True))))
    if kind != "object":
        return joined((kind,))
    if "properties" in schema:
        members = [joined((f"{name}: ", type_of(member))) for name, member in schema["properties"].items()]
        return joined(("{", joined(members, ", "), "}"))
    extra = schema.get("additionalProperties")
    return joined(("object of ", type_of(extra))) if isinstance(extra, Mapping) and extra else joined(("object",))


def _bounds(schema: Mapping[str, Any]) -> Markup | None:
    said = [text.format(schema[keyword]) for keyword, text in _BOUNDS.items() if schema.get(keyword) not in _UNSAID]
    return joined((f" ({', '.join(said)})",)) if said else None
