"""LightAPI as its documentation has it: annotated classes, an async engine made from a URL."""

from __future__ import annotations

import os
from decimal import Decimal

from lightapi import Field, LightApi, RestEndpoint


class Item(RestEndpoint):
    """The columns of both tables."""

    title: str = Field(min_length=1, max_length=100)
    author: str = Field(min_length=1)
    price: Decimal = Field(ge=0, decimal_places=2)
    in_stock: bool = True


class Book(Item):
    """The table of 10,000 rows."""

    class Meta:
        table = "books"


class Shelf(Item):
    """The table of 20 rows."""

    class Meta:
        table = "shelves"


app = LightApi(database_url=os.environ["BENCHMARK_URL"].replace("postgresql://", "postgresql+asyncpg://", 1))
app.register({"/books": Book, "/shelves": Shelf})
