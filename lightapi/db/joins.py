"""Tell whether the joins of a select can give a row more than once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Alias, BooleanClauseList, Join, Select, Table
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, ColumnElement

__all__ = ["multiplies"]


def multiplies(statement: Select[Any], key: Sequence[Any]) -> bool:
    """Return True unless every table beside that of the key is found by its whole primary key, so at most once."""
    if statement._distinct or statement._group_by_clauses:
        return False
    if not key:
        return True
    leaves: list[Any] = []
    conditions: list[Any] = [] if statement.whereclause is None else [statement.whereclause]
    for each in statement.get_final_froms():
        _collect(each, leaves, conditions)
    equated = set(_equated(conditions))
    wanted = set(key)
    return any(not (wanted <= set(leaf.c) or _is_found_once(leaf, equated)) for leaf in leaves)


def _collect(source: Any, leaves: list[Any], conditions: list[Any]) -> None:
    if isinstance(source, Join):
        _collect(source.left, leaves, conditions)
        _collect(source.right, leaves, conditions)
        conditions.append(source.onclause)
    else:
        leaves.append(source)


def _equated(conditions: Iterable[Any]) -> Iterator[ColumnElement[Any]]:
    """Return the columns that have to equal something."""
    for condition in conditions:
        if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
            yield from _equated(condition.clauses)
        elif isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
            yield from (condition.left, condition.right)


def _is_found_once(leaf: Any, equated: set[ColumnElement[Any]]) -> bool:
    if not isinstance(leaf, (Table, Alias)):
        return False
    key = [*leaf.primary_key]
    return bool(key) and all(column in equated for column in key)
