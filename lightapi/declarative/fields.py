"""The fields of an endpoint: a type's name and its options become an annotation and a ``Field``."""

from __future__ import annotations

import ast
import datetime as dt
import ipaddress
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Optional

import pydantic
import sqlalchemy
from pydantic import TypeAdapter, ValidationError

from lightapi.declarative.names import named_object
from lightapi.declarative.substitution import Substituted
from lightapi.declarative.tree import plain_value
from lightapi.exceptions import ConfigurationError, nearest
from lightapi.fields import Field

__all__ = ["TYPES", "declaration_of"]

TYPES: Mapping[str, Any] = {
    getattr(kind, "__name__"): kind  # noqa: B009  a type checker takes some for instances
    for kind in (
        *(str, int, float, bool, bytes, list, dict, Decimal, uuid.UUID),
        *(dt.datetime, dt.date, dt.time, dt.timedelta),
        *(ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network),
        *(pydantic.EmailStr, pydantic.AnyUrl, pydantic.HttpUrl),
    )
}
_CASELESS = {name.casefold(): kind for name, kind in TYPES.items()}
_COMPARED = (Decimal, dt.datetime, dt.date, dt.time, dt.timedelta)
_BOUNDS = ("gt", "ge", "lt", "le")
_LONGEST = 200


class WrongKey(ConfigurationError):
    """One key of a field is wrong."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def declaration_of(given: Mapping[str, Any], folder: Path) -> tuple[Any, Any]:
    """Return the annotation and the ``Field`` of one field, as they would stand in a class.

    Raises WrongKey.
    """
    options = dict(given)
    kind = _kind_of(options, folder)
    default = (options.pop("default"),) if "default" in options else ()
    if options.pop("optional", False):
        default = default or (None,)
        kind = Optional[kind]  # noqa: UP045  a value here
    elif default == (None,):
        raise WrongKey("default", "null given; write 'optional: true' to allow it")
    for name in _BOUNDS:
        if name in options:
            options[name] = _bound(name, options[name], kind)
    if "sa_type" in options:
        options["sa_type"] = _column_type(options["sa_type"], folder)
    return kind, Field(*default, **options)


def _kind_of(options: dict[str, Any], folder: Path) -> Any:
    written, values = options.pop("type", None), options.pop("enum", None)
    if values is None:
        if written is None:
            raise WrongKey("", f"key 'type' is missing; allowed: {', '.join(TYPES)}")
        return _type(written, folder)
    kinds = {type(value) for value in values}
    if kinds not in ({str}, {int}, {str, Substituted}, {Substituted}):
        raise WrongKey("enum", f"{values!r} given; allowed: values that are all text or all whole numbers")
    if written is not None and _type(written, folder) is not (int if kinds == {int} else str):
        raise WrongKey("type", f"{written!r} given, and enum holds {'numbers' if kinds == {int} else 'text'}")
    return Literal[tuple(value if kinds == {int} else str(value) for value in values)]


def _type(written: str, folder: Path) -> Any:
    if written.casefold() in _CASELESS:
        return _CASELESS[written.casefold()]
    if ":" in written:
        return _named(written, folder)
    try:
        tree = ast.parse(written, mode="eval") if len(written) <= _LONGEST else None
    except (SyntaxError, ValueError):
        tree = None
    if tree is None:
        raise _unknown(written)
    return _expressed(tree.body, written, folder)


def _expressed(node: ast.expr, written: str, folder: Path) -> Any:
    """Return what ``list[str]``, ``dict[str, int]`` or a dotted name in them means."""
    if isinstance(node, ast.Name) and node.id.casefold() in _CASELESS:
        return _CASELESS[node.id.casefold()]
    if isinstance(node, ast.Attribute):
        return _named(ast.unparse(node), folder)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        name = node.value.id.casefold()
        if (name, len(inner)) == ("list", 1):
            return list[_expressed(inner[0], written, folder)]  # type: ignore[misc]
        if (name, len(inner)) == ("dict", 2):
            key, value = (_expressed(each, written, folder) for each in inner)
            return dict[key, value]  # type: ignore[valid-type]
    raise _unknown(written)


def _named(written: str, folder: Path) -> Any:
    try:
        return named_object(written, {}, folder)
    except ConfigurationError as error:
        raise WrongKey("type", str(error)) from error


def _unknown(written: str) -> WrongKey:
    allowed = ", ".join([*TYPES, "list[...]", "dict[str, ...]", "package.module:Name"])
    return WrongKey("type", f"{written!r} is no type; allowed: {allowed}{nearest(written, TYPES)}")


def _bound(name: str, value: Any, kind: Any) -> Any:
    """Read a bound as a value of the field's own type."""
    if isinstance(value, Substituted) and value.is_whole:
        value = plain_value(str(value))
    wanted = next((each for each in _COMPARED if kind in (each, Optional[each])), None)  # noqa: UP045  a value here
    if wanted is None:
        return value
    try:
        return TypeAdapter(wanted).validate_python(value)
    except ValidationError:
        raise WrongKey(name, f"{value!r} given; allowed: a {wanted.__name__}") from None


def _column_type(written: str, folder: Path) -> Any:
    """Return a SQLAlchemy type written as ``BigInteger``, ``Numeric(10, 2)`` or ``package.module:Name``."""
    try:
        tree = ast.parse(written, mode="eval").body if ":" not in written and len(written) <= _LONGEST else None
    except (SyntaxError, ValueError):
        tree = None
    call = tree if isinstance(tree, ast.Call) else None
    name = ast.unparse(call.func) if call is not None else written
    known = {each: value for each, value in vars(sqlalchemy.types).items() if _is_column_type(value)}
    try:
        kind = named_object(name, known, folder)
        if call is None:
            return kind
        arguments = [ast.literal_eval(each) for each in call.args]
        named = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
        _check_arguments(written, [*arguments, *named.values()])
        return kind(*arguments, **named)
    except WrongKey:
        raise
    except (ConfigurationError, TypeError, ValueError) as error:
        raise WrongKey("sa_type", str(error)) from error


def _check_arguments(written: str, given: list[Any]) -> None:
    if not all(isinstance(each, (str, int, float, type(None))) for each in given):
        raise WrongKey("sa_type", f"{written!r} given; allowed: numbers, text, True, False and None as arguments")


def _is_column_type(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, sqlalchemy.types.TypeEngine)
