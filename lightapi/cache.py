"""Answers kept in Redis: found after access was granted, void after every write of their table."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import uuid
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from time import monotonic
from types import NoneType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from lightapi.config import Cache
from lightapi.exceptions import ApiError
from lightapi.http.message import JSONBytes, add_vary, owned
from lightapi.plan import Handler
from lightapi.redis_link import RedisDown, RedisLink
from lightapi.waiting import pause, uninterrupted

__all__ = ["Shelf", "generation_key", "keeping", "voiding"]

logger = logging.getLogger("lightapi")

_LARGEST = 1024 * 1024
"""Bytes of the longest answer that is kept."""
_LOCKED = 3000
"""Milliseconds after which somebody else may make an answer whose maker did not finish."""
_OPEN, _OPEN_FOR = b"0", 1000
"""What a lock holds when its answer is not kept, and for how many milliseconds."""
_ENDLESS = -1
"""What PTTL answers of a key that does not expire."""
_SOON, _LATE = 0.005, 0.1
"""Seconds between two looks at whether somebody else has made an answer: at first, and in the end."""
_FORGOTTEN = 7 * 24 * 3600
"""Seconds after which a table's generation may go; answers of it are void then."""


class Shelf(NamedTuple):
    """Where the answers of one endpoint are kept, and what tells them apart."""

    link: RedisLink
    generation: str
    """The key of the table's generation: a random word that every write deletes."""
    prefix: str
    """What the keys of answers begin with; in the same slot of a cluster as the generation."""
    about: str
    """Everything registration knows that shapes answers."""
    personal: bool
    """True when answers may depend on who asks."""
    programmed: bool
    """True when code of the user's makes the answers."""
    cache: Cache
    counted: frozenset[str] | None
    """The query parameters that count; None: all."""
    declared: frozenset[str]
    strict: bool
    patience: float
    """Seconds to wait for somebody else who makes the same answer."""


def generation_key(database: str, schema: str, table: str) -> str:
    """Return the Redis key of a table's generation; the braces name a cluster's slot."""
    place = hashlib.sha256(repr((database, schema, table)).encode("utf-8", "backslashreplace")).hexdigest()[:32]
    return f"lightapi:{{{place}}}:generation"


class _Kept(NamedTuple):
    """What Redis holds for one request: the table's generation, and an answer if it is of that generation."""

    generation: bytes | None
    response: JSONBytes | None


def keeping(handler: Handler, shelf: Shelf) -> Handler:
    """Answer GET from Redis where it can; an answer that was made is kept. ``X-Cache`` tells which."""

    async def handle(request: Request) -> Response:
        _drop_uncounted(shelf, request)
        key = _key(shelf, request)
        response: Response | None = None
        if key is not None and shelf.link.is_up:
            try:
                response = await _found_or_made(handler, shelf, key, request)
            except RedisDown:
                response = None
        if response is None:
            response = _marked(await handler(request), b"miss")
        for name in shelf.cache.vary_headers or ():
            add_vary(response, name.encode("ascii"))
        return response

    return handle


async def _found_or_made(handler: Handler, shelf: Shelf, key: str, request: Request) -> Response | None:
    """Return the kept answer, or make it and keep it; one request makes it and others wait for that."""
    until = monotonic() + shelf.patience
    wait = _SOON
    kept = await _look(shelf, key)
    while kept.response is None:
        generation = kept.generation or await _begun(shelf)
        if generation is None or monotonic() > until:
            return None  # Redis is full, or the one who makes it takes too long
        lock = _lock(key, generation)
        locked, holder, left, values = await shelf.link.ask(
            ("SET", lock, "1", "NX", "PX", _LOCKED), ("GET", lock), ("PTTL", lock), ("MGET", shelf.generation, key)
        )
        # Whoever held the lock may have kept the answer and let go since the last look.
        kept = _kept(shelf, values)
        if locked and not isinstance(locked, Exception):
            if kept == (generation, None):
                return await _made(handler, shelf, key, generation, request)
            await shelf.link.ask(("DEL", lock))
        elif kept.response is None:
            if isinstance(locked, Exception) or holder == _OPEN:
                return None  # Redis is full, or the answer is not to be kept
            if left == _ENDLESS:
                await shelf.link.ask(("DEL", lock))  # nobody's
            await pause(wait)
            wait = min(2 * wait, _LATE)
            kept = await _look(shelf, key)
    return _marked(kept.response, b"hit")


async def _look(shelf: Shelf, key: str) -> _Kept:
    (values,) = await shelf.link.ask(("MGET", shelf.generation, key))
    return _kept(shelf, values)


def _kept(shelf: Shelf, values: Any) -> _Kept:
    if not (isinstance(values, list) and len(values) == 2):  # noqa: PLR2004  two keys were asked for
        raise RedisDown
    generation, value = values
    if not (isinstance(generation, bytes) and len(generation) == _WORD and generation.isalnum()):
        return _Kept(None, None)
    return _Kept(generation, _read(value, _stamp(shelf.link, generation)) if isinstance(value, bytes) else None)


_WORD = 32


async def _begun(shelf: Shelf) -> bytes | None:
    """Begin a generation where there is none, and return the one that counts; None where Redis takes no value."""
    word = secrets.token_hex(_WORD // 2).encode("ascii")
    new, there = await shelf.link.ask(
        ("SET", shelf.generation, word, "NX", "EX", _FORGOTTEN), ("GET", shelf.generation)
    )
    if isinstance(there, bytes) and len(there) == _WORD and there.isalnum():
        return there
    if not isinstance(new, Exception):
        await shelf.link.ask(("DEL", shelf.generation))  # something that is not ours
    return None


async def _made(handler: Handler, shelf: Shelf, key: str, generation: bytes, request: Request) -> Response:
    """Make the answer and keep it under the generation that was current before its making began."""
    stamp = _stamp(shelf.link, generation)
    value = None
    failed = True
    try:
        response = _marked(await handler(request), b"miss")
        if request.method != "HEAD" or not shelf.programmed:  # an override may answer HEAD without a body
            value = _written(response, stamp, shelf)
        failed = False
    except ApiError as error:
        failed = not _is_refusal(error.status_code)
        raise
    finally:
        lock = _lock(key, generation)
        # An answer that is not kept: whoever wants it makes it, without taking turns.
        commands: list[tuple[Any, ...]] = [("SET", lock, _OPEN, "PX", _OPEN_FOR)]
        if failed:
            commands = [("DEL", lock)]
        elif value is not None:
            commands = [("SET", key, value, "PX", max(1, int(shelf.cache.ttl * 1000))), ("DEL", lock)]
        with suppress(RedisDown):
            await uninterrupted(shelf.link.ask(*commands))
    return response


def _lock(key: str, generation: bytes) -> str:
    return f"{key}:{generation.decode('ascii')}"


def _marked(response: Response, state: bytes) -> Response:
    response = owned(response)
    response.raw_headers.append((b"x-cache", state))
    return response


def _stamp(link: RedisLink, generation: bytes) -> bytes:
    """Return what a kept answer begins with: the generation, and the server's start in which it was kept."""
    return b"L1" + generation + hashlib.sha256(link.server.encode("utf-8", "replace")).digest()[:8]


def _written(response: Response, stamp: bytes, shelf: Shelf) -> bytes | None:
    """Return the bytes to keep of an answer, None for one that is not kept."""
    body = getattr(response, "body", None)
    if response.status_code != 200 or response.background is not None or not isinstance(body, bytes):  # noqa: PLR2004
        return None
    headers = [pair for pair in response.raw_headers if pair[0] not in (b"content-length", b"x-cache")]
    for name, value in headers:
        if name == b"set-cookie" or (name == b"cache-control" and _FORBIDS.intersection(_directives(value))):
            return None
        if name == b"vary" and not _names(value) <= _known_names(shelf):
            return None
    head = json.dumps([[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]).encode("ascii")
    if len(head) + len(body) > _LARGEST:
        return None
    content = len(head).to_bytes(4, "big") + head + body
    return b"".join((stamp, zlib.crc32(content).to_bytes(4, "big"), content))


_FORBIDS = frozenset((b"no-store", b"private", b"no-cache"))


def _names(value: bytes) -> set[str]:
    return {name.strip() for name in value.decode("latin-1").lower().split(",")}


def _known_names(shelf: Shelf) -> set[str]:
    """Return the request headers by which answers are told apart."""
    personal = {"authorization", "cookie"} if shelf.personal else set()
    return personal | {name.lower() for name in shelf.cache.vary_headers or ()}


def _directives(value: bytes) -> Iterator[bytes]:
    for directive in value.lower().split(b","):
        yield directive.partition(b"=")[0].strip()


def _read(value: bytes, stamp: bytes) -> JSONBytes | None:
    """Return the answer that was kept, None for one of another generation and for anything that is not ours."""
    start = len(stamp) + 4
    content = value[start:]
    if not value.startswith(stamp) or zlib.crc32(content).to_bytes(4, "big") != value[len(stamp) : start]:
        return None
    size = int.from_bytes(content[:4], "big")
    response = JSONBytes(content[4 + size :])
    headers = json.loads(content[4 : 4 + size])
    response.raw_headers[1:] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return response


def _drop_uncounted(shelf: Shelf, request: Request) -> None:
    """Leave out the parameters that do not count: neither filters nor links of a shared answer may hold them.

    With ``strict`` filtering those that nothing declares stay, because they are refused.
    """
    counted, query = shelf.counted, request.scope["query_string"]
    if counted is None or not query:
        return
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    left = [(name, value) for name, value in pairs if name in counted or (shelf.strict and name not in shelf.declared)]
    if len(left) < len(pairs):
        request.scope["query_string"] = urlencode(left).encode("ascii")
        for kept in ("_query_params", "_url"):
            request.__dict__.pop(kept, None)


def _key(shelf: Shelf, request: Request) -> str | None:
    """Return the Redis key of a request's answer; None when it can't be told whose answer it is."""
    scope = request.scope
    query = scope["query_string"]
    # Sorted by name; the order of a name's values counts.
    pairs = sorted(parse_qsl(query.decode("latin-1"), keep_blank_values=True), key=_name_of) if query else []
    parts: list[Any] = [shelf.about, "GET", scope.get("root_path", ""), scope["path"], pairs]
    headers = request.headers
    parts += [headers.getlist(name) for name in shelf.cache.vary_headers or ()]
    if shelf.personal:
        identity = _identity(request.state.user)
        if identity is None:
            return None
        secret = repr((headers.getlist("authorization"), headers.getlist("cookie"))).encode()
        parts += [identity, hashlib.sha256(secret).hexdigest()]
    return shelf.prefix + hashlib.sha256(repr(parts).encode()).hexdigest()


def _name_of(pair: tuple[str, str]) -> str:
    return pair[0]


def _identity(user: Any) -> str | None:
    """Return the canonical form of a user, None for one that JSON does not know."""
    if user is None:
        return ""
    try:
        return repr(_canonical(user))
    except (TypeError, RecursionError):
        logger.warning("request.state.user holds what JSON does not know (%s): not cached", type(user).__name__)
        return None


def _canonical(value: Any) -> Any:
    """Return the canonical form of plain data; an object of another kind, subclasses too, may hide who it is."""
    kind: Any = type(value)
    if kind in _PLAIN or (issubclass(kind, Enum) and vars(value).keys() <= _OF_ENUMS):
        return (kind.__qualname__, repr(value))
    if kind is dict:
        pairs = [(_canonical(key), _canonical(each)) for key, each in value.items()]
        return ("dict", sorted(pairs, key=repr))
    if kind in (list, tuple):
        return (kind.__qualname__, [_canonical(each) for each in value])
    raise TypeError


_PLAIN = frozenset((str, int, float, bool, NoneType, uuid.UUID, Decimal, datetime, date, time))
_OF_ENUMS = frozenset(("_value_", "_name_", "__objclass__", "_sort_order_"))


def voiding(handler: Handler, generations: tuple[str, ...], link: RedisLink) -> Handler:
    """Make what is kept of the tables void after a write: before its answer is sent, after it was committed.

    Only a refusal changes nothing; after any other failure the write may have been committed.
    """

    async def change(request: Request) -> Response:
        changed = True
        try:
            response = await handler(request)
            changed = not _is_refusal(response.status_code)
        except ApiError as error:
            changed = not _is_refusal(error.status_code)
            raise
        finally:
            if changed:
                await link.delete(generations)
        return response

    async def handle(request: Request) -> Response:
        return await uninterrupted(change(request))

    return handle


def _is_refusal(status: int) -> bool:
    return 400 <= status < 500  # noqa: PLR2004  the 4xx class of RFC 9110 section 15.5
