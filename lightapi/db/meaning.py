"""What the column types of a database's own tables are to an API: Python's type, and ours for the column."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

import annotated_types
import pydantic
from sqlalchemy import (
    ARRAY,
    CHAR,
    JSON,
    REAL,
    TEXT,
    VARCHAR,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Text,
    Time,
    Uuid,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.sqltypes import _AbstractInterval
from sqlalchemy.types import NullType, TypeDecorator, TypeEngine

from lightapi.db.binds import Raw
from lightapi.db.legacy import (
    AnyBoolean,
    AnyDate,
    AnyDocument,
    AnyMoment,
    AnyNumeric,
    AnyTime,
    NaiveMoment,
    Single,
)
from lightapi.db.postgres_types import Items, Label, TextForm, Unread
from lightapi.db.types import ExactNumeric, UTCDateTime
from lightapi.declaration import FieldSpec

__all__ = ["Meaning", "contradict", "meaning_of", "stored_type"]


class Meaning(NamedTuple):
    """One column type, decided."""

    kind: str
    """As in ``Storage``; ``opaque`` is text that nothing can be compared with."""
    python: Any
    type: TypeEngine[Any]
    """The type of our Column."""
    constraints: tuple[Any, ...] = ()
    bounds: TypeEngine[Any] | None = None
    """An integer type that tells how many bits there are."""
    places: int | None = None
    """Digits after the point, which a value may not exceed."""
    readable_only: bool = False
    """True for a type that we can't write."""


def meaning_of(real: TypeEngine[Any], *, sqlite: bool) -> Meaning:
    """Return what a reflected type means."""
    given, real = real, _bare(real)
    if isinstance(real, NullType):
        return _untyped() if sqlite else Meaning("opaque", str, Unread(), readable_only=True)
    if isinstance(real, Enum) and real.enums:
        literal: Any = Literal
        return Meaning("literal", literal[tuple(real.enums)], Label(real, domain=given is not real))
    for kinds, meaning in _MEANINGS:
        if isinstance(real, kinds):
            found = meaning(real, sqlite)
            if found is not None:
                return found
    return Meaning("opaque", str, TextForm(real))


def _untyped() -> Meaning:
    """Return a SQLite column that was declared without a type: any single value."""
    return Meaning("custom", int | float | str, Raw())


def _integer(real: Any, sqlite: bool) -> Meaning:  # noqa: FBT001
    wide = sqlite or isinstance(real, BigInteger)
    bounds = BigInteger() if wide else SmallInteger() if isinstance(real, SmallInteger) else None
    return Meaning("int", int, real, bounds=bounds)


def _numeric(real: Any, sqlite: bool) -> Meaning:  # noqa: FBT001
    kind = AnyNumeric if sqlite else ExactNumeric
    places = real.scale if (real.scale or 0) >= 0 else None  # numeric(3, -2) rounds to hundreds
    # SQLite takes any number of digits.
    counted = not sqlite and places is not None and real.precision is not None and places <= real.precision
    limits = tuple(pydantic.Field(max_digits=real.precision).metadata) if counted else ()
    return Meaning("decimal", Decimal, kind(real.precision, places), limits, places=places)


def _moment(real: Any, sqlite: bool) -> Meaning:  # noqa: FBT001
    if sqlite:
        return Meaning("datetime", datetime, AnyMoment())
    return Meaning("datetime", datetime, UTCDateTime() if real.timezone else NaiveMoment())


def _time(real: Any, sqlite: bool) -> Meaning | None:  # noqa: FBT001
    if real.timezone and not sqlite:
        return None
    return Meaning("time", time, AnyTime() if sqlite else real)


def _document(real: Any, sqlite: bool) -> Meaning:  # noqa: FBT001
    return Meaning("json", Any, AnyDocument() if sqlite else type(real)(none_as_null=True))


def _array(real: Any, sqlite: bool) -> Meaning:  # noqa: FBT001
    item = real.item_type
    inner = meaning_of(item, sqlite=sqlite)
    python: Any = inner.python | None
    kind = real
    if inner.kind in ("opaque", "literal") or (inner.kind == "str" and type(_bare(item)) not in _TEXTS):
        kind = Items(Text(), real)
    elif _bare(item) is not item:
        kind = Items(_bare(item), real)
    # PostgreSQL's arrays hold NULLs, and have as many dimensions as a value has.
    return Meaning("json", list[python] | list[list[python]], kind, readable_only=inner.readable_only)


_TEXTS = (CHAR, TEXT, VARCHAR)
"""Those whose arrays drivers know; others are extensions'."""


def _text(real: Any, sqlite: bool) -> Meaning | None:  # noqa: FBT001
    if type(real) is String and not sqlite:
        return None  # "char", a single byte: asyncpg gives and takes bytes
    limits = (annotated_types.MaxLen(real.length),) if real.length else ()
    return Meaning("str", str, real, limits)


_MEANINGS: tuple[tuple[type[TypeEngine[Any]], Callable[[Any, bool], Meaning | None]], ...] = (
    (Boolean, lambda real, sqlite: Meaning("bool", bool, AnyBoolean() if sqlite else real)),
    (Uuid, lambda real, sqlite: Meaning("uuid", UUID, real)),
    (Integer, _integer),
    (REAL, lambda real, sqlite: Meaning("float", float, real if sqlite else Single())),
    (Float, lambda real, sqlite: Meaning("float", float, real)),
    (Numeric, _numeric),
    (DateTime, _moment),
    (Date, lambda real, sqlite: Meaning("date", date, AnyDate() if sqlite else real)),
    (Time, _time),
    (_AbstractInterval, lambda real, sqlite: Meaning("timedelta", timedelta, real)),
    (LargeBinary, lambda real, sqlite: Meaning("bytes", bytes, real)),
    (JSON, _document),
    (ARRAY, _array),
    (String, _text),
)
"""In this order: the first that fits decides."""


def contradict(declared: TypeEngine[Any], real: TypeEngine[Any], dialect: Dialect) -> bool:
    """Tell whether a declared type can't be kept in a column of the database; lengths do not count."""
    real = _bare(real)
    wanted, found = _affinity(declared, dialect), _affinity(real, dialect)
    if NullType in (wanted, found) or issubclass(found, wanted) or issubclass(wanted, found):
        return False
    return not (dialect.name == "sqlite" and (wanted, found) in _SAME_ON_SQLITE)


_SAME_ON_SQLITE = {(Boolean, Integer), *((kind, String) for kind in (JSON, DateTime, Date, Time, Uuid))}


def _affinity(kind: TypeEngine[Any], dialect: Dialect) -> type[TypeEngine[Any]]:
    if isinstance(kind, (Enum, _AbstractInterval)):
        native = kind if isinstance(kind, Enum) or dialect.name == "postgresql" else None
        return Interval if isinstance(native, _AbstractInterval) else String if native is not None else DateTime
    while isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(dialect)
        if isinstance(kind, _AbstractInterval):
            return Interval
    return kind._type_affinity or NullType


def _bare(real: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return what PostgreSQL's domains, maybe over domains, are made of."""
    while (inner := getattr(real, "data_type", None)) is not None:
        real = inner
    return real


def stored_type(declared: FieldSpec, ours: TypeEngine[Any], meaning: Meaning, *, sqlite: bool) -> TypeEngine[Any]:
    """Return the type for a declared field over a column that is there: its own, where ours would misread it."""
    if declared.storage.sa_type is not None or declared.storage.kind != meaning.kind or meaning.kind == "uuid":
        return ours
    if meaning.kind == "decimal":
        return AnyNumeric(ours.precision, ours.scale) if sqlite and isinstance(ours, ExactNumeric) else ours
    return meaning.type if sqlite or meaning.kind in ("datetime", "float", "str") else ours
