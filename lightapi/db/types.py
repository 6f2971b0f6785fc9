"""Column types that store and answer the same value on every database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

from pydantic_core import to_jsonable_python
from sqlalchemy import JSON, BigInteger, DateTime, Integer, Interval, Numeric, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from lightapi.exceptions import InvalidInput
from lightapi.fields import SQLITE_DIGITS, canonical_decimal, fits_sqlite, sqlite_number

__all__ = ["Duration", "EnumValue", "ExactNumeric", "JSONDocument", "Text", "UTCDateTime", "check_sqlite_decimals"]


class UTCDateTime(TypeDecorator[datetime]):
    """DATETIME holding UTC; Python sees aware values. A naive value is taken as UTC.

    ``timestamp with time zone`` on PostgreSQL, so that the stored instant is the same everywhere.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the dialect's own type."""
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn any datetime into UTC; without its zone where the database has none."""
        if value is None:
            return None
        if value.tzinfo is None:
            value = value.replace(tzinfo=timezone.utc)
        value = value.astimezone(timezone.utc)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the stored instant back as an aware UTC datetime."""
        if value is None or value.tzinfo is timezone.utc:
            return value
        if value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)


class ExactNumeric(TypeDecorator[Decimal]):
    """NUMERIC answering Decimals with the declared number of places, never rounded.

    SQLite keeps numbers with a point as 64-bit floats: a value that would not come back as it
    was is refused there (InvalidInput, 422).
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int | None = None, scale: int | None = None) -> None:
        super().__init__(precision=precision, scale=scale, asdecimal=True)
        # Without places NUMERIC(p) would have scale 0 and round; the schema counts the digits anyway.
        self.precision = precision if scale is not None else None
        self.scale = scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return NUMERIC; on SQLite without conversion, which this type does itself."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(_RawNumeric(self.precision, self.scale))
        return dialect.type_descriptor(Numeric(self.precision, self.scale))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Hand the database a value that it can give back unchanged."""
        if value is None or dialect.name != "sqlite":
            return value
        stored = sqlite_number(value)
        if stored is None:
            raise too_precise(())
        return stored

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Give back a Decimal in its canonical form."""
        if value is None:
            return None
        number = value if isinstance(value, Decimal) else Decimal(str(value))
        return canonical_decimal(number, self.scale)


def check_sqlite_decimals(values: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse Decimals that SQLite would round, naming the field; raise InvalidInput."""
    for name in names:
        value = values.get(name)
        if value is not None and not fits_sqlite(value):
            raise too_precise((name,))


def too_precise(location: tuple[str, ...]) -> InvalidInput:
    """Return the refusal of a Decimal with more digits than SQLite keeps."""
    return InvalidInput([{"type": "decimal_max_digits", "loc": [*location], "msg": SQLITE_DIGITS}])


class _RawNumeric(Numeric[Any]):
    """NUMERIC in the DDL, whatever the driver gives in Python."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Convert nothing."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Convert nothing."""


class EnumValue(TypeDecorator[Any]):
    """The value of an Enum member, as text or as an integer; a member in Python.

    A stored value that is no member any more is given back as it is.
    """

    impl = String
    cache_ok = True

    def __init__(self, kind: type[Enum]) -> None:
        self.kind = kind
        self.numeric = all(type(member.value) is int for member in kind)
        self._members = {member.value: member for member in kind}
        super().__init__()

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return INTEGER for an enum of ints, VARCHAR otherwise."""
        return dialect.type_descriptor(Integer() if self.numeric else String())

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Store the member's value."""
        return value.value if isinstance(value, Enum) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Give back the member."""
        return self._members.get(value, value)


class Text(TypeDecorator[Any]):
    """A Python value with one text form (a URL, an IP address), stored as that text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Store the text form."""
        return None if value is None else str(value)


class JSONDocument(TypeDecorator[Any]):
    """A list, dict or pydantic model, stored as JSON; plain lists and dicts come back."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Store the JSON form of the value."""
        return to_jsonable_python(value)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Compare as JSON does."""
        return self.impl_instance.coerce_compared_value(op, value)


_MICROSECOND = timedelta(microseconds=1)


class Duration(TypeDecorator[timedelta]):
    """INTERVAL on PostgreSQL; a whole number of microseconds elsewhere."""

    impl = Interval
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the native interval, or BIGINT."""
        native = dialect.name == "postgresql"
        return dialect.type_descriptor(Interval(native=True) if native else BigInteger())

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> Any:
        """Store the interval or its microseconds."""
        if value is None or dialect.name == "postgresql":
            return value
        return value // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> timedelta | None:
        """Give back a timedelta."""
        if value is None or isinstance(value, timedelta):
            return value
        return timedelta(microseconds=value)

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Compare durations with durations."""
        return self
