"""Columns as type checkers should see them."""

from __future__ import annotations

from typing import TypeVar, cast

from sqlalchemy.orm import InstrumentedAttribute

from lightapi.exceptions import ConfigurationError

__all__ = ["col"]

T = TypeVar("T")


def col(attribute: T) -> InstrumentedAttribute[T]:
    """Return ``attribute`` unchanged, typed as a column: ``col(Book.price) >= 5``.

    To a type checker ``Book.price`` is a Decimal; in a query it is a column. Raises
    ConfigurationError when it is neither a column nor mapped yet.
    """
    if not isinstance(attribute, InstrumentedAttribute):
        raise ConfigurationError(
            f"col({attribute!r}): no mapped column; register the class first, then use Class.field"
        )
    return cast("InstrumentedAttribute[T]", attribute)
