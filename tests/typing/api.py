"""What users type, as type checkers must see it: checked by mypy --strict and basedpyright, never run."""

from __future__ import annotations

from decimal import Decimal
from typing import Optional

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute
from typing_extensions import assert_type

from lightapi import Field, HttpMethod, LightApi, RestEndpoint, col


class Book(RestEndpoint, HttpMethod.GET, HttpMethod.POST):
    title: str = Field(min_length=1)
    price: Decimal = Field(ge=0, decimal_places=2)
    note: Optional[str] = None
    pages: int = Field(default=0)
    tags: list[str] = Field(default_factory=list)
    typo: str = Field(min_lenght=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


book = Book(title="Refactoring", price=Decimal("42.00"), typo="x")
assert_type(book.title, str)
assert_type(book.price, Decimal)
assert_type(book.note, Optional[str])
assert_type(book.id, int)
assert_type(book.version, int)

Book(titel="x", price=Decimal(1), typo="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
wrong: int = book.title  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

assert_type(col(Book.price), InstrumentedAttribute[Decimal])
cheap = select(Book).where(col(Book.price) < 5, col(Book.title).like("A%"))

app = LightApi(database_url="sqlite://")
app.register({"/books": Book})
