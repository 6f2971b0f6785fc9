"""Read what others stored and Python has not as the nearest that it has, on the connections of an app that reflects.

PostgreSQL's dates may be infinite, before the year 1 or after 9999, and its times 24:00: the drivers refuse the row
(psycopg), guess (psycopg2) or do the one or the other (asyncpg). Their own readers are asked first. SQLite's texts may
hold bytes that are no UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import Engine, event

__all__ = ["keep_last_days", "read_tolerantly"]

_DONE = "lightapi.tolerant"


# A timestamp has no time zone.
_FIRST = datetime.min  # noqa: DTZ901
_LAST = datetime.max  # noqa: DTZ901


class _Kind(NamedTuple):
    oid: int
    """The number of the type in PostgreSQL's catalogue."""
    array: int
    """That of arrays of it."""
    first: Any
    last: Any

    def nearest(self, text: str) -> Any:
        """Return the first or the last value that Python has, for what PostgreSQL writes as ``text``."""
        return self.first if text.startswith("-") or text.endswith("BC") else self.last


_KINDS = {
    "date": _Kind(1082, 1182, date.min, date.max),
    "time": _Kind(1083, 1183, time.min, time.max),
    "timestamp": _Kind(1114, 1115, _FIRST, _LAST),
    "timestamptz": _Kind(1184, 1185, _FIRST.replace(tzinfo=timezone.utc), _LAST.replace(tzinfo=timezone.utc)),
}


def read_tolerantly(engine: Engine) -> None:
    """Have every connection of the engine do so from its next checkout on."""
    listener = _LISTENERS.get(engine.dialect.driver)
    if listener is not None and not event.contains(engine, "checkout", listener):
        event.listen(engine, "checkout", listener)


def _psycopg(_connection: Any, driver: Any) -> None:
    from psycopg.pq import Format

    for name, kind in _KINDS.items():
        driver.adapters.register_loader(name, _loader(driver.adapters.get_loader(kind.oid, Format.TEXT), kind))


@cache
def _loader(base: Any, kind: _Kind) -> Any:
    """Return a loader that asks ``base``, which may be one of psycopg's in C and can't be inherited from."""
    from psycopg import DataError
    from psycopg.adapt import Loader

    class AnyDay(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._load: Callable[[Any], Any] = base(oid, context).load

        def load(self, data: Any) -> Any:
            try:
                return self._load(data)
            except DataError:
                return kind.nearest(bytes(data).decode())

    return AnyDay


def _psycopg2(_connection: Any, driver: Any) -> None:
    from psycopg2 import extensions  # type: ignore[import-untyped]

    for name, kind in _KINDS.items():
        base = extensions.string_types[kind.oid]
        reader = extensions.new_type((kind.oid,), name, partial(_read, base, kind))
        extensions.register_type(reader, driver)
        extensions.register_type(extensions.new_array_type((kind.array,), f"{name}[]", reader), driver)


def _read(base: Callable[[Any, Any], Any], kind: _Kind, text: Any, cursor: Any) -> Any:
    if text is None:
        return None
    if "infinity" in text or text.startswith("24:"):
        return kind.nearest(text)
    try:
        return base(text, cursor)
    except ValueError:
        return kind.nearest(text)


def keep_last_days(connection: Any, _record: Any) -> None:
    """Have an asyncpg connection store 0001-01-01 and 9999-12-31 as they are: it would write infinity."""
    _set_codec(connection, "date", _days, _date)


def _asyncpg(connection: Any, _driver: Any) -> None:
    _set_codec(connection, "time", _ticks_of_time, _time)
    _set_codec(connection, "timestamp", _ticks, partial(_moment, _NAIVE))
    _set_codec(connection, "timestamptz", _ticks_of_moment, partial(_moment, _AWARE))


def _set_codec(connection: Any, name: str, encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> None:
    options = {"schema": "pg_catalog", "encoder": encode, "decoder": decode, "format": "tuple"}
    connection.run_async(lambda driver: driver.set_type_codec(name, **options))


# In its "tuple" format asyncpg gives and takes a number: of days, or microseconds, since 2000-01-01 or midnight.
_NAIVE = datetime(2000, 1, 1)  # noqa: DTZ001  a timestamp has no time zone
_AWARE = _NAIVE.replace(tzinfo=timezone.utc)
_DAY = _NAIVE.toordinal()
_TICK = timedelta(microseconds=1)
_TICKS_OF_DAY = timedelta(days=1) // _TICK


def _days(day: date) -> tuple[int]:
    return (day.toordinal() - _DAY,)


def _date(days: tuple[int]) -> date:
    return date.fromordinal(min(max(days[0] + _DAY, 1), date.max.toordinal()))


def _ticks(day: date) -> tuple[int]:
    moment = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)  # noqa: DTZ001  as above
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return ((moment - _NAIVE) // _TICK,)


def _ticks_of_moment(day: date) -> tuple[int]:
    moment = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)  # noqa: DTZ001  made aware next
    return ((moment.astimezone(timezone.utc) - _AWARE) // _TICK,)


def _moment(epoch: datetime, ticks: tuple[int]) -> datetime:
    try:
        return epoch + timedelta(microseconds=ticks[0])
    except OverflowError:
        return (_LAST if ticks[0] > 0 else _FIRST).replace(tzinfo=epoch.tzinfo)


def _ticks_of_time(of_day: time) -> tuple[int]:
    return ((datetime.combine(_NAIVE, of_day.replace(tzinfo=None)) - _NAIVE) // _TICK,)


def _time(ticks: tuple[int]) -> time:
    return (_NAIVE + timedelta(microseconds=ticks[0])).time() if ticks[0] < _TICKS_OF_DAY else time.max


def _once(adapt: Callable[[Any, Any], None]) -> Callable[[Any, Any, Any], None]:
    def listener(connection: Any, record: Any, _proxied: Any) -> None:
        if _DONE not in record.info:
            adapt(connection, record.driver_connection)
            record.info[_DONE] = True

    return listener


def _sqlite(_connection: Any, driver: Any) -> None:
    if driver.text_factory is str:  # nobody's own
        driver.text_factory = _text


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


_LISTENERS = {
    "pysqlite": _once(_sqlite),
    "aiosqlite": _once(_sqlite),
    "psycopg": _once(_psycopg),
    "psycopg_async": _once(_psycopg),
    "psycopg2": _once(_psycopg2),
    "asyncpg": _once(_asyncpg),
}
