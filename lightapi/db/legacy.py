"""Column types for tables that somebody else made: they read whatever stands there."""

from __future__ import annotations

import math
import struct
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import REAL, Boolean, Date, DateTime, Float, Text, Time, cast, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from lightapi.db.types import ExactNumeric, JSONDocument, UTCDateTime

__all__ = [
    "AnyBoolean",
    "AnyDate",
    "AnyDocument",
    "AnyMoment",
    "AnyNumeric",
    "AnyTime",
    "NaiveMoment",
    "Single",
]


class _Tolerant(TypeDecorator[Any]):
    """Give back as it is what the type can't read: SQLite lets any value stand in any column."""

    impl: Any = Text
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return the type's own conversion, without its failures."""
        convert = super().result_processor(dialect, coltype)
        if convert is None:
            return None

        def process(value: Any) -> Any:
            try:
                return convert(value)
            except (ValueError, TypeError, ArithmeticError):
                return value

        return process


class AnyMoment(_Tolerant, UTCDateTime):
    """A datetime on SQLite."""

    impl = DateTime
    cache_ok = True


class AnyNumeric(_Tolerant, ExactNumeric):
    """A Decimal on SQLite."""

    impl = ExactNumeric.impl
    cache_ok = True


class AnyDocument(_Tolerant, JSONDocument):
    """A JSON document on SQLite."""

    impl = JSONDocument.impl
    cache_ok = True


class AnyBoolean(TypeDecorator[Any]):
    """A bool on SQLite: 0 or 1, and anything else as it is."""

    impl = Boolean
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return the conversion of 0 and 1."""
        return lambda value: bool(value) if value in (0, 1) else value


class AnyDate(_Tolerant):
    """A date on SQLite."""

    impl = Date
    cache_ok = True


class AnyTime(_Tolerant):
    """A time on SQLite."""

    impl = Time
    cache_ok = True


class NaiveMoment(UTCDateTime):
    """``timestamp without time zone`` on PostgreSQL, taken as UTC."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type without a zone."""
        return dialect.type_descriptor(DateTime(timezone=False))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn any datetime into UTC without its zone."""
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(timezone.utc).replace(tzinfo=None)


class Single(TypeDecorator[float]):
    """REAL: a number of 32 bits, as the shortest decimal that is that number; asyncpg gives more digits."""

    impl = REAL
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        """Compare with a number of 32 bits."""
        return cast(type_coerce(bindparam, Float), REAL)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Give back the number that was stored."""
        if not isinstance(value, float) or not math.isfinite(value):
            return value
        stored = struct.pack("f", value)
        shorter = (float(f"{value:.{digits}g}") for digits in range(6, 10))
        return next((number for number in shorter if struct.pack("f", number) == stored), value)
