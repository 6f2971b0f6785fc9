"""An API with a little of everything, for what reads its OpenAPI document."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Optional
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import BigInteger
from starlette.requests import Request
from typing_extensions import TypedDict

from lightapi import (
    AllowAny,
    Authentication,
    BasicAuthentication,
    Field,
    Filtering,
    HttpMethod,
    IsAdminUser,
    JWTAuthentication,
    Pagination,
    RestEndpoint,
    Serializer,
)

USER = {"sub": "1", "is_admin": True}


def login(username: str, password: str) -> dict[str, Any] | None:
    """Let in whoever knows the word."""
    return USER if password == "open sesame" else None


class Colour(Enum):
    """What a thing looks like."""

    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    """Where somebody lives."""

    street: str = Field(max_length=50)
    number: int = Field(ge=1, le=9999)


class ThingEndpoint(RestEndpoint):
    """Things of every type.

    The second paragraph of their description.
    """

    name: str = Field(min_length=1, max_length=40, description="What it is called", examples=["spoon"])
    colour: Colour = Colour.RED
    size: Literal["small", "large"] = "small"
    amount: int = Field(default=1, ge=0, le=100)
    big: Optional[int] = Field(default=None, sa_type=BigInteger)
    weight: float = Field(default=1.5, gt=0)
    price: Decimal = Field(decimal_places=2, max_digits=8)
    sold: bool = False
    made_on: Optional[date] = None
    seen_at: Optional[datetime] = None
    opens_at: Optional[time] = None
    lasts: Optional[timedelta] = None
    code: Optional[UUID] = None
    words: list[str] = Field(default_factory=list)
    counts: dict[str, int] = Field(default_factory=dict)
    address: Optional[Address] = None

    class Meta:
        filtering = Filtering(
            fields={
                "name": ["exact", "icontains", "in"],
                "amount": ["exact", "gte", "range"],
                "price": ["lt"],
                "sold": ["exact"],
                "colour": ["exact", "in"],
                "seen_at": ["gte", "isnull"],
                "code": ["exact"],
            },
            search=["name"],
            ordering=["name", "amount", "seen_at"],
        )
        pagination = Pagination(page_size=10, max_page_size=50)


class OwnerEndpoint(RestEndpoint):
    """Who has things; only its name is shown."""

    name: str = Field(min_length=1, unique=True)
    secret: str = Field(default="none")
    thing_id: Optional[int] = Field(default=None, foreign_key="thingendpoints.id")

    class Meta:
        extra = "forbid"
        serializer = Serializer(read=["id", "name"], write=["id", "name", "version"])
        authentication = Authentication(
            backend=[JWTAuthentication, BasicAuthentication], permission={"GET": AllowAny, "POST": IsAdminUser}
        )
        pagination = Pagination(style="limit_offset", page_size=5, max_page_size=20, count=False)


class EventEndpoint(RestEndpoint, HttpMethod.GET, HttpMethod.POST):
    """What happened, page by page."""

    model_config = ConfigDict(strict=True)

    text: str
    happened_at: Optional[datetime] = None

    class Meta:
        authentication = Authentication(backend=JWTAuthentication)
        pagination = Pagination(style="cursor", page_size=3, backwards=True)
        filtering = Filtering(fields=["text"], strict=True)


class Summary(TypedDict):
    """What the override answers."""

    total: int
    names: list[str]


class ReportEndpoint(RestEndpoint, HttpMethod.GET, HttpMethod.POST):
    """Answered by methods of its own."""

    title: str

    def list(self, request: Request) -> Summary:
        """Sum up.

        Everything there is.
        """
        return {"total": 1, "names": ["one"]}

    async def post(self, request: Request):  # type: ignore[no-untyped-def]
        """Echo."""
        return {"echo": await request.json()}


MAPPING: dict[str, type[RestEndpoint]] = {
    "/things": ThingEndpoint,
    "/owners": OwnerEndpoint,
    "/v1/events": EventEndpoint,
    "/reports": ReportEndpoint,
}
