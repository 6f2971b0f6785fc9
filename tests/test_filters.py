"""``Meta.filtering``: what may be declared, what a query string may ask for, and what it gets."""

from __future__ import annotations

from typing import Any

import pytest

from lightapi import (
    ConfigurationError,
    FieldFilter,
    Filtering,
    LightApi,
    Pagination,
    RestEndpoint,
)
from lightapi.operators import OPERATORS
from tests.support.hosts import Api, Client
from tests.support.things import ALL, Thing, filtered, ids, locs, serving

# what may be declared

UNKNOWN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "field": ({"fields": ["stok"]}, ["Shelf.Meta.filtering.fields", "'stok'", "stock", "did you mean 'stock'?"]),
    "field in a dict": ({"fields": {"stok": ["gte"]}}, ["fields", "'stok'", "did you mean 'stock'?"]),
    "field with operator": ({"fields": ["stok__gte"]}, ["fields", "'stok'", "did you mean 'stock'?"]),
    "operator": ({"fields": ["name__contain"]}, ["fields", "'name'", "'contain'", "did you mean 'contains'?"]),
    "operator in a dict": ({"fields": {"stock": ["gtee"]}}, ["'stock'", "'gtee'", "allowed: exact, ", "'gte'"]),
    "search": ({"search": ["nme"]}, ["Shelf.Meta.filtering.search", "'nme'", "allowed: ", "did you mean 'name'?"]),
    "ordering": ({"ordering": ["prize"]}, ["Shelf.Meta.filtering.ordering", "'prize'", "did you mean 'price'?"]),
    "descending ordering": ({"ordering": ["-price"]}, ["ordering", "'-price'", "did you mean 'price'?"]),
    "search in a number": ({"search": ["stock"]}, ["search", "'stock'", "allowed: ", "name, note"]),
    "search in JSON": ({"search": ["tags"]}, ["search", "'tags'", "allowed: ", "name, note"]),
    "ordering by JSON": ({"ordering": ["tags"]}, ["ordering", "'tags'", "allowed: ", "name, note"]),
}


@pytest.mark.parametrize(("options", "said"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_name_is_refused_at_registration(options: dict[str, Any], said: list[str]) -> None:
    app = LightApi(database_url="sqlite://")

    with pytest.raises(ConfigurationError, match="Shelf") as caught:
        app.register({"/things": filtered(**options)})

    assert [part for part in said if part not in str(caught.value)] == []


@pytest.mark.parametrize("name", ALL)
def test_a_type_has_its_operators_and_no_others(name: str) -> None:
    for operator in OPERATORS:
        app = LightApi(database_url="sqlite://")
        if operator in ALL[name]:
            app.register({"/things": filtered(fields=[f"{name}__{operator}"])})
        else:
            with pytest.raises(ConfigurationError, match=f"'{name}' has no operator '{operator}'; allowed: .*isnull"):
                app.register({"/things": filtered(fields={name: [operator]})})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fields": "stock"}, r"Filtering\(fields=...\): 'stock' given; allowed: a list"),
        ({"fields": {"stock": "gte"}}, "'stock'.*'gte' given; allowed: a list"),
        ({"fields": {"stock": []}}, "'stock'"),
        ({"fields": ["stock", "stock"]}, "'stock' is named twice"),
        ({"fields": [Thing]}, "fields=.*allowed: a list"),
        ({"search": "name"}, r"Filtering\(search=...\): 'name' given; allowed: a list"),
        ({"ordering": {"name": 1}}, r"Filtering\(ordering=...\)"),
        ({"backends": FieldFilter}, r"Filtering\(backends=...\).*allowed: a list"),
        ({"backends": [object]}, r"Filtering\(backends=...\).*filter_queryset\(request, queryset, view\)"),
        ({"strict": 1}, r"Filtering\(strict=...\): 1 given; allowed: True or False"),
    ],
)
def test_a_wrong_option_is_refused_when_the_class_is_made(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Filtering(**options)


def test_a_filter_may_not_be_named_like_another_parameter() -> None:
    class Leaf(RestEndpoint):
        page: int = 0

        class Meta:
            filtering = Filtering(fields=["page"])
            pagination = Pagination()

    with pytest.raises(ConfigurationError, match=r"Leaf\.Meta\.filtering\.fields: 'page'"):
        LightApi(database_url="sqlite://").register({"/leaves": Leaf})


# on every host and engine


@pytest.mark.parametrize(
    "fields",
    [
        ["stock", "stock__gte", "note__in"],
        ("stock", "stock__gte", "note__in"),
        {"stock": ["exact", "gte"], "note": ["in"]},
    ],
    ids=["list", "tuple", "dict"],
)
def test_every_form_of_fields_filters(api: Api, fields: Any) -> None:
    client = serving(api, fields=fields, search=["name", "note"], ordering=["stock", "name"])

    assert ids(client, "stock=5") == ids(client, "stock__exact=5") == [1]
    assert ids(client, "stock__gte=5&ordering=-stock") == [2, 1]
    assert ids(client, 'note__in="a,b",x') == [1]
    assert ids(client, "search=HI&stock__gte=6") == [2]
    assert ids(client, "stock__lt=7&weight=9") == [1, 2, 3]


def test_values_of_the_wrong_type_name_their_parameter(api: Api) -> None:
    client = serving(api, fields=["stock", "day"])

    assert locs(client, "stock=x&day=y") == ["stock", "day"]
    assert client.get("/things?stock=x").json()["detail"][0]["type"] == "int_parsing"


# values, type by type

GIVEN = r"""
    name=→3 name__ne=→1,2 name__in=→3 name__in=x,→3 name__contains=100%25→1 name__contains=0_%25→
    name__contains=r_s→2 name__contains=_→2 name__contains=%5C→2 name__contains=/→2 name__contains=→1,2,3
    name__contains=UNDER→ name__icontains=UNDER→2 name__icontains=éCLAIR→1 name__startswith=É→1 name__startswith=é→
    name__istartswith=é→1 name__startswith=%25→ name__endswith=%25→1 name__endswith=SLASH→ name__iendswith=SLASH→2
    note__ne=a,b→2,3 note=a,b→1 note__in="a,b"→1 note__in=x,"a,b","say%20""hi""%22→1,2 note__in=x&note__in=%22a,b%22→1
    note__in=say%20"hi"→2 note__notin="a,b"→2,3 note__in=→ note__range="a,a","b,"→1 note__isnull=true→3
    note__isnull=0→1,2
    stock=1&stock=7→2 stock__range=5,6→1 stock__range=7,5→
    weight=0.5→1 weight__gt=5e-1→2
    price=9.9→1 price=9.900→1 price=1E%2B1→2 price__lt=9.905→1 price__in=9.90,10→1,2
    made=2024-01-01T12:00:00.5Z→1 made=2024-01-01T12:00:00.500000→1 made=2024-06-01T02:00:00+02:00→2
    made=2024-06-01T02:00:00%2B02:00→2 made=2024-05-31T22:00:00-02:00→2 made=2024-06-01%2002:00:00+02:00→2
    made=2024-06-01→2 made__gt=2024-01-01T12:00:00Z→1,2 made__in=2024-06-01T02:00:00+02:00,2024-01-01T12:00:00Z→2
    made__range=2024-01-01T14:00:00+02:00,2024-01-01T12:00:01Z→1 made__ne=2024-06-01T00:00:00Z→1,3
    day=2024-01-01→1 day__gte=2024-01-02→2
    opens=09:30→1 opens__gt=09:30:00→2
    code=11111111-1111-1111-1111-111111111111→1 code=%7B22222222-2222-2222-2222-222222222222%7D→2
    code__gt=11111111111111111111111111111111→2
    colour=red→1 colour__in=red,blue→1,2 colour__ne=red→2,3
    level=2→2 level__notin=1→2,3
    size=m→2
    live=true→1 live=0→2 live__ne=true→2,3
    net__weight=1→1 net__weight__gt=1→2
    tags__isnull=true→2,3
    live__in=true,0→1,2 day__in=2024-01-01,2024-06-02→1 opens__in=09:30,10:00→1,2 opens__range=09:00,09:59→1
    code__in=22222222222222222222222222222222→2 weight__in=0.5,1.25→1,2 size__notin=s→2,3 version=1→1,2,3
    span=PT60M→1 span__gt=PT1H→2 span__in=PT1H,PT24H→1,2 span__ne=PT1H→2,3 created_at__gt=2024-01-01→1,2,3
    raw=bytes→1 raw__in=more,bytes→1,2 raw__ne=more→1,3 host=10.0.0.1→1 host__in=10.0.0.1→1 host__ne=10.0.0.1→2,3
    host__startswith=192.→2 host__contains=.0.→1,2 search=192.168→2
    search=→1,2,3 search=%25→1 search=_→2 search=%5C→2 search=é→1 search=RED→1
    ordering=→1,2,3 ordering=-id→3,2,1 ordering=nothing,-id→3,2,1 ordering=colour,-id&stock__gte=0→2,1
    nothing=1&name__nothing=2→1,2,3
"""
"""Query strings, each with the ids that it lists."""
REFUSED = r"""
    stock= stock=1.5 stock=1e3 stock=abc stock__in=1, stock__in=1,x stock=%00 stock=2147483648
    stock__gte=-2147483649 stock=999999999999999999999999999999 stock__range=1 stock__range=1,2,3
    stock__range=1,999999999999999999999999999999 id=9223372036854775808 net__weight=x weight=nan weight=inf
    weight=1e999 weight=x price=NaN price=Infinity price=1,5 price=1e99999 made=yesterday made=10000-01-01
    made=2024-13-01 made=9999-12-31T23:59:59-12:00 day=2024-02-30 day=2024-01-01T10:00:00 opens=25:00 code=1 code=
    colour=green colour=RED colour__in=red,green level=3 level=x level=999999999999999999999999999999 size=xl live=2
    live= note__isnull=maybe tags__isnull= host=10.0.0.256 span=x note__in="a note__in="a"b note__in="
    span=-P999999999DT1S note__range="a,"b" note__notin=x,"y
    name=%00 name__in=a,%00 name__contains=a%00 name__range=a,%00 search=%00 size=%00 colour=%00
"""
TOO_LONG = [f"{name}={'9' * digits}" for name in ("stock", "stock__range=1,", "level") for digits in (30, 6000)]
TOO_MANY = ["stock__in=" + ",".join("1" * 2000), "name__notin=" + "," * 1000]
EXTREME = """
    price=0.1234567890123456789 price__gte=123456789012345678901234567890.5 price__in=0.1234567890123456789
    price__range=0.1234567890123456789,1e30 made=0001-01-01 day=0001-01-01 day__lte=9999-12-31 weight__gt=5e-324
    weight__lt=-1.7976931348623157e308 opens=09:30:00.000001+23:59 name__in=%ED%A0%80 ordering=%00,--id,- %00=%00
"""
LONGEST = ["name=" + "x" * 20_000, "name__in=" + "," * 998, "stock__in=" + ",".join("1" * 1000)]


@pytest.fixture
def shelf(api: Api) -> Client:
    return serving(
        api, fields=ALL, search=["name", "note", "colour", "size", "host"], ordering=["id", "colour", "stock"]
    )


@pytest.mark.hosts("asgi")
def test_values_are_read_by_the_type_of_their_field(shelf: Client) -> None:
    expected = sorted(GIVEN.split())

    found = [
        f"{query}→{','.join(map(str, ids(shelf, query)))}" for query, _, _ in (c.rpartition("→") for c in expected)
    ]

    assert found == expected


@pytest.mark.hosts("asgi")
def test_what_is_no_value_of_the_type_is_refused(shelf: Client) -> None:
    for query in (*REFUSED.split(), *TOO_LONG, *TOO_MANY):
        assert locs(shelf, query) == [query.partition("=")[0]]


@pytest.mark.hosts("asgi")
def test_the_values_of_all_filters_are_bounded(shelf: Client) -> None:
    names = [f"{name}__{op}" for name in ("name", "note", "id", "stock", "weight", "version") for op in ("in", "notin")]

    def query(values: int) -> str:
        return "&".join(f"{name}={','.join('7' * values)}" for name in names)

    assert ids(shelf, query(10_000 // len(names))) == []
    assert locs(shelf, query(10_000 // len(names) + 1)) == [names[-1]]


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize("query", [*EXTREME.split(), *LONGEST], ids=lambda query: query[:30])
def test_extreme_values_are_never_our_fault(shelf: Client, query: str) -> None:
    if shelf.get(f"/things?{query}").status_code != 200:
        assert locs(shelf, query) == [query.partition("=")[0]]


# strict


STRICT: dict[str, Any] = {"fields": ["stock", "note"], "search": ["name"], "ordering": ["name", "stock"]}
PARAMETERS = "note, note__exact, ordering, page, search, stock, stock__exact"


@pytest.mark.hosts("asgi")
@pytest.mark.parametrize(
    ("query", "loc", "allowed"),
    [
        ("colour=red", "colour", PARAMETERS),
        ("stock=1&stock__gte=1", "stock__gte", PARAMETERS),
        ("page_size=5", "page_size", PARAMETERS),
        ("=", "", PARAMETERS),
        ("ordering=stock,price", "ordering", "name, stock"),
        ("ordering=--stock", "ordering", "name, stock"),
    ],
)
@pytest.mark.engines("sqlite-sync", "postgres-async")
def test_strict_names_what_is_allowed(api: Api, query: str, loc: str, allowed: str) -> None:
    client = serving(api, **STRICT, strict=True, pagination=Pagination())

    assert locs(client, query) == [loc]
    assert client.get(f"/things?{query}").json()["detail"][0]["msg"].endswith(f"allowed: {allowed}")
    assert ids(client, "stock=5&search=&ordering=&page=1") == [1]


@pytest.mark.hosts("asgi")
@pytest.mark.engines("sqlite-sync")
@pytest.mark.parametrize("options", [{}, {"backends": []}, {**STRICT, "backends": []}], ids=["empty", "none", "idle"])
def test_strict_allows_only_what_acts(api: Api, options: dict[str, Any]) -> None:
    client = serving(api, **options, strict=True)

    assert locs(client, "stock=1&search=x") == ["stock", "search"]
    assert client.get("/things?stock=1").json()["detail"][0]["msg"].endswith("allowed: none")
    assert ids(client, "") == [1, 2, 3]
