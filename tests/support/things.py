"""An endpoint with a field of every kind that can be filtered, three rows of it, and what a query lists of them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Any, Literal, Optional
from uuid import UUID

from lightapi import (
    Field,
    Filtering,
    Pagination,
    RestEndpoint,
)
from lightapi.operators import OPERATORS
from tests.support.hosts import Api, Client


class Colour(Enum):
    """Text in the database."""

    RED = "red"
    BLUE = "blue"


class Level(Enum):
    """A number in the database."""

    LOW = 1
    HIGH = 2


class Thing(RestEndpoint):
    """A field of every kind that can be filtered."""

    name: str
    note: Optional[str] = None
    stock: Optional[int] = None
    weight: Optional[float] = None
    price: Optional[Decimal] = Field(default=None, decimal_places=2)
    made: Optional[datetime] = None
    day: Optional[date] = None
    opens: Optional[time] = None
    code: Optional[UUID] = None
    colour: Optional[Colour] = None
    level: Optional[Level] = None
    size: Optional[Literal["s", "m"]] = None
    live: Optional[bool] = None
    net__weight: Optional[int] = None
    tags: Optional[list[str]] = None
    span: Optional[timedelta] = None
    raw: Optional[bytes] = None
    host: Optional[IPv4Address] = None


EQUALITY = ["exact", "ne", "in", "notin", "isnull"]
ORDERED = [*EQUALITY, "gt", "gte", "lt", "lte", "range"]
ALL = {
    **dict.fromkeys(("name", "note", "host"), OPERATORS),
    **dict.fromkeys(("id", "stock", "weight", "price", "made", "day", "opens", "code", "span"), ORDERED),
    **dict.fromkeys(("net__weight", "version", "created_at"), ORDERED),
    **dict.fromkeys(("colour", "level", "size", "live", "raw"), EQUALITY),
    "tags": ["isnull"],
}
ROWS = r"""
{"name": "Éclair 100%", "note": "a,b", "stock": 5, "weight": 0.5, "price": "9.90", "made": "2024-01-01T12:00:00.5Z",
"day": "2024-01-01", "opens": "09:30:00", "code": "11111111-1111-1111-1111-111111111111", "colour": "red", "level": 1,
"size": "s", "live": true, "net__weight": 1, "tags": ["t"], "span": "PT1H", "raw": "bytes", "host": "10.0.0.1"}

{"name": "under_score\\back/slash", "note": "say \"hi\"", "stock": 7, "weight": 1.25, "price": "10.00",
"made": "2024-06-01T00:00:00Z", "day": "2024-06-01", "opens": "10:00:00",
"code": "22222222-2222-2222-2222-222222222222", "colour": "blue", "level": 2, "size": "m", "live": false,
"net__weight": 2, "span": "P1D", "raw": "more", "host": "192.168.0.1"}

{"name": ""}
"""


def filtered(pagination: Pagination | None = None, **options: Any) -> type[Thing]:
    """Return an endpoint of things with this filtering."""
    meta = type("Meta", (), {"filtering": Filtering(**options), "pagination": pagination})
    return type("Shelf", (Thing,), {"Meta": meta})


def serving(api: Api, queryset: Any = None, **options: Any) -> Client:
    """Serve the three rows with this filtering, scoped by what a queryset makes of the class."""
    hooks = {"queryset": lambda self, request: queryset(type(self))} if queryset else {}
    client = api({"/things": type("Served", (filtered(**options),), hooks)})
    for row in ROWS.split("\n\n"):
        assert client.post("/things", content=row.encode()).status_code == 201
    return client


def ids(client: Client, query: str) -> list[int]:
    """Return the ids that a query string lists, in their order."""
    response = client.get(f"/things?{query}")
    assert response.status_code == 200, (query, response.text)
    return [row["id"] for row in response.json()["results"]]


def locs(client: Client, query: str) -> list[str]:
    """Return the parameters that a refusal names."""
    response = client.get(f"/things?{query}")
    assert response.status_code == 422, (query[:60], response.text)
    assert all(list(entry) == ["type", "loc", "msg"] for entry in response.json()["detail"])
    assert all(entry["loc"][:1] == ["query"] for entry in response.json()["detail"]), (query[:60], response.text)
    return [entry["loc"][1] for entry in response.json()["detail"]]
