"""Pages: what a request asks for, and the keys and the ``Link`` header around the rows it gets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from lightapi.config import Pagination
from lightapi.cursors import Cursor, read_cursor, write_cursor
from lightapi.db.listing import COUNT_CAP
from lightapi.exceptions import InvalidInput
from lightapi.values import problem

__all__ = ["Around", "Links", "Page", "cursor_page", "offset_page", "page_asked", "page_parameters"]


class Page(NamedTuple):
    """The page that a request asks for."""

    size: int
    number: int = 1
    offset: int = 0
    cursor: Cursor | None = None


class Links(NamedTuple):
    """What links of one list are made of."""

    path: str
    query: Sequence[tuple[str, str]]
    """The parameters of the request, which every link keeps."""
    scope: str
    """What cursors are signed for."""


class Around(NamedTuple):
    """What stands around the rows of a page."""

    keys: dict[str, Any]
    """The keys of the body before ``results``."""
    link: str
    """The ``Link`` header (RFC 8288 section 3); empty: none."""


_PLACE = {"page_number": "page", "cursor": "cursor", "limit_offset": "offset"}
_SIZE = {"page_number": "page_size", "cursor": "page_size", "limit_offset": "limit"}
_LARGEST = 2**62
"""Beyond any row of any table, and small enough for a database's 64 bits."""


def page_parameters(pagination: Pagination | None) -> tuple[str, ...]:
    """Return the query parameters that choose a page."""
    if pagination is None:
        return ()
    size = () if pagination.max_page_size is None else (_SIZE[pagination.style],)
    return (_PLACE[pagination.style], *size)


def page_asked(pagination: Pagination, query: QueryParams, scope: str) -> Page:
    """Return the page a query string asks for; raise InvalidInput for a page or size that is none.

    ``scope`` names the list that cursors belong to.
    """
    style, size = pagination.style, pagination.page_size
    if not query:
        return Page(size)
    asked = query.get(_SIZE[style]) if pagination.max_page_size is not None else None
    if asked is not None:
        size = min(_integer(_SIZE[style], asked, 1), pagination.max_page_size or size)
    place = query.get(_PLACE[style])
    if place is None:
        return Page(size)
    if style == "cursor":
        return Page(size, cursor=read_cursor(scope, place))
    if style == "limit_offset":
        return Page(size, offset=_integer("offset", place, 0))
    number = _integer("page", place, 1)
    return Page(size, number=number, offset=min((number - 1) * size, _LARGEST))


_WHOLE = re.compile(r"-?[0-9]+", re.ASCII)
_DIGITS = 18


def _integer(parameter: str, text: str, least: int) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise InvalidInput([problem("int_parsing", parameter, "Input should be a valid integer")])
    digits = text.lstrip("-0")
    value = (_LARGEST if len(digits) > _DIGITS else int(digits or "0")) * (-1 if text.startswith("-") else 1)
    if value < least:
        message = f"Input should be greater than or equal to {least}"
        raise InvalidInput([problem("greater_than_equal", parameter, message)])
    return value


def offset_page(pagination: Pagination, page: Page, count: int | None, *, more: bool, links: Links) -> Around:
    """Return what stands around a page that was cut by number or by offset; ``more`` rows follow it."""
    numbered = pagination.style == "page_number"
    known = count if count is not None and (pagination.count is True or count < COUNT_CAP) else None
    places = _numbers(page, known, more=more) if numbered else _offsets(page, known, more=more)
    name = _PLACE[pagination.style]
    targets = {rel: reference(links, name, place) for rel, place in places.items()}
    keys: dict[str, Any] = {}
    if count is not None:
        keys["count"] = count
        if numbered:
            keys["pages"] = -(-count // page.size)
    return Around({**keys, "next": targets.get("next"), "previous": targets.get("prev")}, link_header(targets))


def _numbers(page: Page, count: int | None, *, more: bool) -> dict[str, int]:
    last = None if count is None else -(-count // page.size)
    before = page.number - 1 if last is None else min(page.number - 1, last)
    return _places(first=1, before=before if before >= 1 else None, after=page.number + 1 if more else None, last=last)


def _offsets(page: Page, count: int | None, *, more: bool) -> dict[str, int]:
    last = None if count is None else (count - 1) // page.size * page.size
    before = None if page.offset == 0 else page.offset - page.size
    if before is not None and last is not None:
        before = min(before, last)
    return _places(
        first=0,
        before=None if before is None else max(before, 0),
        after=page.offset + page.size if more else None,
        last=None if last is None or last < 0 else last,
    )


def _places(*, first: int, before: int | None, after: int | None, last: int | None) -> dict[str, int]:
    known = {"first": first, "prev": before, "next": after, "last": last or first if last is not None else None}
    return {rel: place for rel, place in known.items() if place is not None}


def cursor_page(
    pagination: Pagination,
    page: Page,
    order: Cursor,
    places: Sequence[Sequence[Any]],
    *,
    more: bool,
    links: Links,
) -> Around:
    """Return what stands around a page cut by place: ``places`` are those of its rows, in ``order``.

    ``more`` tells whether rows follow in the direction walked.
    """
    came = page.cursor
    backwards = came is not None and came.backwards
    forward = more if not backwards else came is not None
    back = more if backwards else came is not None
    last: Any = places[-1] if places else (came.values if came is not None and backwards else None)
    first: Any = places[0] if places else (came.values if came is not None and not backwards else None)
    empty = not places
    cursors: dict[str, str] = {}
    if back and first is not None and pagination.backwards:
        place = order._replace(values=tuple(first), backwards=True, inclusive=empty)
        cursors["prev"] = write_cursor(links.scope, place)
    if forward and last is not None:
        cursors["next"] = write_cursor(links.scope, order._replace(values=tuple(last), inclusive=empty))
    targets = {"first": reference(links, "cursor", None)}
    targets.update({rel: reference(links, "cursor", cursor) for rel, cursor in cursors.items()})
    return Around({"next": cursors.get("next"), "previous": cursors.get("prev")}, link_header(targets))


def reference(links: Links, name: str, value: object) -> str:
    """Return the list's own path with every parameter of the query kept, and one of them set (None: left out)."""
    pairs = [pair for pair in links.query if pair[0] != name]
    if value is not None:
        pairs.append((name, str(value)))
    return f"{links.path}?{urlencode(pairs)}" if pairs else links.path


_LONGEST_HEADER = 4000
"""Bytes; proxies refuse an answer whose headers are larger than theirs, and the body has the links too."""


def link_header(links: Mapping[str, str]) -> str:
    """Return the value of a ``Link`` header (RFC 8288 section 3), empty if it were too long to pass proxies."""
    header = ", ".join(f'<{target}>; rel="{rel}"' for rel, target in links.items())
    return header if len(header) <= _LONGEST_HEADER else ""
