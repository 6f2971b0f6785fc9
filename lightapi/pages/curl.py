"""The curl line of an operation, with a body made up from its schema."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from lightapi.pages.words import followed, in_json

__all__ = ["curl_line", "example_of"]

_BY_FORMAT: Final = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00",
    "duration": "PT1H",
    "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "email": "reader@example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_BY_TYPE: Final = {"boolean": True, "string": "text", "null": None}
_DEEPEST: Final = 6
"""A schema that refers to itself is not followed further."""


def curl_line(verb: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any], site: str) -> str:
    """Return the command that sends one good request."""
    words = ["curl"]
    if verb != "get":
        words.append(f"-X {verb.upper()}")
    words += _credentials(operation, document)
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, described in content.items():
        body = in_json(example_of(described.get("schema", True), document))
        words += [f'-H "Content-Type: {media_type}"', f"-d {shlex.quote(body)}"]
        break
    return " ".join([*words, shlex.quote(_url(path, operation, document, site))])


def example_of(schema: Any, document: Mapping[str, Any], depth: int = 0) -> Any:
    """Make up a value that the schema allows, as far as that can be told: a pattern may ask for more."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword][0]
    for keyword in ("default", "const"):
        if keyword in schema:
            return schema[keyword]
    if "$ref" in schema:
        return example_of(followed(schema, document), document, depth + 1)
    members = [member for keyword in ("anyOf", "oneOf", "allOf") for member in schema.get(keyword, ())]
    made = (example_of(member, document, depth + 1) for member in members)
    return next((value for value in made if value is not None), None) if members else _typed(schema, document, depth)


def _typed(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int) -> Any:
    given = schema.get("type", "string")
    kind = next((one for one in given if one != "null"), "null") if isinstance(given, list) else given
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "string":
        return _text(schema)
    if kind == "array":
        items = [example_of(schema.get("items", True), document, depth + 1)]
        return items * max(1, schema.get("minItems", 1)) if items != [None] else []
    if kind == "object":
        members = schema.get("properties", {}).items()
        made = {name: example_of(member, document, depth + 1) for name, member in members}
        required = schema.get("required", ())
        return {name: value for name, value in made.items() if value is not None or name in required}
    return _BY_TYPE.get(kind)


def _text(schema: Mapping[str, Any]) -> str:
    made = [_BY_FORMAT.get(schema.get("format", ""), "text"), "1", "1.50"]
    fitting = [text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")] for text in made]
    return next((text for text in fitting if _matches(schema.get("pattern", ""), text)), fitting[0])


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        # Patterns are those of pydantic's, which may say what Python's can't.
        return False


def _number(schema: Mapping[str, Any]) -> Any:
    step = schema.get("multipleOf", 1)
    value = max(step, schema.get("minimum", step), schema.get("exclusiveMinimum", 0) + step)
    return min(value, schema.get("maximum", value), schema.get("exclusiveMaximum", value + step) - step)


def _credentials(operation: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    wanted = operation.get("security", document.get("security")) or [{}]
    schemes = document.get("components", {}).get("securitySchemes", {})
    for name in next((one for one in wanted if one), {}):
        scheme = schemes.get(name, {})
        if scheme.get("scheme", "").lower() == "basic":
            return ['-u "$NAME:$PASSWORD"']
        if scheme.get("type") == "apiKey":
            return [f'-H "{scheme.get("name")}: $KEY"'] if scheme.get("in") == "header" else []
        return ['-H "Authorization: Bearer $TOKEN"']
    return []


def _url(path: str, operation: Mapping[str, Any], document: Mapping[str, Any], site: str) -> str:
    query = []
    for parameter in operation.get("parameters", ()):
        value = example_of(parameter.get("schema", True), document)
        text = quote(value if isinstance(value, str) else in_json(value))
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", text)
        elif parameter["in"] == "query" and parameter.get("required"):
            query.append(f"{quote(parameter['name'])}={text}")
    return site + path + (f"?{'&'.join(query)}" if query else "")
