"""Two endpoints of the same 100 rows: one makes its answers, the other keeps them in Redis."""

from __future__ import annotations

from decimal import Decimal

from lightapi import Cache, Field, LightApi, RestEndpoint


class Item(RestEndpoint):
    """The columns of both tables."""

    title: str = Field(min_length=1, max_length=100)
    author: str = Field(min_length=1)
    price: Decimal = Field(ge=0, decimal_places=2)
    in_stock: bool = True


class Made(Item):
    """Answered by the database."""

    class Meta:
        table = "made"


class Kept(Item):
    """Answered by Redis."""

    class Meta:
        table = "kept"
        cache = Cache(ttl=3600)


app = LightApi()
app.register({"/made": Made, "/kept": Kept})
