"""Decide how an annotation is stored: its kind, its bounds, what it refuses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
from pydantic import AfterValidator, AllowInfNan, BeforeValidator, NaiveDatetime, TypeAdapter
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema
from sqlalchemy import BigInteger, SmallInteger
from sqlalchemy.types import TypeEngine, to_instance

from lightapi.constraints import ADDRESSES, check_constraints
from lightapi.exceptions import ConfigurationError
from lightapi.fields import MAX_DIGITS, canonical_decimal

__all__ = ["NO_NUL", "TOO_LONG", "Storage", "checks_of", "constrained", "storage_of"]


@dataclass(frozen=True, kw_only=True)
class Storage:
    """How values of one annotation are kept."""

    kind: str
    """``str int float bool datetime date time timedelta decimal uuid bytes enum literal json text``
    or ``custom`` (an ``sa_type`` decides)."""
    python: Any
    """The annotation without Optional and without constraints."""
    nullable: bool
    checks: tuple[Any, ...] = ()
    """Pydantic metadata that refuse what could not be stored or read back."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """``max_length``, ``max_digits``, ``places`` where they shape the column."""
    sa_type: TypeEngine[Any] | None = None
    """The SQLAlchemy type the user chose."""


_POSSIBLE = (
    "str, int, float, bool, datetime, date, time, timedelta, Decimal, UUID, bytes, Enum, Literal, "
    "list[...], dict[...], a pydantic model, Optional of these, or Field(sa_type=...)"
)


def storage_of(where: str, annotation: Any, metadata: list[Any], options: Mapping[str, Any]) -> Storage:
    """Return the storage of one field; raise ConfigurationError naming what is possible.

    ``metadata`` are the constraints of the field, those inside ``Optional[Annotated[...]]`` included.
    """
    python, nullable = _split_optional(where, annotation)
    if python is NaiveDatetime:
        raise ConfigurationError(f"{where}: NaiveDatetime refuses what is answered, which has a zone; write datetime")
    sa_type = _chosen_type(where, options)
    kind = _kind(python)
    if kind is None and sa_type is None:
        raise ConfigurationError(f"{where}: {annotation!r} can't be stored; possible: {_POSSIBLE}")
    details = _details(metadata, options)
    check_constraints(where, kind, python, metadata)
    if "places" in details and kind != "decimal":
        raise ConfigurationError(f"{where}: decimal_places is for Decimal, not for {python!r}")
    return Storage(
        kind=kind or "custom",
        python=python,
        nullable=nullable,
        checks=_checks(where, kind, metadata, details, sa_type),
        details=details,
        sa_type=sa_type,
    )


def constrained(annotation: Any, metadata: Iterable[Any]) -> Any:
    """Return ``Annotated[annotation, *metadata]``, whose star Python 3.10 does not know."""
    special: Any = Annotated
    parts = (annotation, *metadata)
    return special[parts] if len(parts) > 1 else annotation


def _split_optional(where: str, annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) is Annotated:
        return _split_optional(where, get_args(annotation)[0])
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    rest = [part for part in get_args(annotation) if part is not NoneType]
    if len(rest) != 1 or len(rest) == len(get_args(annotation)):
        raise ConfigurationError(f"{where}: {annotation!r} is a union of several types; possible: {_POSSIBLE}")
    return rest[0], True


def _chosen_type(where: str, options: Mapping[str, Any]) -> TypeEngine[Any] | None:
    chosen = options.get("sa_type")
    if chosen is None:
        return None
    if isinstance(chosen, TypeEngine) or (isinstance(chosen, type) and issubclass(chosen, TypeEngine)):
        return to_instance(chosen)
    raise ConfigurationError(f"{where}: sa_type={chosen!r} given; allowed: a SQLAlchemy type")


_KINDS = {
    "str": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "datetime": "datetime",
    "date": "date",
    "time": "time",
    "timedelta": "timedelta",
    "decimal": "decimal",
    "uuid": "uuid",
    "bytes": "bytes",
    "list": "json",
    "dict": "json",
    "model": "json",
    "dataclass": "json",
    "typed-dict": "json",
    "url": "text",
    "multi-host-url": "text",
}
"""pydantic-core's schema type to the kind of storage."""


def _kind(python: Any) -> str | None:
    if isinstance(python, type) and issubclass(python, ADDRESSES):
        return "text"
    if isinstance(python, type) and issubclass(python, Enum):
        values = {type(member.value) for member in python}
        return "enum" if values in ({str}, {int}) else None
    try:
        schema: Any = TypeAdapter(python).core_schema
    except ImportError:
        raise  # an optional package of pydantic's: its own message names it
    except Exception:  # noqa: BLE001  whatever pydantic can't take is reported by the caller
        return None
    definitions = {}
    while True:
        name = schema["type"]
        if name == "definitions":
            definitions = {part.get("ref"): part for part in schema["definitions"]}
            schema = schema["schema"]
        elif name == "definition-ref":
            schema = definitions[schema["schema_ref"]]
        elif name == "literal":
            return _literal_kind(schema["expected"])
        elif name in ("function-before", "function-after", "function-wrap", "default"):
            schema = schema["schema"]
        else:
            return _KINDS.get(name)


def _literal_kind(expected: list[Any]) -> str | None:
    kinds = {type(value) for value in expected}
    return "literal" if kinds in ({str}, {int}) else None


def _details(metadata: list[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for constraint in metadata:
        for name in ("max_length", "max_digits"):
            value = getattr(constraint, name, None)
            if isinstance(value, int):
                details[name] = value
    if options.get("decimal_places") is not None:
        details["places"] = options["decimal_places"]
    return details


def _checks(
    where: str,
    kind: str | None,
    metadata: list[Any],
    details: Mapping[str, Any],
    sa_type: TypeEngine[Any] | None,
) -> tuple[Any, ...]:
    if kind == "int":
        return _integer_bounds(where, metadata, sa_type)
    if kind == "float":
        # SQLite has no negative zero.
        return (AllowInfNan(allow_inf_nan=False), _unless_none(lambda v: v + 0.0))
    if kind == "bytes" and any(hasattr(constraint, "encoder") for constraint in metadata):
        return ()
    if kind == "decimal":
        padded = _unless_none(lambda v: _decimal(v, details.get("places")))
        return (AllowInfNan(allow_inf_nan=False), padded, BeforeValidator(_exact))
    return checks_of(kind or "")


def _integer_bounds(where: str, metadata: list[Any], sa_type: TypeEngine[Any] | None) -> tuple[Any, ...]:
    bits = 63 if isinstance(sa_type, BigInteger) else 15 if isinstance(sa_type, SmallInteger) else 31
    low, high = -(2**bits), 2**bits - 1
    lower = [b for c in metadata if (b := getattr(c, "ge", getattr(c, "gt", None))) is not None]
    upper = [b for c in metadata if (b := getattr(c, "le", getattr(c, "lt", None))) is not None]
    for bound in (*lower, *upper):
        if not low <= bound <= high:
            raise ConfigurationError(
                f"{where}: the bound {bound} is outside the column's {bits + 1} bits; "
                "Field(sa_type=BigInteger) widens an int to 64"
            )
    return (
        *(() if lower else (annotated_types.Ge(low),)),
        *(() if upper else (annotated_types.Le(high),)),
    )


def _unless_none(check: Callable[[Any], Any]) -> AfterValidator:
    return AfterValidator(lambda value: None if value is None else check(value))


_EXACT_DIGITS = 15
"""A JSON number of at most so many digits survives being read as a 64-bit float."""


def _exact(value: Any) -> Any:
    """Make a Decimal of what JSON has for it; refuse a number that may have lost digits: a string keeps them all."""
    if isinstance(value, float) and math.isfinite(value):
        exact = Decimal(repr(value))
        if len(exact.as_tuple().digits) > _EXACT_DIGITS:
            raise PydanticCustomError(
                "decimal_float_precision", "Decimal input with more than 15 digits should be a string, not a number"
            )
        return exact
    try:
        return Decimal(value) if type(value) in (int, str) else value
    except ArithmeticError:
        return value


def _decimal(value: Decimal, places: int | None) -> Decimal:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or max(value.adjusted(), 0) + max(-exponent, 0) > MAX_DIGITS:
        raise PydanticCustomError(
            "decimal_max_digits",
            "Decimal input should have no more than {max_digits} digits in total",
            {"max_digits": MAX_DIGITS},
        )
    value = canonical_decimal(value, places)
    if places is not None and -int(value.as_tuple().exponent) > places:
        raise PydanticKnownError("decimal_max_places", {"decimal_places": places})
    return value


def _utf8(value: bytes) -> bytes:
    try:
        value.decode()
    except UnicodeDecodeError:
        raise PydanticCustomError("bytes_utf8", "Bytes should be UTF-8: they are answered as text") from None
    return value


def _text(value: str) -> str:
    if "\x00" in value:
        raise PydanticCustomError("string_nul", "String should not contain NUL characters")
    return value


NO_NUL = r"^[^\x00]*$"
"""The pattern of a text without NUL, which no database takes, in the dialect of JSON Schema (ECMA-262)."""


def _text_or_none(value: Any) -> Any:
    return None if value is None else _text(value)


class _WithoutNul:
    """Refuses NUL in a text, and says so in JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(_text_or_none, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        found: dict[str, Any] = handler(schema)
        for part in (found, *found.get("anyOf", ())):
            if part.get("type") == "string":
                part.setdefault("pattern", NO_NUL)
        return found


_FIRST = datetime(1, 1, 2, tzinfo=timezone.utc)
_LAST = datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=timezone.utc)


def _utc(value: datetime) -> datetime:
    """Take naive values as UTC; keep a day's distance to both ends, so that any zone can show it."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    if not _FIRST <= value <= _LAST:
        raise PydanticCustomError("datetime_range", "Datetime should be between 0001-01-02 and 9999-12-30 in UTC")
    return value.astimezone(timezone.utc)


def _utc_time(value: time) -> time:
    offset = value.utcoffset()
    if offset is None:
        return value.replace(tzinfo=None)
    moment = datetime.combine(datetime(2000, 1, 2, tzinfo=timezone.utc), value.replace(tzinfo=None))
    return (moment - offset).time()


_LONGEST = timedelta(microseconds=2**63 - 1)


TOO_LONG = "Timedelta should be within 292,000 years"


def _duration(value: timedelta) -> timedelta:
    if not -_LONGEST <= value <= _LONGEST:
        raise PydanticCustomError("timedelta_range", TOO_LONG)
    return value


def _finite(value: Any) -> Any:
    """Refuse NaN and Infinity anywhere in a JSON value: they are no JSON (RFC 8259 section 6)."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, float):
            if not math.isfinite(part):
                raise PydanticCustomError("finite_number", "Input should be a finite number")
        elif isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple, set, frozenset)):
            waiting.extend(part)
        elif hasattr(part, "__dict__") and not isinstance(part, type):
            waiting.extend((*vars(part).values(), getattr(part, "__pydantic_extra__", None)))
    return value


def checks_of(kind: str) -> tuple[Any, ...]:
    """Return what refuses values that a column of this kind could not store, whatever else is declared."""
    check = _SIMPLE_CHECKS.get(kind)
    return () if check is None else (check,)


_SIMPLE_CHECKS = {
    "str": _WithoutNul(),
    "opaque": _WithoutNul(),
    "custom": _unless_none(lambda value: _text(value) if isinstance(value, str) else value),
    "datetime": _unless_none(_utc),
    "time": _unless_none(_utc_time),
    "timedelta": _unless_none(_duration),
    "json": _unless_none(_finite),
    "bytes": _unless_none(_utf8),
}
