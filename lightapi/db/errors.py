"""What a client is told about a database error: one table for every driver.

Knows SQLSTATEs and SQLite's messages; never lets SQL, values or driver text into an answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import CheckConstraint, Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lightapi.exceptions import ApiError, Conflict, InvalidInput, PermissionDenied, ServiceUnavailable

__all__ = ["hide_parameters", "is_transient", "sqlstate_of", "translate"]

logger = logging.getLogger("lightapi")

MISSING_REFERENCE = "conflict: a referenced row does not exist"
STILL_REFERENCED = "conflict: the row is still referenced"

_UNAVAILABLE_CLASSES = ("08", "53")
_UNAVAILABLE_STATES = frozenset(
    {"57P01", "57P02", "57P03", "57P04", "57P05", "57014", "55P03", "25006", "25P03", "40001", "40P01"}
)
_REFUSALS = ("P0", "09", "20", "21", "27", "2F", "38", "39", "44", "55000")
"""What code in the database raises: PL/pgSQL's errors, a cascade into the row itself, views with a check option."""
_STANDARD = re.compile("0[0-3]|0[89ABFLPZ]|10|2[0-8BDF]|34|3[89BDF]|40|42|44|5[34578]|72|F0|HV|P0|XX")
"""The classes of PostgreSQL's error codes (its manual, appendix A); others are a user's own."""
_TRANSIENT_STATES = frozenset({"40001", "40P01"})
_SQLITE_UNAVAILABLE = (
    "database is locked",
    "database table is locked",
    "database schema is locked",
    "attempt to write a readonly database",
    "unable to open database file",
    "database or disk is full",
    "disk i/o error",
    "interrupted",
)
_SQLITE_VALUES = (
    "datatype mismatch",
    "string or blob too big",
    "malformed json",
    "json cannot hold blob values",
    "bad json path",
    "json path error",
    "integer overflow",
    "like or glob pattern too complex",
)
"""What constraints, indexes and triggers say of values that their functions can't take."""
_DRIVERS = ("sqlalchemy.", "psycopg", "asyncpg", "aiosqlite", "sqlite3")
_WORD = re.compile(r"[^\W\d]\w*")
_KEY_DETAIL = re.compile(r"\((.*?)\)=\(")


def translate(error: BaseException, *, table: Table | None = None, deleting: bool = False) -> ApiError | None:
    """Return the answer for a database error, None for anything that is a bug; ``table`` names the fields.

    ``deleting`` tells which side of a foreign key is hurt: SQLite does not say.
    """
    hide_parameters(error)
    if isinstance(error, ApiError):
        return error
    if isinstance(error, PoolTimeout):
        return ServiceUnavailable()
    if not isinstance(error, DBAPIError):
        return _bare(error)
    if error.connection_invalidated:
        return ServiceUnavailable()
    deleting = deleting or (error.statement or "").lstrip()[:6].upper() == "DELETE"
    state = sqlstate_of(error)
    if state is not None:
        answer = _by_state(state, error, table, deleting=deleting)
        if isinstance(answer, InvalidInput) and _is_read(error):
            logger.warning("a SELECT failed with SQLSTATE %s: a value of the client's, or the queryset itself", state)
        return answer
    return _by_text(error, table, deleting=deleting)


def hide_parameters(error: BaseException | None) -> None:
    """Keep what clients sent out of the text of an error and its causes: whoever logs it must not log that."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, StatementError):
            error.hide_parameters = True
        error = error.__cause__ or error.__context__


def is_transient(error: DBAPIError) -> bool:
    """Tell whether the same transaction may well succeed when it is run again."""
    return sqlstate_of(error) in _TRANSIENT_STATES


def sqlstate_of(error: DBAPIError) -> str | None:
    """Return the five characters of the SQL standard, where the driver has them."""
    for source in _sources(error):
        for name in ("sqlstate", "pgcode"):
            state = getattr(source, name, None)
            if isinstance(state, str):
                return state
    return None


def _sources(error: DBAPIError) -> Iterable[Any]:
    origin: BaseException | None = error.orig
    while origin is not None:
        yield origin
        origin = origin.__cause__


def _diagnostic(error: DBAPIError, name: str) -> str | None:
    """Read a field of the server's error message, wherever psycopg, psycopg2 and asyncpg keep it."""
    for source in _sources(error):
        for holder in (getattr(source, "diag", None), source):
            found = getattr(holder, name, None)
            if isinstance(found, str):
                return found
    return None


def _by_state(state: str, error: DBAPIError, table: Table | None, *, deleting: bool) -> ApiError | None:
    if state in _UNAVAILABLE_STATES or state.startswith(_UNAVAILABLE_CLASSES):
        return ServiceUnavailable()
    if state.startswith(("22", "54")):  # a value, or one that is too large for an index
        return _bad_value()
    if state == "42501":
        return PermissionDenied()
    if state.startswith(("0A", "3F", "42")) and _is_about_a_value(error):
        return _bad_value()
    if _is_refusal(state) and not _is_read(error):
        return Conflict()
    return _by_constraint(state, error, table, deleting=deleting) if state.startswith("23") else None


def _is_read(error: DBAPIError) -> bool:
    return (error.statement or "").lstrip()[:6].upper() == "SELECT"


def _is_refusal(state: str) -> bool:
    """Tell whether a trigger or a function of the schema says no, with a standard code or one of its own."""
    return state.startswith(_REFUSALS) or not _STANDARD.fullmatch(state[:2])


def _is_about_a_value(error: DBAPIError) -> bool:
    """Tell whether a type could not read its value: ``tsvector`` says syntax error, ``regclass`` not supported."""
    return not any(_diagnostic(error, name) for name in ("statement_position", "position", "internal_query"))


def _by_constraint(state: str, error: DBAPIError, table: Table | None, *, deleting: bool) -> ApiError:
    if state == "23505":
        return _duplicate(_postgres_key(error, table))
    if state in ("23503", "23001"):
        # PostgreSQL names the table that refers: another one still needs what the row was called.
        changing = (error.statement or "").lstrip()[:6].upper() == "UPDATE"
        refers = _diagnostic(error, "table_name") if changing and table is not None else None
        return _reference(deleting=deleting or (table is not None and refers not in (None, table.name)))
    if state == "23502":
        return _not_null(_fields([_diagnostic(error, "column_name") or ""], table))
    if state == "23514":
        return _check(_check_fields(_diagnostic(error, "constraint_name") or "", table))
    return Conflict()


def _by_text(error: DBAPIError, table: Table | None, *, deleting: bool) -> ApiError | None:
    message = str(error.orig)
    kind, _, rest = message.partition(" constraint failed")
    rest = rest.removeprefix(": ")
    if rest or kind != message:
        answer = _sqlite_constraint(kind.upper(), rest, table, deleting=deleting)
        if answer is not None:
            return answer
    lowered = message.lower()
    if any(lowered.startswith(text) for text in _SQLITE_UNAVAILABLE):
        return ServiceUnavailable()
    if isinstance(error, DataError) or _is_bad_value(error, lowered):
        return _bad_value()
    if isinstance(error, IntegrityError):
        return Conflict()
    return None


def _sqlite_constraint(kind: str, rest: str, table: Table | None, *, deleting: bool) -> ApiError | None:
    if kind in ("UNIQUE", "PRIMARY KEY"):
        return _duplicate(_sqlite_key(rest, table))
    if kind == "FOREIGN KEY":
        return _reference(deleting=deleting)
    if kind == "NOT NULL":
        return _not_null(_fields([rest.rpartition(".")[2]], table))
    if kind == "CHECK":
        return _check(_check_fields(rest, table))
    return None


def _is_bad_value(error: DBAPIError, message: str) -> bool:
    if message.startswith(_SQLITE_VALUES):
        return True
    # asyncpg refuses a value before it is sent: an InterfaceError that is a ValueError too.
    return any(isinstance(source, ValueError) for source in _sources(error))


def _bare(error: BaseException) -> ApiError | None:
    """Recognise what drivers raise outside their own error classes; a user's own error stays a bug."""
    if isinstance(error, StatementError):
        # A column type of ours refused the value before it was sent.
        return error.orig if isinstance(error.orig, ApiError) else None
    if isinstance(error, ConnectionError | TimeoutError | asyncio.TimeoutError):
        return ServiceUnavailable() if _raised_in_driver(error) else None
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return _bad_value() if _raised_in_driver(error) else None
    if isinstance(error, ValueError) and "cannot contain NUL" in str(error) and _raised_in_driver(error):
        return _bad_value()  # psycopg2
    return None


def _raised_in_driver(error: BaseException) -> bool:
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    module: str = trace.tb_frame.f_globals.get("__name__", "")
    return module.startswith(_DRIVERS)


def _duplicate(fields: list[str]) -> Conflict:
    return Conflict(f"conflict: {', '.join(fields)} already exists") if fields else Conflict()


def _reference(*, deleting: bool) -> Conflict:
    return Conflict(STILL_REFERENCED if deleting else MISSING_REFERENCE)


def _not_null(fields: list[str]) -> InvalidInput:
    return InvalidInput([{"type": "constraint", "loc": fields, "msg": "Value must not be null"}])


def _check(fields: list[str]) -> InvalidInput:
    return InvalidInput([{"type": "constraint", "loc": fields, "msg": "Value violates a check constraint"}])


def _bad_value() -> InvalidInput:
    return InvalidInput([{"type": "constraint", "loc": [], "msg": "Value is out of range or malformed"}])


def _fields(columns: Iterable[str], table: Table | None) -> list[str]:
    """Return the fields' names for column names; a column the table does not know keeps its own."""
    names = {} if table is None else {str(column.name): str(column.key) for column in table.columns}
    return [names.get(column, column) for column in columns if column]


def _key_of(name: str, table: Table | None) -> list[str]:
    """Return the fields of the unique constraint or index of this name."""
    if table is None:
        return []
    holders: list[Any] = [
        *(key for key in table.constraints if not isinstance(key, CheckConstraint)),
        *table.indexes,
    ]
    for holder in holders:
        if holder.name == name:
            return [str(column.key) for column in holder.columns]
    return []


def _postgres_key(error: DBAPIError, table: Table | None) -> list[str]:
    found = _key_of(_diagnostic(error, "constraint_name") or "", table)
    if found:
        return found
    detail = _KEY_DETAIL.search(_diagnostic(error, "message_detail") or _diagnostic(error, "detail") or "")
    if detail is None:
        return []
    return _fields((part.strip().strip('"') for part in _known_words(detail[1], table)), table)


def _known_words(expression: str, table: Table | None) -> list[str]:
    """Split ``a, b``; of an expression such as ``lower(a)`` keep the columns."""
    if "(" not in expression:
        return expression.split(",")
    known = set() if table is None else {str(column.name) for column in table.columns}
    return [word for word in _WORD.findall(expression) if word in known]


def _sqlite_key(rest: str, table: Table | None) -> list[str]:
    if rest.startswith("index "):
        return _key_of(rest.removeprefix("index ").strip("'"), table)
    return _fields((part.rpartition(".")[2].strip() for part in rest.split(",")), table)


def _check_fields(rest: str, table: Table | None) -> list[str]:
    """Find the one column a check constraint is about, from its name (every database) or its text (SQLite)."""
    if table is None:
        return []
    for constraint in table.constraints:
        if isinstance(constraint, CheckConstraint) and constraint.name == rest:
            return _only(str(constraint.sqltext), table)
    field = [str(column.key) for column in table.columns if rest == f"{table.name}_{column.name}_check"]
    return field or _only(rest, table)


def _only(expression: str, table: Table) -> list[str]:
    words = set(_WORD.findall(expression))
    fields = [str(column.key) for column in table.columns if str(column.name) in words]
    return fields if len(fields) == 1 else []
