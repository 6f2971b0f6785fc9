"""The statements of lists: one per shape of request, with parameters for its values."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
    union_all,
)

from lightapi.db.binds import as_text, from_raw, raw
from lightapi.db.crud import Row
from lightapi.db.entities import session_on, values_of
from lightapi.db.keyset import Place, Term, after, default_nulls_first, ordered
from lightapi.db.operators import condition, parameters_of, search_condition, search_parameter
from lightapi.db.sources import Source
from lightapi.exceptions import InvalidInput

if TYPE_CHECKING:
    from lightapi.filters import Asked
    from lightapi.plan import Plan

__all__ = ["COUNT_CAP", "Counted", "Listing", "Lists", "Rows", "Wanted", "rows_of"]

Counted = Literal["", "exact", "capped", "estimate"]

COUNT_CAP = 10_000
"""Where a capped count stops, and from where on an estimate is good enough."""

_MOST_SHAPES = 256


class Wanted(NamedTuple):
    """The shape of a list request: everything that changes the text of its statement."""

    filters: tuple[tuple[str, str], ...] = ()
    search: bool = False
    ordering: tuple[tuple[str, bool], ...] = ()
    style: Literal["all", "offset", "seek"] = "all"
    place: Place | None = None
    counted: Counted = ""
    limit: int = 0
    """Rows, written into the statement; 0: a parameter says how many.

    A number lets PostgreSQL see that one plan does for all values, and plan a statement once.
    """


class Listing(NamedTuple):
    """A statement and how to read its rows: fields, labels, the place of each row, the count."""

    statement: Select[Any]
    names: tuple[str, ...]
    """The keys of the answers."""
    labels: tuple[str, ...]
    """The statement's columns that are no field of the endpoint."""
    places: int
    """How many columns tell the place of a row."""
    counting: Select[Any] | None
    """The count alone, for a page that has no row to carry it."""


class Rows(NamedTuple):
    """What a list statement gave."""

    rows: list[Row]
    places: list[Sequence[Any]]
    """Each row's values in the order in force; empty where nothing is sought by place."""
    total: int | None


class Lists:
    """The statements of one source, built once per shape."""

    def __init__(self, source: Source, *, searched: Sequence[str], sqlite: bool, estimate_of: str = "") -> None:
        self.source = source
        self.sqlite = sqlite
        self._searched = searched
        self._estimate_of = estimate_of
        """The table's name for PostgreSQL's catalogue; empty: nothing is estimated."""
        self._listings: dict[Wanted, Listing] = {}
        self._lock = threading.Lock()

    def over(self, source: Source) -> Lists:
        """Return the same of other rows: those of a queryset."""
        return Lists(source, searched=self._searched, sqlite=self.sqlite)

    def listing(self, wanted: Wanted) -> Listing:
        """Return the statement of a shape."""
        found = self._listings.get(wanted)
        if found is None:
            with self._lock:
                if len(self._listings) >= _MOST_SHAPES:
                    self._listings.pop(next(iter(self._listings)))
                found = self._listings[wanted] = self._build(wanted)
        return found

    def check(self, asked: Asked) -> None:
        """Raise InvalidInput for a column that a queryset does not select: nothing can be filtered or ordered by it."""
        used = {name: f"{name}__{operator}" for name, operator in asked.filters}
        used.update((name, "ordering") for name, _ in asked.ordering)
        used.update((name, "search") for name in self._searched if asked.search)
        lacking = [parameter for name, parameter in used.items() if name not in self.source.columns]
        if lacking:
            message = "The rows of this list do not have the column"
            raise InvalidInput([{"type": "no_column", "loc": ["query", name], "msg": message} for name in lacking])

    def parameters(self, asked: Asked) -> dict[str, Any]:
        """Return the parameters of what was asked."""
        parameters: dict[str, Any] = {}
        for number, ((name, operator), values) in enumerate(zip(asked.filters, asked.values, strict=True)):
            filtered = self.source.columns[name]
            parameters.update(parameters_of(filtered, operator, f"__filter_{number}", values, sqlite=self.sqlite))
        if asked.search:
            parameters["__search"] = search_parameter(asked.search, sqlite=self.sqlite)
        return parameters

    def terms(self, ordering: Sequence[tuple[str, bool]]) -> tuple[Term, ...]:
        """Return the order in force: what was asked for, else the source's own; then the key."""
        columns = self.source.columns
        chosen = [self._term(columns[name], descending) for name, descending in ordering] or [*self.source.order]
        taken = [term.column for term in chosen]
        return (*chosen, *(term for term in self.source.key if not any(term.column is column for column in taken)))

    def _term(self, column: ColumnElement[Any], descending: bool) -> Term:  # noqa: FBT001  part of an ordering
        key = next((term for term in self.source.key if term.column is column), None)
        nullable = self.source.may_be_null(column) if key is None else key.nullable
        return Term(column, descending, nullable, default_nulls_first(descending=descending, sqlite=self.sqlite))

    def _build(self, wanted: Wanted) -> Listing:
        terms = self.terms(wanted.ordering)
        conditions = self._conditions(wanted)
        counting = self._counting(wanted.counted, conditions)
        columns = self._columns(terms if wanted.style == "seek" else ())
        if wanted.place is None:
            if counting is not None:
                columns["__count"] = counting.scalar_subquery()
            statement = self._from_start(wanted, terms, conditions, columns)
        else:
            statement = self._seek(wanted, terms, conditions, columns)
        answers = self.source.answers
        labels = tuple(label for label in columns if label not in answers)
        places = len(terms) if wanted.style == "seek" else 0
        return Listing(statement, (*answers, *self.source.extras), labels, places, counting)

    def _columns(self, terms: Sequence[Term]) -> dict[str, ColumnElement[Any]]:
        """Return what is selected, by label: the fields under their names, so that entities can be made of them."""
        extras = {f"__extra_{number}": column for number, column in enumerate(self.source.extras.values())}
        places = {_at(number): raw(term.column, sqlite=self.sqlite) for number, term in enumerate(terms)}
        return {**self.source.answers, **extras, **places}

    def _from_start(
        self, wanted: Wanted, terms: Sequence[Term], conditions: list[ColumnElement[bool]], columns: Columns
    ) -> Select[Any]:
        statement = select(*_labelled(columns)).select_from(self.source.from_).where(*conditions)
        statement = statement.order_by(*ordered(terms, backwards=False, sqlite=self.sqlite))
        if wanted.style != "all":
            statement = statement.limit(_limit(wanted))
        return statement.offset(_OFFSET) if wanted.style == "offset" else statement

    def _conditions(self, wanted: Wanted) -> list[ColumnElement[bool]]:
        columns = self.source.columns
        conditions = [
            condition(columns[name], operator, f"__filter_{number}", sqlite=self.sqlite)
            for number, (name, operator) in enumerate(wanted.filters)
        ]
        if wanted.search:
            conditions.append(search_condition([columns[n] for n in self._searched], "__search", sqlite=self.sqlite))
        return conditions

    def _seek(
        self, wanted: Wanted, terms: Sequence[Term], conditions: list[ColumnElement[bool]], columns: Columns
    ) -> Any:
        """Return the rows after a place: one range, or several whose first rows are merged."""
        place, limit = wanted.place or Place(()), _limit(wanted)
        order = ordered(terms, backwards=place.backwards, sqlite=self.sqlite)
        parts = [
            select(*_labelled(columns))
            .select_from(self.source.from_)
            .where(*conditions, *part)
            .order_by(*order)
            .limit(limit)
            for part in after(terms, place, sqlite=self.sqlite) or [[literal_column("1") == literal_column("0")]]
        ]
        if len(parts) == 1:
            return parts[0]
        # SQLite wants a part with a limit to be a subquery; PostgreSQL plans it faster without.
        merged: Any = union_all(*((select(*part.subquery().c) for part in parts) if self.sqlite else parts))
        found = merged.selected_columns
        if not self.sqlite and any(as_text(term.column) for term in terms):
            found = merged.subquery().c  # a union can't be ordered by an expression
            merged = select(*found)
        again = [
            term._replace(column=from_raw(term.column, found[_at(number)], sqlite=self.sqlite))
            for number, term in enumerate(terms)
        ]
        return merged.order_by(*ordered(again, backwards=place.backwards, sqlite=self.sqlite)).limit(limit)

    def _counting(self, count: Counted, conditions: list[ColumnElement[bool]]) -> Select[Any] | None:
        if not count:
            return None
        rows: Select[Any] = (
            select(literal_column("1")).select_from(self.source.from_).where(*conditions).correlate(None)
        )
        exact = select(func.count()).select_from(self.source.from_).where(*conditions).correlate(None)
        if count == "exact" or (count == "estimate" and (conditions or not self._estimate_of)):
            return exact
        capped = select(func.count()).select_from(rows.limit(literal_column(str(COUNT_CAP))).subquery())
        if count == "capped":
            return capped
        return _estimated(self._estimate_of, exact)


Columns = dict[str, ColumnElement[Any]]

Parameters = Mapping[str, Any]

_LIMIT = bindparam("__limit", type_=BigInteger())
_OFFSET = bindparam("__offset", type_=BigInteger())


def _limit(wanted: Wanted) -> ColumnElement[int]:
    return literal_column(str(wanted.limit), BigInteger()) if wanted.limit else _LIMIT


def _at(number: int) -> str:
    return f"__at_{number}"


def _labelled(columns: Columns) -> list[ColumnElement[Any]]:
    return [column.label(label) for label, column in columns.items()]


def _estimated(table_name: str, exact: Select[Any]) -> Select[Any]:
    """Return PostgreSQL's own estimate of a table's rows, or the exact count where the table is small or unknown."""
    catalogue = table("pg_class", column("oid"), column("reltuples"), schema="pg_catalog")
    estimate = (
        select(cast(catalogue.c.reltuples, BigInteger))
        .where(catalogue.c.oid == func.to_regclass(table_name))
        .scalar_subquery()
    )
    return select(case((estimate >= literal_column(str(COUNT_CAP)), estimate), else_=exact.scalar_subquery()))


def rows_of(connection: Connection, plan: Plan, source: Source, listing: Listing, parameters: Parameters) -> Rows:
    """Return the rows of a listing; through entities where somebody listens to the mapper."""
    found: Sequence[Any]
    rows: list[Row]
    if plan.listened and source.is_whole(plan.names):
        found, rows = _entities(connection, plan, listing, parameters)
        before = len(listing.names) - len(plan.names) + 1
    else:
        found = connection.execute(listing.statement, parameters).all()
        rows = [dict(zip(listing.names, row, strict=False)) for row in found]
        before = len(listing.names)
    places = [row[before : before + listing.places] for row in found] if listing.places else []
    return Rows(rows, places, _count(connection, listing, parameters, found))


def _count(connection: Connection, listing: Listing, parameters: Parameters, found: Sequence[Any]) -> int | None:
    if listing.counting is None:
        return None
    if found:
        return int(found[0][-1])
    return int(connection.execute(listing.counting, parameters).scalar_one()) if parameters["__offset"] else 0


def _entities(
    connection: Connection, plan: Plan, listing: Listing, parameters: Parameters
) -> tuple[Sequence[Any], list[Row]]:
    extras = listing.names[len(plan.names) :]
    entity: Any = plan.endpoint
    statement = select(entity, *(column(label) for label in listing.labels)).from_statement(listing.statement)
    with session_on(connection) as session:
        found = session.execute(statement, parameters).all()
        rows: list[Row] = [{**values_of(plan, row[0]), **dict(zip(extras, row[1:], strict=False))} for row in found]
    return found, rows
