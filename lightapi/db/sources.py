"""Where the rows of a list come from: the table itself, or a queryset as a subquery."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    FromClause,
    Select,
    Table,
    TextClause,
    UnaryExpression,
    func,
    inspect,
    select,
)
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import Label, Over, _label_reference, _textual_label_reference
from sqlalchemy.types import NullType

from lightapi.db.joins import multiplies
from lightapi.db.keyset import Term, default_nulls_first, ordered
from lightapi.db.types import JSONDocument
from lightapi.db.versions import answer_of

if TYPE_CHECKING:
    from lightapi.plan import Plan

__all__ = ["Source", "filterable", "queryset_source", "table_source"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Rows, the columns to filter and order them by, and what is answered of them."""

    from_: FromClause
    columns: Mapping[str, ColumnElement[Any]]
    """The endpoint's columns, as far as the rows have them, by field."""
    answers: Mapping[str, ColumnElement[Any]]
    """The fields that are answered."""
    extras: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    """The labels that a queryset adds; they are answered behind the fields."""
    order: tuple[Term, ...] = ()
    """The queryset's own order."""
    clauses: tuple[Any, ...] = ()
    """The same, as the queryset wrote it."""
    key: tuple[Term, ...] = ()
    """What makes any order total."""

    def own_order(self) -> str:
        """Return a short name of the queryset's own order, so that a place in it is not taken for one in another."""
        compiled = [clause.compile() for clause in self.clauses]
        text = ", ".join(f"{each} {each.params}" for each in compiled)
        names = "" if isinstance(self.from_, Table) else ", ".join(str(term.column.key) for term in self.key)
        return hashlib.sha256(f"{text} {names}".encode()).hexdigest()[:8] if text or names else ""

    def may_be_null(self, column: ColumnElement[Any]) -> bool:
        """Tell whether a column can be NULL; of a queryset's, which may be outer joins, nobody knows."""
        return bool(getattr(column, "nullable", True)) if isinstance(self.from_, Table) else True

    def is_whole(self, names: Iterable[str]) -> bool:
        """Tell whether every column is answered, so that an entity can be made."""
        return all(name in self.answers for name in names)


def table_source(
    table: Any, key: Iterable[str], names: Iterable[str], answered: Iterable[str], *, sqlite: bool
) -> Source:
    """Return every row of an endpoint's table."""
    columns = {name: table.c[name] for name in names}
    return Source(
        from_=table,
        columns=columns,
        answers={name: answer_of(table.c[name]) for name in answered},
        key=tuple(_term(columns[name], nullable=columns[name].nullable, sqlite=sqlite) for name in key),
    )


def queryset_source(plan: Plan, statement: Any, answered: Iterable[str], *, sqlite: bool) -> Source:
    """Return the rows of a queryset of any shape; raise TypeError for one that selects other entities."""
    if isinstance(statement, FromStatement):
        statement = statement.element
    if isinstance(statement, TextClause):
        statement = _in_text_order(statement.columns(**{str(column.key): column.type for column in plan.table.c}))
    if isinstance(statement, Select):
        rows, extras, order = _selected(plan, statement, sqlite=sqlite)
    else:
        rows = statement.subquery()
        extras = {name: name for name in map(str, rows.c.keys()) if name not in plan.names}
        order = tuple(_named_order(statement, rows, sqlite=sqlite))
    columns = {name: rows.c[name] for name in plan.names if name in rows.c}
    fields = {name: columns[name] for name in answered if name in columns and name not in extras}
    has_key = all(name in columns for name in plan.key)
    tie = [columns[name] for name in (plan.key if has_key else columns)]
    if _COPY in rows.c:
        tie = [*(columns[name] for name in plan.key if has_key), rows.c[_COPY]]
    key = tuple(_term(column, nullable=not has_key, sqlite=sqlite) for column in tie)
    return Source(
        from_=rows,
        columns=columns,
        answers=fields,
        extras={name: rows.c[label] for name, label in extras.items()},
        order=order,
        clauses=tuple(getattr(statement, "_order_by_clauses", ())),
        key=key,
    )


def _in_text_order(statement: Any) -> Select[Any]:
    """Return the rows of a statement in words, in its own order, which nothing can be read off."""
    rows = statement.subquery()
    numbered: Any = select(*rows.c).order_by(func.row_number().over())
    return numbered  # type: ignore[no-any-return]


def filterable(plan: Plan, statement: Any, *, sqlite: bool) -> tuple[Select[Any], Mapping[str, Any]]:
    """Return a queryset to which conditions may be added, and the endpoint's columns in it.

    A condition on a select that is limited, grouped or distinct would act too early: it becomes a subquery.
    """
    if isinstance(statement, Select) and not (
        statement._has_row_limiting_clause or statement._group_by_clauses or statement._distinct
    ):
        return statement, _described(plan, statement)[0]
    source = queryset_source(plan, statement, plan.names, sqlite=sqlite)
    columns = {**source.answers, **source.extras}
    rows = select(*(column.label(name) for name, column in columns.items()))
    return rows.order_by(*ordered(source.order, backwards=False, sqlite=sqlite)), source.columns


def _term(column: ColumnElement[Any], *, nullable: bool, sqlite: bool) -> Term:
    first = default_nulls_first(descending=False, sqlite=sqlite)
    return Term(column, descending=False, nullable=nullable, nulls_first=first)


def _selected(plan: Plan, statement: Select[Any], *, sqlite: bool) -> tuple[Any, dict[str, str], tuple[Term, ...]]:
    """Turn a select into a subquery: its rows, its labels by key of the answer, its own order."""
    fields, labelled = _described(plan, statement)
    extras = {name: name if name not in fields else f"__label_{name}" for name in labelled}
    hidden: dict[str, ColumnElement[Any]] = {}
    is_distinct = bool(statement._distinct)

    def place(clause: Any) -> str | None:
        """Return the label under which the subquery has an expression of the order; hide one there if it must."""
        name = clause.element if isinstance(clause, _textual_label_reference) else None
        if isinstance(clause, Label):
            name = clause.name
        if name in fields or name in extras:
            return extras.get(name) or str(name)
        found = next((field for field, expression in fields.items() if expression.compare(clause)), None)
        if found is None and not is_distinct:
            found = f"__order_{len(hidden)}"
            hidden[found] = clause
        return found

    terms = list(_unwrapped(statement._order_by_clauses))
    in_words = any(isinstance(clause, TextClause) for clause, _, _ in terms)
    order = [] if in_words else [(place(clause), descending, nulls_first) for clause, descending, nulls_first in terms]
    own_key = [fields[name] for name in plan.key if name in fields]
    if multiplies(statement, own_key):
        hidden[_COPY] = _copy_number(own_key, [*fields.values(), *labelled.values()])
    inner = statement.with_only_columns(
        *(expression.label(name) for name, expression in fields.items()),
        *(labelled[name].label(label) for name, label in extras.items()),
        *(expression.label(name) for name, expression in hidden.items()),
        maintain_column_froms=True,
    )
    if not (statement._has_row_limiting_clause or statement._distinct_on or in_words):
        inner = inner.order_by(None)
    rows: Any = inner.subquery()
    if in_words:
        rows = select(*rows.c, func.row_number().over().label(_POSITION)).subquery()
        order = [(_POSITION, False, None)]
    own = tuple(_own(rows.c[label], descending, first, sqlite=sqlite) for label, descending, first in order if label)
    return rows, extras, own


def _copy_number(key: Sequence[Any], expressions: Sequence[Any]) -> Any:
    """Return the number of a row among those with its key, which a join may have made several of.

    It is a window function itself, and those can't be nested.
    """
    sortable = [each for each in expressions if not (isinstance(each.type, _UNSORTABLE) or _is_windowed(each))]
    return func.row_number().over(partition_by=[*key] or None, order_by=sortable or None)


def _is_windowed(expression: Any) -> bool:
    return any(isinstance(part, Over) for part in visitors.iterate(expression))


_UNSORTABLE = (JSON, ARRAY, NullType, JSONDocument)

_POSITION = "__position"
_COPY = "__copy"


def _own(column: ColumnElement[Any], descending: bool, nulls_first: bool | None, *, sqlite: bool) -> Term:  # noqa: FBT001
    default = default_nulls_first(descending=descending, sqlite=sqlite)
    first = default if nulls_first is None else nulls_first
    return Term(column, descending, nullable=True, nulls_first=first)


def _described(plan: Plan, statement: Select[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a select has of the endpoint's own columns, and what else, by name."""
    fields: dict[str, Any] = {}
    labelled: dict[str, Any] = {}
    # Entities first: what is called like a field beside one stands in for it in the answer only.
    every = enumerate(statement.column_descriptions)
    for number, described in sorted(every, key=lambda each: each[1]["expr"] is not each[1].get("entity")):
        expression, entity = described["expr"], described.get("entity")
        if entity is not None and expression is entity:
            if inspect(entity).mapper.class_ is not plan.endpoint:
                raise TypeError(
                    f"queryset of {plan.endpoint.__name__} selects {described['name']}; select its columns instead"
                )
            own = {name: getattr(entity, plan.attributes.get(name, name)) for name in plan.names}
            fields.update({name: column for name, column in own.items() if name not in fields})
            continue
        name = str(described["name"] or f"column_{number}")
        if name in plan.names and name not in fields:
            fields[name] = expression
        elif name not in (*plan.key, "version"):  # those of another table would name another row
            labelled[name] = expression
    return fields, labelled


def _named_order(statement: Any, rows: Any, *, sqlite: bool) -> Iterator[Term]:
    """Return the order of a union as terms over its rows, as far as it names their columns."""
    for clause, descending, nulls_first in _unwrapped(getattr(statement, "_order_by_clauses", ())):
        is_text = isinstance(clause, _textual_label_reference)
        name = clause.element if is_text else getattr(clause, "key", None)
        if name in rows.c:
            yield _own(rows.c[str(name)], descending, nulls_first, sqlite=sqlite)


_MODIFIERS = {
    operators.asc_op: ("descending", False),
    operators.desc_op: ("descending", True),
    operators.nulls_first_op: ("nulls_first", True),
    operators.nulls_last_op: ("nulls_first", False),
}


def _unwrapped(clauses: Iterable[Any]) -> Iterator[tuple[Any, bool, bool | None]]:
    """Return the expressions of an ORDER BY without ``desc()``, ``nulls_last()`` and the like, and what those said."""
    for clause in clauses:
        said: dict[str, bool] = {}
        while True:
            if isinstance(clause, _label_reference):
                clause = clause.element  # noqa: PLW2901
            elif isinstance(clause, UnaryExpression) and clause.modifier in _MODIFIERS:
                name, value = _MODIFIERS[clause.modifier]
                said.setdefault(name, value)
                clause = clause.element  # noqa: PLW2901
            else:
                break
        yield clause, said.get("descending", False), said.get("nulls_first")
