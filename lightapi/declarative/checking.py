"""Check a file against its shape, and say what is wrong in the words of the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lightapi.declarative.json_schema import keys_at
from lightapi.declarative.problems import Path
from lightapi.declarative.shape import EndpointShape, FileShape, Shape
from lightapi.declarative.substitution import Substituted
from lightapi.declarative.tree import Tree
from lightapi.exceptions import nearest

__all__ = ["check_shape", "endpoint_options", "options_of"]

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "too_short": "at least one",
    "string_too_short": "at least one character",
}
_LONGEST = 60


def check_shape(tree: Tree) -> dict[str, Any]:
    """Return the file's values as the shape reads them, without what is wrong; note what is wrong."""
    data = {name: value for name, value in tree.data.items() if not name.startswith("x-")}
    try:
        FileShape.model_validate(data)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=True):
            path = _path_of(data, each)
            if path not in tree.unreadable:
                tree.add(
                    path, _said(data, each, path), key=each["type"] == "extra_forbidden" or each["loc"][-1] == "[key]"
                )
    rest = {name: value for name, value in data.items() if name != "endpoints"}
    return _right(FileShape, rest, (), tree.wrong()) or {}


def _right(shape: type[Shape], data: Any, path: Path, wrong: set[Path]) -> dict[str, Any] | None:
    """Return the options of a mapping without what is wrong, and without what that leaves incomplete; None: nothing."""
    while path not in wrong:
        kept = _without(data, path, wrong)
        try:
            return options_of(shape.model_validate(kept))
        except ValidationError as error:
            wrong = wrong | {(*path, *_path_of(kept, each)) for each in error.errors()}
    return None


def _without(data: Any, path: Path, wrong: set[Path]) -> Any:
    """Return a copy of nested mappings without the values at the wrong paths."""
    if not isinstance(data, dict):
        return data
    pairs = {key: (value, (*path, key)) for key, value in data.items()}
    return {key: _without(value, where, wrong) for key, (value, where) in pairs.items() if where not in wrong}


def options_of(shape: Any) -> dict[str, Any]:
    """Return what is given, defaults left out."""
    options: dict[str, Any] = shape.model_dump(by_alias=True, exclude_unset=True)
    return options


def endpoint_options(tree: Tree, number: int) -> dict[str, Any] | None:
    """Return the values of one endpoint without what is wrong, None when too little is left to look for more."""
    path: Path = ("endpoints", number)
    return _right(EndpointShape, tree.at(path), path, tree.wrong())


def _path_of(data: Any, error: ErrorDetails) -> Path:
    """Return pydantic's place without what names the forms of a value."""
    path: list[str | int] = []
    for part in error["loc"]:
        known = isinstance(data, dict) and part in data and part != "[key]"
        if known or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            inside: Any = data
            data = inside[part]
            path.append(part)
    return tuple(path)


def _said(data: Any, error: ErrorDetails, path: Path) -> str:
    kind, key = error["type"], str(error["loc"][-1])
    if kind == "extra_forbidden":
        known = keys_at(path[:-1])
        return f"unknown key; allowed: {', '.join(known)}{nearest(key, known)}"
    if kind == "missing":
        return f"key {key!r} is missing"
    if error["loc"][-1] == "[key]":
        return f"{_limits(error)} expected as a key; {str(error['input'])!r} given{_hint(error, error['input'])}"
    given = _at(data, path)
    return f"{_limits(error)} expected; {_shown(given)} given{_hint(error, given)}"


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _limits(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "either":
        return str(error["msg"])
    if kind == "literal_error":
        return f"one of {'true, false, ' if error['loc'][-1] == 'text' else ''}{context['expected']}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS[context["pattern"][:3]]
    return _EXPECTED.get(kind) or error["msg"].removeprefix("Input should be ")


_PATTERNS = {
    "^/": "a path, as in /books,",
    "^[\\": "a name, or package.module:Name,",
    "^\\p": "a name that begins with a letter",
}
"""What is expected, by the beginning of the shape's pattern."""


def _shown(given: Any) -> str:
    """Return a value as it stands in the file; where it came from a variable, the source hides it."""
    if isinstance(given, Mapping):
        return "a mapping"
    if isinstance(given, list):
        return "a list" if given else "an empty list"
    if isinstance(given, str):
        return (
            repr(str(given)) if len(given) <= _LONGEST or isinstance(given, Substituted) else f"{given[:_LONGEST]!r}..."
        )
    return "nothing" if given is None else json.dumps(given)


_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def _hint(error: ErrorDetails, given: Any) -> str:
    if error["type"] == "string_type" and isinstance(given, (bool, int, float)):
        return f'; put it into quotes: "{_shown(given)}"'
    word = _BOOLEANS.get(given.lower()) if isinstance(given, str) else None
    if word and (error["type"] == "bool_type" or error["loc"][-1] == "text"):  # a boolean, or a form that may be one
        return f"; write {word}, without quotes"
    if isinstance(given, str) and "fields" in error["loc"][-2:-1] and error["loc"][0] == "endpoints":
        return f"; write {{ type: {given} }}"
    if error["type"] == "literal_error" and isinstance(given, str):
        allowed = [each.strip("' ") for each in error.get("ctx", {})["expected"].replace(" or ", ",").split(",")]
        return nearest(given, allowed)
    return ""
