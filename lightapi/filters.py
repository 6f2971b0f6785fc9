"""Filter backends: what the query string of a list may ask for, read into typed values.

A ``view`` is the endpoint, an instance of RestEndpoint, while it answers a request.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select
from starlette.datastructures import QueryParams
from starlette.requests import Request

from lightapi.config import Filtering
from lightapi.db.operators import condition, parameters_of, search_condition, search_parameter
from lightapi.db.sources import filterable
from lightapi.declaration import FieldSpec
from lightapi.exceptions import ConfigurationError, InvalidInput, nearest
from lightapi.http.drive import is_async
from lightapi.operators import OPERATORS, is_sortable, is_text, operators_of
from lightapi.problems import Problems
from lightapi.values import MOST_IN_ALL, Parser, parser_of, problem, value_parser

__all__ = ["Asked", "BaseFilter", "FieldFilter", "Filters", "OrderingFilter", "SearchFilter", "filters_of"]


logger = logging.getLogger("lightapi")


class BaseFilter:
    """A filter backend of your own: narrow or order what a list selects.

    Name the query parameters that it reads in ``parameters``, so that ``Filtering(strict=True)`` lets them pass.
    """

    parameters: Sequence[str] = ()

    def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        """Return the select to list; ``view`` is the endpoint. May be ``async def``."""
        raise NotImplementedError(f"{type(self).__name__}.filter_queryset(request, queryset, view) is missing")


class FieldFilter(BaseFilter):
    """Answer ``?price=5`` and ``?price__gte=5`` for what ``Filtering(fields=...)`` declares."""

    def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        """Add one condition per filter; raises InvalidInput for a value of the wrong type."""
        filters, columns, queryset, sqlite = _context(view, queryset)
        asked = filters.fields_asked(request.query_params)
        for number, ((name, operator), values) in enumerate(zip(asked.filters, asked.values, strict=True)):
            column = columns[name]
            parameter = f"__{type(self).__name__}_{number}"  # the list has parameters of its own
            bound = parameters_of(column, operator, parameter, values, sqlite=sqlite)
            queryset = queryset.where(condition(column, operator, parameter, sqlite=sqlite)).params(bound)
        return queryset


class SearchFilter(BaseFilter):
    """Answer ``?search=text`` over the fields that ``Filtering(search=...)`` declares."""

    def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        """Keep the rows of which a field holds the text, whatever its case."""
        filters, columns, queryset, sqlite = _context(view, queryset)
        text = filters.search_asked(request.query_params)
        if not text:
            return queryset
        parameter = f"__{type(self).__name__}"
        found = search_condition([columns[name] for name in filters.search], parameter, sqlite=sqlite)
        return queryset.where(found).params({parameter: search_parameter(text, sqlite=sqlite)})


class OrderingFilter(BaseFilter):
    """Answer ``?ordering=title,-price`` for what ``Filtering(ordering=...)`` declares."""

    def filter_queryset(self, request: Request, queryset: Select[Any], view: Any) -> Any:
        """Replace the order by the one asked for, if any."""
        filters, columns, queryset, _ = _context(view, queryset)
        wanted = filters.ordering_asked(request.query_params)
        if not wanted:
            return queryset
        terms = [columns[name].desc() if descending else columns[name].asc() for name, descending in wanted]
        return queryset.order_by(None).order_by(*terms)


_OURS = (FieldFilter, SearchFilter, OrderingFilter)


def _context(view: Any, queryset: Any) -> tuple[Filters, Mapping[str, Any], Select[Any], bool]:
    call = view._running("filter_queryset()")
    sqlite = call.store.dialect.name == "sqlite"
    queryset, columns = filterable(call.plan, queryset, sqlite=sqlite)
    return call.plan.filters, columns, queryset, sqlite


class Filter(NamedTuple):
    """One query parameter that filters."""

    column: str
    operator: str
    parse: Parser


class Asked(NamedTuple):
    """What one request asks of a list: the shape of its filters and their values."""

    filters: tuple[tuple[str, str], ...] = ()
    """Column and operator."""
    values: tuple[Sequence[Any], ...] = ()
    search: str = ""
    ordering: tuple[tuple[str, bool], ...] = ()
    """Column, and True for descending."""


NOTHING = Asked()


class Filters:
    """What one endpoint's query string may ask for, decided at registration."""

    def __init__(
        self,
        *,
        fields: Mapping[str, Filter],
        search: tuple[str, ...],
        ordering: tuple[str, ...],
        strict: bool,
        backends: tuple[type, ...],
        custom: tuple[Any, ...],
        page: tuple[str, ...],
    ) -> None:
        self.fields = fields
        self.search = search
        self.ordering = ordering
        self.strict = strict
        self.custom = custom
        """Instances of the backends that are not ours, in order."""
        self._fields_act = FieldFilter in backends and bool(fields)
        self._search_acts = SearchFilter in backends and bool(search)
        self._ordering_acts = OrderingFilter in backends and bool(ordering)
        self.ordered_by = ordering if "ordering" in (*self._declared(backends, custom),) else ()
        """The columns that lists may be ordered by."""
        self.is_async = any(is_async(backend.filter_queryset) for backend in custom)
        named = (name for backend in custom for name in getattr(backend, "parameters", ()))
        self.known = frozenset((*self._declared(backends, custom), *named, *page))

    def _declared(self, backends: tuple[type, ...], custom: tuple[Any, ...]) -> Iterable[str]:
        """Return the parameters of our backends that act, by themselves or as the base of a custom one."""
        used = (*backends, *(type(backend) for backend in custom))
        if any(issubclass(backend, FieldFilter) for backend in used):
            yield from self.fields
        if self.search and any(issubclass(backend, SearchFilter) for backend in used):
            yield "search"
        if self.ordering and any(issubclass(backend, OrderingFilter) for backend in used):
            yield "ordering"

    def asked(self, query: QueryParams) -> Asked:
        """Read the query string; raise InvalidInput with everything that is wrong in it."""
        if not query and not self.strict:
            return NOTHING
        problems = self._unknown(query) if self.strict else []
        fields, search = NOTHING, ""
        ordering: tuple[tuple[str, bool], ...] = ()
        try:
            fields = self.fields_asked(query) if self._fields_act else NOTHING
        except InvalidInput as error:
            problems += error.detail
        try:
            search = self.search_asked(query) if self._search_acts else ""
            ordering = self.ordering_asked(query) if self._ordering_acts else ()
        except InvalidInput as error:
            problems += error.detail
        if problems:
            raise InvalidInput(problems)
        return Asked(fields.filters, fields.values, search, ordering)

    def _unknown(self, query: QueryParams) -> list[dict[str, Any]]:
        allowed = f"allowed: {', '.join(sorted(self.known)) or 'none'}"
        return [
            problem("unknown_parameter", name, f"Query parameter is unknown{nearest(name, self.known)}; {allowed}")
            for name in query
            if name not in self.known
        ]

    def fields_asked(self, query: QueryParams) -> Asked:
        """Return the filters of a query string and their values; raise InvalidInput."""
        found: dict[tuple[str, str], Sequence[Any]] = {}
        problems: list[dict[str, Any]] = []
        for name in query:
            declared = self.fields.get(name)
            if declared is None:
                continue
            try:
                values = declared.parse(name, query.getlist(name))
            except InvalidInput as error:
                problems += error.detail
                continue
            operator = declared.operator
            if operator == "isnull":
                operator = "isnull" if values[0] else "notnull"
            found[declared.column, operator] = values
            if sum(map(len, found.values())) > MOST_IN_ALL:
                message = f"The filters of a request should have at most {MOST_IN_ALL} values in all"
                raise InvalidInput([*problems, problem("too_long", name, message)])
        if problems:
            raise InvalidInput(problems)
        shape = tuple(sorted(found))  # one statement, in whatever order they were asked for
        return Asked(shape, tuple(found[each] for each in shape))

    def search_asked(self, query: QueryParams) -> str:
        """Return the text searched for; empty: nothing."""
        text = query.get("search", "")
        if "\x00" in text:
            raise InvalidInput([problem("string_nul", "search", "String should not contain NUL characters")])
        return text

    def ordering_asked(self, query: QueryParams) -> tuple[tuple[str, bool], ...]:
        """Return the columns to order by; what is not declared is left out, or refused if ``strict``."""
        wanted: dict[str, bool] = {}
        for part in query.get("ordering", "").split(","):
            name = part.strip()
            descending = name.startswith("-")
            name = name.removeprefix("-")
            if name in self.ordering:
                wanted.setdefault(name, descending)
            elif name and self.strict:
                hint = nearest(name, self.ordering)
                allowed = f"Field can't be ordered by{hint}; allowed: {', '.join(self.ordering)}"
                raise InvalidInput([problem("ordering", "ordering", allowed)])
        return tuple(wanted.items())


def filters_of(
    owner: str, filtering: Filtering, specs: Mapping[str, FieldSpec], page: tuple[str, ...], *, sqlite: bool
) -> Filters:
    """Return what an endpoint's lists may be asked for; ``page`` are the parameters of its pagination.

    Raises ConfigurationError for every unknown field, and every operator that a field's type lacks.
    """
    problems = Problems()
    where = f"{owner}.Meta.filtering"
    given = _OURS if filtering.backends is None else tuple(filtering.backends)
    custom = tuple(_instance(where, each) for each in given if each not in _OURS)
    fields = _fields(where, filtering.fields, specs, problems, sqlite=sqlite)
    for option, names, fits, lack in (
        ("search", filtering.search, is_text, "is no text"),
        ("ordering", filtering.ordering, is_sortable, "can't be ordered by"),
    ):
        for name in names:
            with problems.collected():
                _check_kind(f"{where}.{option}", name, specs, fits, lack)
    for name in fields:
        with problems.collected():
            if name in (*page, *(word for word in ("search", "ordering") if getattr(filtering, word))):
                raise ConfigurationError(f"{where}.fields: {name!r} is already the name of a query parameter")
    problems.raise_all()
    _point_out_idle(where, filtering, given)
    return Filters(
        fields=fields,
        search=tuple(filtering.search),
        ordering=tuple(filtering.ordering),
        strict=filtering.strict,
        backends=tuple(each for each in given if each in _OURS),
        custom=custom,
        page=page,
    )


def _instance(where: str, backend: Any) -> Any:
    try:
        return backend() if isinstance(backend, type) else backend
    except TypeError as error:
        raise ConfigurationError(f"{where}.backends: {backend.__name__}() fails ({error}); give an instance") from error


_NEEDED = {"fields": FieldFilter, "search": SearchFilter, "ordering": OrderingFilter}


def _point_out_idle(where: str, filtering: Filtering, given: Sequence[Any]) -> None:
    """Log a warning for what is declared without the backend that would act on it."""
    kinds = [each if isinstance(each, type) else type(each) for each in given]
    for option, backend in _NEEDED.items():
        if getattr(filtering, option) and not any(issubclass(kind, backend) for kind in kinds):
            logger.warning("%s: %s does nothing: backends does not name %s", where, option, backend.__name__)


def _fields(
    where: str, declared: Any, specs: Mapping[str, FieldSpec], problems: Problems, *, sqlite: bool
) -> dict[str, Filter]:
    fields: dict[str, Filter] = {}
    reader = functools.cache(lambda name: value_parser(specs[name], sqlite=sqlite))
    for name, operator in _pairs(f"{where}.fields", declared, specs):
        with problems.collected():
            allowed = operators_of(_spec(f"{where}.fields", name, specs))
            if operator not in allowed:
                hint = nearest(operator, allowed)
                raise ConfigurationError(
                    f"{where}.fields: {name!r} has no operator {operator!r}; allowed: {', '.join(allowed)}{hint}"
                )
            read = Filter(name, operator, parser_of(operator, functools.partial(reader, name)))
            fields[f"{name}__{operator}"] = read
            if operator == "exact":
                fields[name] = read
    return fields


def _pairs(where: str, declared: Any, specs: Mapping[str, FieldSpec]) -> Iterable[tuple[str, str]]:
    """Return column and operator of every declared filter."""
    if isinstance(declared, Mapping):
        for name, operators in declared.items():
            for operator in operators:
                yield name, operator
        return
    for name in declared:
        head, separator, operator = name.rpartition("__")
        if name in specs or not separator:
            yield name, "exact"
        elif head in specs or operator in OPERATORS:
            yield head, operator
        else:
            yield name, "exact"


def _check_kind(
    where: str, name: str, specs: Mapping[str, FieldSpec], fits: Callable[[FieldSpec], bool], lack: str
) -> None:
    if not fits(_spec(where, name, specs)):
        allowed = ", ".join(each for each, spec in specs.items() if fits(spec))
        raise ConfigurationError(f"{where}: {name!r} {lack}; allowed: {allowed}")


def _spec(where: str, name: str, specs: Mapping[str, FieldSpec]) -> FieldSpec:
    spec = specs.get(name)
    if spec is None:
        raise ConfigurationError(
            f"{where}: there is no field {name!r}; allowed: {', '.join(specs)}{nearest(name, specs)}"
        )
    return spec
