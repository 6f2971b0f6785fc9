"""``Field``: pydantic's, plus what a column needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any, TypeVar, overload

import pydantic
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict, Unpack

__all__ = [
    "OWN_OPTIONS",
    "SQLITE_DIGITS",
    "Field",
    "canonical_decimal",
    "fits_sqlite",
    "own_options",
    "sqlite_number",
]

T = TypeVar("T")

OWN_OPTIONS = (
    "foreign_key",
    "unique",
    "index",
    "exclude",
    "decimal_places",
    "sa_type",
    "server_default",
)
"""LightAPI's own keyword arguments, kept flat in ``FieldInfo.json_schema_extra``."""


class FieldOptions(TypedDict, total=False):
    """The keyword arguments of ``Field``."""

    foreign_key: str
    unique: bool
    index: bool
    exclude: bool
    decimal_places: int
    sa_type: Any
    server_default: Any
    title: str | None
    description: str | None
    examples: list[Any] | None
    json_schema_extra: dict[str, Any] | None
    deprecated: bool | str | None
    pattern: str | None
    strict: bool | None
    coerce_numbers_to_str: bool | None
    gt: Any
    ge: Any
    lt: Any
    le: Any
    multiple_of: float | None
    min_length: int | None
    max_length: int | None
    max_digits: int | None


@overload
def Field(*, default_factory: Callable[[], T], **options: Unpack[FieldOptions]) -> T: ...
@overload
def Field(default: T, **options: Unpack[FieldOptions]) -> T: ...
@overload
def Field(**options: Unpack[FieldOptions]) -> Any: ...
def Field(*default: Any, **options: Any) -> Any:  # noqa: N802  it stands beside pydantic.Field
    """Describe a field: its constraints (pydantic's keyword arguments) and its column.

    ``foreign_key="table.column"``, ``unique=True``, ``index=True`` shape the column;
    ``decimal_places=N`` is the scale of a Decimal; ``exclude=True`` leaves the field out of table
    and schemas; ``sa_type`` is a SQLAlchemy type for annotations that have none of their own;
    ``server_default`` is a default that the database fills in. Unknown or misplaced arguments are
    reported, with class and field, when the class is made.
    """
    own = {name: options.pop(name) for name in OWN_OPTIONS if name in options}
    if "decimal_places" in own:
        options["decimal_places"] = own["decimal_places"]
    unknown = {name: options.pop(name) for name in list(options) if name not in _PYDANTIC_OPTIONS}
    extra = options.pop("json_schema_extra", None)
    if unknown:
        own["unknown_options"] = sorted(unknown)
    if callable(extra):
        own["json_schema_function"] = extra
        extra = None
    try:
        return pydantic.Field(*default, json_schema_extra={**(extra or {}), **own} or None, **options)
    except TypeError as error:
        return pydantic.Field(json_schema_extra={"invalid": str(error)})


_PYDANTIC_OPTIONS = frozenset(
    name
    for name, parameter in inspect.signature(pydantic.Field).parameters.items()
    if parameter.kind is not parameter.VAR_KEYWORD
)


def own_options(info: FieldInfo) -> dict[str, Any]:
    """Return LightAPI's options of a FieldInfo, whichever ``Field`` made it."""
    extra = info.json_schema_extra
    options = dict(extra) if isinstance(extra, dict) else {}
    own = {name: options[name] for name in (*OWN_OPTIONS, *_INTERNAL_OPTIONS) if name in options}
    if info.exclude:
        own["exclude"] = True
    for constraint in info.metadata:
        places = getattr(constraint, "decimal_places", None)
        if places is not None:
            own["decimal_places"] = places
    return own


_INTERNAL_OPTIONS = ("unknown_options", "json_schema_function", "invalid")


def foreign_extra(info: FieldInfo) -> dict[str, Any]:
    """Return what of ``json_schema_extra`` is the user's own, for JSON Schema."""
    extra = info.json_schema_extra
    options = dict(extra) if isinstance(extra, dict) else {}
    return {k: v for k, v in options.items() if k not in OWN_OPTIONS + _INTERNAL_OPTIONS}


MAX_DIGITS = 1000
"""Digits a Decimal may have when nothing else is declared."""

_EXACT = Context(prec=MAX_DIGITS * 3)


def canonical_decimal(value: Decimal, places: int | None) -> Decimal:
    """Write a Decimal the one way it is answered: plain notation, padded to ``places``.

    With no declared places trailing zeros go, so that every database answers the same text.
    Digits are never cut: a value with more places than declared keeps them.
    """
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or value.adjusted() > MAX_DIGITS:
        return value
    if exponent != -(places or 0) or places is None:
        shortest = value.normalize(_EXACT)
        wanted = max(places or 0, -_exponent(shortest))
        value = shortest.quantize(_UNITS[wanted] if wanted < len(_UNITS) else _unit(wanted), context=_EXACT)
    return abs(value) if value.is_zero() else value


def _unit(places: int) -> Decimal:
    return Decimal(1).scaleb(-places, context=_EXACT)


_UNITS = tuple(_unit(places) for places in range(20))


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def sqlite_number(value: Any) -> int | float | None:
    """Return the number that SQLite gives back unchanged, None where it has none."""
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if number == number.to_integral_value() and abs(number) < 2**63:
        return int(number)
    stored = float(number)
    return stored if Decimal(repr(stored)) == number else None


def fits_sqlite(value: Any) -> bool:
    """Tell whether SQLite, which has 64-bit floats, gives a Decimal back as it was."""
    return sqlite_number(value) is not None


SQLITE_DIGITS = "Decimal input should have no more digits than SQLite can store"
